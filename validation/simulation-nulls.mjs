/**
 * How often the rule that tells simulation from lookup names a site of predictors that know nothing, made up: of each test the share of studies in
 * which any site passes after Holm, and of the whole rule the share that it calls a simulator.
 *   node validation/simulation-nulls.mjs [--studies 4000] [--kinds thrown,drawn,…]
 * Kinds: thrown (a patch throws 6 answers in 10 about, each by itself) · drawn (every answer is drawn anew) · common (thrown as the first, mostly to
 * the most common value) · faint (certain answers become shares, which are no whole numbers) · half (half of the strings are left alone) · by_vector
 * (a steering vector throws all strings that it is added to the same way: strings that share a vector are no independent draws) · by_value (the same, and
 * donors do what the vector of their value does). The last two are limits. In by_vector the slope's test alone is passed far too often, and only donors keep
 * the rule from a finding. In by_value a predictor reacts to the direction of behavior by chance; where chance is right, it does what a simulator does, and
 * with two values (--values a,b) it often is.
 * A share of 5 % is what the level allows; a kind fails where its interval (95 %, Clopper and Pearson) lies above that.
 */
import { parseArgs } from "node:util";
import { scoreSimulation } from "../dist/score/simulation/simulation.js";
import { madeUpPatches } from "./made-up-patches.mjs";

const { values: options } = parseArgs({
  options: {
    studies: { type: "string", default: "4000" },
    kinds: { type: "string" },
    strings: { type: "string", default: "18" },
    values: { type: "string", default: "a,b,c" },
  },
});
const [studies, strings] = [Number(options.studies), Number(options.strings)];
const VALUES = options.values.split(",");
const SETTINGS = { confidence: 0.95, bootstrapReplicates: 200, bootstrapSeed: 1 };
const LEVEL = 0.05;

const sure = (value) => ({ [value]: 1 });
const among = (chance) => VALUES[Math.floor(VALUES.length * chance)];
const isMoved = (kind) => kind === "steered" || kind === "counter";

/** What is said where something is written. */
const NULLS = {
  thrown: ({ kind, layer, string, own, chance }) =>
    chance("thrown", kind, layer, string) < 0.4 ? sure(own) : sure(among(chance("to", kind, layer, string))),
  drawn: ({ kind, layer, string, chance }) => sure(among(chance("to", kind, layer, string))),
  common: ({ kind, layer, string, own, chance }) => {
    if (chance("thrown", kind, layer, string) < 0.4) return sure(own);
    return sure(chance("common", kind, layer, string) < 0.7 ? VALUES[0] : among(chance("to", kind, layer, string)));
  },
  faint: ({ kind, layer, string, own, chance }) => {
    const share = chance("share", kind, layer, string);
    const to = among(chance("to", kind, layer, string));
    return to === own ? sure(own) : { [own]: 1 - share, [to]: share };
  },
  half: ({ kind, layer, string, own, chance }) =>
    chance("quiet", string) < 0.5 ? sure(own) : sure(among(chance("to", kind, layer, string))),
  by_vector: ({ kind, layer, string, own, toward, chance }) => {
    if (!isMoved(kind)) return NULLS.thrown({ kind, layer, string, own, chance });
    return sure(among(chance("vector", layer, own, toward)));
  },
  by_value: ({ kind, layer, own, toward, chance }) =>
    kind === "same" || own === toward ? sure(own) : sure(among(chance("vector", layer, own, toward))),
};
/** What they do is told, and none of it fails. */
const LIMITS = ["by_vector", "by_value"];

/** Bounds of a share, exact: by bisection on the binomial tails. */
function interval(count, of) {
  const logs = [0];
  for (let n = 1; n <= of; n++) logs[n] = logs[n - 1] + Math.log(n);
  const upTo = (k, p) => {
    let sum = 0;
    for (let one = 0; one <= k; one++)
      sum += Math.exp(logs[of] - logs[one] - logs[of - one] + one * Math.log(p) + (of - one) * Math.log1p(-p));
    return sum;
  };
  const solve = (isHigh) => {
    let [low, high] = [1e-12, 1 - 1e-12];
    for (let step = 0; step < 60; step++) {
      const middle = (low + high) / 2;
      if (isHigh(middle)) high = middle;
      else low = middle;
    }
    return low;
  };
  return [
    count === 0 ? 0 : solve((p) => 1 - upTo(count - 1, p) > 0.025),
    count === of ? 1 : solve((p) => upTo(count, p) < 0.025),
  ];
}

const isAbove = (estimate) => estimate.ok && estimate.low > 0;
const passes = (holm) => holm.ok && holm.p <= LEVEL;
let failed = false;
for (const kind of options.kinds?.split(",") ?? Object.keys(NULLS)) {
  const named = { followed: 0, covaries: 0, "covaries, two-sided": 0, simulates: 0, "looks up": 0 };
  for (let seed = 0; seed < studies; seed++) {
    const world = {
      behavior: ({ kind: written, own, toward }) => sure(isMoved(written) ? toward : own),
      prediction: (written) => (written.kind === "none" ? sure(written.own) : NULLS[kind](written)),
    };
    const made = madeUpPatches(world, {
      ...{ seed: `${kind}/${seed}`, strings, layers: [0, 1, 2], values: VALUES },
      kinds: ["other", "same", "steered", "counter"],
    });
    const { sites, finding } = scoreSimulation(made, { ...SETTINGS, bootstrapSeed: seed });
    const ways = sites.flatMap(({ judged, covariations }) =>
      judged.map(({ holm }, at) => ({ holm, slope: covariations[at].slope })),
    );
    if (sites.some(({ followHolm, follow }) => passes(followHolm) && isAbove(follow))) named.followed++;
    if (ways.some(({ holm, slope }) => passes(holm) && isAbove(slope))) named.covaries++;
    if (ways.some(({ holm }) => passes(holm))) named["covaries, two-sided"]++;
    if (finding === "simulates") named.simulates++;
    if (finding === "looks_up") named["looks up"]++;
  }
  for (const [what, count] of Object.entries(named)) {
    const [low, high] = interval(count, studies);
    const percent = (share) => (100 * share).toFixed(2);
    // A predictor whose answers do not follow behavior is a lookup as far as patches can say.
    const isWrong = what !== "looks up" && low > LEVEL && !LIMITS.includes(kind);
    if (isWrong) failed = true;
    console.log(
      `${kind.padEnd(10)} ${what.padEnd(20)} ${String(count).padStart(5)} of ${studies}: ${percent(count / studies)} % [${percent(low)}, ${percent(high)}]${isWrong ? "  ABOVE THE LEVEL" : ""}`,
    );
  }
}
if (failed) process.exitCode = 1;
