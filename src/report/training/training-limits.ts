/** What a study that trains cannot show, from what was and was not run. */
import type { Plan, PlannedAdapter } from "../../records/plan.js";
import { PredictorKinds } from "../../score/comparison/predictor-kinds.js";
import { formatCount } from "../format-number.js";
import { joinWords, readableName } from "../readable-name.js";

export const JUDGED_BY_COMPARISON =
  "Privileged access is judged under “Self against cross”, for these models, trainings and strings; that section says what it does not show.";

/** @param compared whether self and cross are compared in this report */
export function trainingLimits(
  plan: Plan,
  adapters: Readonly<Record<string, PlannedAdapter>>,
  compared: boolean,
): string[] {
  const all = Object.values(adapters);
  const plain = all.filter(({ labels, change }) => !labels && !change);
  const self = plain.filter(({ base, target }) => base === target);
  const withoutCross = self.filter(
    ({ target }) => !plain.some((other) => other.target === target && other.base !== target),
  );
  const heldOut = plan.tasks.filter((task) => task.trained === false).map((task) => readableName(task.definition.name));
  return [
    ...privilegedAccess(self, withoutCross, compared),
    seeds(plan),
    heldOut.length === 0
      ? "No task was held out: whether what was learnt carries over to other tasks is not measured."
      : `${heldOut.length === 1 ? "One task was" : `${heldOut.length} tasks were`} held out (${joinWords(heldOut)}): how far learning carries over to still other tasks is known only from ${heldOut.length === 1 ? "it" : "them"}.`,
    ...heldOutProperties(plan),
    ...missingControls(all),
    ...(all.some(({ change }) => change)
      ? []
      : [
          "Behavior was not changed on purpose after training (study key changes): whether predictions follow such a change is not measured.",
        ]),
  ];
}

function seeds(plan: Plan): string {
  const kinds = new PredictorKinds(plan);
  const conditions = new Map<string, number>();
  for (const [name, { labels, change }] of Object.entries(plan.adapters ?? {})) {
    if (labels || change) continue;
    const key = kinds.condition(name);
    conditions.set(key, (conditions.get(key) ?? 0) + 1);
  }
  const once = [...conditions.values()].filter((count) => count === 1).length;
  if (once === conditions.size) {
    return "Each adapter was trained once, with one seed and one setting (study key predictions.seed adds others): how far results vary between trainings is not measured, and nothing says that the settings are good ones.";
  }
  const most = Math.max(...conditions.values());
  const rest = once === 0 ? "" : `, ${formatCount(once)} of ${formatCount(conditions.size)} kinds of adapters with one`;
  return `Trainings had at most ${formatCount(most)} seeds${rest}: how far results vary between trainings is known from so few, and nothing says that the settings are good ones.`;
}

/** Each with the study key that would add it. */
function missingControls(all: readonly PlannedAdapter[]): string[] {
  const has = (labels: PlannedAdapter["labels"]) => all.some((adapter) => adapter.labels === labels);
  return [
    ...(has("scrambled")
      ? []
      : [
          "No control on scrambled labels (study key controls.scrambled): how much any training on such labels gives is not measured.",
        ]),
    ...(has("format_only")
      ? []
      : [
          "Training also teaches the form of a reply; no training on the form alone was run (study key controls.formatOnly), so its part in a change shows only in how many replies comply.",
        ]),
  ];
}

function heldOutProperties({ tasks }: Plan): string[] {
  const of = (isTrained: boolean) =>
    tasks.filter(({ trained }) => trained === isTrained).flatMap((task) => task.properties);
  const learnt = new Set(of(true));
  const fresh = [...new Set(of(false))].filter((property) => !learnt.has(property));
  return fresh.length > 0
    ? []
    : [
        "Every property that is scored was trained on: whether learning carries over to other properties is not measured.",
      ];
}

function privilegedAccess(
  self: readonly PlannedAdapter[],
  withoutCross: readonly PlannedAdapter[],
  compared: boolean,
): string[] {
  const judged = compared ? [JUDGED_BY_COMPARISON] : [];
  if (self.length === 0) {
    return compared ? judged : ["Only cross-predictions were trained: privileged access is not measured."];
  }
  if (withoutCross.length > 0) {
    return [
      ...judged,
      `No other model was trained to predict ${joinWords([...new Set(withoutCross.map(({ target }) => target))])} (cross-prediction): privileged access is not measured.`,
    ];
  }
  if (compared) return judged;
  return [
    "Self-predictions and cross-predictions stand side by side; their difference on the same trials, which would measure privileged access, is not computed here.",
  ];
}
