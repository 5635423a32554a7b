/** What a model may say next, over its whole vocabulary: of one prompt, or of a file of them as one table. */

import { constants } from "node:fs";
import { type FileHandle, open, rm } from "node:fs/promises";
import { extname, resolve } from "node:path";
import { writeError, writeJson, writeWhole } from "../base/files.js";
import { takeLock } from "../base/lock.js";
import { NO_LINK } from "../base/untrusted.js";
import { INWARD_VERSION } from "../base/version.js";
import { InwardError } from "../errors.js";
import { settleEngine } from "../model/engines/settings.js";
import type { LanguageModel } from "../model/language-model.js";
import type { ChatMessage } from "../tasks/answer.js";
import type { TokenText } from "../tasks/answer-tokens.js";
import { whatIsAsked, ManifestFile } from "../run/answers-file.js";
import { findModel, type FoundModel, openFound, type OpenModelOptions } from "../run/open-model.js";
import type { PromptLine } from "../run/prompt-lines.js";
import { DEFAULT_ENGINE } from "../study/load-study.js";
import { column } from "./csv-lines.js";
import { parquetPieces } from "./table.js";

/** One token that may come next. */
export interface NextToken extends TokenText {
  readonly id: number;
  /** Natural log at temperature 1 over the full vocabulary. */
  readonly logprob: number;
}

type Lists = Pick<LanguageModel, "nextTokens" | "tokenTexts" | "score" | "facts">;

export interface NextOptions {
  /** An answer's beginning, from the first character after the prompt. Default: nothing, the first position. */
  readonly after?: string;
  /** Most likely tokens; the whole vocabulary when absent. */
  readonly top?: number;
}

/**
 * @param messages the prompt
 * @returns most likely first, equal ones by id
 * @throws InwardError ENGINE_UNAVAILABLE by an engine that cannot · ENGINE_CONTEXT, CHAT_*
 */
export async function nextTokens(
  model: Lists,
  messages: readonly ChatMessage[],
  { after = "", top = model.facts.vocabularySize }: NextOptions = {},
): Promise<NextToken[]> {
  const { ids, logprobs } = await nextStep(model, messages, after, top);
  const texts = await model.tokenTexts(Array.from(ids));
  return Array.from(ids, (id, at) => ({ id, ...(texts[at] as TokenText), logprob: logprobs[at] as number }));
}

async function nextStep(model: Lists, messages: readonly ChatMessage[], after: string, top: number) {
  const path = after === "" ? [] : await idsOf(model, messages, after);
  const { steps } = await model.nextTokens(messages, [path], top);
  const [step] = steps;
  if (!step) throw new InwardError("INTERNAL", "The engine listed nothing.");
  return step;
}

async function idsOf(model: Lists, messages: readonly ChatMessage[], after: string): Promise<readonly number[]> {
  const [[score] = []] = await model.score([{ messages, continuations: [after] }]);
  return score?.tokenIds ?? [];
}

export interface NextFileOptions extends OpenModelOptions, Pick<NextOptions, "after"> {
  /** .npy: float64 [prompts, vocabulary], by token id; .parquet and .jsonl: a row a prompt and token. A manifest is written beside it. */
  readonly out: string;
  readonly onFound?: (model: FoundModel) => void;
}

export interface NextFile {
  /** Absolute. */
  readonly out: string;
  readonly manifest: string;
  readonly prompts: number;
  /** Of these, those that an earlier call had done. */
  readonly kept: number;
  readonly vocabularySize: number;
}

/**
 * The whole distribution after each prompt. The file is there whole or not at all; rows that are done stand in `<out>.part` until then,
 * and the same call goes on from there.
 * @param source registry name, `hf:` URI, or path of a GGUF
 * @throws InwardError USAGE another ending · ANSWERS_OTHER what was begun is of something else · MODEL_*, ADAPTER_*, ENGINE_*, CHAT_* · STORE_* ·
 * INTERRUPTED: the same call goes on
 */
export async function nextFile(
  prompts: readonly PromptLine[],
  source: string,
  { device, engine, onFound, after = "", ...options }: NextFileOptions,
): Promise<NextFile> {
  const out = resolve(options.out);
  const encode = writerOf(out);
  const found = await findModel(source, options);
  onFound?.(found);
  const settled = await settleEngine({ ...DEFAULT_ENGINE, ...(device ? { device } : {}), ...engine }, [
    found.file.path,
  ]);
  const unlock = await takeLock(`${out}.lock`, out);
  try {
    const part = `${out}.part`;
    const begun = await ManifestFile.open(part, "distributions", whatIsAsked(found, settled, { after }, prompts));
    const model = await openFound(found, settled);
    try {
      await begun.record(model);
      const { vocabularySize, warnings } = model.facts;
      // A prompt that cannot be asked is known before the first is.
      await model.check(prompts.map(({ messages }) => ({ messages, maxTokens: 1, temperature: 0, topTokens: 1 })));
      const texts = await model.tokenTexts(Array.from({ length: vocabularySize }, (_, id) => id));
      const rows = await DoneRows.open(part, vocabularySize);
      const onDone = () =>
        options.onProgress?.({
          stage: "distributions",
          done: rows.count,
          total: prompts.length,
          unit: "questions",
        });
      const kept = Math.min(rows.count, prompts.length);
      try {
        onDone();
        for (const { messages } of prompts.slice(kept)) {
          if (options.signal?.aborted) {
            throw new InwardError(
              "INTERRUPTED",
              `Stopped after ${rows.count} of ${prompts.length} prompts; the same command goes on from there.`,
            );
          }
          const step = await nextStep(model, messages, after, vocabularySize);
          const logprobs = new Float64Array(vocabularySize).fill(Number.NEGATIVE_INFINITY);
          for (let at = 0; at < step.ids.length; at++) logprobs[step.ids[at] as number] = step.logprobs[at] as number;
          await rows.add(logprobs);
          onDone();
        }
        const facts = { prompts: prompts.length, vocabularySize, texts };
        await writeWhole(out, encode(rows.all(prompts), facts));
      } finally {
        await rows.close();
      }
      const manifest = `${out}.manifest.json`;
      const { file, chat, adapter } = found;
      await writeJson(manifest, {
        inward: INWARD_VERSION,
        what: "next tokens: natural logs at temperature 1 over the full vocabulary",
        model: { source: file.source, sha256: file.sha256, encoding: file.encoding },
        ...(adapter ? { adapter: { sha256: adapter.sha256, scale: adapter.scale } } : {}),
        chat: { kind: chat.kind, system: chat.system, variables: chat.variables },
        after,
        prompts: prompts.map(({ id, meta }) => ({ id, ...(meta ? { meta } : {}) })),
        vocabularySize,
        engine: model.manifest,
        ...(begun.engines.length > 1 ? { engines: begun.engines } : {}),
        warnings,
      });
      for (const path of [part, begun.path]) await rm(path, { force: true });
      return { out, manifest, prompts: prompts.length, kept, vocabularySize };
    } finally {
      await model.dispose();
    }
  } finally {
    await unlock();
  }
}

/** A row's probabilities sum to 1 but for the rounding of its logits; what a power cut left in its place does not. */
const SUM_IS_ONE = 1e-3;

/** Distributions that are done, in a file of their own: float64 [rows, vocabulary] by token id, little-endian. */
class DoneRows {
  private constructor(
    private readonly path: string,
    private readonly file: FileHandle,
    private readonly vocabularySize: number,
    public count: number,
  ) {}

  /** Rows that are cut off, and those behind one that is no distribution, are taken away and asked again. */
  static async open(path: string, vocabularySize: number): Promise<DoneRows> {
    const file = await open(path, constants.O_RDWR | constants.O_CREAT | NO_LINK).catch((error) => {
      throw writeError(error, path);
    });
    const rows = new DoneRows(path, file, vocabularySize, 0);
    const whole = Math.floor((await file.stat()).size / rows.rowBytes);
    while (rows.count < whole && isDistribution(await rows.at(rows.count))) rows.count++;
    await file.truncate(rows.count * rows.rowBytes);
    return rows;
  }

  private get rowBytes(): number {
    return 8 * this.vocabularySize;
  }

  async add(logprobs: Float64Array): Promise<void> {
    try {
      const bytes = doublesLE(logprobs);
      const { bytesWritten } = await this.file.write(bytes, 0, bytes.length, this.count * this.rowBytes);
      if (bytesWritten < bytes.length) throw Object.assign(new Error("short write"), { code: "ENOSPC" });
      await this.file.datasync();
    } catch (error) {
      throw writeError(error, this.path);
    }
    this.count++;
  }

  private async at(row: number): Promise<Float64Array> {
    const bytes = Buffer.alloc(this.rowBytes);
    const { bytesRead } = await this.file.read(bytes, 0, bytes.length, row * this.rowBytes);
    if (bytesRead < bytes.length) throw new InwardError("STORE_CORRUPT", `${this.path} was cut off while it was read.`);
    return Float64Array.from({ length: this.vocabularySize }, (_, id) => bytes.readDoubleLE(8 * id));
  }

  async *all(prompts: readonly Pick<PromptLine, "id">[]): AsyncGenerator<VocabularyRow> {
    for (const [row, { id }] of prompts.entries()) yield { id, logprobs: await this.at(row) };
  }

  async close(): Promise<void> {
    await this.file.close();
  }
}

function isDistribution(logprobs: Float64Array): boolean {
  const sum = logprobs.reduce((total, logprob) => total + Math.exp(logprob), 0);
  return Math.abs(sum - 1) < SUM_IS_ONE;
}

function doublesLE(numbers: Float64Array): Buffer {
  const bytes = Buffer.alloc(8 * numbers.length);
  numbers.forEach((number, at) => {
    bytes.writeDoubleLE(number, 8 * at);
  });
  return bytes;
}

interface VocabularyRow {
  readonly id: string;
  /** [vocabulary] by token id. */
  readonly logprobs: Float64Array;
}

interface TableFacts {
  readonly prompts: number;
  readonly vocabularySize: number;
  /** [vocabulary] */
  readonly texts: readonly TokenText[];
}

type TableWriter = (rows: AsyncIterable<VocabularyRow>, facts: TableFacts) => AsyncIterable<Uint8Array>;

const WRITERS: Readonly<Record<string, TableWriter>> = { ".npy": npy, ".parquet": parquet, ".jsonl": jsonLines };

function writerOf(out: string): TableWriter {
  const ending = extname(out).toLowerCase();
  const writer = WRITERS[ending];
  if (writer) return writer;
  throw new InwardError(
    "USAGE",
    `${out} ends with ${ending === "" ? "nothing" : ending}; a distribution is written to ${Object.keys(WRITERS).join(", ")}.`,
  );
}

/** NumPy's format, version 1.0: a header that a Python literal is, padded so that the numbers begin at a multiple of 64. */
async function* npy(rows: AsyncIterable<VocabularyRow>, { prompts, vocabularySize }: TableFacts) {
  const literal = `{'descr': '<f8', 'fortran_order': False, 'shape': (${prompts}, ${vocabularySize}), }`;
  const magic = Buffer.from([0x93, ...Buffer.from("NUMPY"), 1, 0, 0, 0]);
  const text = literal.padEnd(Math.ceil((magic.length + literal.length + 1) / 64) * 64 - magic.length - 1);
  magic.writeUInt16LE(text.length + 1, 8);
  yield Buffer.concat([magic, Buffer.from(`${text}\n`)]);
  for await (const { logprobs } of rows) {
    yield doublesLE(logprobs);
  }
}

async function* jsonLines(rows: AsyncIterable<VocabularyRow>, { texts }: TableFacts) {
  for await (const { id: prompt, logprobs } of rows) {
    const lines = Array.from(
      logprobs,
      (logprob, id) => `${JSON.stringify({ prompt, token_id: id, ...texts[id], logprob })}\n`,
    );
    yield Buffer.from(lines.join(""));
  }
}

interface TokenRow extends NextToken {
  readonly prompt: string;
}

function parquet(rows: AsyncIterable<VocabularyRow>, { texts }: TableFacts) {
  async function* batches(): AsyncGenerator<TokenRow[]> {
    for await (const { id: prompt, logprobs } of rows) {
      yield Array.from(logprobs, (logprob, id) => ({ prompt, id, ...(texts[id] as TokenText), logprob }));
    }
  }
  const columns = [
    column<TokenRow, "text">("prompt", "text", ({ prompt }) => prompt),
    column<TokenRow, "whole">("token_id", "whole", ({ id }) => id),
    column<TokenRow, "text">("text", "text", ({ text }) => text),
    column<TokenRow, "text">("bytes", "text", ({ bytes }) => bytes),
    column<TokenRow, "number">("logprob", "number", ({ logprob }) => logprob),
  ];
  return parquetPieces(columns, batches());
}
