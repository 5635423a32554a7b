// node-llama-cpp's turn: bare sequences from a pool, greedy. Nothing is read back unless `probabilities` is asked for.
import { readFileSync } from "node:fs";
import { getLlama, LlamaLogLevel } from "node-llama-cpp";

const request = JSON.parse(readFileSync(process.argv[2], "utf8"));
const llama = await getLlama({ gpu: false, build: "never", logLevel: LlamaLogLevel.error });
const model = await llama.loadModel({ modelPath: request.modelPath, gpuLayers: 0 });
const longest = Math.max(...request.prompts.map((prompt) => prompt.length));
const context = await model.createContext({
  sequences: request.sequences,
  contextSize: Math.ceil((longest + request.maxTokens + 1) / 64) * 64,
  batchSize: request.batchTokens,
  threads: request.threads,
  flashAttention: false,
});
const sequences = Array.from({ length: request.sequences }, () => context.getSequence());

await ask(request.warmUp);
for (const sequence of sequences) await sequence.clearHistory();
const before = evaluated();
const cpuBegun = process.cpuUsage();
const begun = performance.now();
const answers = await ask(request.prompts);
const seconds = (performance.now() - begun) / 1000;
const cpu = process.cpuUsage(cpuBegun);
const cpuSeconds = (cpu.user + cpu.system) / 1e6;
process.stdout.write(
  `${JSON.stringify({ seconds, cpuSeconds, answers, evaluatedTokens: evaluated() - before, peakBytes: process.resourceUsage().maxRSS * 1024 })}\n`,
);
process.exit(0);

async function ask(prompts) {
  const answers = [];
  let next = 0;
  await Promise.all(
    sequences.map(async (sequence) => {
      while (next < prompts.length) {
        const index = next++;
        answers[index] = { tokenIds: await answer(sequence, prompts[index]) };
      }
    }),
  );
  return answers;
}

async function answer(sequence, prompt) {
  // All but the last token may be there already; that one is evaluated for its logits.
  if (request.keepsPrefix) await sequence.adaptStateToTokens(prompt.slice(0, -1), false);
  else await sequence.clearHistory();
  const pending = prompt.slice(sequence.nextTokenIndex);
  const options = { temperature: 0, yieldEogToken: true };
  const said = [];
  const tokens = request.probabilities
    ? sequence.evaluateWithMetadata(pending, { probabilities: true }, options)
    : sequence.evaluate(pending, options);
  for await (const output of tokens) {
    const token = request.probabilities ? output.token : output;
    said.push(token);
    if (model.isEogToken(token) || said.length === request.maxTokens) break;
  }
  return said;
}

function evaluated() {
  return sequences.reduce((sum, { tokenMeter }) => sum + tokenMeter.usedInputTokens + tokenMeter.usedOutputTokens, 0);
}
