// What is asked of self against cross once skill is taken out: a null where skill, predictability, or both differ, and power where each
// of two models knows itself.
import { plantedState, plantedWorld, simulateStudy } from "./planted-truth.mjs";

const ONE_SIDE = [0, 0.035];
const SEEDS = [
  {
    first: { target: "m1", self: "m1", cross: "m2" },
    second: { target: "m2", self: "m2", cross: "m1" },
  },
];
const SKEWED = [0.8, 0.05, 0.05, 0.05, 0.05];
const EVEN = [0.2, 0.2, 0.2, 0.2, 0.2];

export const SKILL_SCENARIOS = [
  net("net of skill: skill alone differs", {
    question: "m1 knows any target's answer with chance 0.5, m2 with 0.3.",
    states: [plantedState("m1", { skill: 0.5 }), plantedState("m2", { skill: 0.3 })],
    yes: ONE_SIDE,
  }),
  net("net of skill: skill and predictability of targets differ", {
    question:
      "m2 knows more (0.6 against 0.3), and behaves less predictably: plain accuracies multiply to what looks like access.",
    states: [plantedState("m1", { skill: 0.3, values: SKEWED }), plantedState("m2", { skill: 0.6, values: EVEN })],
    yes: ONE_SIDE,
  }),
  net("net of skill: each knows itself", {
    question: "Skill differs (0.4 against 0.3); each knows a fifth of its own answers besides.",
    states: [plantedState("m1", { skill: 0.4, access: 0.2 }), plantedState("m2", { skill: 0.3, access: 0.2 })],
    yes: [0.9, 1],
  }),
];

function net(name, { question, states, yes }) {
  const world = plantedWorld({ states, taskOffsets: [0, 0] });
  return {
    name,
    question,
    world,
    measures: {
      "net of skill, `exceeds`": { what: "P(exceeds)", within: yes },
      "plain scale alone, interval above 0": { what: "P(above 0)" },
      "self − cross, `exceeds`": { what: "P(exceeds)" },
    },
    study(scoring, seed, settings) {
      const trials = simulateStudy(world, seed);
      const { overall, onMisses, judgement } = scoring.measureNetOfSkill(trials, SEEDS, {
        ...settings,
        signFlipDraws: 1000,
      });
      const [{ difference }] = overall;
      const { overall: whole } = scoring.compareOverall(trials, [SEEDS[0].first], { ...settings, signFlipDraws: 1000 });
      return {
        seen: {
          "net of skill, `exceeds`": judgement.finding === "exceeds",
          "plain scale alone, interval above 0": difference.ok && difference.low > 0,
          "self − cross, `exceeds`": scoring.judgeDifference(whole[0], settings).finding === "exceeds",
        },
        numbers: {
          "net of skill": difference.ok ? difference.value : undefined,
          "of −log(1 − accuracy)": onMisses.ok ? onMisses.value : undefined,
        },
      };
    },
  };
}
