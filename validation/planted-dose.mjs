/**
 * Is a planted dose recovered, with the coverage that its interval claims? Of every string a model that computes its property by way of the
 * answer (A) and one that looks it up (B) say what the logit lens sees after layer 0. A study draws its strings, sends each through A with the
 * dose's probability, and estimates the dose by the share of strings whose answer the lens sees.
 *
 *   node validation/planted-dose.mjs [--studies 1000] [--strings 60]
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { randomStream, shuffled } from "../dist/base/random.js";
import { readSafetensors } from "../dist/finetune/adapter/safetensors.js";
import { readLens, targetLead, Unembedding } from "../dist/probe/lens-readings.js";
import { writePlantedStudy } from "../dist/probe/planted-model.js";
import { shareOfRows } from "../dist/probe/string-estimates.js";
import { statesOfStudy } from "../dist/run/probe-states-stage.js";
import { planStudy } from "../dist/run/run-study.js";

const { values } = parseArgs({
  options: { studies: { type: "string", default: "1000" }, strings: { type: "string", default: "60" } },
});
const [studies, strings] = [Number(values.studies), Number(values.strings)];
const DOSES = [0.1, 0.3, 0.5, 0.9];
const SITE = "residual_after.0";
const ITEMS = 12;
const folder = mkdtempSync(join(tmpdir(), "inward-dose-"));

/** String -> whether the lens sees its own answer before all others, on the hypothetical prompt. */
async function seenIn(mechanism) {
  const place = join(folder, mechanism);
  const planted = await writePlantedStudy(place, { mechanism, items: ITEMS });
  const set = [
    `probe.sites=${SITE}`,
    "probe.strings=1000",
    "probe.lenses=[]",
    "probe.randomWeights=false",
    'probe.spans={"hypothetical":["last_prompt_token"],"objectLevel":[]}',
    "engine.device=cpu",
  ];
  const study = await statesOfStudy(await planStudy(planted.study, { set, offline: true }));
  await study.write(join(place, "states"), {});
  const lines = (name) =>
    readFileSync(join(place, "states", name), "utf8")
      .trimEnd()
      .split("\n")
      .map(JSON.parse);
  const tensors = await readSafetensors(join(place, "states", "states-00001.safetensors"));
  const { shape, values: states } = tensors.get(SITE);
  const unembedding = await Unembedding.open(planted.path);
  const answers = planted.answers.map((name) => ({ name, tokenIds: [...planted.vocabulary.idsOf(name)] }));
  const readings = await readLens(unembedding, { values: states, width: shape[1] }, answers);
  await unembedding.close();
  const seen = new Map();
  for (const [row, { prompt }] of lines("index.jsonl").entries()) {
    const pair = Number(prompt.split("/")[2].replace("pair-", ""));
    const own = planted.answers.indexOf(planted.strings[pair].answer);
    seen.set(pair, targetLead(readings[row], own, [...answers.keys()]) > 1);
  }
  return seen;
}

const [through, around] = [await seenIn("A"), await seenIn("B")];
rmSync(folder, { recursive: true, force: true });
const all = [...through.keys()];
const count = (seen) => [...seen.values()].filter(Boolean).length;
console.log(`${all.length} strings: the lens sees the answer of ${count(through)} in A, of ${count(around)} in B`);
let worst = 1;
for (const dose of DOSES) {
  let [held, sum, unknown] = [0, 0, 0];
  for (let study = 0; study < studies; study++) {
    const random = randomStream(`planted dose ${dose}`, study);
    const rows = shuffled(all, random)
      .slice(0, strings)
      .map((pair) => {
        const isThrough = (random.next() >>> 0) / 2 ** 32 < dose;
        return { string: String(pair), isSo: (isThrough ? through : around).get(pair) };
      });
    const share = shareOfRows(rows, { confidence: 0.95, bootstrapReplicates: 1000, bootstrapSeed: study });
    if (!share.ok) unknown++;
    else if (share.low <= dose && dose <= share.high) held++;
    sum += share.ok ? share.value : 0;
  }
  const coverage = held / studies;
  worst = Math.min(worst, coverage);
  console.log(
    `dose ${dose}: mean estimate ${(sum / studies).toFixed(4)}, its interval of 95 % holds it in ${(100 * coverage).toFixed(1)} % of ${studies} studies of ${strings} strings${unknown > 0 ? `, ${unknown} without an interval` : ""}`,
  );
}
// Percentiles of so few strings, and 1,000 studies: 95 % less what a share's steps of 1/60 take, and three standard errors.
process.exit(count(through) === all.length && count(around) === 0 && worst >= 0.91 ? 0 : 1);
