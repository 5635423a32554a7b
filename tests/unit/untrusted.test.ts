/** What comes from outside: plain files only, JSON and YAML that mean one thing, nothing without end. */
import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { linesOf, parseStrictJson, readPlainFile, shown } from "../../src/base/untrusted.js";
import { MOST_YAML_BYTES, parsePlainYaml } from "../../src/base/yaml.js";
import { InwardError } from "../../src/errors.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "inward-untrusted-"));
});

const refused = (read: () => unknown) => {
  try {
    read();
  } catch (error) {
    if (error instanceof InwardError) return `${error.code} ${error.message}`;
    throw error;
  }
  throw new Error("it was accepted");
};

describe("a plain file", () => {
  const read = (path: string, most = 100) =>
    readPlainFile(path, most, (why) => new InwardError("TASK_INVALID", `no (${why})`));

  test("is read whole", async () => {
    const path = join(folder, "plain");
    await writeFile(path, "a\nb");
    expect(read(path).toString()).toBe("a\nb");
  });

  test("is no device, pipe, folder, or what is not there", async () => {
    const pipe = join(folder, "pipe");
    execFileSync("mkfifo", [pipe]);
    await mkdir(join(folder, "inner"));
    expect(refused(() => read("/dev/zero"))).toBe("TASK_INVALID no (a device, not a file)");
    expect(refused(() => read(pipe))).toBe("TASK_INVALID no (a pipe, not a file)");
    expect(refused(() => read(join(folder, "inner")))).toBe("TASK_INVALID no (EISDIR)");
    expect(refused(() => read(join(folder, "none")))).toBe("TASK_INVALID no (ENOENT)");
    expect(refused(() => read("a\0b"))).toBe("TASK_INVALID no (ERR_INVALID_ARG_VALUE)");
  });

  test("that is too large is refused unread, with its size", async () => {
    const path = join(folder, "large");
    await writeFile(path, "");
    await truncate(path, 2 ** 40);
    expect(refused(() => read(path))).toBe("TASK_INVALID no (1099511627776 bytes; at most 100 are read)");
  });
});

describe("JSON", () => {
  const place = { code: "TRAIN_EXAMPLE", place: "f, line 3" } as const;
  const parse = (text: string) => parseStrictJson(text, place);

  test.each([
    ["a key twice", '{"a":1,"a":1}', 'the key "a" stands twice (column 8)'],
    ["a key twice, once behind an escape", '{"a":1,"\\u0061":2}', 'the key "a" stands twice (column 8)'],
    ["a key twice inside", '[{"b":{"a":1,"c":[],"a":2}}]', 'the key "a" stands twice (column 21)'],
    ["a lone surrogate", '{"a":"x\\ud800"}', "a: holds a NUL or a lone surrogate, which no model can read (column 6)"],
    ["surrogates the wrong way round", '["\\udc00\\ud800"]', "holds a NUL or a lone surrogate"],
    ["NUL", '{"a":["\\u0000"]}', "a: holds a NUL"],
    ["NUL in a key", '{"\\u0000":1}', "holds a NUL"],
    ["the key __proto__", '{"__proto__":{"a":1}}', 'the key "__proto__" is not allowed (column 2)'],
    ["nesting without end", `${"[".repeat(20_000)}${"]".repeat(20_000)}`, "nested more than 64 deep (column 65)"],
    ["several lines", '{\n "a": 1,\n "a": 2\n}', 'the key "a" stands twice (line 3, column 2)'],
    [
      "a whole number that would be rounded",
      '{"id":[1,12345678901234567890]}',
      "12345678901234567890 would be read as 12345678901234567000",
    ],
    ["a number without end", '{"a":-1e999}', "-1e999 would be read as -Infinity"],
    ["what is no JSON", '{"a":1,}', "is not JSON: "],
  ])("with %s is refused with its place", (_, text, message) => {
    expect(refused(() => parse(text))).toContain(`TRAIN_EXAMPLE f, line 3`);
    expect(refused(() => parse(text))).toContain(message);
  });

  test("of any other kind is what JSON.parse says", () => {
    expect(parse('{"a":"\\ud83d\\ude00 \\"a\\": {[,","b":{"a":1},"c":[{"a":1},{"a":2}]}')).toEqual({
      a: '😀 "a": {[,',
      b: { a: 1 },
      c: [{ a: 1 }, { a: 2 }],
    });
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 5 }), fc.nat(2), (value, indent) => {
        const text = JSON.stringify(value, null, indent);
        expect(text.includes("__proto__") || JSON.stringify(parse(text)) === JSON.stringify(value)).toBe(true);
      }),
    );
  });

  test("of 20 MB takes no time that grows with its square", () => {
    const begun = performance.now();
    parse(`{"a":"${"\\\\".repeat(5_000_000)}","b":[${'"\\"",'.repeat(1_000_000)}1]}`);
    expect(performance.now() - begun).toBeLessThan(10_000);
  });

  test("a value is never shown longer than a line; blank lines of a file are skipped and counted", () => {
    expect(shown("k".repeat(200_000))).toHaveLength(101);
    expect(linesOf("a\r\n\n \nb", "f")).toEqual([
      { text: "a", place: "f, line 1" },
      { text: "b", place: "f, line 4" },
    ]);
  });
});

describe("YAML", () => {
  const codes = { syntax: "STUDY_NOT_YAML", content: "STUDY_INVALID" } as const;
  const parse = (text: string) => parsePlainYaml(text, "f", codes).value;
  const bomb = (levels: number) =>
    Array.from(
      { length: levels },
      (_, at) =>
        `a${at}: &a${at} [${Array(9)
          .fill(at === 0 ? "x" : `*a${at - 1}`)
          .join(", ")}]`,
    ).join("\n");

  test("gives an alias the value of its anchor, unshared", () => {
    const value = parse("a: &x {b: [1]}\nc: *x\n") as { a: { b: number[] }; c: { b: number[] } };
    expect(value).toEqual({ a: { b: [1] }, c: { b: [1] } });
    expect(value.c.b).not.toBe(value.a.b);
  });

  test("knows no -0, which JSON does not keep", () => {
    expect(parse("- -0\n- 0.0")).toEqual([0, 0]);
  });

  test.each([
    ["an alias of nothing", "a: 1\nb: *nobody", "STUDY_INVALID f, line 2: the alias *nobody has no anchor"],
    ["an alias of what comes later", "a: *x\nb: &x 1", "STUDY_INVALID f, line 1: the alias *x has no anchor"],
    ["an alias inside its own anchor", "a: &x\n  b: *x", "STUDY_INVALID f, line 2: "],
    ["a bomb of aliases", bomb(12), "STUDY_INVALID f, line 3: more than 100 uses of aliases"],
    ["a list that nests without end", `a: ${"[".repeat(70)}${"]".repeat(70)}`, "values nest more than 64 deep"],
    ["a list that nests far without end", "[".repeat(100_000), "STUDY_NOT_YAML f, line 1"],
    ["a key twice", "a: 1\nb: 2\na: 3", 'STUDY_NOT_YAML f, line 3: the key "a" stands twice'],
    ["the key __proto__", "a:\n  __proto__: {b: 1}", 'STUDY_INVALID f, line 2: the key "__proto__" is not allowed'],
    ["a second document", "a: 1\n---\nb: 2", "STUDY_NOT_YAML f, line 2: Source contains multiple documents"],
    ["a mapping as a key", "? {a: 1}\n: 2", "STUDY_INVALID f, line 1: a key that is no plain word"],
    ["a tag that nothing is known of", "a: !hidden 3", "STUDY_NOT_YAML f, line 1: Unresolved tag"],
    ["NUL", 'a: "x\\0"', "STUDY_INVALID f, line 1: "],
    ["a lone surrogate", 'a: "\\ud800"', "holds a NUL or a lone surrogate"],
    ["more than fits", "#".repeat(MOST_YAML_BYTES + 1), `has ${MOST_YAML_BYTES + 1} characters`],
  ])("with %s is refused with its line", (_, text, message) => {
    const begun = performance.now();
    expect(refused(() => parse(text))).toContain(message);
    expect(performance.now() - begun).toBeLessThan(10_000);
  });
});
