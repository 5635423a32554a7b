/** Patched distributions of predictors that are made up: what each says when something is written inside is a function (made-up-patches.d.mts). */

const KINDS = ["other", "same", "steered", "counter", "random"];
const BOTH = ["none", "steered", "counter", "changed", "changed_counter"];
const END = 99;

/** In [0, 1): FNV-1a with the finish of MurmurHash3, which a million draws have time for. */
function hashed(text) {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32;
}

export function madeUpPatches(
  world,
  {
    seed,
    strings = 16,
    layers = [0, 1, 2, 3],
    values = ["a", "b", "c"],
    role = "declared",
    withEnd = false,
    kinds = KINDS,
  },
) {
  const chance = (...parts) => hashed(`${seed}/${parts.join("/")}`);
  const pick = (from, ...parts) => from[Math.floor(chance(...parts) * from.length)];
  const all = withEnd ? [...layers, END] : layers;
  const rows = [];
  for (let string = 0; string < strings; string++) {
    const own = pick(values, "own", string);
    const others = values.filter((value) => value !== own);
    const toward = pick(others, "toward", string);
    // Two values: a counter leads to another answer with the own one.
    const counter =
      values.length > 2
        ? pick(
            others.filter((value) => value !== toward),
            "counter",
            string,
          )
        : own;
    const add = (side, kind, layer) => {
      const goal = kind === "counter" || kind === "changed_counter" ? counter : kind === "same" ? own : toward;
      const written = { kind, layer: layer ?? 0, string, own, toward: goal, chance };
      const shares = side === "object_level" ? world.behavior(written) : world.prediction(written);
      const site = layer === undefined ? {} : { site: `residual_after.${layer}`, span: "last_prompt_token", number: 0 };
      const shown = Object.values(shares).reduce((sum, one) => sum + one, 0);
      rows.push({
        key: `${side}/${string}/${kind}/${layer ?? ""}`,
        side,
        state: "made-up",
        task: "task",
        item: `${string}`,
        property: "property",
        kind,
        own,
        ...site,
        ...(kind === "none" ? {} : { toward: kind === "same" ? own : toward }),
        ...(kind === "other" ? { donor: "donor", donorSays: world.says?.(toward, written) ?? toward } : {}),
        distribution: {
          method: "expansion",
          values: Object.entries(shares)
            .filter(([, probability]) => probability > 0)
            .sort(([, one], [, other]) => other - one)
            .map(([value, probability]) => ({ value, probability, upper: probability })),
          notCompliant: shown < 1 ? { not_in_values: 1 - shown } : {},
          tail: 0,
          expandedNodes: 1,
          evaluatedTokens: 1,
          stoppedBy: "whole",
        },
      });
    };
    add("object_level", "none");
    add("hypothetical", "none");
    for (const layer of all) {
      for (const kind of kinds) {
        add("hypothetical", kind, layer);
        if (BOTH.includes(kind)) add("object_level", kind, layer);
      }
    }
  }
  return {
    state: "made-up",
    task: "task",
    property: "property",
    leftOut: {},
    rows,
    sites: all.map((layer) => ({
      site: `residual_after.${layer}`,
      span: "last_prompt_token",
      role: layer === END ? "after_last_read" : role,
    })),
  };
}
