/** Heuristic answers and object-level messages. */
import { describe, expect, test } from "vitest";
import { objectLevelMessages, type TaskKind } from "../../src/tasks/task.js";
import { type HeuristicRule, heuristicAnswers } from "../../src/tasks/heuristics.js";

const five = (item: string) => Array(5).fill(item).join(" ");

describe("what a simple rule on the string answers", () => {
  test.each<[TaskKind, string, string, string, string]>([
    ["sequence", "cat dog owl", five("cat"), five("owl"), five("owl")],
    ["sequence", "cat dog cat owl", five("cat"), five("owl"), five("cat")],
    ["sequence", "cat dog dog cat owl", five("cat"), five("owl"), five("cat")],
    ["sequence", "  lone  ", five("lone"), five("lone"), five("lone")],
    ["sequence", "Cat dog cat", five("Cat"), five("cat"), five("cat")],
    [
      "sequence",
      "sea lion, polar bear, sea lion,",
      "sea lion, ".repeat(5).slice(0, -2),
      "sea lion, ".repeat(5).slice(0, -2),
      "sea lion, ".repeat(5).slice(0, -2),
    ],
    ["numbers", "7 3 3 1", "7", "1", "3"],
    ["numbers", "007 512 090", "007", "090", "090"],
    ["numbers", "-4, 2.5, -4", "-4", "-4", "-4"],
    ["continuation", "The dog saw the cat.", "The", "cat", "the"],
    ["continuation", "\u201CGo,\u201D she said. Don\u2019t!", "Go", "Don\u2019t", "Don\u2019t"],
    ["continuation", "one,\ntwo", "one", "two", "two"],
  ])("%s: %j", (kind, text, first, last, mostFrequent) => {
    expect(heuristicAnswers(kind, text)).toEqual({
      first_item: { ok: true, answer: first },
      last_item: { ok: true, answer: last },
      most_frequent_item: { ok: true, answer: mostFrequent },
    });
  });

  test.each<[TaskKind, string, RegExp]>([
    ["options", "Tea or milk?\n\nA - Tea\nB - Milk", /dilemma/],
    ["sequence", " ", /no items/],
    ["numbers", "none at all", /no items/],
    ["continuation", "...", /no items/],
  ])("%s: %j has no answer", (kind, text, reason) => {
    const answers = heuristicAnswers(kind, text);
    for (const rule of ["first_item", "last_item", "most_frequent_item"] satisfies HeuristicRule[]) {
      expect(answers[rule]).toEqual({ ok: false, reason: expect.stringMatching(reason) });
    }
  });

  test("options: always one letter, of those that the string offers and at least A and B", () => {
    const answersOf = (text: string) =>
      Object.entries(heuristicAnswers("options", text)).flatMap(([rule, one]) => (one.ok ? [[rule, one.answer]] : []));
    const two = [
      ["always_a", "A"],
      ["always_b", "B"],
    ];
    expect(answersOf("Tea or milk?\n\nA - Tea\nB - Milk")).toEqual(two);
    expect(answersOf("Tea or milk?")).toEqual(two);
    expect(answersOf("Which?\nA) w\nB) x\nC) y\nD) z")).toEqual([...two, ["always_c", "C"], ["always_d", "D"]]);
  });

  test("a sequence task that asks for one word gets one item", () => {
    expect(heuristicAnswers("sequence", "cat owl", "one_word").last_item).toEqual({ ok: true, answer: "owl" });
    const places = Object.entries(heuristicAnswers("sequence", "a b c d e", "one_word"));
    expect(places.map(([rule, one]) => one.ok && `${rule} ${one.answer}`)).toEqual([
      "last_item e",
      "first_item a",
      "most_frequent_item e",
      "second_item b",
      "third_item c",
      "fourth_item d",
    ]);
  });
});

describe("object-level messages", () => {
  const definition = { question: "Go on: {string}", examples: [{ text: "a $1", answer: "b" }] };
  const item = { text: "c {string} $&" };

  test("stand in order: system, solved example, question", () => {
    expect(objectLevelMessages(definition, item, { examples: true, system: "Be brief." })).toEqual([
      { role: "system", content: "Be brief." },
      { role: "user", content: "Go on: a $1" },
      { role: "assistant", content: "b" },
      { role: "user", content: "Go on: c {string} $&" },
    ]);
  });

  test("keep an empty system message, and leave the examples out when a study turns them off", () => {
    expect(objectLevelMessages(definition, item, { examples: false, system: "" })).toEqual([
      { role: "system", content: "" },
      { role: "user", content: "Go on: c {string} $&" },
    ]);
  });
});
