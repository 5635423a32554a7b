/**
 * How the cost of a token grows with the shape of the work, own forward pass: prompts at once (of 40 tokens), a prompt's length (one prompt)
 * and threads. Each number is the best of several rounds, shapes in turn.
 *   node bench/engine-shapes.mjs [--rounds 3] [model.gguf …]     default: the default model as F32 and as shipped
 * bench/logprob-milliseconds.mjs has the growth over the vocabulary, bench/engine-growth.mjs that over a group.
 */
import { parseArgs } from "node:util";
import { prepare } from "../scripts/prepare.mjs";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { rounds: { type: "string", default: "3" } },
});
prepare();
const { resolveModel } = await import("../dist/model/resolve-model.js");
const { openOwnForward, operationsOf, readPrompts } = await import("./engine/read-prompts.mjs");

const files =
  positionals.length > 0
    ? positionals
    : await Promise.all(
        ["f32", "as_shipped"].map(async (encoding) => (await resolveModel("smollm2-135m-instruct", { encoding })).path),
      );
const SHAPES = [
  ...[1, 2, 4, 8, 16, 24, 32, 64].map((prompts) => ({ prompts, tokens: 40 })),
  ...[64, 256, 1024, 4096].map((tokens) => ({ prompts: 1, tokens })),
];

for (const path of files) {
  const operations = await operationsOf(path);
  for (const threads of [1, 2]) {
    const engine = openOwnForward(path, { threads, sequences: 64 });
    const best = SHAPES.map(() => Number.POSITIVE_INFINITY);
    for (let round = 0; round < Number(values.rounds); round++)
      SHAPES.forEach(({ prompts, tokens }, at) => {
        best[at] = Math.min(best[at], readPrompts(engine, prompts, tokens).wall);
      });
    engine.dispose();
    SHAPES.forEach(({ prompts, tokens }, at) => {
      const rate = (prompts * tokens) / best[at];
      const gigaflops = operations(prompts, tokens) / best[at] / 1e9;
      console.log(
        `${path}, ${threads} thread(s): ${prompts} × ${tokens} tokens: ${rate.toFixed(0)} tokens/s, ${gigaflops.toFixed(0)} GFLOP/s`,
      );
    });
  }
}
