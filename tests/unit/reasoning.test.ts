/** Reasoning in answers: never read as the answer, taken out where a study says so, and kept in the record. */
import { describe, expect, test } from "vitest";
import { toAnswer } from "../../src/ask/questions.js";
import type { Question } from "../../src/ask/questions.js";
import { ALL_PROPERTIES, propertyNamed } from "../../src/properties/all-properties.js";
import { behaviorDecider, predictionDecider } from "../../src/properties/deciders.js";
import {
  answerCompliance,
  replyCompliance,
  extractBehavior,
  extractChallengedBehavior,
  readReply,
  replyText,
} from "../../src/properties/reading.js";
import {
  hasReasoning,
  mayBecomeReasoning,
  openedReasoning,
  partReasoning,
  type ReasoningUse,
} from "../../src/properties/reasoning.js";
import { REASONING_MARKS } from "../../src/model/chat/thinking.js";
import { replyOf } from "../helpers/scripted-model.js";

const END = "end_of_generation";
const MARKED: readonly (readonly [marked: string, reasoning: string])[] = [
  ["<think>It must be a dog.</think>\n\ndog", "<think>It must be a dog.</think>"],
  ["<think>\n\n</think>\n\ndog", "<think>\n\n</think>"],
  ["\n<THINKING>so</THINKING>dog", "\n<THINKING>so</THINKING>"],
  ["<thought>so</thought>dog", "<thought>so</thought>"],
  ["<reasoning>so</reasoning>dog", "<reasoning>so</reasoning>"],
  ["<scratchpad>so</scratchpad>dog", "<scratchpad>so</scratchpad>"],
  ["<inner_monologue>so</inner_monologue>dog", "<inner_monologue>so</inner_monologue>"],
  ['<think mode="long">so</think>dog', '<think mode="long">so</think>'],
  ["<seed:think>so</seed:think>dog", "<seed:think>so</seed:think>"],
  ["<longcat_think>so</longcat_think>dog", "<longcat_think>so</longcat_think>"],
  ["[THINK]so[/THINK]dog", "[THINK]so[/THINK]"],
  ["<|START_THINKING|>so<|END_THINKING|>dog", "<|START_THINKING|>so<|END_THINKING|>"],
  ["<|begin_of_thought|>so<|end_of_thought|>dog", "<|begin_of_thought|>so<|end_of_thought|>"],
  ["<|inner_prefix|>so<|inner_suffix|>dog", "<|inner_prefix|>so<|inner_suffix|>"],
  ["<|channel>thought\nso<channel|>dog", "<|channel>thought\nso<channel|>"],
  ["<unused94>thought\nso<unused95>dog", "<unused94>thought\nso<unused95>"],
  ["◁think▷so◁/think▷dog", "◁think▷so◁/think▷"],
  ["Here is my thought process: so. Here is my response: dog", "Here is my thought process: so. Here is my response:"],
  [
    "<|channel|>analysis<|message|>so<|end|><|start|>assistant<|channel|>final<|message|>dog",
    "<|channel|>analysis<|message|>so<|end|><|start|>assistant<|channel|>final<|message|>",
  ],
  // The prompt opened it.
  ["so it is\n</think>\ndog", "so it is\n</think>"],
  ["<think>a</think><think>b</think>dog", "<think>a</think><think>b</think>"],
];

test.each(MARKED)("%j is parted", (text, reasoning) => {
  expect(hasReasoning(text)).toBe(true);
  expect(partReasoning(text)).toEqual({ reasoning, answer: text.slice(reasoning.length) });
  expect(partReasoning(text)?.answer.trim()).toBe("dog");
});

test("every pair of marks that templates are tried with is known in what a model writes", () => {
  for (const [open, close] of REASONING_MARKS) {
    expect(hasReasoning(open), open).toBe(true);
    expect(openedReasoning(open), open).toBe(open);
    // Channels go on with the next one's mark.
    if (close !== "<|end|>") expect(openedReasoning(`${open}so${close}`), close).toBeUndefined();
  }
});

test.each([
  "<think>it never ends",
  "<think>",
  "dog <think>so</think>",
  "<think>a <think>b</think> c</think>dog",
  "<think>so</think>dog</think>",
  "<|channel|>analysis<|message|>so",
])("%j has reasoning that nobody can part from an answer", (text) => {
  expect(hasReasoning(text)).toBe(true);
  expect(partReasoning(text)).toBeUndefined();
  for (const property of ALL_PROPERTIES) {
    expect(extractBehavior(property, text, { text: "" }, END, "strip")).toEqual({ ok: false, reason: "reasoning" });
  }
});

test.each(["dog", "I think so", "a < b", "[thinking] he sat", "<b>dog</b>", "<thinker>", "x <- think", "thought: dog"])(
  "%j is an answer",
  (text) => {
    expect(hasReasoning(text)).toBe(false);
    expect(partReasoning(text)).toBeUndefined();
  },
);

describe("no property reads an answer with reasoning in it", () => {
  test.each(MARKED)("%j", (text) => {
    for (const property of ALL_PROPERTIES) {
      for (const stop of [END, "max_tokens"] as const) {
        expect(extractBehavior(property, text, { text: "" }, stop)).toEqual({ ok: false, reason: "reasoning" });
        expect(readReply(property, text, stop)).toEqual({ ok: false, reason: "reasoning" });
      }
    }
    for (const form of ["any", "one_word", "number", "option_letter"] as const) {
      expect(answerCompliance(text, form, END)).toEqual({ ok: false, reason: "reasoning" });
    }
  });
});

describe("a prompt that leaves reasoning open", () => {
  test.each([
    ["<|im_start|>assistant\n<think>\n", "<think>\n"],
    ["[THINK]", "[THINK]"],
    ["<|im_start|>assistant\n<think>\n\n</think>\n\n", undefined],
    ["<|start|>assistant", undefined],
  ])("%j opens %j", (written, opened) => {
    expect(openedReasoning(written)).toBe(opened);
  });

  test("has no reply that is read, even one without a mark of its own", () => {
    const reply = replyOf("dog", { opened: "<think>\n" });
    expect(replyText(reply)).toBe("<think>\ndog");
    expect(replyCompliance(reply, "any")).toEqual({ ok: false, reason: "reasoning" });
    const word = propertyNamed("first_word");
    expect(extractChallengedBehavior(word, reply, undefined, { text: "" }, "any")).toEqual({
      ok: false,
      reason: "reasoning",
    });
    expect(readReply(word, replyText(reply), "max_tokens")).toEqual({ ok: false, reason: "reasoning" });
    expect(predictionDecider(word).decidedBy(replyText(replyOf("d", { opened: "<think>" })))).toEqual({
      ok: false,
      reason: "reasoning",
    });
  });
});

describe("what the record keeps", () => {
  const question = (reasoning?: ReasoningUse): Question => ({
    key: "t/a",
    state: "m",
    task: "t",
    item: "a",
    split: "held_out",
    sample: 0,
    messages: [],
    maxTokens: 4,
    temperature: 0,
    ...(reasoning ? { reasoning } : {}),
  });
  const reply = replyOf("so\n</think>\n\ndog", { opened: "<think>\n" });

  test("strip: the answer, and beside it what was taken out; tokens and logprobs of the whole", () => {
    const { opened: _, ...rest } = reply;
    expect(toAnswer(question("strip"), reply).reply).toEqual({
      ...rest,
      text: "\n\ndog",
      reasoning: "<think>\nso\n</think>",
    });
  });

  test("strip, where it never ends: the reply as it came, which shows nothing", () => {
    const endless = replyOf("so", { opened: "<think>\n", stop: "max_tokens" });
    const kept = toAnswer(question("strip"), endless).reply;
    expect(kept).toEqual(endless);
    expect(replyCompliance(endless, "any", "strip")).toEqual({ ok: false, reason: "reasoning" });
  });

  test.each([undefined, "keep" as const])("%s: the reply as it came", (use) => {
    expect(toAnswer(question(use), reply).reply).toEqual(reply);
  });

  test("keep: reasoning is part of the answer", () => {
    const word = propertyNamed("first_word");
    const kept = replyOf("<think>so</think> dog");
    expect(extractChallengedBehavior(word, kept, undefined, { text: "" }, "any", "keep")).toEqual({
      ok: true,
      value: "<think>so</think>",
    });
    expect(replyCompliance(kept, "any", "keep")).toEqual({ ok: true });
  });
});

describe("deciders", () => {
  const word = propertyNamed("first_word");
  const character = propertyNamed("second_character");
  test("wait while a mark may still come, and know reasoning once it has", () => {
    for (const begun of ["<", "<th", "<|", "[", "[TH", "◁", "<seed:thi", "dog <"]) {
      expect(mayBecomeReasoning(begun), begun).toBe(true);
      expect(behaviorDecider(character, { text: "" }).decidedBy(begun), begun).toBe("open");
    }
    expect(mayBecomeReasoning("<b>dog")).toBe(false);
    expect(behaviorDecider(word, { text: "" }).decidedBy("<think>dog ")).toEqual({ ok: false, reason: "reasoning" });
    expect(predictionDecider(word).decidedBy("<think>")).toEqual({ ok: false, reason: "reasoning" });
  });

  test("strip: what stands after the reasoning decides", () => {
    const { decidedBy, atEnd } = behaviorDecider(word, { text: "" }, "strip");
    expect(decidedBy("<think>dog ")).toBe("open");
    expect(decidedBy("<think>dog </think>")).toBe("open");
    expect(decidedBy("<think>dog </think>cat ")).toEqual({ ok: true, value: "cat" });
    expect(decidedBy("cat ")).toEqual({ ok: true, value: "cat" });
    expect(atEnd("<think>dog</think>cat", END)).toEqual({ ok: true, value: "cat" });
    expect(atEnd("<think>dog", END)).toEqual({ ok: false, reason: "reasoning" });
  });
});
