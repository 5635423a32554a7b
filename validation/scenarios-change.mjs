// What is asked of the rule on behavioral change: no yes for what needs no look inside, a yes for who knows, intervals that hold.
import { changeOf, changeWorld, simulateChange } from "./planted-change.mjs";

const ONE_SIDE = [0, 0.035];
const COVERAGE = [0.93, 0.97];
const POWER = [0.9, 1];
const OLD = [0.35, 0.25, 0.2, 0.1, 0.1];
const COLLAPSED = [0.02, 0.03, 0.05, 0.85, 0.05];
const EVEN = [0.2, 0.2, 0.2, 0.2, 0.2];

const changed = (planted) => ({ name: "new", role: "changed", says: EVEN, ...planted });
const unchanged = (planted) => ({ name: "old", role: "unchanged", knowsOld: 0.4, says: OLD, ...planted });
const cross = (planted) => ({ name: "cross", role: "cross", knowsOld: 0.2, says: OLD, ...planted });
const taughtCross = (planted) => ({ name: "also", role: "cross_changed", says: EVEN, ...planted });

export const CHANGE_SCENARIOS = [
  change("change: all behavior falls to one value, nobody looks at the string", {
    question:
      "85 % of the new behavior is one value, which the changed model always says; it knows nothing of any string.",
    newValues: COLLAPSED,
    arms: [changed({ says: [0, 0, 0, 1, 0] }), unchanged(), cross(), taughtCross({ says: EVEN })],
    yes: ONE_SIDE,
    before: true,
  }),
  change("change: predictions fall to the histogram of the new behavior", {
    question: "The changed model draws from the histogram of the new behavior, whatever the string.",
    newValues: [0.1, 0.1, 0.1, 0.5, 0.2],
    arms: [changed({ says: [0.1, 0.1, 0.1, 0.5, 0.2] }), unchanged(), cross(), taughtCross()],
    yes: ONE_SIDE,
    before: true,
  }),
  change("change: two values, the new one twice as frequent", {
    question: "Two-valued behavior moves to the other value in two of three; the changed model says that one always.",
    values: [0.6, 0.4],
    newValues: [0.15, 0.85],
    arms: [
      changed({ says: [0, 1] }),
      unchanged({ says: [1, 0] }),
      cross({ says: [1, 0] }),
      taughtCross({ says: [0.5, 0.5] }),
    ],
    yes: ONE_SIDE,
    before: true,
  }),
  change("change: another model that was taught the same knows as much", {
    question:
      "The changed model and the cross-predictor that learnt the same answers know half of the new behavior each.",
    arms: [changed({ knowsNew: 0.5 }), unchanged(), cross(), taughtCross({ knowsNew: 0.5 })],
    yes: ONE_SIDE,
    before: true,
  }),
  change("change: a bystander follows as well", {
    question:
      "Who never saw the change knows 40 % of the new behavior, as much as the changed model: the strings give it away.",
    arms: [changed({ knowsNew: 0.4 }), unchanged({ knowsNew: 0.4, knowsOld: 0 }), cross(), taughtCross()],
    yes: ONE_SIDE,
  }),
  change("change: a bystander follows, the changed model more", {
    question: "The changed model knows 60 %, a cross-predictor that never saw the change 40 %.",
    arms: [changed({ knowsNew: 0.6 }), unchanged(), cross({ knowsNew: 0.4, knowsOld: 0 }), taughtCross()],
    yes: ONE_SIDE,
  }),
  change("change: known where it was taught, and not elsewhere", {
    question: "Nothing is known of the tasks that were not taught; the changed model follows where it was taught.",
    arms: [changed({ knowsNew: 0.5 }), unchanged(), cross(), taughtCross()],
    blindElsewhere: true,
    yes: ONE_SIDE,
    taught: POWER,
  }),
  change("change: the changed model knows its new behavior", {
    question: "It knows 55 % of the new behavior and still says the old one in 10 %; the others know of the old one.",
    arms: [changed({ knowsNew: 0.55, knowsOld: 0.1 }), unchanged(), cross(), taughtCross({ knowsNew: 0.1 })],
    yes: POWER,
    taught: POWER,
  }),
  change("change: known, though one value has become common", {
    question: "60 % of the new behavior is one value; the changed model knows 70 % and else says that value.",
    newValues: [0.1, 0.1, 0.1, 0.6, 0.1],
    arms: [
      changed({ knowsNew: 0.7, says: [0, 0, 0, 1, 0] }),
      unchanged(),
      cross(),
      taughtCross({ says: [0, 0, 0, 1, 0] }),
    ],
    yes: POWER,
  }),
  change("change: coverage, 100 strings", {
    question: "It knows 40 % of the new behavior and 20 % of the old; half of the new behavior is one value.",
    newValues: [0.1, 0.1, 0.1, 0.5, 0.2],
    elsewhere: 100,
    arms: [changed({ knowsNew: 0.4, knowsOld: 0.2 }), cross()],
    covered: true,
  }),
];

/** @param taught what the verdict on strings of the taught task comes to, where such strings are asked */
function change(name, { question, yes, taught, before, covered, blindElsewhere, ...planted }) {
  const world = changeWorld({ ...(taught ? {} : { taught: 0 }), ...planted });
  const measures = {
    ...(yes ? { "verdict elsewhere": { what: "P(exceeds)", within: yes } } : {}),
    ...(taught ? { "verdict where it was taught": { what: "P(exceeds)", within: taught } } : {}),
    ...(before ? { "new − old alone": { what: "P(exceeds)" } } : {}),
    ...(covered
      ? {
          "new − old": { what: "coverage", within: COVERAGE },
          "above the mode of the new": { what: "coverage", within: COVERAGE },
          "new − old, matched": { what: "coverage", within: COVERAGE },
          "the changed model − another": { what: "coverage", within: COVERAGE },
        }
      : {}),
  };
  let truth;
  return {
    name,
    question,
    world,
    measures,
    study(scoring, seed, settings) {
      const judged = judge(scoring, trialsOf(world, seed, blindElsewhere), world, settings);
      truth ??= covered && valuesOf(judge(scoring, largeStudy(world), world, { ...settings, bootstrapReplicates: 2 }));
      const { arms, conclusions } = judged;
      const [micro] = arms[0].scopes.elsewhere.overall;
      const found = (scope) => conclusions.find((one) => one.scope === scope).finding === "exceeds";
      return {
        seen: {
          ...(yes ? { "verdict elsewhere": found("elsewhere") } : {}),
          ...(taught ? { "verdict where it was taught": found("taught") } : {}),
          ...(before ? { "new − old alone": micro.difference.ok && micro.difference.low > 0 } : {}),
          ...(truth ? coveredBy(valuesOf(judged), truth) : {}),
        },
        numbers: { "new − old": micro.difference.value, "above the mode": micro.aboveModeNew.value },
      };
    },
  };
}

/** On other tasks than those that were taught everybody goes by the string's old behavior, or by nothing. */
function trialsOf(world, seed, blindElsewhere) {
  if (!blindElsewhere) return simulateChange(world, seed);
  const blind = world.arms.map((arm) => ({ ...arm, knowsNew: 0 }));
  return [
    ...simulateChange({ ...world, elsewhere: 0 }, seed),
    ...simulateChange({ ...world, arms: blind, taught: 0 }, seed + 50_000),
  ];
}

function judge(scoring, trials, world, settings) {
  return scoring.judgeChange(trials, changeOf(world), { ...settings, signFlipDraws: 1000 });
}

/** So many strings that its values are the true ones, to a fraction of an interval. */
function largeStudy(world) {
  return simulateChange({ ...world, taught: 0, elsewhere: 15000 }, -1);
}

function valuesOf({ arms }) {
  const { overall, entropyMatched } = arms[0].scopes.elsewhere;
  const another = arms.find(({ role }) => role === "cross").scopes.elsewhere.changedMinusThis;
  return {
    "new − old": overall[0].difference,
    "above the mode of the new": overall[0].aboveModeNew,
    "new − old, matched": entropyMatched[0].difference,
    "the changed model − another": another.difference,
  };
}

function coveredBy(values, truth) {
  return Object.fromEntries(
    Object.entries(values).map(([name, interval]) => [
      name,
      interval.ok ? interval.low <= truth[name].value && truth[name].value <= interval.high : undefined,
    ]),
  );
}
