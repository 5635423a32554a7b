/** Whether predictors were asked about all of what targets were given. Decided from a plan's templates, so that old runs tell it too. */

import { quotesInPart } from "../../properties/wordings.js";
import { logprobWordings } from "../../study/forms.js";
import type { Plan } from "../../study/plan.js";
import { statesOf } from "../../study/states.js";
import type { VerdictAbout, VerdictReservation } from "./verdict.js";

type QuotedInPart = Extract<VerdictReservation, { kind: "prompt_quoted_in_part" }>;

/** @returns none, or one that names every wording and task concerned */
export function quotationReservations(plan: Plan, about: VerdictAbout): QuotedInPart[] {
  // What plain text is asked in has the same slots.
  const { variants } = plan.wordings;
  const templates =
    about.kind === "logprob_differences"
      ? Object.entries(logprobWordings(plan))
      : wordingsAbout(plan, about).map((name) => [name, variants[name] ?? ""] as const);
  const tasks = plan.tasks.filter((task) => isAbout(about, task.definition));
  const found = templates.flatMap(([wording, template]) =>
    tasks.filter((task) => quotesInPart(template, task)).map(({ definition }) => ({ wording, task: definition.name })),
  );
  if (found.length === 0) return [];
  const namesOf = (key: "wording" | "task") => [...new Set(found.map((one) => one[key]))];
  return [{ kind: "prompt_quoted_in_part", wordings: namesOf("wording"), tasks: namesOf("task") }];
}

function isAbout(about: VerdictAbout, { name, kind }: Plan["tasks"][number]["definition"]): boolean {
  if (about.kind === "property") return about.task === name;
  // Only lists have beginnings that an answer could have.
  return about.kind !== "logprob_differences" || kind === "sequence" || kind === "numbers";
}

/** Those that the verdict's predictors were asked in, and that their adapters learnt from. */
function wordingsAbout(plan: Plan, about: VerdictAbout): string[] {
  const { variants } = plan.hypothetical;
  // Distributions are measured in the first wording.
  if (about.kind === "probabilities") return [plan.hypothetical.variants[0] as string];
  const predictors = predictorsOf(about);
  if (predictors.length === 0) return [...variants];
  return [
    ...new Set(
      predictors.flatMap((state) => {
        const { wording, isTrained } = statesOf(plan).of(state);
        return wording === undefined ? variants : isTrained ? [wording, ...variants] : [wording];
      }),
    ),
  ];
}

/** @returns none where the verdict is about all that predict */
function predictorsOf(about: VerdictAbout): string[] {
  switch (about.kind) {
    case "self":
      return [about.self];
    case "self_and_cross":
      return [about.self, about.cross];
    case "property":
      return [about.predictor];
    case "change":
      return [about.before, about.after];
    default:
      return [];
  }
}
