/** The native engine behind its worker process: interruption, several calls at once, other numbers of sequences, the manifest. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startEngine } from "../../src/model/engines/start-engine.js";
import type { AskRequest, LanguageModel } from "../../src/model/language-model.js";
import { DEFAULT_ENGINE } from "../../src/study/load-study.js";
import type { Reply } from "../../src/tasks/answer.js";
import { writeTinyModel } from "../helpers/tiny-model.js";

const path = join(mkdtempSync(join(tmpdir(), "inward-engine-worker-")), "tiny.gguf");
const ask = (content: string, more: Partial<AskRequest> = {}): AskRequest => ({
  messages: [
    { role: "system", content: "" },
    { role: "user", content },
  ],
  maxTokens: 6,
  temperature: 0,
  topTokens: 3,
  ...more,
});
const requests = ["cat", "cat dog", "hen", "one two", "zebra", "a"].map((content, index) =>
  ask(content, index % 2 === 0 ? { topTokens: 5 } : { temperature: 1, seed: `3/${index}` }),
);

let model: LanguageModel;
beforeAll(async () => {
  await writeTinyModel(path, { seed: 4 });
  model = await startEngine(path, { ...DEFAULT_ENGINE, device: "cpu", threads: 1 });
});
afterAll(() => model.dispose());

test("a manifest tells which engine answered and how", () => {
  expect(model.manifest).toMatchObject({
    engine: "native",
    device: "cpu",
    sequences: 32,
    forward: "own",
    cacheType: "f32",
    flashAttention: false,
    strict: false,
  });
});

test("greedy and drawn items stand in one group, each with what it asked for", async () => {
  const replies = await model.ask(requests);
  expect(replies.map(({ first }) => first.tokenIds.length)).toEqual([5, 3, 5, 3, 5, 3]);
  expect(replies.map(({ margins, tokenIds }) => margins.length === tokenIds.length)).toEqual(
    requests.map(({ temperature }) => temperature === 0),
  );
  expect(await model.ask([])).toEqual([]);
});

test("another number of sequences, and back: the same answers", async () => {
  const usual = await model.ask(requests);
  const two = await model.ask(requests, { sequences: 2 });
  expect(two.map(({ tokenIds }) => tokenIds)).toEqual(usual.map(({ tokenIds }) => tokenIds));
  expect(JSON.stringify(await model.ask(requests))).toBe(JSON.stringify(usual));
});

test("calls that come together take turns, each as if alone", async () => {
  const usual = JSON.stringify(await model.ask(requests));
  const [one, scores, two] = await Promise.all([
    model.ask(requests),
    model.score([{ messages: requests[0]?.messages ?? [], continuations: ["the", "cat"] }]),
    model.ask([...requests].reverse()),
  ]);
  expect(JSON.stringify(one)).toBe(usual);
  expect(scores[0]).toHaveLength(2);
  expect(two.map(({ promptSha256 }) => promptSha256).reverse()).toEqual(one.map(({ promptSha256 }) => promptSha256));
});

test("an abort between two evaluations: what finished was reported, whole, and the next group is as ever", async () => {
  const controller = new AbortController();
  const many = Array.from({ length: 3000 }, (_, index) => ask(`cat ${index}`, { maxTokens: 20 }));
  const reported = new Map<number, Reply>();
  const asked = model.ask(many, {
    signal: controller.signal,
    onReply: (index, reply) => {
      reported.set(index, reply);
      if (reported.size === 40) controller.abort();
    },
  });
  await expect(asked).rejects.toMatchObject({ code: "INTERRUPTED" });
  expect(reported.size).toBeGreaterThanOrEqual(40);
  expect(reported.size).toBeLessThan(3000);
  const [index, reply] = [...reported][39] as [number, Reply];
  const [again] = await model.ask([many[index] as AskRequest]);
  expect(again?.tokenIds).toEqual(reply.tokenIds);
});
