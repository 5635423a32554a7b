/**
 * The rule of the experiment injection on models that know nothing, made up: how often anything is called shown.
 *   node validation/injection-nulls.mjs [--studies 1000]
 * Kinds: noise (every answer by chance, anew under each injection) · biased (any injection pushes every question towards yes, and towards the word,
 * the place and the number alike in the question and in its control) · concept_bias (as biased, and concepts push harder than random
 * vectors) · sensitive (as concept_bias, and each question answers to it with a strength of its own, notice the most: random and unrelated alike)
 * · sensitive_by_site (as sensitive, with another strength at each site) · one_sensitive (as sensitive, and one question in four answers three times as much) · any_vector (says yes to notice alone where any vector is added). Of 1,000 studies of each kind at most 5 % may have a finding, and
 * 6.5 % are within chance of that.
 */

import { parseArgs } from "node:util";
import { randomStream } from "../dist/base/random.js";
import { injectionArms } from "../dist/run/injection-prompts.js";
import { injectionResults } from "../dist/score/injection/injection-scores.js";
import { injectionSchema } from "../dist/study/injection-schema.js";

const { values } = parseArgs({
  options: { studies: { type: "string", default: "1000" }, kinds: { type: "string" }, controls: { type: "string" } },
});
const studies = Number(values.studies);
const many = values.controls === undefined ? undefined : Number(values.controls);
const questionsOf = (ability) => Array.from({ length: many }, (_, at) => `Control ${at + 1} of ${ability}?`);
const plan = injectionSchema.parse({
  sites: "residual_after.8,residual_after.16",
  strengths: [0.5, 1],
  ...(many === undefined
    ? {}
    : { controls: Object.fromEntries(["name", "locate", "rate"].map((one) => [one, questionsOf(one)])) }),
});
const sites = plan.sites.split(",");
const arms = injectionArms(plan, sites);
const ALL = ["noise", "biased", "concept_bias", "sensitive", "sensitive_by_site", "one_sensitive", "any_vector"];
const KINDS = values.kinds?.split(",") ?? ALL;
const SETTINGS = { confidence: 0.95, bootstrapReplicates: 400 };

function normalOf(random) {
  const uniform = () => (random.next() + 2 ** 31 + 0.5) / 2 ** 32;
  return () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
}

/** The answers of one made-up study. */
function madeUp(kind, seed) {
  const normal = normalOf(randomStream(`injection nulls/${kind}`, seed));
  const base = new Map();
  // How far a vector pushes is the vector's own, the same in all that is asked under it.
  const pushes = new Map();
  const gains = new Map();
  const rows = [];
  for (const { arm, questions } of arms) {
    const vector = JSON.stringify([arm.vector, arm.concept, arm.draw, arm.site, arm.strength]);
    if (!pushes.has(vector))
      pushes.set(vector, arm.vector === "none" ? 0 : 2 + normal() + (arm.vector === "concept" ? 1 : 0));
    const harder =
      kind === "concept_bias" || kind.includes("sensitive")
        ? pushes.get(vector)
        : pushes.get(vector) - (arm.vector === "concept" ? 1 : 0);
    for (const { name, choices } of questions) {
      if (!base.has(name)) base.set(name, Object.fromEntries(choices.map((one) => [one, normal()])));
      const own = kind === "sensitive_by_site" ? `${name} at ${arm.site}` : name;
      if (!gains.has(own)) {
        const often = kind === "one_sensitive" && normal() > 0.674 ? 3 : 1;
        gains.set(own, name === "notice" ? 1.5 : often * (0.5 + 0.5 / (1 + Math.exp(normal()))));
      }
      const gain = kind.includes("sensitive") ? gains.get(own) : 1;
      const pushed = (choice) => {
        if (arm.vector === "none" || kind === "noise") return 0;
        if (kind === "any_vector") return name === "notice" && choice === "yes" ? 3 + 0.2 * normal() : 0;
        if (choice === "yes" || choice === arm.concept || choice === String(arm.where) || choice === "5")
          return gain * harder;
        return 0;
      };
      const noise = arm.vector === "none" ? 0 : 1;
      const answers = Object.fromEntries(
        choices.map((one) => [one, base.get(name)[one] + pushed(one) + noise * normal() * 0.5]),
      );
      rows.push({ key: `${rows.length}`, state: "made-up", ...arm, question: name, answers, promptTokens: 1 });
    }
  }
  return rows;
}

let failed = false;
for (const kind of KINDS) {
  const shown = { notice: 0, name: 0, locate: 0, rate: 0 };
  const outcomes = {};
  for (let seed = 0; seed < studies; seed++) {
    const { results } = injectionResults(plan, madeUp(kind, seed), { ...SETTINGS, bootstrapSeed: seed });
    for (const { ability, outcome } of results) {
      if (outcome === "shown") shown[ability]++;
      if (ability === "notice") outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
    }
  }
  for (const [ability, count] of Object.entries(shown)) {
    const share = count / studies;
    const isFine = share <= 0.065;
    // Few questions cannot tell that one of a kind is rarer and far more easily pushed.
    const isLimit = kind === "one_sensitive" && ability !== "notice";
    if (!isFine && !isLimit) failed = true;
    console.log(
      `${kind.padEnd(17)} ${ability.padEnd(7)} shown in ${count} of ${studies} (${(100 * share).toFixed(1)}%)${isLimit ? " (a known limit: docs/probes.md)" : ""}`,
    );
  }
  console.log(`${kind.padEnd(13)} notice: ${JSON.stringify(outcomes)}`);
}
if (failed) {
  console.error("The rule calls models that know nothing more often than it may.");
  process.exitCode = 1;
}
