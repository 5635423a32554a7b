// A study with every stage in it, and a benchmark of quantized files, on planted models that answer in milliseconds.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startInward } from "./inward-processes.mjs";

/**
 * Training, calibration, probes, lenses, patches, answers taken apart, noise floor; the answer cache where the environment has it on. With a second
 * model a second round of training and the matrix too, in twice the time.
 */
const studyOf = (second) => `
study: everything
seed: 3
experiments: [self_prediction, ${second ? "cross_prediction, matrix, " : ""}calibration, self_simulation]
models: { one: { source: one/planted.gguf }${second ? ", two: { source: two/planted.gguf }" : ""} }
tasks: [{ task: one/planted.yaml, examples: false }]
hypothetical: { variants: [minimal] }
predictions:
  - { predictor: one, target: one }${second ? SECOND_PREDICTS : ""}
lora: { rank: 2, epochs: 2, batchExamples: 4, learningRate: 1e-3, validationShare: 0, checkpointEverySteps: 2 }
calibration: { strings: 4, epsilon: 0.01, tokenBudget: 600, samples: 5 }
probe:
  spans: { hypothetical: [last_prompt_token], objectLevel: [] }
  labels: [behavior_given_property]
  sites: residual_after.0
  wholePrompts: 1
  randomWeights: false
patching: { sites: residual_after.0, predictors: [one], strings: 3, epsilon: 0.01, tokenBudget: 600, samples: 3 }
inside:
  strings: 3
  attribution: {}
  heads: { sites: head_values.0 }
  subspace: { sites: residual_after.0, randomSeeds: 1 }
  patchscope: { sites: residual_after.1, maxTokens: 2 }
engine: { device: cpu, threads: 1, groupQuestions: 6 }
noiseFloor: { questions: 4 }
score: { bootstrapReplicates: 100 }
`;

const SECOND_PREDICTS = `
  - { predictor: two, target: one }
  - { predictor: two, target: one-predicts-one }`;

const BENCHMARK = `
quantize: everything
source: { source: one/planted.gguf }
types: [q8_0]
text: { file: text.txt, context: 32, windows: 6, writeBase: true }
tasks: [{ task: one/planted.yaml, examples: false }]
calibration: { strings: 2, epsilon: 0.05, tokenBudget: 200, samples: 5 }
adapters: { trainedOn: [source], askedOn: [q8_0], lora: { maxSteps: 3, rank: 2, validationShare: 0, batchExamples: 4 } }
speed: false
engine: { device: cpu, threads: 1, cache: false }
score: { bootstrapReplicates: 100 }
noiseFloor: { questions: 4 }
floorTexts: 2
`;

/**
 * @param folder its files; commands run in it
 * @param options.models of the study, 1 or 2
 * @returns arguments of the two commands, but for --out and the folder behind it
 */
export async function writeEverything(folder, { items = 5, models = 2, env = {} } = {}) {
  for (const [name, mechanism] of Object.entries({ one: "A", two: "B" })) {
    const args = ["probe", "planted", "--mechanism", mechanism, "--items", String(items), "--out", name];
    const { status, output } = await startInward(args, { cwd: folder, env }).ended;
    if (status !== 0) throw new Error(output);
  }
  writeFileSync(join(folder, "everything.yaml"), studyOf(models === 2));
  writeFileSync(join(folder, "benchmark.yaml"), BENCHMARK);
  const texts = readFileSync(join(folder, "one/planted.jsonl"), "utf8").trim().split("\n");
  writeFileSync(
    join(folder, "text.txt"),
    texts
      .map((line) => JSON.parse(line).text)
      .join("\n")
      .repeat(4),
  );
  return {
    study: ["run", "everything.yaml", "--offline", "--out"],
    quantize: ["quantize", "benchmark.yaml", "--offline", "--out"],
  };
}
