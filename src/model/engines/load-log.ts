/** What llama.cpp says of a file while it loads it: warnings for people, and the reason of a load that failed. */

import type { LlamaModel } from "node-llama-cpp";
import { setImmediate } from "node:timers/promises";
import { type ErrorCode, InwardError } from "../../errors.js";

/** The same complaint about many tokens is told so often. */
const MOST_ALIKE = 3;
const LONGEST_LINE = 300;
/** Lines kept of a log; a vocabulary of strangers may have one for each token. */
const MOST_LINES = 10_000;

/**
 * @param log lines of llama.cpp, of its levels warn and error
 * @returns one entry a warning, without the names of its functions and its frames of stars; those that differ in numbers and names
 * alone are counted from the fourth on
 */
export function loadWarnings(log: string | readonly string[]): string[] {
  const warnings: string[] = [];
  const alike = new Map<string, number>();
  for (const line of spokenLines(log)) {
    // llama.cpp shouts what follows from the line before.
    if (/^[^a-z]*[A-Z][^a-z]*$/.test(line) && warnings.length > 0) {
      warnings.push(`${warnings.pop()} ${line}`);
      continue;
    }
    const kind = line.replace(/'[^']*'|\d+/g, "…");
    const count = (alike.get(kind) ?? 0) + 1;
    alike.set(kind, count);
    if (count <= MOST_ALIKE && !warnings.includes(line)) warnings.push(line);
  }
  for (const [kind, count] of alike) {
    if (count > MOST_ALIKE) warnings.push(`${count - MOST_ALIKE} more: ${kind}`);
  }
  return warnings;
}

/** From the words of llama.cpp to what a person can do about them; the first that fits. */
const REASONS: readonly (readonly [RegExp, ErrorCode])[] = [
  [
    /unable to allocate|failed to allocate|out of memory|bad_alloc|cannot allocate memory|failed to mmap/i,
    "ENGINE_MEMORY",
  ],
  [/loading model vocabulary|pre-tokenizer|tokenizer/i, "MODEL_TOKENIZER"],
  [/model architecture/i, "MODEL_ARCHITECTURE"],
  [/GGUF split|split (?:file|count)|splits/i, "MODEL_PARTS"],
];

/** @param log lines of llama.cpp, of its levels warn and error */
export function loadFailure(path: string, log: string | readonly string[], cause?: unknown): InwardError {
  const lines = spokenLines(log);
  // The outer calls, which llama.cpp names last, repeat the name of the file alone.
  const said = lines.filter((line) => !/(?:^|: )failed to load model(?: from .*)?$/i.test(line));
  const why =
    [...said].reverse().find((line) => /error|fail|invalid|cannot|missing|unknown/i.test(line)) ?? said.at(-1);
  const code = REASONS.find(([words]) => why !== undefined && words.test(why))?.[1] ?? "MODEL_LOAD";
  const words = why === undefined ? "llama.cpp gave no reason" : `llama.cpp says: ${why}`;
  return new InwardError(code, `${path} cannot be loaded; ${words}`, { cause });
}

function spokenLines(log: string | readonly string[]): string[] {
  return (typeof log === "string" ? log.split("\n") : log)
    .flatMap((text) => text.split("\n"))
    .map((line) => shownLine(line.replace(/^\s*[\w:~<>]+: +/, "").trim()))
    .filter((line) => /[^\s*]/.test(line));
}

/** A file's own words stand in it: nothing in them may steer a terminal. */
function shownLine(line: string): string {
  const plain = line.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Surrogate}]/gu, (character) => {
    return `\\u{${(character.codePointAt(0) as number).toString(16)}}`;
  });
  return plain.length <= LONGEST_LINE ? plain : `${plain.slice(0, LONGEST_LINE)}…`;
}

/** Takes the log of node-llama-cpp, which hands it over from another thread and so late. */
export class LoadLog {
  private readonly lines: string[] = [];

  /** For getLlama. */
  readonly logger = (_level: unknown, message: string): void => {
    if (this.lines.length < MOST_LINES) this.lines.push(message);
  };

  /**
   * @param load loads the file with the Llama that logs here
   * @throws MODEL_* with llama.cpp's own line where it fails
   */
  async load(path: string, load: () => Promise<LlamaModel>): Promise<{ model: LlamaModel; warnings: string[] }> {
    try {
      const model = await load();
      await this.settle();
      return { model, warnings: loadWarnings(this.lines) };
    } catch (error) {
      // Loaded already, by who loads models with it; the native engine is not to load it for its own log.
      const { InsufficientMemoryError } = await import("node-llama-cpp");
      if (error instanceof InsufficientMemoryError) throw error;
      await this.settle();
      throw loadFailure(path, this.lines.length > 0 ? this.lines : [(error as Error).message], error);
    }
  }

  private async settle(): Promise<void> {
    for (let before = -1; before !== this.lines.length; ) {
      before = this.lines.length;
      for (let turn = 0; turn < 3; turn++) await setImmediate();
    }
  }
}
