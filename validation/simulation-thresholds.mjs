/**
 * The thresholds of the rule that tells simulation from lookup, each beside smaller and greater ones, on predictors that are made up.
 *   node validation/simulation-thresholds.mjs [--studies 200] [--strings 24]
 * sameChanges, at a site that is followed: a simulator of which a donor with the same behavior changes a share of predictions all the same, and a
 * predictor that takes any donor's value or, at the same rate, a value by chance. behaviorMoved: simulators and lookups of which behavior is moved in a
 * share of the strings. behaviorUnmoved: models that read their behavior a layer early in a share of the strings, where it is formed, and so look like a
 * lookup at the later layers; at the early layer their predictions do not move with it more than by the rest of what is said there (they are lookups for
 * all that the sites can show). Shown are shares of studies called simulates and looks up.
 */
import { parseArgs } from "node:util";
import { randomStream } from "../dist/base/random.js";
import { judgeAgain, scoreSimulation } from "../dist/score/simulation/simulation.js";

const { values: options } = parseArgs({
  options: { studies: { type: "string", default: "200" }, strings: { type: "string", default: "24" } },
});
const [studies, strings] = [Number(options.studies), Number(options.strings)];
const VALUES = ["a", "b", "c"];
const SETTINGS = { confidence: 0.95, bootstrapReplicates: 200, bootstrapSeed: 1 };
const RULE = { sameChanges: 0.2, behaviorMoved: 0.1, behaviorUnmoved: 0.2 };

/** Rows of one study; `says({ side, kind, layer, own, goal, chance })` gives the value that is done, or said. */
function madeUp(says, layers, seed) {
  const random = randomStream("simulation thresholds", seed);
  const chance = () => (random.next() + 2 ** 31 + 0.5) / 2 ** 32;
  const among = (from) => from[Math.floor(chance() * from.length)];
  const rows = [];
  for (let item = 0; item < strings; item++) {
    const own = among(VALUES);
    const toward = among(VALUES.filter((one) => one !== own));
    const counter = VALUES.find((one) => one !== own && one !== toward);
    // What a string is: decided once, so that both sides and all layers agree about it.
    const trait = { moves: chance(), early: chance() };
    for (const layer of [undefined, ...layers]) {
      const kinds = layer === undefined ? ["none"] : ["other", "same", "steered", "counter", "random"];
      for (const kind of kinds) {
        const sides = ["none", "steered", "counter"].includes(kind)
          ? ["hypothetical", "object_level"]
          : ["hypothetical"];
        for (const side of sides) {
          const goal = kind === "counter" ? counter : kind === "same" || kind === "none" ? own : toward;
          const value = says({ side, kind, layer, own, goal, chance, among, trait });
          rows.push({
            key: `${side}/${item}/${kind}/${layer}`,
            side,
            state: "made-up",
            task: "task",
            item: String(item),
            property: "property",
            kind,
            own,
            ...(layer === undefined
              ? {}
              : {
                  site: `residual_after.${layer}`,
                  span: "last_prompt_token",
                  number: 0,
                  toward: kind === "same" ? own : toward,
                }),
            ...(kind === "other" ? { donor: "donor", donorSays: toward } : {}),
            distribution: {
              method: "expansion",
              values: [{ value, probability: 1, upper: 1 }],
              notCompliant: {},
              tail: 0,
              expandedNodes: 1,
              evaluatedTokens: 1,
              stoppedBy: "whole",
            },
          });
        }
      }
    }
  }
  const sites = layers.map((layer) => ({
    site: `residual_after.${layer}`,
    span: "last_prompt_token",
    role: "declared",
  }));
  return { state: "made-up", task: "task", property: "property", leftOut: {}, rows, sites };
}

const isMoved = (kind) => kind === "steered" || kind === "counter";

const TESTS = {
  sameChanges: {
    at: [0.1, 0.15, 0.2, 0.3],
    layers: [0],
    shares: [0, 0.05, 0.1, 0.2, 0.3, 0.5],
    worlds: {
      // Any patch throws a share of answers about; the rest follows behavior.
      simulator:
        (share) =>
        ({ side, kind, own, goal, chance, among }) => {
          if (side === "hypothetical" && kind !== "none" && chance() < share) return among(VALUES);
          if (isMoved(kind)) return goal;
          return side === "hypothetical" && kind === "other" ? goal : own;
        },
    },
  },
  behaviorMoved: {
    at: [0, 0.05, 0.1, 0.2],
    layers: [0],
    shares: [0.05, 0.1, 0.2, 0.3, 0.5, 1],
    worlds: {
      simulator:
        (share) =>
        ({ side, kind, own, goal, chance, among, trait }) => {
          if (kind === "none") return own;
          // Nothing inside is so clean that a patch never throws an answer about.
          if (chance() < 0.05) return among(VALUES);
          if (isMoved(kind)) return trait.moves < share ? goal : own;
          return side === "hypothetical" && kind === "other" && trait.moves < share ? goal : own;
        },
      lookup:
        (share) =>
        ({ side, kind, own, goal, chance, among, trait }) => {
          if (kind === "none") return own;
          if (chance() < 0.05) return among(VALUES);
          return side === "object_level" && isMoved(kind) && trait.moves < share ? goal : own;
        },
    },
  },
  behaviorUnmoved: {
    at: [0.1, 0.15, 0.2, 0.25, 0.35],
    layers: [4, 5, 6],
    shares: [0, 0.05, 0.1, 0.2, 0.3, 0.5],
    worlds: {
      // In a share of the strings behavior is formed at layer 4, and read from there; in the others it is looked up.
      "early reader":
        (share) =>
        ({ side, kind, layer, own, goal, trait }) => {
          const isEarly = trait.early < share;
          if (side === "object_level") return isMoved(kind) && (layer > 4 || isEarly) ? goal : own;
          return layer === 4 && isEarly && (isMoved(kind) || kind === "other") ? goal : own;
        },
    },
  },
};

const percent = (count) => `${((100 * count) / studies).toFixed(1).padStart(6)}%`;
for (const [name, { at, layers, shares, worlds }] of Object.entries(TESTS)) {
  for (const [world, of] of Object.entries(worlds)) {
    console.log(
      `${name}, ${world}, ${strings} strings, ${studies} studies: simulates / looks up at ${at.join(", ")} (the rule's: ${RULE[name]})`,
    );
    for (const share of shares) {
      const found = at.map(() => ({ simulates: 0, looks_up: 0, cannot_tell: 0 }));
      for (let seed = 0; seed < studies; seed++) {
        const { sites } = scoreSimulation(madeUp(of(share), layers, seed), { ...SETTINGS, bootstrapSeed: seed });
        for (const [place, threshold] of at.entries()) {
          found[place][judgeAgain(sites, SETTINGS.confidence, { ...RULE, [name]: threshold }).finding]++;
        }
      }
      const cells = found.map((one) => `${percent(one.simulates)} /${percent(one.looks_up)}`);
      console.log(`  share ${String(share).padEnd(5)}${cells.join("   ")}`);
    }
  }
}
