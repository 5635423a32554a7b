/** Measures, for every model state that was asked, how much the order and composition of batches change its answers. */
import { hypotheticalQuestions } from "../ask/hypothetical-questions.js";
import { measureNoiseFloor, noiseFloorSample } from "../ask/measure-noise-floor.js";
import { adaptedObjectLevelQuestions, objectLevelQuestions } from "../ask/object-level-questions.js";
import { shownPairs } from "../ask/shown-pairs.js";
import type { Answer, Reply } from "../records/answer.js";
import type { NoiseFloor } from "../records/noise-floor.js";
import { hashOf } from "../store/canonical-json.js";
import { readJsonLines } from "../store/read-records.js";
import { writeJson } from "../store/write-whole.js";
import { adapterHashes } from "./adapter-hashes.js";
import { ANSWERS_OF_ROUND, readBehaviors, roundsOf } from "./behavior-files.js";
import { groupAsker } from "./group-asker.js";
import type { StageContext } from "./stage-context.js";

export async function measureNoise(context: StageContext): Promise<void> {
  const { run } = context;
  const { plan } = run;
  const inputs = {
    plan: hashOf(plan),
    objectLevel: run.outputHash("objectLevel"),
    hypothetical: run.outputHash("hypothetical"),
    ...adapterHashes(run),
  };
  if (await run.isDone("noiseFloor", inputs)) return;
  const questions = [
    ...objectLevelQuestions(plan),
    ...adaptedObjectLevelQuestions(plan),
    ...hypotheticalQuestions(plan, shownPairs(plan, await readBehaviors(run))),
  ];
  const states = [...new Set(questions.map((question) => question.state))];
  const floors: NoiseFloor[] = [];
  for (const [index, state] of states.entries()) {
    context.onProgress("noise floor", index, states.length);
    const answered = new Map<string, Reply>();
    for (const file of [...roundsOf(plan).map((round) => ANSWERS_OF_ROUND[round]), "hypothetical"] as const) {
      const { rows } = await readJsonLines<Answer>(run.file(file));
      for (const { state: asked, key, reply } of rows) if (asked === state && reply) answered.set(key, reply);
    }
    // A question that was set aside has nothing to be compared with, and would crash the engine again.
    const own = questions.filter((question) => question.state === state && answered.has(question.key));
    const sample = noiseFloorSample(own, plan.noiseFloor.questions, plan.seed);
    if (sample.length === 0) continue;
    // Another number of sequences than the run's own: batches are of another size as well as in another order.
    const sequences = Math.max(1, Math.ceil(plan.engine.sequences / 2));
    const asker = groupAsker(context, "noise floor", { sequences });
    floors.push(await measureNoiseFloor(state, sample, answered, asker));
  }
  await writeJson(run.file("noiseFloor"), floors);
  await run.markDone("noiseFloor", inputs);
  context.onProgress("noise floor", states.length, states.length);
}
