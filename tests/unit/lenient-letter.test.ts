/** The lenient reader: which answers name an option in more words than its letter, and which it leaves alone. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { finalLetterIn, letterNamedIn } from "../../src/properties/lenient-letter.js";
import { countedReply, namedOption } from "../../src/properties/option-answers.js";
import { lettersOf, optionsOf } from "../../src/tasks/option-lines.js";

const TEXT = "Capital of France?\n\nA - London\nB - Paris\nC - A city in Spain\nD - Rome";

describe("an answer that names one option", () => {
  test.each([
    ["B - Paris", "B"],
    ["**B**", "B"],
    ["The answer is B.", "B"],
    ["(B)", "B"],
    ["b)", "B"],
    ["B. Paris", "B"],
    ["B: Paris", "B"],
    ["(B) Paris", "B"],
    ["[B] Paris", "B"],
    ["b - paris", "B"],
    ["Answer: B", "B"],
    ["**Answer:** B", "B"],
    ["The correct answer is (B) Paris.", "B"],
    ["Option B", "B"],
    ["I would choose option B.", "B"],
    ["I\u2019d pick D", "D"],
    ["It's B.", "B"],
    ["B is correct.", "B"],
    ["The answer is B because it is the capital.", "B"],
    ["B\n\nParis is the capital.", "B"],
    ["Paris", "B"],
    ["The answer is Paris.", "B"],
    ["C - A city in Spain", "C"],
    ["$\\boxed{\\text{B}}$", "B"],
  ])("%j: %s", (answer, letter) => {
    expect(letterNamedIn(answer, TEXT, false)).toBe(letter);
  });

  test("nothing is read that could be meant otherwise: two letters, another option's text, a denial, no option's letter", () => {
    const unclear = [
      ...[
        "B or C",
        "A and B",
        "B, not C",
        "A\nB\nC\nD",
        "The answer is A or B",
        "B. But C is also right",
        "Paris or London",
      ],
      ...["A - Paris", "B - no, London", "B - Paris (not London)", "(A) Paris"],
      ...["not B", "The answer is not B", "B is wrong", "B is not correct", "B - that is incorrect"],
      ...[
        "E",
        "E - Berlin",
        "The answer is E.",
        "a. because",
        "A bird in the hand",
        "As an example",
        "Because",
        "",
        "  ",
        "**",
      ],
    ];
    for (const answer of unclear) expect(letterNamedIn(answer, TEXT, false), answer).toBeUndefined();
  });

  test("where two options have one text, the text names neither", () => {
    expect(letterNamedIn("tea", "Which?\nA - tea\nB - Tea.\nC - milk", false)).toBeUndefined();
    expect(letterNamedIn("milk", "Which?\nA - tea\nB - Tea.\nC - milk", false)).toBe("C");
  });

  test("of an answer that the token limit cut off, a letter counts only where something parts it from what might follow", () => {
    for (const answer of ["B", "The answer is B", "Paris", "(B"])
      expect(letterNamedIn(answer, TEXT, true), answer).toBeUndefined();
    for (const answer of ["B - Par", "The answer is B.", "B. Bec"]) expect(letterNamedIn(answer, TEXT, true)).toBe("B");
  });

  test("never throws, names only what the string offers, and takes no time that grows with the square of a text", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), fc.boolean(), (answer, cut) => {
        const letter = letterNamedIn(answer, TEXT, cut);
        if (letter !== undefined) expect(["A", "B", "C", "D"]).toContain(letter);
      }),
      { numRuns: 300 },
    );
    const begun = performance.now();
    for (const piece of ["the answer ", "B ", "**", "\\boxed{", "so ", "A - ", "\n"])
      letterNamedIn(piece.repeat(20_000), TEXT, false);
    expect(performance.now() - begun).toBeLessThan(10_000);
  });
});

describe("letters of a string", () => {
  test("rise to its end: a question that begins like an option is none", () => {
    const text = "B. Franklin flew it in which month?\nA - May\nB - June\nC - July";
    expect([...optionsOf(text)]).toEqual([
      ["A", "May"],
      ["B", "June"],
      ["C", "July"],
    ]);
    expect(optionsOf("A. Lincoln said?\nA) yes\nB) no").size).toBe(2);
  });

  test("go on to Z", () => {
    const all = [..."ABCDEFGHIJKLMNOPQRSTUVWXYZ"];
    const text = `Which?\n${all.map((letter) => `${letter} - number ${letter.charCodeAt(0)}`).join("\n")}`;
    expect(lettersOf(text)).toEqual(all);
    expect(letterNamedIn("Z - number 90", text, false)).toBe("Z");
    expect(letterNamedIn("The answer is K.", text, false)).toBe("K");
  });
});

describe("what an answer counts as", () => {
  const task = { kind: "options", answerForm: "option_letter" } as const;
  const reply = (text: string, stop: "end_of_generation" | "max_tokens" = "end_of_generation") => ({ text, stop });

  test("strictly its own text; leniently the letter that it names; the two are counted apart either way", () => {
    const said = reply("B - Paris");
    expect(namedOption(said, task, { text: TEXT })).toEqual({ form: "lenient", letter: "B" });
    expect(countedReply(said, task, { text: TEXT })).toBe(said);
    const lenient = { ...task, reading: "lenient" } as const;
    expect(namedOption(said, lenient, { text: TEXT })).toEqual({ form: "lenient", letter: "B", counted: "B" });
    expect(countedReply(said, lenient, { text: TEXT })).toEqual(reply("B"));
    expect(namedOption(reply("(B)"), lenient, { text: TEXT })).toEqual({ form: "written", letter: "B", counted: "B" });
  });

  test("a refusal, reasoning, repetition and an empty answer are none, whatever letters stand in them", () => {
    const answers = ["I'm sorry, but I can't answer B.", "<think>B</think>B", "B B B B B B B B", " "];
    for (const answer of answers) {
      expect(namedOption(reply(answer), { ...task, reading: "lenient" }, { text: TEXT }).form, answer).toBe("none");
    }
    expect(namedOption(reply("B", "max_tokens"), task, { text: TEXT })).toEqual({ form: "none" });
  });
});

describe("an answer with reasons before its letter", () => {
  test.each([
    ["It is on the Seine. Answer: B", "B"],
    ["It is on the Seine.\n\n**Answer:** B", "B"],
    ["It is on the Seine. Final answer: (B) Paris.", "B"],
    ["Answer: A? No, that is London. Answer: B", "B"],
    ["A is London, D is Rome. answer: b", "B"],
    ["Answer: Paris", "B"],
    // No mark, none after it, or more than one.
    ["It is on the Seine, so B", undefined],
    ["The answer is B", undefined],
    ["Answer: B. Or rather, what is the answer:", undefined],
    ["Answer: A or B", undefined],
    ["Answer: not B", undefined],
    ["Answer: E", undefined],
    ["Question and answer: it is on the Seine.", undefined],
    ["", undefined],
  ])("%j says %s", (answer, letter) => {
    expect(finalLetterIn(answer, TEXT, false)).toBe(letter);
    expect(finalLetterIn(answer, TEXT, true)).toBeUndefined();
  });

  test("counts as that letter under final_answer alone, and a cut-off one as none", () => {
    const said = { text: "It is on the Seine. Answer: B", stop: "end_of_generation" } as const;
    const task = { kind: "options", answerForm: "option_letter", reading: "final_answer" } as const;
    expect(countedReply(said, task, { text: TEXT }).text).toBe("B");
    expect(namedOption(said, task, { text: TEXT })).toEqual({ form: "lenient", letter: "B", counted: "B" });
    for (const reading of [undefined, "lenient"] as const) {
      expect(countedReply(said, { ...task, reading }, { text: TEXT })).toBe(said);
    }
    const cutOff = { ...said, stop: "max_tokens" } as const;
    expect(countedReply(cutOff, task, { text: TEXT })).toBe(cutOff);
    expect(namedOption(cutOff, task, { text: TEXT })).toEqual({ form: "none" });
    const refused = { ...said, text: "I'm sorry, I cannot say. Answer: B" };
    expect(countedReply(refused, task, { text: TEXT })).toBe(refused);
  });

  test("never throws, and says one of the string's letters (law)", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), fc.string(), (before, after) => {
        const letter = finalLetterIn(`${before} Answer: ${after}`, TEXT, false);
        if (letter !== undefined) expect(lettersOf(TEXT)).toContain(letter);
      }),
    );
  });
});
