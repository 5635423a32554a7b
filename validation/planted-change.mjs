// Studies of a behavioral change whose truth is known: who knows the new behavior, who knows the old one, and who says what regardless
// of the string. Pure: a world and a seed give the same trials everywhere.
import { uniformFloat64 } from "pure-rand/distribution/uniformFloat64";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { drawn } from "./planted-truth.mjs";

/**
 * Trials of every arm about the behavior before (`old`) and after (`new`), on tasks that were taught and others.
 * What was done: a value from `values`. What is done now: the same, or with chance `moved` a value from `newValues`.
 * What an arm says: the new behavior (`knowsNew`), else the old one (`knowsOld`), else a value from `says`, whatever the string.
 * Clustering: on a share `alike` of the strings each of these draws is the same for all properties.
 */
export function simulateChange({ arms, taught, elsewhere, properties, values, newValues, moved, alike }, seed) {
  const random = xoroshiro128plus((Math.imul(seed + 1, 0x9e3779b1) ^ 0x5bd1e995) | 0);
  for (let skipped = 0; skipped < 64; skipped++) random.next();
  const draw = () => uniformFloat64(random);
  const trials = [];
  for (const [task, strings] of Object.entries({ taught, elsewhere })) {
    for (let string = 0; string < strings; string++) {
      const isAlike = draw() < alike;
      const kept = new Map();
      const at = (name) => {
        if (!isAlike) return draw();
        if (!kept.has(name)) kept.set(name, draw());
        return kept.get(name);
      };
      for (let property = 0; property < properties; property++) {
        const old = drawn(values, at("old"));
        const now = at("moves") < moved ? drawn(newValues, at("new")) : old;
        for (const { name, knowsNew = 0, knowsOld = 0, says } of arms) {
          const way = at(`way/${name}`);
          const blind = drawn(says, at(`says/${name}`));
          const said = way < knowsNew ? now : way < knowsNew + knowsOld ? old : blind;
          for (const [target, does] of [
            ["old", old],
            ["new", now],
          ]) {
            trials.push({
              target,
              predictor: name,
              task,
              item: `s${string}`,
              property: `p${property}`,
              variant: "plain",
              behavior: { ok: true, value: `v${does}` },
              objectCompliance: { ok: true },
              prediction: { ok: true, value: `v${said}` },
              heuristics: {},
              minMargin: 1,
            });
          }
        }
      }
    }
  }
  return trials;
}

/** The plan's side of such a world: who is asked in which part. */
export function changeOf({ arms }) {
  return {
    after: "new",
    change: { name: "planted", from: "old", answers: { policy: "last_item" }, tasks: ["taught"], examples: 1 },
    predictors: arms.map(({ name, role }) => ({ predictor: name, role })),
  };
}

/** A world with nothing planted but what is named. */
export function changeWorld(rest) {
  return {
    taught: 60,
    elsewhere: 60,
    properties: 4,
    values: [0.35, 0.25, 0.2, 0.1, 0.1],
    newValues: [0.2, 0.2, 0.2, 0.2, 0.2],
    moved: 0.7,
    alike: 0.4,
    ...rest,
  };
}
