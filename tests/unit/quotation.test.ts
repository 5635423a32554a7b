/** A verdict says when predictors were asked about a part only of the prompt that targets were given; old plans do so too. */
import { beforeAll, describe, expect, test } from "vitest";
import { verdictSentences } from "../../src/report/sentences.js";
import { experimentResults } from "../../src/score/verdicts/experiments.js";
import { quotationReservations } from "../../src/score/verdicts/quotation.js";
import type { Verdict, VerdictAbout, VerdictInput } from "../../src/score/verdicts/verdict.js";
import type { Plan } from "../../src/study/plan.js";
import { makeEverythingInput } from "../fixtures/report/make-experiments-input.js";

const OLD = 'Suppose someone gave you this prompt:\n"{question}"\n{property}';
const WHOLE = 'Suppose someone gave you this prompt:\n"{prompt}"\n{property}';

/** @param minimal its template @param examples whether targets were given solved examples */
function planOf(plan: Plan, minimal: string, examples: boolean): Plan {
  const solved = [{ text: "one two", answer: "three" }];
  return {
    ...plan,
    tasks: plan.tasks.map((task) => ({ ...task, examples, definition: { ...task.definition, examples: solved } })),
    wordings: { ...plan.wordings, variants: { ...plan.wordings.variants, minimal } },
  };
}

describe("the verdicts of a study", () => {
  let input: VerdictInput;
  const verdictsOf = (plan: Plan): Verdict[] =>
    experimentResults({ ...input, plan }).experiments.flatMap(({ verdicts }) => verdicts);
  const quoted = ({ reservations }: Verdict) => reservations.filter(({ kind }) => kind === "prompt_quoted_in_part");
  beforeAll(() => {
    input = makeEverythingInput() as VerdictInput;
  });

  test("have a reservation each where a plan's template holds the last turn only, and the target had more", () => {
    const verdicts = verdictsOf(planOf(input.plan, OLD, true));
    const kinds = new Set(verdicts.map(({ about }) => about.kind));
    expect([...kinds]).toEqual(expect.arrayContaining(["self", "self_and_cross", "change"]));
    const tasks = input.plan.tasks.map(({ definition }) => definition.name);
    for (const verdict of verdicts.filter(
      ({ about }) => about.kind !== "property" && about.kind !== "logprob_differences",
    )) {
      expect(quoted(verdict)).toEqual([{ kind: "prompt_quoted_in_part", wordings: ["minimal"], tasks }]);
      expect(verdictSentences(verdict).more.join("\n")).toContain(
        `About ${tasks.join(", ")}, the wording minimal quotes only a part of what the target was given`,
      );
    }
  });

  test.each([
    ["the whole prompt is quoted", WHOLE, true],
    ["the target was given the last turn only", OLD, false],
  ])("have none where %s", (_, template, examples) => {
    const verdicts = verdictsOf(planOf(input.plan, template, examples));
    expect(verdicts.length).toBeGreaterThan(0);
    for (const verdict of verdicts.filter(({ about }) => about.kind !== "logprob_differences"))
      expect(quoted(verdict)).toEqual([]);
  });

  test("are not concerned by a control wording that only others were asked in", () => {
    const plan = planOf(input.plan, WHOLE, true);
    const short = { ...plan, wordings: { ...plan.wordings, variants: { ...plan.wordings.variants, bare: OLD } } };
    for (const verdict of verdictsOf(short).filter(({ about }) => about.kind === "self"))
      expect(quoted(verdict)).toEqual([]);
    const asked = Object.entries(short.states ?? {}).find(([, { wording }]) => wording === "bare")?.[0] as string;
    const about: VerdictAbout = { kind: "self", self: asked, target: asked, seeds: 1 };
    expect(quotationReservations(short, about)).toMatchObject([{ wordings: ["bare"] }]);
  });
});

describe("the question about two beginnings of an answer", () => {
  const plan = planOf(makeEverythingInput().plan, WHOLE, true);
  const about: VerdictAbout = { kind: "logprob_differences" };

  test("has a reservation in a plan that stores no wordings of it, for tasks that list something", () => {
    const { logprobs: _, ...wordings } = plan.wordings;
    const lists = plan.tasks.filter(({ definition: { kind } }) => kind === "sequence" || kind === "numbers");
    expect(quotationReservations({ ...plan, wordings }, about)).toEqual([
      {
        kind: "prompt_quoted_in_part",
        wordings: ["suppose", "listed"],
        tasks: lists.map(({ definition }) => definition.name),
      },
    ]);
  });

  test("has none in one that stores wordings with the whole prompt", () => {
    const wordings = { ...plan.wordings, logprobs: { suppose: "{prompt} {one} {two}" } };
    expect(quotationReservations({ ...plan, wordings }, about)).toEqual([]);
  });
});
