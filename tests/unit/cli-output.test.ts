/** What models say and files hold is shown on a terminal and never obeyed by it; elsewhere it is left as it is. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { afterEach, describe, expect, test, vi } from "vitest";
import { columns, forTerminal, notice, print, printJson, reportError, table } from "../../src/cli/output.js";
import { InwardError } from "../../src/errors.js";

const TERMINAL = { isTTY: true };
const PIPE = { isTTY: false };

afterEach(() => {
  vi.restoreAllMocks();
});

/** What reaches stdout and stderr. */
function written(isTTY: boolean, work: () => void): string {
  let text = "";
  for (const stream of [process.stdout, process.stderr]) {
    vi.spyOn(stream, "write").mockImplementation((piece) => {
      text += piece;
      return true;
    });
    Object.defineProperty(stream, "isTTY", { value: isTTY, configurable: true });
  }
  try {
    work();
    return text;
  } finally {
    for (const stream of [process.stdout, process.stderr]) Reflect.deleteProperty(stream, "isTTY");
  }
}

describe("text on a terminal", () => {
  test.each([
    ["a colour", "\u001b[31mred", "\\u001b[31mred"],
    ["a cleared screen", "a\u001b[2Jb", "a\\u001b[2Jb"],
    ["a title, as an operating system command", "\u001b]0;owned\u0007", "\\u001b]0;owned\\u0007"],
    ["a link", "\u001b]8;;http://x\u001b\\here", "\\u001b]8;;http://x\\u001b\\here"],
    ["a control sequence of one character", "\u009b31mred\u009c", "\\u009b31mred\\u009c"],
    ["a line that is written over", "right\rwrong", "right\\u000dwrong"],
    ["steps back and a deleted character", "ab\b\u007f", "ab\\u0008\\u007f"],
    ["a direction turned round", "a\u202eb\u2066c", "a\\u202eb\\u2066c"],
    ["every other mark that turns it", "\u061c\u200e\u200f\u202a\u2069", "\\u061c\\u200e\\u200f\\u202a\\u2069"],
    ["other ends of a line", "a\u2028b\u2029c\u0085d", "a\\u2028b\\u2029c\\u0085d"],
    ["marks without a shape", "a\u200bb\ufeffc\u00add\u2060", "a\\u200bb\\ufeffc\\u00add\\u2060"],
    ["letters that hide as tags", "a\u{E0041}", "a\\udb40\\udc41"],
  ])("%s is shown", (_, text, shown) => {
    expect(forTerminal(text, TERMINAL)).toBe(shown);
    expect(forTerminal(text, PIPE)).toBe(text);
  });

  test("letters of every script, emoji, line feeds and tabs stay", () => {
    const text = "Straße, 日本語, עברית, العربية 👩‍🔬\n\tnext";
    expect(forTerminal(text, TERMINAL)).toBe(text);
  });

  test("whatever comes, no control character but line feed and tab goes out; a pipe gets every byte", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        expect(forTerminal(text, TERMINAL)).not.toMatch(/(?![\n\t])\p{Cc}|\p{Bidi_Control}/u);
        expect(forTerminal(text, PIPE)).toBe(text);
      }),
    );
  });

  test("print, printJson and note all go through it", () => {
    const said = "\u001b[2J\u009b31m";
    const all = () => {
      print(said);
      notice(said);
      printJson({ said });
    };
    expect(written(true, all)).not.toMatch(/(?!\n)\p{Cc}/u);
    expect(written(false, all)).toContain(said);
    const json = written(true, () => printJson({ said }));
    expect(JSON.parse(json)).toEqual({ said });
  });
});

describe("tables", () => {
  test("numbers stand to the right, words to the left, under a rule", () => {
    expect(
      table(
        ["task", "n"],
        [
          ["a", "10"],
          ["long", "7"],
        ],
      ),
    ).toBe("task   n\n----  --\na     10\nlong   7");
  });

  test("columns have no header", () => {
    expect(
      columns([
        ["a", "x"],
        ["long", "y"],
      ]),
    ).toBe("a     x\nlong  y");
  });
});

test("a secret of the environment that a server says again is not shown", () => {
  vi.stubEnv("HF_TOKEN", "hf_0123456789");
  const said = written(false, () =>
    reportError(new InwardError("MODEL_UNREACHABLE", "401: bad token hf_0123456789"), true),
  );
  vi.unstubAllEnvs();
  process.exitCode = undefined;
  expect(said).not.toContain("0123456789");
  expect(said.match(/401: bad token <HF_TOKEN>/g)).toHaveLength(2);
});

describe("a stream that cannot be written", () => {
  const MAIN = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
  const shell = (line: string) => {
    const { status, stderr } = spawnSync("bash", ["-c", `set -o pipefail; ${line}`, process.execPath, MAIN], {
      encoding: "utf8",
    });
    return { status, stderr };
  };

  test.runIf(existsSync("/dev/full"))(
    "is a coded error where it has the data, and nothing where it has progress alone",
    () => {
      const full = shell('"$0" "$1" tasks list > /dev/full');
      expect(full).toEqual({
        status: 1,
        stderr: expect.stringMatching(/^STORE_DISK_FULL: .*\n {2}Free some space .*\n$/),
      });
      expect(shell('"$0" "$1" tasks show nothing 2> /dev/full').status).toBe(2);
    },
  );

  test("whose reader has seen enough is no failure", () => {
    expect(shell('"$0" "$1" tasks list --json | head -c 1 > /dev/null')).toEqual({ status: 0, stderr: "" });
  });
});
