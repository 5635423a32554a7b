/**
 * What else could have stood at each place of an answer: every list is a float64 reference's, by both evaluators, under an adapter, in
 * groups that share beginnings, greedy and drawn. The tiny model gives all tokens that it never says the same logit: ties everywhere.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openNativeEngine } from "../../src/model/engines/native.js";
import type { AskRequest } from "../../src/model/language-model.js";
import { DEFAULT_ENGINE } from "../../src/study/load-study.js";
import { answerSchema, type Reply } from "../../src/tasks/answer.js";
import { type AnswerPosition, listedToken } from "../../src/tasks/answer-tokens.js";
import { FORWARDS } from "../helpers/native-engine.js";
import { randomAdapter, type ReferenceAdapter } from "../helpers/reference/adapter.js";
import { type ReferenceModel, readReferenceModel } from "../helpers/reference/reference-model.js";
import { referenceLogits } from "../helpers/reference/reference-pass.js";
import { writeReferenceAdapter } from "../helpers/reference/write-adapter.js";
import { writeTinyModel } from "../helpers/tiny-model.js";

const folder = mkdtempSync(join(tmpdir(), "inward-alternatives-"));
const [path, adapterPath] = [join(folder, "tiny.gguf"), join(folder, "adapter.gguf")];
let reference: ReferenceModel;
let adapter: ReferenceAdapter;
beforeAll(async () => {
  await writeTinyModel(path, { seed: 5 });
  reference = await readReferenceModel(path);
  adapter = randomAdapter(reference, { rank: 4, alpha: 8, targets: ["q", "v", "o", "down"] }, 0.3);
  await writeReferenceAdapter(adapterPath, adapter, 8);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const SETTINGS = { ...DEFAULT_ENGINE, engine: "native", device: "cpu", threads: 1, sequences: 3 } as const;
const VOCABULARY = 265;
/** Single-precision sums in another order, and single-precision exponentials. */
const ROUNDING_NATS = 1e-4;

const requests = ["cat dog", "cat dog hen", "cat dog cow", "a"].map(
  (content, at): AskRequest => ({
    messages: [
      { role: "system", content: "" },
      { role: "user", content },
    ],
    maxTokens: 5,
    temperature: at % 2,
    ...(at % 2 === 1 ? { seed: content } : {}),
    topTokens: 3,
    positions: at === 1 ? VOCABULARY : 4 + at,
    shares: content.slice(0, 3),
  }),
);

/** In float64, of the position before which these tokens stand: ids from the likeliest, equal ones by id, and their logprobs. */
function referenceList(ids: readonly number[], under: ReferenceAdapter | undefined): Map<number, number> {
  const logits = referenceLogits(reference, ids, under);
  const last = Array.from({ length: logits.columns }, (_, id) => logits.at(logits.rows - 1, id));
  const total = Math.log(last.reduce((sum, logit) => sum + Math.exp(logit), 0));
  const ordered = last.map((logit, id) => [id, logit - total] as const).sort((a, b) => b[1] - a[1] || a[0] - b[0]);
  return new Map(ordered);
}

function expectExact(position: AnswerPosition, truth: Map<number, number>): void {
  const { tokenIds, logprobs } = position;
  const inOrder = [...truth];
  for (const [place, id] of tokenIds.entries()) {
    const [expectedId, expected] = inOrder[place] as [number, number];
    expect(Math.abs((logprobs[place] as number) - (truth.get(id) as number))).toBeLessThan(ROUNDING_NATS);
    // Where two stand nearer than rounding, either may come first; those that are equal in float64 are equal here.
    if (id !== expectedId) expect(Math.abs((truth.get(id) as number) - expected)).toBeLessThan(ROUNDING_NATS);
    const [before, own] = [logprobs[place - 1] ?? 0, logprobs[place] as number];
    expect(before > own || (before === own && (tokenIds[place - 1] ?? -1) < id)).toBe(true);
  }
  const together = logprobs.reduce((sum, one) => sum + Math.exp(one), 0);
  expect(together).toBeLessThanOrEqual(1 + 1e-6);
  if (tokenIds.length === VOCABULARY) expect(together).toBeGreaterThan(1 - 1e-6);
}

test.each(FORWARDS.flatMap((forward) => [false, true].map((adapted) => [forward, adapted] as const)))(
  "%s, under an adapter: %s",
  async (forward, adapted) => {
    const model = await openNativeEngine(
      path,
      { ...SETTINGS, forward },
      adapted ? { adapter: { path: adapterPath } } : {},
    );
    const replies = await model.ask(requests);
    let [ties, unlisted] = [0, 0];
    for (const [at, reply] of replies.entries()) {
      const { tokenIds: promptIds } = await model.render((requests[at] as AskRequest).messages);
      const { positions = [], tokenIds, logprobs } = reply;
      expect(positions).toHaveLength(tokenIds.length);
      for (const [place, position] of positions.entries()) {
        expect(position.tokenIds).toHaveLength(requests[at]?.positions as number);
        expectExact(
          position,
          referenceList([...promptIds, ...tokenIds.slice(0, place)], adapted ? adapter : undefined),
        );
        ties += position.logprobs.filter((one, rank) => one === position.logprobs[rank - 1]).length;
        const rank = position.tokenIds.indexOf(tokenIds[place] as number);
        if (rank < 0) unlisted++;
        else expect(position.logprobs[rank]).toBe(logprobs[place]);
        if (requests[at]?.temperature === 0) expect(rank).toBe(0);
      }
    }
    expect(ties).toBeGreaterThan(100);
    expect(unlisted).toBeGreaterThan(0);
    // Company changes nothing where the forward pass is ours.
    if (forward === "own") {
      for (const [at, request] of requests.entries()) expect(await model.ask([request])).toEqual([replies[at]]);
    }
    // Without lists the same answers, byte for byte.
    const plain = await model.ask(requests.map(({ positions: _, ...request }) => request));
    expect(plain).toEqual(
      replies.map(({ positions: _, first: { marks: __, ...first }, ...reply }) => ({ ...reply, first })),
    );
    expectMarks(replies[1] as Reply);
    await model.dispose();
  },
);

/** Of the whole vocabulary: bytes that are no character by themselves, and control tokens, are told from texts. */
function expectMarks({ positions = [] }: Reply): void {
  const [position] = positions as [AnswerPosition];
  const tokens = new Map(position.tokenIds.map((id, place) => [id, listedToken(position, place)]));
  const parts = [...tokens.values()].filter(({ bytes }) => bytes !== undefined);
  // 0x80 to 0xFF, one byte each.
  expect(parts.map(({ bytes }) => Number.parseInt(bytes as string, 16)).sort((a, b) => a - b)).toEqual(
    Array.from({ length: 128 }, (_, at) => 128 + at),
  );
  const controls = [...tokens.values()].filter(({ control }) => control).map(({ text }) => text);
  expect(controls.sort()).toEqual(["<|endoftext|>", "<|im_end|>", "<|im_start|>"]);
}

test("a line whose lists are none of a model's is no answer", async () => {
  const model = await openNativeEngine(path, { ...SETTINGS, forward: "own" });
  const [reply] = (await model.ask(requests.slice(0, 1))) as [Reply];
  await model.dispose();
  const line = { key: "k", state: "m", task: "t", item: "i", split: "held_out", sample: 0 } as const;
  const reads = (positions: unknown) => answerSchema.safeParse({ ...line, reply: { ...reply, positions } }).success;
  const [first, ...rest] = reply.positions as [AnswerPosition, ...AnswerPosition[]];
  expect(reads(reply.positions)).toBe(true);
  expect(reads(rest)).toBe(false);
  const spoilt: Partial<AnswerPosition>[] = [
    { texts: first.texts.slice(1) },
    { tokenIds: first.tokenIds.toReversed() },
    { logprobs: first.logprobs.map((one) => one / 8) },
    { logprobs: first.logprobs.map((one) => one - 1e-9) },
    { logprobs: first.logprobs.map(() => Number.NaN) },
    { tokenIds: first.tokenIds.map(() => first.tokenIds[0] as number) },
    { marks: [{ at: 99, control: true }] },
  ];
  expect(spoilt.map((one) => reads([{ ...first, ...one }, ...rest]))).toEqual(spoilt.map(() => false));
});
