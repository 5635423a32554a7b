/** Whether an answer is what its task asked for: refusals, loops, and the four forms. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { answerCompliance, isDegenerate } from "../../src/properties/reading.js";
import { isRefusal } from "../../src/properties/refusal.js";
import type { AnswerForm } from "../../src/tasks/task.js";

const FORMS: readonly AnswerForm[] = ["any", "one_word", "number", "option_letter"];

describe("refusals", () => {
  test.each([
    "Sorry",
    "Sorry, I can't help with that.",
    "sorry but no",
    "I'm sorry, but I can't assist with that.",
    "I\u2019m really sorry, that is beyond me.",
    "I am sorry.",
    "I apologize for the confusion",
    "My apologies, but I cannot say.",
    "Apologies.",
    "I cannot answer this question.",
    "I can\u2019t predict what comes next",
    "Unfortunately, I cannot provide a response.",
    "I'm unable to answer that.",
    "I am not able to continue the list",
    "I don't have enough information to tell.",
    "I do not have personal preferences.",
    "I don't know",
    "I don't know what my response would be",
    "I must decline.",
    "I'd rather not say",
    "As an AI language model, I have no body.",
    "Well, as a language model I like none.",
    "I'm just an AI, so neither.",
    "I am a large language model.",
    "N/A",
    "Cannot be determined.",
    "It is not possible to determine the next item.",
    "  \n I cannot. ",
  ])("%j is one", (text) => {
    expect(isRefusal(text)).toBe(true);
  });

  test.each([
    "next",
    "no",
    "unknown item sequence random impossible",
    "sorry glad happy sad angry",
    "sorrow apology regret",
    "apologies regrets thanks",
    "tiger crocodile shark",
    "I cannot help but smile at the sight of her.",
    "I can't wait to see the sea again.",
    "I could not answer; my mouth was full of snow.",
    '"I\'m sorry," said Tom, and he meant it.',
    "I'm sorry,\" said Tom, and he meant it.",
    "She said she was sorry and left.",
    "An airplane is as an aid to travel.",
    "I don't know her name, but she waves.",
    "A",
    "7",
    "?",
    "",
  ])("%j is none", (text) => {
    expect(isRefusal(text)).toBe(false);
  });
});

describe("degenerate repetition", () => {
  const times = (text: string, count: number) => Array(count).fill(text).join(" ");
  test.each([
    [times("tiger", 6), true],
    [times("Tiger,", 6), true],
    [`lion ${times("tiger", 6)} ape`, true],
    [times("tiger", 5), false],
    ["tiger crocodile crocodile shark", false],
    [times("the old house", 4), true],
    [times("the old house", 3), false],
    [times("lion ape", 4), true],
    [times("lion ape", 3), false],
    [times("one two three four five six seven eight.", 4), true],
    ["ha".repeat(16), true],
    ["ha".repeat(15), false],
    ["!".repeat(16), true],
    ["hmmm", false],
    ["", false],
  ])("%j: %s", (text, expected) => {
    expect(isDegenerate(text)).toBe(expected);
  });
});

const OK = "ok";
const CASES: readonly (readonly [AnswerForm, string, string, string])[] = [
  // form, answer, when it ended by itself, when it was cut off
  ["any", "tiger crocodile shark", OK, OK],
  ["any", "...", OK, OK],
  ["any", "next", OK, OK],
  ["any", "dog dog dog dog dog dog dog", "repetition", "repetition"],
  ["one_word", "Tiger", OK, "truncated"],
  ["one_word", ' "tiger."\n', OK, "truncated"],
  ["one_word", "42", OK, "truncated"],
  ["one_word", "e\u0301te\u0301", OK, "truncated"],
  ["one_word", "next", OK, "truncated"],
  ["one_word", "The tiger", "not_one_word", "truncated"],
  ["one_word", "tiger, ape", "not_one_word", "truncated"],
  ["one_word", "???", "not_one_word", "truncated"],
  ["one_word", "\u{1F469}\u200d\u{1F469}\u200d\u{1F467}", "not_one_word", "truncated"],
  ["number", "742", OK, "truncated"],
  ["number", " 7.\n", OK, "truncated"],
  ["number", "-3.5", OK, "truncated"],
  ["number", "007", OK, "truncated"],
  ["number", "seven", "not_a_number", "truncated"],
  ["number", "1 2", "not_a_number", "truncated"],
  ["number", "1,000", "not_a_number", "truncated"],
  ["number", "7 cats", "not_a_number", "truncated"],
  ["option_letter", "A", OK, "truncated"],
  ["option_letter", "b.", OK, "truncated"],
  ["option_letter", "(A)", OK, "truncated"],
  ["option_letter", " B)\n", OK, "truncated"],
  ["option_letter", "(A", "not_an_option", "truncated"],
  ["option_letter", "A:", "not_an_option", "truncated"],
  ["option_letter", '"A"', "not_an_option", "truncated"],
  ["option_letter", "A or B", "not_an_option", "truncated"],
  ["option_letter", "Option A", "not_an_option", "truncated"],
  ["option_letter", "1", "not_an_option", "truncated"],
  ["option_letter", "\u00c9", "not_an_option", "truncated"],
];

function verdict(...of: Parameters<typeof answerCompliance>): string {
  const compliance = answerCompliance(...of);
  return compliance.ok ? OK : compliance.reason;
}

test.each(CASES)("as %s, %j is %s, and %s when cut off", (form, answer, ended, cutOff) => {
  expect(verdict(answer, form, "end_of_generation")).toBe(ended);
  expect(verdict(answer, form, "max_tokens")).toBe(cutOff);
});

test.each(FORMS)("as %s, nothing and a refusal never comply", (form) => {
  for (const stop of ["end_of_generation", "max_tokens"] as const) {
    expect(verdict("", form, stop)).toBe("empty");
    expect(verdict(" \n", form, stop)).toBe("empty");
    expect(verdict("I'm sorry, but I can't do that.", form, stop)).toBe("refusal");
  }
});

test("any text gets a verdict, the same with white space around it, and what complies cut off complies whole", () => {
  const text = fc.oneof(fc.string({ unit: "binary" }), fc.constantFrom("A", "7", "tiger", "I cannot.", "(b)"));
  fc.assert(
    fc.property(text, fc.constantFrom(...FORMS), (answer, form) => {
      const whole = verdict(answer, form, "end_of_generation");
      expect(verdict(` \n${answer}\t`, form, "end_of_generation")).toBe(whole);
      if (verdict(answer, form, "max_tokens") === OK) expect(whole).toBe(OK);
    }),
  );
});
