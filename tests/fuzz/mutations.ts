/** Seeded changes to valid input: of its structure, and of its bytes. */
import { appendFileSync } from "node:fs";
import { uniformInt } from "pure-rand/distribution/uniformInt";
import type { RandomGenerator } from "pure-rand/types/RandomGenerator";
import { expect } from "vitest";
import { randomStream } from "../../src/base/random.js";
import { InwardError } from "../../src/errors.js";

/** Of `node validation/fuzz-borders.mjs`: seed, cases, the first of them, and where each is written down; it goes on past a finding. */
const SEED = Number(process.env.FUZZ_SEED ?? 20261128);
const [FIRST, LOG] = [Number(process.env.FUZZ_FROM ?? 0), process.env.FUZZ_LOG];
/** Where a case hangs, it takes longer than this, on a busy machine too. */
const MOST_MILLISECONDS = 10_000;

export class Dice {
  constructor(private readonly random: RandomGenerator) {}

  below(count: number): number {
    return uniformInt(this.random, 0, count - 1);
  }

  of<T>(values: readonly T[]): T {
    return values[this.below(values.length)] as T;
  }

  /** True once in so many. */
  once(inSoMany: number): boolean {
    return this.below(inSoMany) === 0;
  }
}

/** What may stand anywhere: of every type, at every border, and words that JavaScript and YAML know. */
const ODD_VALUES: readonly unknown[] = [
  null,
  true,
  false,
  0,
  -0,
  -1,
  1,
  2,
  0.5,
  1e-300,
  1e300,
  2 ** 31,
  2 ** 53,
  -(2 ** 53),
  "",
  " ",
  "a",
  "0",
  "-1",
  "00",
  "true",
  "null",
  "../a",
  "/dev/zero",
  "a\0b",
  "x\ud800",
  "\ufeff",
  "é",
  "😀",
  "k".repeat(300),
  "constructor",
  "__proto__",
  "toString",
  "length",
  "NaN",
  "*a",
  "&a",
  "{string}",
  "$&",
  "m",
  [],
  {},
  [null],
  [[]],
  [1, 1],
  ["a", "a"],
  { a: 1 },
  { "": 1 },
  { length: 3 },
];

/** One change of a structure: a value replaced, taken out, doubled, moved under another key, or a new key. */
export function changeStructure(value: unknown, dice: Dice): unknown {
  const result = structuredClone(value);
  const places: { readonly at: Record<string, unknown> | unknown[]; readonly key: string }[] = [];
  const walk = (at: unknown) => {
    if (at === null || typeof at !== "object") return;
    for (const key of Object.keys(at)) {
      places.push({ at: at as Record<string, unknown>, key });
      walk((at as Record<string, unknown>)[key]);
    }
  };
  walk(result);
  if (places.length === 0) return dice.of(ODD_VALUES);
  const { at, key } = dice.of(places);
  const object = at as Record<string, unknown>;
  switch (dice.below(6)) {
    case 0:
      object[key] = structuredClone(dice.of(ODD_VALUES));
      break;
    case 1:
      if (Array.isArray(at)) at.splice(Number(key), 1);
      else delete object[key];
      break;
    case 2:
      if (Array.isArray(at)) at.splice(Number(key), 0, structuredClone(at[Number(key)]));
      else object[`${key}${dice.of(["s", "_", " ", "2"])}`] = object[key];
      break;
    case 3: {
      const other = dice.of(places);
      object[key] = structuredClone((other.at as Record<string, unknown>)[other.key]);
      break;
    }
    case 4:
      if (typeof object[key] === "number") object[key] = (object[key] as number) * dice.of([-1, 0.5, 10, 1e6, 1e300]);
      else object[key] = [object[key]];
      break;
    default:
      if (!Array.isArray(at))
        object[dice.of(["constructor", "a", "", "length", "x".repeat(300)])] = dice.of(ODD_VALUES);
      else at.push(structuredClone(dice.of(ODD_VALUES)));
  }
  return result;
}

const ODD_PIECES = [
  "\0",
  "\ufeff",
  "\ud800",
  "\t",
  "\r",
  "\n",
  "\n\n",
  " ",
  "&a ",
  "*a",
  "*nobody",
  "!x ",
  "!!binary ",
  "<<: ",
  "? ",
  "- ",
  ": ",
  "{",
  "}",
  "[",
  "]",
  "'",
  '"',
  "\\",
  "\\u0000",
  "\\ud800",
  "#",
  "|",
  ">",
  "%YAML 1.1\n---\n",
  "---\n",
  "...\n",
  "1e999",
  ".inf",
  ".nan",
  "0x10",
  "null",
  "~",
  ",",
  "__proto__",
  "[".repeat(200),
  "{a: ".repeat(100),
  "a".repeat(70_000),
];

/** One to four changes of a text: cut, doubled, deleted, or an odd piece put in. */
export function changeText(text: string, dice: Dice): string {
  let result = text;
  for (let left = 1 + dice.below(4); left > 0; left--) {
    const at = dice.below(result.length + 1);
    const end = Math.min(result.length, at + 1 + dice.below(20));
    switch (dice.below(6)) {
      case 0:
        result = result.slice(0, at) + result.slice(end);
        break;
      case 1:
        result = dice.once(4) ? result.slice(0, at) : result.slice(0, end) + result.slice(at);
        break;
      case 2: {
        const lines = result.split("\n");
        const line = dice.below(lines.length);
        lines.splice(dice.below(lines.length), 0, lines[line] as string);
        result = lines.join("\n");
        break;
      }
      default:
        result = result.slice(0, at) + dice.of(ODD_PIECES) + result.slice(dice.once(2) ? at : end);
    }
  }
  return result;
}

/** One to four bytes turned, as a bad disk or another encoding would. */
export function changeBytes(bytes: Buffer, dice: Dice): Buffer {
  const result = Buffer.from(bytes);
  for (let left = 1 + dice.below(4); left > 0 && result.length > 0; left--) {
    result[dice.below(result.length)] = dice.below(256);
  }
  return result;
}

export interface Tally {
  accepted: number;
  refused: number;
}

/**
 * Every case ends in time, with a value or with a coded error that is none of inward's own defects, and says in a line what is wrong.
 * @param run one case; what it returns has been accepted, and `check` looks at that
 * @param cases where nobody said how many
 */
export async function fuzz<T>(
  name: string,
  run: (dice: Dice, at: number) => { readonly input: string | (() => string); readonly result: Promise<T> | (() => T) },
  check: (value: T, input: string) => void | Promise<void> = () => {},
  cases = 200,
): Promise<Tally> {
  const tally: Tally = { accepted: 0, refused: 0 };
  let findings = 0;
  for (let at = FIRST; at < Number(process.env.FUZZ_N ?? cases); at++) {
    const dice = new Dice(randomStream(`${name}/${at}`, SEED));
    const begun = performance.now();
    let input: string | (() => string) = "(not made)";
    const said = () => (typeof input === "string" ? input : input());
    const context = () => `${name} ${at} of seed ${SEED}: ${said().slice(0, 2000)}`;
    note({ border: name, at });
    let outcome = "accepted";
    try {
      try {
        const made = run(dice, at);
        input = made.input;
        const value = typeof made.result === "function" ? made.result() : await made.result;
        await check(value, said());
        tally.accepted++;
      } catch (error) {
        if (!(error instanceof InwardError)) throw new Error(context(), { cause: error });
        expect(error.code, context()).not.toBe("INTERNAL");
        expect(error.message, context()).not.toMatch(
          /\[object Object\]|(?<!received |is )undefined|Maximum call stack/,
        );
        expect(error.message.length, context()).toBeLessThan(1000);
        outcome = error.code;
        tally.refused++;
      }
      expect(performance.now() - begun, context()).toBeLessThan(MOST_MILLISECONDS);
    } catch (error) {
      if (LOG === undefined) throw error;
      outcome = "finding";
      findings++;
      const cause = (error as Error).cause;
      note({ finding: (error as Error).message, cause: cause instanceof Error ? cause.stack : String(cause) });
    }
    const [milliseconds, peakKilobytes] = [performance.now() - begun, process.resourceUsage().maxRSS];
    note({ at, outcome, milliseconds, peakKilobytes });
  }
  expect(findings, `findings at ${name}`).toBe(0);
  return tally;
}

/** Written down at once, also of a case that ends its process. */
export function note(what: object): void {
  if (LOG !== undefined) appendFileSync(LOG, `${JSON.stringify(what)}\n`);
}
