/**
 * Proof 1 on the real default model, its weights as F32: 60 prompts through both engines, half of them with an adapter too. 200 prompts
 * are asked of tiny models (engine-agrees), and `verify engine` of the real ones (npm run test:models).
 */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { readGguf } from "../../src/gguf/read-gguf.js";
import type { AskRequest } from "../../src/model/language-model.js";
import { resolveModel } from "../../src/model/resolve-model.js";
import { DEFAULT_ENGINE } from "../../src/study/load-study.js";
import { askBothEngines, askReference } from "../helpers/ask-both-engines.js";
import { writeTinyAdapter } from "../helpers/tiny-adapter.js";

const PROMPTS = 60;
/** Asked twice of node-llama-cpp, of so many, so that twice the greatest difference among them covers the rest. */
const ONE_AGAIN_OF = 5;
/**
 * Sums come in another order; F32 weights keep that near 1e-5. But keys and values are rounded to F16 (a relative 5e-4) by both, and a last
 * bit that falls the other way there is carried through 30 layers. Twice what node-llama-cpp differed from itself by in other batches
 * (0.0097 and 0.0082 nats, over 48 and 200 questions). No floor that is measured may excuse more than this.
 */
const MOST_NATS = 0.02;

const WORDS = [
  "cat",
  "dog",
  "hen",
  "lion",
  "one",
  "two",
  "red",
  "blue",
  "tree",
  "moon",
  "river",
  "Paris",
  "milk",
  "seven",
];
// Another test has the other core: threads that wait for each other there would take it too.
const settings = { ...DEFAULT_ENGINE, device: "cpu", threads: 1 } as const;
// Fours of 15: neighbours with the same key are asked on one sequence of node-llama-cpp, which spares it the common beginning.
const requests: AskRequest[] = Array.from({ length: PROMPTS }, (_, index) => ({
  messages: [
    { role: "system", content: "" },
    { role: "user", content: `${WORDS[index % 14]} ${WORDS[Math.floor(index / 14)] ?? "and"}` },
  ],
  maxTokens: 3,
  temperature: 0,
  topTokens: 10,
  shares: String(Math.floor(index / 15)),
}));

const adapter = join(mkdtempSync(join(tmpdir(), "inward-agrees-smollm2-")), "adapter.gguf");
let path: string;
let alone: string[];
beforeAll(async () => {
  path = (await resolveModel("smollm2-135m-instruct", { encoding: "f32" })).path;
  const { tensors } = await readGguf(path);
  const projections = tensors.filter(({ name }) =>
    /\.(?:attn_(?:q|k|v|output)|ffn_(?:gate|up|down))\.weight$/.test(name),
  );
  const weights = projections.map(({ name, dimensions }) => [name, dimensions as [number, number]] as const);
  expect(weights).toHaveLength(30 * 7);
  await writeTinyAdapter(adapter, { rank: 2, a: 0.1, b: 0.1, weights: Object.fromEntries(weights) });
});

test.each([
  ["the base alone", {}, PROMPTS],
  ["under an adapter", { adapter: { path: adapter } }, PROMPTS / 2],
])(
  "%s: the same tokens but where two are as good as equal, and the same logprobs",
  async (name, choice, count) => {
    expect(new Set(requests.map(({ messages }) => messages[1]?.content)).size).toBe(PROMPTS);
    const asked = requests.slice(0, count);
    const reference = await askReference(path, settings, asked, { ...choice, again: count / ONE_AGAIN_OF });
    const { comparison, tolerance, native, listed } = await askBothEngines(path, settings, asked, {
      ...choice,
      reference,
      logprobNats: MOST_NATS,
    });
    console.info(`SmolLM2 as F32, ${name}: ${listed}`);
    expect(comparison.questions).toBe(count);
    expect(comparison.agrees, listed).toBe(true);
    // A margin is a difference of two logits, the tolerance twice the floor's.
    expect(tolerance.margin, listed).toBeLessThan(2 * MOST_NATS);
    // Near ties are rare: an engine that always differed by a little would be found here.
    expect(comparison.sameTokens, listed).toBeGreaterThanOrEqual(0.97 * count);
    expect(comparison.positions).toBeGreaterThan(2 * count);
    const texts = native.map(({ tokenIds }) => tokenIds.join());
    if (name === "the base alone") alone = texts;
    else expect(texts).not.toEqual(alone.slice(0, count));
  },
  300_000,
);
