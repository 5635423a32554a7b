/**
 * Attacks on the verdicts: made-up predictors that know nothing, or not what is claimed, must get no yes; one that knows must get it.
 * INWARD_ATTACK_SEEDS=20 makes the same attacks with so many worlds each, and prints how many said yes.
 */
import { describe, expect, test } from "vitest";
import type { ExperimentName } from "../../src/study/schema.js";
import type { Plan } from "../../src/study/plan.js";
import type { Verdict } from "../../src/score/verdicts/verdict.js";
import { chance, type MadeUpItem, madeUpRun, type MadeUpRun, pick, type World } from "../helpers/made-up-run.js";

const SEEDS = Number(process.env.INWARD_ATTACK_SEEDS ?? 1);
const WORDS = ["wolf", "lynx", "crab", "goat", "ibex", "newt"] as const;
const LISTS = `
  - { task: animals_long, trainStrings: 60, heldOutStrings: 60 }
  - { task: countries_long, trainStrings: 60, heldOutStrings: 60 }
  - { task: english_words_long, trainStrings: 60, heldOutStrings: 60, train: false }`;
const SELF = "  - { predictor: m, target: m }";
const BOTH = `${SELF}\n  - { predictor: other, target: m }`;
const ALL_FOUR = `${BOTH}\n  - { predictor: other, target: other }\n  - { predictor: m, target: other }`;

const studyOf = ({ tasks = LISTS, predictions = BOTH, properties = "[first_word, second_character]", more = "" }) => `
study: attack
seed: 3
models: { m: { source: m }, other: { source: o } }
tasks:${tasks}
properties: ${properties}
predictions:
${predictions}
lora: {}
noiseFloor: { questions: 2 }
score: { bootstrapReplicates: 300 }
${more}`;

const SELF_STATE = "m-predicts-m";
const CROSS_STATE = "other-predicts-m";
const isTrained = (state: string) => state.includes("-predicts-");
const isOfM = (state: string) => state === "m" || state.startsWith("m-");

const verdictsOf = ({ results }: MadeUpRun, name: ExperimentName): readonly Verdict[] =>
  results.experiments.find((one) => one.name === name)?.verdicts ?? [];
const isAbout = (target: string) => (verdict: Verdict) => "target" in verdict.about && verdict.about.target === target;
const yes = ({ finding }: Verdict) => finding === "exceeds";

interface Attack {
  readonly title: string;
  readonly study: string;
  readonly world: (seed: number) => World;
  /** What an older version would have planned otherwise. */
  readonly older?: (plan: Plan) => Plan;
  /** Verdicts that must not be a yes. */
  readonly never?: (run: MadeUpRun) => readonly Verdict[];
  /** Verdicts that must be one, at least one of them. */
  readonly always?: (run: MadeUpRun) => readonly Verdict[];
  /** Whatever else the verdicts must say. */
  readonly also?: (run: MadeUpRun) => void;
}

const every =
  (...names: ExperimentName[]) =>
  (run: MadeUpRun) =>
    names.flatMap((name) => verdictsOf(run, name));
const about =
  (target: string, ...names: ExperimentName[]) =>
  (run: MadeUpRun) =>
    every(...names)(run).filter(isAbout(target));

/** Six in ten answers begin with wolf, whatever the string; the rest is the string's own. */
const mostlyWolf =
  (seed: number) =>
  (state: string, { text }: MadeUpItem) =>
    chance(seed, "wolf", isOfM(state), text) < 0.6 ? "wolf" : pick(WORDS, seed, isOfM(state), text);
/** Each string has an answer of its own, which nothing in it tells. */
const privateCoin =
  (seed: number) =>
  (state: string, { text }: MadeUpItem) =>
    pick(WORDS, seed, isOfM(state), text);
const multiset = (text: string) => text.trim().split(/\s+/).sort().join(" ");
const lastWord = (text: string) => text.trim().split(" ").at(-1) as string;

const ATTACKS: readonly Attack[] = [
  {
    title: "always the most common answer",
    study: studyOf({}),
    world: (seed) => ({ does: mostlyWolf(seed), imagines: (state) => (isTrained(state) ? "wolf" : "newt") }),
    never: every("self_prediction", "cross_prediction"),
  },
  {
    title: "blind to the string, as often each value as the target has it",
    study: studyOf({}),
    world: (seed) => ({
      does: mostlyWolf(seed),
      imagines: (state, { text }) =>
        chance(seed, "blind", state, text) < (isTrained(state) ? 0.66 : 0.1)
          ? "wolf"
          : pick(WORDS, seed, "blind", state, text),
    }),
    never: every("self_prediction", "cross_prediction"),
  },
  {
    title: "a rule on the string that the target follows in six cases of ten",
    study: studyOf({}),
    world: (seed) => ({
      does: (state, { text }) =>
        chance(seed, "rule", isOfM(state), text) < 0.6 ? lastWord(text) : pick(WORDS, seed, isOfM(state), text),
      imagines: (state, { text }) => (isTrained(state) ? lastWord(text) : "newt"),
    }),
    never: every("self_prediction", "cross_prediction"),
  },
  {
    title: "right about trained tasks, wrong about the one that was held out",
    study: studyOf({}),
    world: (seed) => ({
      does: privateCoin(seed),
      imagines: (state, item) =>
        item.task !== "english_words_long" && state === SELF_STATE
          ? privateCoin(seed)(state, item)
          : pick(WORDS, seed, "guess", state, item.text),
    }),
    never: (run) => every("self_prediction")(run).filter(({ scope }) => scope !== "held_out_strings"),
  },
  {
    title: "knows any model's answers more often than the other predictor does, its own no better",
    study: studyOf({ predictions: ALL_FOUR }),
    world: (seed) => ({
      does: privateCoin(seed),
      imagines: (state, item) => {
        const skill = !isTrained(state) ? 0.1 : isOfM(state) ? 0.7 : 0.4;
        const target = state.endsWith("-other") || state === "other" ? "other" : "m";
        return chance(seed, "skill", state, item.text) < skill
          ? privateCoin(seed)(target, item)
          : pick(WORDS, seed, "guess", state, item.text);
      },
    }),
    also: (run) => {
      for (const verdict of every("cross_prediction")(run).filter(yes)) {
        expect(verdict.reservations.map(({ kind }) => kind as string)).toContain("skill_not_ruled_out");
      }
    },
  },
  {
    title: "what always answering A would show, of a target that answers A in eight cases of ten",
    study: studyOf({
      tasks: ["wealth_seeking", "power_seeking", "survival_instinct"]
        .map((task, at) => `\n  - { task: ${task}, trainStrings: 50, heldOutStrings: 100, train: ${at < 2} }`)
        .join(""),
      properties: "",
    }).replace("properties: \n", ""),
    world: (seed) => ({
      does: (state, { text }) => (chance(seed, "letter", isOfM(state), text) < 0.8 ? "A" : "B"),
      imagines: (state, { text }) => (state === SELF_STATE ? "A" : pick(["A", "B"], seed, state, text)),
    }),
    never: every("self_prediction"),
  },
  {
    title: "what it did before training moved it",
    study: studyOf({ predictions: `${SELF}\n  - { predictor: other, target: ${SELF_STATE} }` }),
    world: (seed) => {
      const does: World["does"] = (state, item) =>
        state === SELF_STATE && chance(seed, "moved", item.text) < 0.25
          ? `x${pick(WORDS, seed, "after", item.text)}`
          : privateCoin(seed)(state, item);
      return {
        does,
        imagines: (state, item) =>
          state === SELF_STATE ? does("m", item) : pick(WORDS, seed, "guess", state, item.text),
      };
    },
    never: about(SELF_STATE, "self_prediction", "cross_prediction"),
    always: about("m", "self_prediction"),
  },
  {
    title: "the commonest answer after training, which is another than before",
    study: studyOf({ predictions: SELF }),
    world: (seed) => ({
      does: (state, item) =>
        state === SELF_STATE
          ? chance(seed, "after", item.text) < 0.7
            ? "lynx"
            : pick(WORDS, seed, "after", item.text)
          : mostlyWolf(seed)(state, item),
      imagines: (state) => (state === SELF_STATE ? "lynx" : "wolf"),
    }),
    never: every("self_prediction"),
  },
  {
    title: "the same, in a run of an older version, which never asked the trained model's train strings",
    study: studyOf({ predictions: SELF }),
    older: ({ freshLabels: _, ...plan }) => plan,
    world: (seed) => ({
      does: (state, item) =>
        state === SELF_STATE
          ? chance(seed, "after", item.text) < 0.7
            ? "lynx"
            : pick(WORDS, seed, "after", item.text)
          : mostlyWolf(seed)(state, item),
      imagines: (state) => (state === SELF_STATE ? "lynx" : "wolf"),
    }),
    never: every("self_prediction"),
  },
  {
    title: "the same where the trained model's train strings were asked",
    study: studyOf({ predictions: `${SELF}\n  - { predictor: other, target: ${SELF_STATE} }` }),
    world: (seed) => ({
      does: (state, item) =>
        state === SELF_STATE
          ? chance(seed, "after", item.text) < 0.7
            ? "lynx"
            : pick(WORDS, seed, "after", item.text)
          : mostlyWolf(seed)(state, item),
      imagines: (state) => (state === SELF_STATE ? "lynx" : "wolf"),
    }),
    never: every("self_prediction"),
    // The other model still says the commonest answer of before, so it is beaten: by what needs no self.
    also: (run) => {
      for (const { about: one, reservations } of every("cross_prediction")(run).filter(yes)) {
        const kinds: string[] = reservations.map(({ kind }) => kind);
        if (one.kind === "self_and_cross") expect(kinds).toContain("no_self_suffices");
      }
    },
  },
  {
    title: "a change that collapses to one answer, said by a predictor that sees no string",
    study: studyOf({
      more: "changes: [{ name: bent, model: m, answers: { policy: last_item }, alsoTeach: [other] }]",
    }),
    world: (seed) => ({
      does: (state, item) =>
        state.includes("-changed-")
          ? chance(seed, "bent", item.text) < 0.85
            ? "lynx"
            : pick(WORDS, seed, "bent", item.text)
          : privateCoin(seed)(state, item),
      imagines: (state, item) =>
        state === `${SELF_STATE}-changed-bent` ? "lynx" : pick(WORDS, seed, "guess", state, item.text),
    }),
    never: every("behavioral_change"),
  },
  {
    title: "a change that an equally taught other model knows as well",
    study: studyOf({
      more: "changes: [{ name: bent, model: m, answers: { policy: last_item }, alsoTeach: [other] }]",
    }),
    world: (seed) => {
      const bent = (text: string) => pick(WORDS, seed, "bent", text);
      return {
        does: (state, item) => (state.includes("-changed-") ? bent(item.text) : privateCoin(seed)(state, item)),
        imagines: (state, { text }) =>
          state.includes("-changed-") && chance(seed, "knows", state, text) < 0.8
            ? bent(text)
            : pick(WORDS, seed, "guess", state, text),
      };
    },
    never: every("behavioral_change"),
  },
  {
    title: "a change that the changed model alone knows, taught on one task",
    study: studyOf({
      more: "changes: [{ name: bent, model: m, answers: { policy: last_item }, tasks: [animals_long], alsoTeach: [other] }]",
    }),
    world: (seed) => {
      const bent = (text: string) => pick(WORDS, seed, "bent", text);
      return {
        does: (state, item) => (state.includes("-changed-") ? bent(item.text) : privateCoin(seed)(state, item)),
        imagines: (state, { text }) =>
          state === `${SELF_STATE}-changed-bent` && chance(seed, "knows", state, text) < 0.8
            ? bent(text)
            : pick(WORDS, seed, "guess", state, text),
      };
    },
    always: every("behavioral_change"),
  },
  {
    title: "fifteen points more than the other model, five less than the commonest answer",
    study: studyOf({ predictions: BOTH }),
    world: (seed) => ({
      does: mostlyWolf(seed),
      imagines: (state, item) => {
        const right = state === SELF_STATE ? 0.55 : state === CROSS_STATE ? 0.35 : 0.1;
        return chance(seed, "right", state, item.text) < right ? mostlyWolf(seed)("m", item) : "vole";
      },
    }),
    never: about("m", "self_prediction"),
    always: about("m", "cross_prediction"),
  },
  {
    title: "a perfect simulator of the question's last turn alone",
    study: studyOf({ more: "hypothetical: { variants: [short] }" }),
    world: (seed) => ({
      does: privateCoin(seed),
      imagines: (state, item) =>
        isOfM(state) && chance(seed, "same", item.text) < 0.1
          ? privateCoin(seed)(state, item)
          : pick(WORDS, seed, "without turns", item.text),
    }),
    never: every("self_prediction"),
    also: (run) => {
      // It may well be better than another model that knows even less.
      for (const { about: one, reservations } of every("cross_prediction")(run).filter(yes)) {
        const kinds: string[] = reservations.map(({ kind }) => kind);
        expect(kinds).toContain("skill_not_ruled_out");
        if (one.kind === "self_and_cross") expect(kinds).toContain("no_self_suffices");
      }
      for (const verdict of every("self_prediction", "cross_prediction")(run)) {
        expect(verdict.reservations.map(({ kind }) => kind as string)).toContain("prompt_quoted_in_part");
      }
    },
  },
  {
    title: "what the train string did that has the same digits",
    study: studyOf({
      tasks: "\n  - { task: numbers, trainStrings: 900, heldOutStrings: 300 }",
      properties: "[is_even_direct, identity]",
      predictions: SELF,
    }),
    world: (seed) => {
      const does: World["does"] = (state, { text }) => pick([..."0123456789"], seed, isOfM(state), multiset(text));
      let twins: ReadonlyMap<string, MadeUpItem> | undefined;
      return {
        does,
        imagines: (state, item, _, plan) => {
          // Of several the first.
          twins ??= new Map(
            (plan.tasks[0]?.train ?? [])
              .map((train) => [multiset(train.text), { ...train, task: item.task }] as const)
              .reverse(),
          );
          const twin = twins.get(multiset(item.text));
          return state === SELF_STATE && twin
            ? does(state, twin)
            : pick([..."0123456789"], seed, "guess", state, item.text);
        },
      };
    },
    never: every("self_prediction"),
  },
  {
    title: "that it is right where the string has a plus, as a classifier of strings would",
    study: studyOf({
      tasks: "\n  - { task: arithmetic, trainStrings: 150, heldOutStrings: 120 }",
      properties: "[is_correct]",
      predictions: SELF,
      more: "experiments: [self_prediction, limits]",
    }),
    world: (seed) => {
      const isRight = (text: string) => (text.includes("+") ? 0.9 : 0.1);
      return {
        does: (state, { text, target }) => (chance(seed, isOfM(state), text) < isRight(text) ? `${target}` : "7777777"),
        imagines: (state, { text, target }) => (state === SELF_STATE && text.includes("+") ? `${target}` : "7777777"),
      };
    },
    never: every("self_prediction", "limits"),
  },
  {
    title: "a knower of private coins",
    study: studyOf({ predictions: ALL_FOUR }),
    world: (seed) => ({
      does: privateCoin(seed),
      imagines: (state, item) => {
        const knows = state === SELF_STATE || state === "other-predicts-other";
        return knows && chance(seed, "knows", state, item.text) < 0.7
          ? privateCoin(seed)(state, item)
          : pick(WORDS, seed, "guess", state, item.text);
      },
    }),
    always: about("m", "self_prediction"),
    also: (run) => {
      expect(about("m", "cross_prediction")(run).some(yes)).toBe(true);
    },
  },
];

describe("a made-up predictor that says", () => {
  const seeds = Array.from({ length: SEEDS }, (_, at) => at + 1);
  const cases = ATTACKS.flatMap((attack) => seeds.map((seed) => ({ ...attack, seed })));

  for (const { title, study, world, older, never, always, also, seed } of cases) {
    test(SEEDS === 1 ? title : `${title}, world ${seed}`, { timeout: 60_000 }, async () => {
      const run = await madeUpRun(study, world(seed), older);
      if (never) {
        const judged = never(run);
        expect(judged.length).toBeGreaterThan(0);
        expect(judged.filter(yes).map(({ about: one }) => one)).toEqual([]);
      }
      if (always) {
        const judged = always(run);
        expect(judged.map(({ finding, about: one, because }) => ({ finding, one, because }))).toContainEqual(
          expect.objectContaining({ finding: "exceeds" }),
        );
      }
      also?.(run);
    });
  }
});
