/** What people and other programs wrote: a plain file of a sane size, whole UTF-8 text, and JSON that means one thing. */

import { closeSync, constants, fstatSync, lstatSync, openSync, readSync, type Stats, statSync } from "node:fs";
import { type ErrorCode, InwardError } from "../errors.js";
import { nearestName } from "./nearest-name.js";

/** Makes the coded error of a reason. */
type Refuse = (why: string) => InwardError;

/**
 * @param mostBytes a larger file is refused unread
 * @param refuse given why: a code such as ENOENT, or a few words
 * @param links whether a symbolic link is followed: where a person chose the path, and not where it is a name of ours
 * @throws what `refuse` makes: not there, a folder, a device, a pipe, too large
 */
export function readPlainFile(
  path: string,
  mostBytes: number,
  refuse: Refuse,
  links: "followed" | "refused" = "followed",
): Buffer {
  try {
    // Looked at before it is opened: opening a named pipe would wait for a writer for ever.
    requirePlain(links === "followed" ? statSync(path) : lstatSync(path), mostBytes, refuse);
    const file = openSync(path, constants.O_RDONLY | (links === "followed" ? 0 : NO_LINK));
    try {
      const found = fstatSync(file);
      requirePlain(found, mostBytes, refuse);
      // No more than was there when it was looked at: a file that grows, or says that it has no size, is not read without end.
      const bytes = Buffer.alloc(found.size);
      let done = 0;
      for (let read = -1; read !== 0 && done < bytes.length; done += read) {
        read = readSync(file, bytes, done, bytes.length - done, done);
      }
      return bytes.subarray(0, done);
    } finally {
      closeSync(file);
    }
  } catch (error) {
    if (error instanceof InwardError) throw error;
    throw refuse((error as NodeJS.ErrnoException).code ?? String(error));
  }
}

/** A flag of opening: a symbolic link in the last place of the path is not followed. Absent on Windows. */
export const NO_LINK = constants.O_NOFOLLOW ?? 0;

/**
 * Looks at a file without reading it.
 * @throws what `refuse` makes: not there, a folder, a device, a pipe, too large
 */
export function requirePlainFile(path: string, mostBytes: number, refuse: Refuse): void {
  let found: Stats;
  try {
    found = statSync(path);
  } catch (error) {
    throw refuse((error as NodeJS.ErrnoException).code ?? String(error));
  }
  requirePlain(found, mostBytes, refuse);
}

/** A mapping of keys to values, as parsers of JSON and YAML make it. */
export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

function requirePlain(found: Stats, mostBytes: number, refuse: Refuse): void {
  if (found.isDirectory()) throw refuse("EISDIR");
  if (found.isSymbolicLink()) throw refuse("a symbolic link, not a file");
  if (!found.isFile()) throw refuse(`${found.isFIFO() ? "a pipe" : "a device"}, not a file`);
  if (found.size > mostBytes) throw refuse(`${found.size} bytes; at most ${mostBytes} are read`);
}

/** The place where a text stands, and the code of what is wrong with it. */
export interface TextPlace {
  readonly code: ErrorCode;
  /** File, and line where it is one of many. */
  readonly place: string;
}

/** Bytes that are no UTF-8 would otherwise turn into other characters unseen. A byte order mark at the beginning is dropped. */
export function decodeUtf8(bytes: Uint8Array, { code, place }: TextPlace): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new InwardError(code, `${place} is not UTF-8 text.`);
  }
}

/** What no prompt can carry faithfully: NUL ends a text inside llama.cpp, a lone surrogate is no character. */
export const UNSAFE_CHARACTER = /[\p{Surrogate}\0]/u;

/** The rows of a JSONL file that are not blank, each with its place. */
export function linesOf(text: string, path: string): { readonly text: string; readonly place: string }[] {
  return text
    .split(/\r?\n/)
    .flatMap((line, at) => (line.trim() === "" ? [] : [{ text: line, place: `${path}, line ${at + 1}` }]));
}

/** Nothing that is read here nests deeper than a dozen; what recurses over the value must not exhaust the stack. */
const MOST_DEPTH = 64;

/** A number of JSON, where one begins. */
const NUMBER = /-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/y;

/**
 * JSON.parse, which says what is JSON, and then a walk over the text, which refuses what JSON.parse lets pass or settles
 * silently: a key twice in one object, NUL and lone surrogates behind escapes, nesting without end, whole numbers that it would round
 * (ids of 64 bits, 12345678901234567890), and numbers without end (1e999).
 * @param at.texts `any`: who reads the values looks for NUL and lone surrogates where it matters
 */
export function parseStrictJson(
  text: string,
  { code, place, texts = "safe" }: TextPlace & { readonly texts?: "safe" | "any" },
): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new InwardError(code, `${place} is not JSON: ${(error as Error).message}`, { cause: error });
  }
  const trap = findTrap(text, texts === "safe");
  if (trap) throw new InwardError(code, `${place}: ${trap.what} (${placeIn(text, trap.at)}).`);
  return value;
}

/**
 * @param text valid JSON
 * @param isSafe whether every text must be one that a model can read
 */
function findTrap(text: string, isSafe: boolean): { readonly what: string; readonly at: number } | undefined {
  /** Keys of the objects that are open, undefined for an array. */
  const open: (Set<string> | undefined)[] = [];
  let key = "";
  let keyComes = false;
  for (let at = 0; at < text.length; at++) {
    switch (text[at]) {
      case "{":
      case "[":
        if (open.length === MOST_DEPTH) return { what: `nested more than ${MOST_DEPTH} deep`, at };
        keyComes = text[at] === "{";
        open.push(keyComes ? new Set() : undefined);
        break;
      case "}":
      case "]":
        open.pop();
        break;
      case ",":
        keyComes = open.at(-1) !== undefined;
        break;
      case '"': {
        const end = endOfString(text, at);
        const said = stringAt(text, at, end);
        const keys = keyComes ? open.at(-1) : undefined;
        if (isSafe && UNSAFE_CHARACTER.test(said)) {
          const what = "holds a NUL or a lone surrogate, which no model can read";
          return { what: keys || key === "" ? what : `${key}: ${what}`, at };
        }
        if (keys) {
          if (keys.has(said)) return { what: `the key ${shown(said)} stands twice`, at };
          if (said === "__proto__") return { what: `the key "__proto__" is not allowed`, at };
          keys.add(said);
          key = said;
          keyComes = false;
        }
        at = end;
        break;
      }
      case "-":
      case "0":
      case "1":
      case "2":
      case "3":
      case "4":
      case "5":
      case "6":
      case "7":
      case "8":
      case "9": {
        NUMBER.lastIndex = at;
        const said = NUMBER.exec(text)?.[0] ?? "-";
        if (!isExact(said)) {
          return {
            what: `the number ${shown(said).slice(1, -1)} would be read as ${Number(said)}; write it as text`,
            at,
          };
        }
        at += said.length - 1;
      }
    }
  }
  return undefined;
}

/** Whether a number of JSON stays one among doubles: of decimals the nearest is taken, a whole number must keep its digits. */
export function isExact(said: string): boolean {
  if (said.length < 16 && !/[eE]/.test(said)) return true;
  return /^-?\d+$/.test(said) ? String(Number(said)) === said : Number.isFinite(Number(said));
}

/** Index of the quote that closes the string which begins at `at`: the first with an even number of backslashes before it; -1 where none does. */
export function endOfString(text: string, at: number): number {
  for (let end = text.indexOf('"', at + 1); ; end = text.indexOf('"', end + 1)) {
    if (end < 0) return -1;
    let escapes = 0;
    while (text.charCodeAt(end - 1 - escapes) === 0x5c) escapes++;
    if (escapes % 2 === 0) return end;
  }
}

function stringAt(text: string, at: number, end: number): string {
  const raw = text.slice(at + 1, end);
  return raw.includes("\\") ? (JSON.parse(text.slice(at, end + 1)) as string) : raw;
}

function placeIn(text: string, at: number): string {
  const before = text.slice(0, at);
  const column = at - before.lastIndexOf("\n");
  const line = before.split("\n").length;
  return line === 1 ? `column ${column}` : `line ${line}, column ${column}`;
}

/** A key or a value in an error: quoted, and never longer than a line. */
export function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? "missing";
  return text.length <= 100 ? text : `${text.slice(0, 100)}…`;
}

/** ` Did you mean "…"?`, or nothing where no known name is near. */
export function didYouMean(name: string, known: readonly string[]): string {
  const near = nearestName(name, known);
  return near === undefined ? "" : ` Did you mean "${near}"?`;
}
