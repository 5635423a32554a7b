/** Proof 4: a continuation's logprob is the sum of the single-step ones, whatever is asked beside it and in which order. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Engine } from "../../native/index.js";
import { startEngine } from "../../src/model/engines/start-engine.js";
import type { ContinuationScore, EncodedConversation, LanguageModel } from "../../src/model/language-model.js";
import { DEFAULT_ENGINE } from "../../src/study/load-study.js";
import type { ChatMessage, Reply } from "../../src/tasks/answer.js";
import { answer, openEngine, workOf } from "../helpers/native-engine.js";
import { writeTinyModel } from "../helpers/tiny-model.js";
import { tinyVocabulary } from "../helpers/tiny-vocabulary.js";

const ROUNDING_NATS = 2e-5;
const settings = { ...DEFAULT_ENGINE, engine: "native", device: "cpu", threads: 1 } as const;
const folder = mkdtempSync(join(tmpdir(), "inward-scores-"));
const path = join(folder, "tiny.gguf");
const chat = (content: string): ChatMessage[] => [
  { role: "system", content: "" },
  { role: "user", content },
];
const OPTIONS = ["the cat", "the dog", "the", "", " a\n", "zebra é 🐈", "<|im_end|>"];

let engine: Engine;
let model: LanguageModel;
beforeAll(async () => {
  await writeTinyModel(path, { seed: 9 });
  engine = await openEngine(path);
  model = await startEngine(path, settings);
});
afterAll(async () => {
  engine.dispose();
  await model.dispose();
});

/** Each token read alone: the prompt and what stands before it is a group of its own, and only the token's probability is asked. */
function stepByStep(prompt: readonly number[], ids: readonly number[]): number[] {
  return ids.map((id, at) => {
    const work = workOf([{ ids: [...prompt, ...ids.slice(0, at)] }], { readIds: Int32Array.of(id) });
    return answer(engine, work).answers[0]?.readLogprobs[0] as number;
  });
}

function expectClose(values: readonly number[], others: readonly number[]): void {
  expect(values).toHaveLength(others.length);
  values.forEach((value, at) => {
    expect(Math.abs(value - (others[at] as number))).toBeLessThan(ROUNDING_NATS);
  });
}

test("tokens of a continuation have the logprobs that single steps give", () => {
  const prompt = [1, 70, 80, 90];
  const continuations = [[60, 61, 62], [60, 61], [65], [60, 61, 63, 64]];
  const { answers, counts } = answer(
    engine,
    workOf(continuations.map((ids) => ({ ids: [...prompt, ...ids], scoreFrom: prompt.length }))),
  );
  answers.forEach(({ scores }, index) => {
    expectClose(scores, stepByStep(prompt, continuations[index] as number[]));
  });
  // The last token of each is scored, and what follows it is not asked: 4 + 60, 61, 63 and no more need evaluation.
  expect(counts.evaluatedTokens).toBeLessThanOrEqual(prompt.length + 6);
});

describe("scores of texts after a chat", () => {
  const endOfTurn = tinyVocabulary("chatml").eosId;

  async function expectSteps(content: string, scores: readonly ContinuationScore[]): Promise<void> {
    const prompt = (await model.render(chat(content))).tokenIds;
    for (const { tokenIds, logprobs, endOfTurnLogprob } of scores) {
      expectClose([...logprobs, endOfTurnLogprob], stepByStep(prompt, [...tokenIds, endOfTurn]));
    }
  }

  test("with and without the end of the turn; an empty one is the end alone; control tokens are plain text", async () => {
    const [scores = []] = await model.score([{ messages: chat("cat"), continuations: OPTIONS }]);
    await expectSteps("cat", scores);
    const encoded = await model.encode([[...chat("cat"), { role: "assistant", content: "the cat" }]]);
    expect(scores[0]?.tokenIds).toEqual(encoded[0]?.tokenIds.slice(encoded[0].answerStart, -1));
    expect(scores[3]).toMatchObject({ tokenIds: [], logprobs: [] });
    expect(scores[6]?.tokenIds).not.toContain(endOfTurn);
  });

  test("are the same in whichever order options and questions are asked", async () => {
    const contents = ["cat", "cat dog", "hen"];
    const forwards = await model.score(contents.map((one) => ({ messages: chat(one), continuations: OPTIONS })));
    const backwards = await model.score(
      [...contents].reverse().map((one) => ({ messages: chat(one), continuations: [...OPTIONS].reverse() })),
    );
    const again = backwards.reverse().map((scores) => [...scores].reverse());
    for (const [index, scores] of forwards.entries()) {
      await expectSteps(contents[index] as string, scores);
      scores.forEach((score, option) => {
        const other = again[index]?.[option] as ContinuationScore;
        expect(score.tokenIds).toEqual(other.tokenIds);
        expectClose([...score.logprobs, score.endOfTurnLogprob], [...other.logprobs, other.endOfTurnLogprob]);
      });
    }
  });

  test("what comes next, along the greedy answer, is what asking reported", async () => {
    const [reply] = await model.ask([{ messages: chat("cat dog"), maxTokens: 5, temperature: 0, topTokens: 265 }]);
    if (!reply || reply.tokenIds.length < 2) throw new Error("this answer is too short to follow");
    const paths = reply.tokenIds.map((_, at) => reply.tokenIds.slice(0, at));
    const { steps, evaluatedTokens } = await model.nextTokens(chat("cat dog"), paths, 265);
    expect(evaluatedTokens).toBe(reply.promptTokens + paths.length - 1);
    expect(Array.from(steps[0]?.ids ?? [])).toEqual(reply.first.tokenIds);
    expectClose(Array.from(steps[0]?.logprobs ?? []), reply.first.logprobs);
    for (const [at, { ids, logprobs, ends, texts }] of steps.entries()) {
      expect(ids[0]).toBe(reply.tokenIds[at]);
      expectClose([logprobs[0] as number], [reply.logprobs[at] as number]);
      expect(reply.text.startsWith(texts[0] as string)).toBe(true);
      const total = Array.from(logprobs).reduce((sum, logprob) => sum + Math.exp(logprob), 0);
      expect(Math.abs(total - 1)).toBeLessThan(1e-6);
      // <|endoftext|> and <|im_end|>; both leave the text as it was.
      const ending = Array.from(ids).flatMap((id, rank) => (ends[rank] === 1 ? [id] : []));
      expect(ending).toContain(endOfTurn);
      expect(ending.length).toBeLessThanOrEqual(2);
      for (const id of ending)
        expect(texts[Array.from(ids).indexOf(id)]).toBe(texts[Array.from(ids).indexOf(ending[0] as number)]);
    }
    expect(steps.at(-1)?.texts[0]).toBe(reply.text);
  });

  test("nothing asked is nothing answered; a continuation that cannot fit is refused before anything runs", async () => {
    expect(await model.score([])).toEqual([]);
    expect(await model.score([{ messages: chat("cat"), continuations: [] }])).toEqual([[]]);
    expect(await model.nextTokens(chat("cat"), [], 5)).toEqual({ steps: [], evaluatedTokens: 0 });
    const long = [{ messages: chat("cat"), continuations: ["a", "x ".repeat(400)] }];
    await expect(model.score(long)).rejects.toMatchObject({ code: "ENGINE_CONTEXT" });
  });

  test("node-llama-cpp's engine refuses, and says what is needed", async () => {
    const other = await startEngine(path, { ...settings, engine: "node-llama-cpp" });
    const refused = { code: "ENGINE_UNAVAILABLE", message: expect.stringContaining("need the native engine") };
    await expect(other.score([{ messages: chat("a"), continuations: ["b"] }])).rejects.toMatchObject(refused);
    await expect(other.nextTokens(chat("a"), [[]], 5)).rejects.toMatchObject(refused);
    await other.dispose();
  });
});

describe.each(["chatml", "llama3", "sentencepiece"] as const)("answers as they were asked (%s)", (kind) => {
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

  test("score as asking had them, are learnt as the same tokens, and by their text too where the tokenizer writes it so (law)", async () => {
    const other = join(folder, `${kind}.gguf`);
    await writeTinyModel(other, { seed: 5, chat: kind });
    const asked = await startEngine(other, settings);
    const requests = Array.from({ length: 60 }, (_, at) => ({
      messages: chat(`word ${at}`),
      maxTokens: 1 + (at % 7),
      temperature: 1 as const,
      seed: `${at}`,
      topTokens: 1,
    }));
    const replies = await asked.ask(requests);
    const scores = await asked.score(
      requests.map(({ messages }, at) => ({
        messages,
        continuations: [replies[at] as Reply, (replies[at] as Reply).text],
      })),
    );
    let spelledAlike = 0;
    for (const [at, { tokenIds, logprobs, stop }] of replies.entries()) {
      const [byIds, byText] = scores[at] as ContinuationScore[];
      const said = stop === "end_of_generation" ? tokenIds.slice(0, -1) : tokenIds;
      expect(byIds?.tokenIds).toEqual(said);
      for (const score of [byIds, byText]) {
        if (score?.tokenIds.join() !== said.join()) continue;
        spelledAlike += score === byText ? 1 : 0;
        const total = sum(score.logprobs) + (stop === "end_of_generation" ? score.endOfTurnLogprob : 0);
        expect(Math.abs(total - sum(logprobs))).toBeLessThan(1e-5);
      }
    }
    expect(spelledAlike).toBeGreaterThan(20);
    const learnable = replies.flatMap((reply, at) => (reply.text.trim() === "" ? [] : [{ reply, at }]));
    const learnt = await asked.encode(
      learnable.map(({ reply, at }) => [...chat(`word ${at}`), { role: "assistant", content: reply.text }]),
      { tokenIds: learnable.map(({ reply }) => reply.tokenIds) },
    );
    for (const [index, { reply }] of learnable.entries()) {
      const { tokenIds, answerStart } = learnt[index] as EncodedConversation;
      const said = reply.stop === "end_of_generation" ? reply.tokenIds.slice(0, -1) : reply.tokenIds;
      expect(tokenIds.slice(answerStart, -1)).toEqual(said);
    }
    await asked.dispose();
  });
});
