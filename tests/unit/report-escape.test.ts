import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { escapeHtml } from "../../src/report/figures/draw.js";
import { atLineStart, escapeMarkdown, markdownCode, markdownFence } from "../../src/report/markdown.js";
import { cutText, shortened, visibleText } from "../../src/report/document.js";

describe("visible text", () => {
  test.each([
    ["plain é 🦈 👩‍👧 नमस्ते", "plain é 🦈 👩‍👧 नमस्ते"],
    ["a\nb\tc\rd", "a⏎b␉c␍d"],
    ["\u0000\u001b[31m\u007f", "␀␛[31m␡"],
    ["\u0085", "[U+0085]"],
    ["left\u202eright\u2069", "left[U+202E]right[U+2069]"],
    ["zero\u200bwidth\ufeff", "zero[U+200B]width[U+FEFF]"],
    ["line\u2028break", "line[U+2028]break"],
    ["lone \ud800 half", "lone [U+D800] half"],
    ["\u{e0041}", "[U+E0041]"],
  ])("%j in a line is %j", (text, seen) => {
    expect(visibleText(text, "mark")).toBe(seen);
  });

  test("preformatted text keeps line feeds and tabs, and no carriage return", () => {
    expect(visibleText("a\n\tb\r\n", "keep")).toBe("a\n\tb␍\n");
  });

  test("is never cut inside a character, which would leave what nobody wrote", () => {
    expect([cutText("ab🦈c", 3), cutText("ab🦈c", 4), cutText("ab🦈c", 5), cutText("ab", 3)]).toEqual([
      "ab",
      "ab🦈",
      "ab🦈c",
      "ab",
    ]);
    expect(cutText("\ud800\ud800", 2)).toBe("\ud800\ud800");
  });

  test("is never cut inside a grapheme", () => {
    expect(shortened("👩‍👧🦈🐯🐻", 3)).toBe("👩‍👧🦈…");
    expect(shortened("abc", 3)).toBe("abc");
  });
});

test("HTML text holds no character that could begin markup or end an attribute", () => {
  expect(escapeHtml(`<script>alert("&")</script>'\``)).toBe(
    "&lt;script&gt;alert(&quot;&amp;&quot;)&lt;/script&gt;&#39;&#96;",
  );
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      expect(escapeHtml(text)).not.toMatch(/[<>"'`\n]/);
    }),
  );
});

describe("Markdown", () => {
  test.each([
    ["a|b", "a\\|b"],
    ["<b>&amp;", "&lt;b&gt;&amp;amp;"],
    ["*x* _y_ `z` [l](u) ~s~ $m$", "\\*x\\* \\_y\\_ \\`z\\` \\[l\\](u) \\~s\\~ \\$m\\$"],
    ["back\\slash", "back\\\\slash"],
    ["two\nlines", "two⏎lines"],
  ])("%j becomes %j", (text, escaped) => {
    expect(escapeMarkdown(text)).toBe(escaped);
  });

  test.each([
    ["# no heading", "\\# no heading"],
    ["- no list", "\\- no list"],
    ["12. no list", "12\\. no list"],
    ["  + none", "\\+ none"],
    ["word", "word"],
  ])("%j at the start of a line becomes %j", (text, escaped) => {
    expect(atLineStart(text)).toBe(escaped);
  });

  test.each([
    ["first_word", "`first_word`"],
    ["a`b", "`` a`b ``"],
    ["a|b", "a\\|b"],
    ["", ""],
  ])("code %j becomes %j", (text, code) => {
    expect(markdownCode(text)).toBe(code);
  });

  test("a fence is longer than any run of backticks inside", () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom("`", "a", "\n"), { maxLength: 30 }), (letters) => {
        const lines = markdownFence(letters.join("")).split("\n");
        const fence = lines.at(-1) as string;
        expect(lines[0]).toBe(`${fence}text`);
        expect(lines.slice(1, -1).some((line) => line.startsWith(fence))).toBe(false);
      }),
    );
  });
});
