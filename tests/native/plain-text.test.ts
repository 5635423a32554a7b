/** A base model's file without a chat template: asked, scored, measured and learnt with one notion of where an answer ends. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { measureDistribution, sampleDistribution } from "../../src/ask/measure-distribution.js";
import type { ExpandedDistribution } from "../../src/ask/expand-distribution.js";
import type { ChatFormat } from "../../src/model/chat/format.js";
import { upToLineEnd } from "../../src/model/chat/plain.js";
import { openNativeEngine } from "../../src/model/engines/native.js";
import { openNodeLlamaEngine } from "../../src/model/engines/node-llama-cpp.js";
import type { LanguageModel } from "../../src/model/language-model.js";
import type { TextDecider } from "../../src/properties/deciders.js";
import { DEFAULT_ENGINE } from "../../src/study/load-study.js";
import type { ChatMessage, Reply } from "../../src/tasks/answer.js";
import { writeTinyModel } from "../helpers/tiny-model.js";
import { tinyVocabulary } from "../helpers/tiny-vocabulary.js";

const FORMAT: ChatFormat = { kind: "plain", system: { kind: "text", text: "" }, variables: {} };
const MAX_TOKENS = 12;
const settings = { ...DEFAULT_ENGINE, device: "cpu", threads: 1, sequences: 8, forward: "own" } as const;
const path = join(mkdtempSync(join(tmpdir(), "inward-plain-")), "base.gguf");
const { tokens, bosId, eosId } = tinyVocabulary("base");
const idOf = (token: string) => tokens.indexOf(token);
const prompt = (content: string): ChatMessage[] => [{ role: "user", content }];
const asked = (content: string, seed: string) => ({
  messages: prompt(content),
  maxTokens: MAX_TOKENS,
  temperature: 1 as const,
  seed,
  topTokens: 1,
});
const sum = (numbers: readonly number[]) => numbers.reduce((total, number) => total + number, 0);

let model: LanguageModel;
beforeAll(async () => {
  await writeTinyModel(path, { seed: 9, chat: "base" });
  model = await openNativeEngine(path, { ...settings, engine: "native" }, { chat: FORMAT });
});
afterAll(() => model.dispose());

test("a file without a template says what asks it", async () => {
  await expect(openNativeEngine(path, { ...settings, engine: "native" })).rejects.toMatchObject({
    code: "MODEL_NO_CHAT_TEMPLATE",
    hint: expect.stringContaining("chat: plain"),
  });
});

test("the prompt is the text as it is, after one BOS", async () => {
  const { text, tokenIds } = await model.render([
    { role: "system", content: "" },
    ...prompt("a: b."),
    { role: "assistant", content: " c." },
    ...prompt("d:"),
  ]);
  expect(text).toBe("a: b. c.\nd:");
  const ids = [..."a:Ġb.Ġc"].map(idOf);
  expect(tokenIds).toEqual([bosId, ...ids, idOf(".Ċ"), idOf("d"), idOf(":")]);
});

describe("answers drawn at temperature 1", () => {
  let replies: Reply[];
  const content = "the cat:";
  beforeAll(async () => {
    replies = await model.ask(Array.from({ length: 400 }, (_, at) => asked(content, `draw ${at}`)));
  });
  const last = ({ tokenIds }: Reply) => tokenIds[tokenIds.length - 1] as number;

  test("end in each way: at every token that holds a line's end, at the end of the text, and nowhere", () => {
    const ends = (id: number) => replies.filter((reply) => reply.stop !== "max_tokens" && last(reply) === id).length;
    for (const token of ["Ċ", "ĊĊ", ".Ċ"]) expect(ends(idOf(token))).toBeGreaterThan(0);
    expect(ends(eosId)).toBeGreaterThan(0);
    expect(replies.some(({ stop }) => stop === "max_tokens")).toBe(true);
    for (const reply of replies) {
      const ended = { end_of_generation: [eosId], end_of_line: ["Ċ", "ĊĊ", ".Ċ"].map(idOf), max_tokens: undefined };
      expect(ended[reply.stop]?.includes(last(reply)) ?? reply.tokenIds.length === MAX_TOKENS).toBe(true);
      // No token before the last holds a line's end, and the mark before it belongs to the answer.
      expect(reply.text).not.toContain("\n");
      if (last(reply) === idOf(".Ċ")) expect(reply.text.endsWith(".")).toBe(true);
    }
  });

  test("what is learnt of an answer is what was asked, and its score is the sum of what was asked, where its tokens are its text's own", async () => {
    const ended = replies.filter(({ stop, text }) => stop === "end_of_line" && text !== "");
    const encoded = await model.encode(
      ended.map(({ text }) => [...prompt(content), { role: "assistant", content: text }]),
    );
    const [scores = []] = await model.score([
      { messages: prompt(content), continuations: ended.map(({ text }) => text) },
    ]);
    let compared = 0;
    ended.forEach(({ text, tokenIds, logprobs }, at) => {
      const { tokenIds: ids = [], answerStart = 0 } = encoded[at] ?? {};
      const learnt = ids.slice(answerStart);
      const { logprobs: own = [], endOfTurnLogprob = 0 } = scores[at] ?? {};
      expect(learnt.map((id) => (tokens[id] as string).includes("Ċ")).indexOf(true)).toBe(learnt.length - 1);
      if (JSON.stringify(learnt) !== JSON.stringify(tokenIds)) return;
      compared++;
      expect(Math.abs(sum(own) + endOfTurnLogprob - sum(logprobs)), text).toBeLessThan(1e-5);
    });
    // A random model seldom writes a text in the tokens that its vocabulary would make of it.
    expect(compared).toBeGreaterThan(10);
  });

  test("the score of the tokens that were asked is the sum of what was asked, however they ended", async () => {
    const continuations = replies.map(({ tokenIds }) => ({ tokenIds }));
    const [scores = []] = await model.score([{ messages: prompt(content), continuations }]);
    replies.forEach(({ logprobs, stop }, at) => {
      const { logprobs: own = [], endOfTurnLogprob = 0 } = scores[at] ?? {};
      const end = stop === "max_tokens" ? 0 : endOfTurnLogprob;
      expect(Math.abs(sum(own) + end - sum(logprobs))).toBeLessThan(1e-5);
    });
  });

  test("with a full stop before it, the end of a line is learnt and scored as one token with it", async () => {
    const [encoded] = await model.encode([[...prompt(content), { role: "assistant", content: " the." }]]);
    const learnt = encoded?.tokenIds.slice(encoded.answerStart);
    expect(learnt).toEqual([idOf("Ġthe"), idOf(".Ċ")]);
    const [[score] = []] = await model.score([{ messages: prompt(content), continuations: [" the."] }]);
    const { steps } = await model.nextTokens(prompt(content), [[], [idOf("Ġthe")]], tokens.length);
    const logprob = (step: number, token: string) =>
      steps[step]?.logprobs[Array.from(steps[step].ids).indexOf(idOf(token))] as number;
    expect(score?.tokenIds).toEqual([idOf("Ġthe"), idOf(".")]);
    const both = logprob(0, "Ġthe") + logprob(1, ".Ċ");
    expect(Math.abs(sum(score?.logprobs ?? []) + (score?.endOfTurnLogprob ?? 0) - both)).toBeLessThan(1e-5);
  });
});

describe("whole answers of up to two tokens", () => {
  const content = "x:";
  /** The text up to its end, and whether there was one. */
  const whole: TextDecider = {
    reasoning: "keep",
    decidedBy: () => "open",
    atEnd: (text, stop) => ({ ok: true, value: `${text}|${stop === "max_tokens" ? "cut" : "ended"}` }),
  };

  test("have the distribution that every path gives, the ends of lines shared out by what stands before them", async () => {
    const { steps } = await model.nextTokens(prompt(content), [[]], tokens.length);
    const [first] = steps;
    const mass = new Map<string, number>();
    const add = (value: string, probability: number) => mass.set(value, (mass.get(value) ?? 0) + probability);
    const textOf = (ids: readonly number[]) =>
      ids
        .map((id) => (id === bosId || id === eosId ? "" : (tokens[id] as string)))
        .join("")
        .replaceAll("Ġ", " ")
        .replaceAll("Ċ", "\n");
    // Of other bytes the text is not as simple to tell.
    const looked = new Set(tokens.flatMap((token, id) => (/^(?:[!-~ĠĊ]+|<\|.*\|>)$/.test(token) ? [id] : [])));
    for (const [at, id] of Array.from(first?.ids ?? []).entries()) {
      if (!looked.has(id)) continue;
      const probability = Math.exp(first?.logprobs[at] as number);
      const text = textOf([id]);
      if (id === eosId || text.includes("\n")) {
        add(`${upToLineEnd(text)}|ended`, probability);
        continue;
      }
      const next = (await model.nextTokens(prompt(content), [[id]], tokens.length)).steps[0];
      for (const [place, second] of Array.from(next?.ids ?? []).entries()) {
        if (!looked.has(second)) continue;
        const both = textOf([id, second]);
        const ended = second === eosId || both.includes("\n");
        add(`${upToLineEnd(both)}|${ended ? "ended" : "cut"}`, probability * Math.exp(next?.logprobs[place] as number));
      }
    }
    const question = { messages: prompt(content), decider: whole, decidedLate: false };
    const options = { maxTokens: 2, topTokens: 512, tokenBudget: 200_000, epsilon: 0, batch: 64, seed: "g" };
    const measured = (await measureDistribution(model, question, options)) as ExpandedDistribution;
    expect(measured).toMatchObject({ method: "expansion", stoppedBy: "whole", tail: 0 });
    const found = new Map(measured.values.map(({ value, probability }) => [value, probability]));
    expect(mass.size).toBeGreaterThan(500);
    for (const [value, probability] of mass) {
      expect(Math.abs((found.get(value) ?? 0) - probability), value).toBeLessThan(1e-6);
    }
    expect(found.get("a.|ended")).toBeGreaterThan(0);
    const drawn = await sampleDistribution(model, prompt(content), whole, "tail", {
      maxTokens: 2,
      samples: 2000,
      seed: "d",
    });
    for (const { value, probability, standardError } of drawn.values.slice(0, 5)) {
      // Five standard errors: one seed in a million.
      expect(Math.abs((found.get(value) ?? 0) - probability), value).toBeLessThan(5 * standardError);
    }
  });
});

test("the engine that is not ours ends answers alike", async () => {
  const other = await openNodeLlamaEngine(path, { ...settings, engine: "node-llama-cpp" }, { chat: FORMAT });
  try {
    const words = ["the cat", "a", "b.", "and the\nand", "x y z", "q", "the the", "an", "k", "and"];
    const requests = words.flatMap((word) =>
      [":", "?", ""].map((end) => ({ ...asked(word + end, ""), maxTokens: 30, temperature: 0 as const })),
    );
    const shown = (replies: readonly Reply[]) => replies.map(({ text, stop, tokenIds }) => ({ text, stop, tokenIds }));
    const own = shown(await model.ask(requests));
    expect(shown(await other.ask(requests))).toEqual(own);
    expect(new Set(own.map(({ stop }) => stop))).toContain("end_of_line");
  } finally {
    await other.dispose();
  }
});
