/**
 * States of a model's tokens over a file of prompts: a folder of safetensors, and an index with a line for each of their rows. A process
 * that ends in between leaves whole files, and the same call goes on from there; the bytes are those of an undisturbed one.
 */

import { createHash, type Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import { open, stat, truncate } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { z } from "zod";
import {
  APPENDING,
  canonicalJson,
  hashOf,
  makeFolder,
  readJson,
  removePartials,
  writeError,
  writeJson,
} from "../base/files.js";
import { takeRunLock } from "../base/lock.js";
import { INWARD_VERSION } from "../base/version.js";
import { InwardError } from "../errors.js";
import { readGguf } from "../gguf/read-gguf.js";
import type { AskRequest } from "../model/language-model.js";
import { settleEngine } from "../model/engines/settings.js";
import { requirePlannedFile, sha256OfFile } from "../model/model-file.js";
import { openTokenizer } from "../model/engines/start-engine.js";
import {
  type CapturedShard,
  type CapturedText,
  type CaptureHooks,
  chosenTokens,
  parsePositions,
  type PositionChoice,
  StateCapturer,
} from "../probe/capture.js";
import { parseSites, siteDimensions, siteName, stateShapeOf } from "../model/sites.js";
import { type Capture, shardBytes, type StatesType } from "../probe/states-shard.js";
import { DEFAULT_ENGINE } from "../study/load-study.js";
import type { EngineManifest } from "../study/plan.js";
import type { SetAsideReason } from "../tasks/answer.js";
import { type ModelToAsk, type AskedOf, whatDiffers, whatIsAsked } from "./answers-file.js";
import { findModel, type FoundModel, type OpenModelOptions } from "./open-model.js";
import type { PromptLine } from "./prompt-lines.js";

export interface StatesSettings {
  /** Default `residual`: the residual at every layer's border. parseSites says what there is. */
  readonly sites?: string;
  /** Default `last`: the prompt's last token. parsePositions says what there is. */
  readonly positions?: string;
  /** Default f32. */
  readonly dtype?: StatesType;
  /** Longest reply, tokens, greedy. Default 0: nothing is answered. */
  readonly maxTokens?: number;
  /** A file of states is begun anew before it would be larger, unless one prompt alone is. Default 64 MiB. */
  readonly shardBytes?: number;
}

/** What is heard while a folder is made. */
interface WritingHooks extends Pick<OpenModelOptions, "signal" | "onProgress"> {
  /** A process that captures is gone; the work goes on in another one. */
  readonly onCrash?: CaptureHooks["onCrash"];
}

export interface StatesOptions extends OpenModelOptions, StatesSettings, WritingHooks {
  /** Folder to write. */
  readonly out: string;
  readonly onFound?: (model: FoundModel) => void;
  /** [prompts] tokens of each, where they were counted before. */
  readonly lengths?: readonly number[];
}

/** A prompt whose states are taken. */
export interface StatesPrompt extends PromptLine {
  /** What it asks for, such as `hypothetical`. Default `prompt`. */
  readonly kind?: string;
  /** Its own tokens whose states are taken, from 0, in the place of the settings'. */
  readonly tokens?: readonly number[];
}

/** What a call would write. */
export interface StatesEstimate {
  readonly prompts: number;
  readonly promptTokens: number;
  /** Captured tokens; with replies at most. */
  readonly rows: number;
  /** Of the safetensors; the index takes some 150 more a row. */
  readonly bytes: number;
  readonly files: number;
  readonly sites: readonly { readonly name: string; readonly shape: readonly number[] }[];
}

/** `states.json`: what the folder holds, and how far it is. */
export interface StatesManifest extends AskedOf {
  readonly inward: string;
  readonly what: "states";
  /** Of one row of each tensor; attention weights have as many keys as the file's longest text. */
  readonly sites: StatesEstimate["sites"];
  readonly engines: readonly EngineManifest[];
  /** What llama.cpp warned of in the model's file. */
  readonly warnings: readonly string[];
  readonly files: readonly FinishedShard[];
  /** sha256 of all that stands above, as canonical JSON: a number that was changed by hand is noticed. */
  readonly seal?: string;
}

interface FinishedShard {
  readonly file: string;
  readonly prompts: number;
  readonly rows: number;
  readonly bytes: number;
  readonly sha256: string;
  /** Of index.jsonl and prompts.jsonl, up to and with this file's lines. */
  readonly indexBytes: number;
  readonly promptsBytes: number;
  /** Of prompts.jsonl and index.jsonl, so far. Folders of before 2026-11-30 have none of the index. */
  readonly promptsSha256: string;
  readonly indexSha256?: string;
  /** Ids of prompts that crash the engine; absent where none does. */
  readonly setAside?: readonly string[];
}

export interface FinishedStates {
  /** Absolute. */
  readonly folder: string;
  readonly files: number;
  readonly rows: number;
  readonly bytes: number;
  readonly prompts: number;
  /** Of these, those that were there before. */
  readonly kept: number;
  /** Ids of those that crash the engine: they have no rows. */
  readonly setAside: readonly string[];
  /** The most that the capturing process held; absent where nothing was left to do. */
  readonly peakBytes?: number;
}

/** A folder of states to make. */
export interface StatesJob {
  readonly found: ModelToAsk;
  /** [prompts] */
  readonly positions: readonly PositionChoice[];
  readonly capture: Capture;
  readonly requests: readonly AskRequest[];
  /** Prompts of each file, by number: from, and the first that is not in it. */
  readonly shards: readonly { readonly first: number; readonly end: number; readonly bytes: number }[];
  readonly estimate: StatesEstimate;
  readonly asked: AskedOf;
}

/** @throws as captureStates, before any weight is read */
export async function estimateStates(
  prompts: readonly StatesPrompt[],
  source: string,
  options: Omit<StatesOptions, "out">,
): Promise<StatesEstimate> {
  return (await planJob(prompts, source, options)).estimate;
}

/**
 * Asks every prompt and writes the states of its tokens. The same call goes on where an earlier one ended.
 * @param source registry name, `hf:` URI, or path of a GGUF
 * @throws InwardError USAGE · PROBE_SITE no such site, or not in this model · PROBE_RANGE · ANSWERS_OTHER the folder holds other states ·
 * STORE_* · MODEL_*, ADAPTER_*, ENGINE_*, CHAT_* · INTERRUPTED
 */
export async function captureStates(
  prompts: readonly StatesPrompt[],
  source: string,
  options: StatesOptions,
): Promise<FinishedStates> {
  return writeStates(await planJob(prompts, source, options), prompts, resolve(options.out), options);
}

/** The same of a job that was planned. @param folder absolute @throws as captureStates */
export async function writeStates(
  job: StatesJob,
  prompts: readonly StatesPrompt[],
  folder: string,
  options: WritingHooks,
): Promise<FinishedStates> {
  makeFolder(folder);
  const lock = await takeRunLock(folder);
  try {
    await removePartials(folder);
    const opened = await openManifest(folder, job);
    const { lines } = opened;
    let { manifest } = opened;
    const kept = manifest.files.reduce((sum, one) => sum + one.prompts, 0);
    options.onProgress?.({ stage: "states", done: kept, total: prompts.length, unit: "questions" });
    const left = job.shards.slice(manifest.files.length);
    const { file, adapter, chat } = job.found;
    const capturer = new StateCapturer({
      path: file.path,
      settings: job.asked.engine,
      ...(adapter ? { adapter: { path: resolve(adapter.path), scale: adapter.scale } } : {}),
      chat,
    });
    let peakBytes: number | undefined;
    try {
      if (left.length > 0) manifest = await recordEngine(folder, manifest, capturer);
      const named = left.map((shard, at) => ({ ...shard, file: fileName(job.shards.length - left.length + at + 1) }));
      const jobs = named.map(({ file, first, end }) => ({
        path: join(folder, file),
        requests: job.requests.slice(first, end),
        capture: job.capture,
        positions: job.positions.slice(first, end),
      }));
      const hooksOf = (at: number): CaptureHooks => ({
        signal: options.signal,
        onNote: (done) => {
          const all = (named[at]?.first ?? 0) + done;
          options.onProgress?.({ stage: "states", done: all, total: prompts.length, unit: "questions" });
        },
        onCrash: options.onCrash,
      });
      let at = 0;
      for await (const shard of capturer.shards(jobs, hooksOf)) {
        const { file, first, end } = named[at++] as (typeof named)[number];
        // Of weights that were written over while they were read nothing is kept.
        await requirePlannedFile(job.found.file.source, job.found.file);
        manifest = await finishFile(folder, manifest, shard, prompts.slice(first, end), file, lines);
      }
      peakBytes = await capturer.peakBytes();
    } finally {
      await capturer.end();
    }
    const setAside = manifest.files.flatMap((one) => one.setAside ?? []);
    const [rows, bytes] = [sumOf(manifest, "rows"), sumOf(manifest, "bytes")];
    const counts = { files: manifest.files.length, rows, bytes, prompts: prompts.length, kept, setAside };
    return { folder, ...counts, ...(peakBytes === undefined ? {} : { peakBytes }) };
  } finally {
    await lock.release();
  }
}

function sumOf({ files }: StatesManifest, what: "rows" | "bytes"): number {
  return files.reduce((sum, one) => sum + one[what], 0);
}

async function planJob(
  prompts: readonly StatesPrompt[],
  source: string,
  { device, engine, onFound, lengths: known, ...options }: Omit<StatesOptions, "out">,
): Promise<StatesJob> {
  const settings = settled(options);
  const positions = parsePositions(settings.positions);
  if (positions.reply && settings.maxTokens === 0 && settings.positions !== "all") {
    throw new InwardError("USAGE", "--positions reply wants replies: give their greatest length with --max-tokens");
  }
  const found = await findModel(source, options);
  onFound?.(found);
  const shape = stateShapeOf(await readGguf(found.file.path), found.file.path);
  const sites = parseSites(settings.sites, shape);
  const capture: Capture = { sites, shape, dtype: settings.dtype };
  // Ours wherever it can: its numbers depend on the prompt alone, and it evaluates once.
  const wanted = { ...DEFAULT_ENGINE, forward: "auto" as const, ...(device ? { device } : {}), ...engine };
  const forward = await settleEngine(wanted, [found.file.path]);
  // Only where one text is evaluated after the other llama.cpp's cache tells whose keys lie where.
  const oneByOne = sites.some(({ part }) => part === "attention_weights") && forward.forward !== "own";
  const settledEngine = oneByOne ? { ...forward, strict: true, flashAttention: false } : forward;
  const { maxTokens } = settings;
  const requests = prompts.map(({ messages }) => ({ messages, maxTokens, temperature: 0, topTokens: 0 }));
  const lengths = known ?? (await promptLengths(found, prompts));
  const chosen = prompts.map(
    ({ tokens }): PositionChoice => (tokens === undefined ? positions : { prompt: tokens, reply: false }),
  );
  const rows = lengths.map((length, at) => {
    const choice = chosen[at] as PositionChoice;
    const mask = chosenTokens(choice, length, `Prompt ${JSON.stringify(prompts[at]?.id)}`);
    const own = Array.from(mask.keys()).filter((position) => mask[position]);
    const replied = choice.reply ? Math.max(0, maxTokens - 1) : 0;
    return [...own, ...Array.from({ length: replied }, (_, token) => length + token)];
  });
  const { dtype, sites: named, positions: places, shardBytes: most } = settings;
  const facts = { sites: named, positions: places, dtype, maxTokens, shardBytes: most };
  return {
    found,
    positions: chosen,
    capture,
    requests,
    ...sizedStates(capture, lengths, rows, most),
    asked: whatIsAsked(found, settledEngine, facts, prompts),
  };
}

/** @param lengths [prompts] tokens @param rows [prompts] places of the captured tokens */
export function sizedStates(
  capture: Capture,
  lengths: readonly number[],
  rows: readonly (readonly number[])[],
  shardBytes: number,
): Pick<StatesJob, "shards" | "estimate"> {
  const { sites, shape } = capture;
  const shards = cutShards(capture, rows, shardBytes);
  const longest = lengths.reduce((most, length) => Math.max(most, length), 0);
  return {
    shards,
    estimate: {
      prompts: lengths.length,
      promptTokens: lengths.reduce((sum, length) => sum + length, 0),
      rows: rows.reduce((sum, one) => sum + one.length, 0),
      bytes: shards.reduce((sum, { bytes }) => sum + bytes, 0),
      files: shards.length,
      sites: sites.map((site) => ({ name: siteName(site), shape: siteDimensions(site, shape, longest) })),
    },
  };
}

function settled(settings: StatesSettings): Required<StatesSettings> {
  const { sites = "residual", positions = "last", dtype = "f32", maxTokens = 0, shardBytes: most = 2 ** 26 } = settings;
  if (dtype !== "f16" && dtype !== "f32") throw new InwardError("USAGE", `dtype is ${dtype}; it is f16 or f32`);
  for (const [name, value, least] of [
    ["maxTokens", maxTokens, 0],
    ["shardBytes", most, 1],
  ] as const) {
    if (Number.isInteger(value) && value >= least) continue;
    throw new InwardError("USAGE", `${name} is ${value}; it must be a whole number from ${least} on.`);
  }
  return { sites, positions, dtype, maxTokens, shardBytes: most };
}

async function promptLengths({ file, chat }: FoundModel, prompts: readonly StatesPrompt[]): Promise<number[]> {
  const tokenizer = await openTokenizer(file.path, chat);
  try {
    return (await tokenizer.tokenize(prompts.map(({ messages }) => messages))).map(({ length }) => length);
  } finally {
    await tokenizer.dispose();
  }
}

/** Prompts in their order, as many in a file as have room in it. */
function cutShards(capture: Capture, rows: readonly (readonly number[])[], most: number): StatesJob["shards"] {
  const shards: { first: number; end: number; bytes: number }[] = [];
  let [count, keys] = [0, 0];
  rows.forEach((own, at) => {
    const last = shards.at(-1);
    const ownKeys = (own.at(-1) ?? -1) + 1;
    const bytes = shardBytes(capture, count + own.length, Math.max(keys, ownKeys));
    if (last && bytes <= most) {
      [last.end, last.bytes] = [at + 1, bytes];
      [count, keys] = [count + own.length, Math.max(keys, ownKeys)];
      return;
    }
    [count, keys] = [own.length, ownKeys];
    shards.push({ first: at, end: at + 1, bytes: shardBytes(capture, count, keys) });
  });
  return shards;
}

const INDEX = "index.jsonl";
export const PROMPTS = "prompts.jsonl";
const MANIFEST = "states.json";

export const statesManifestSchema = z.looseObject({
  what: z.literal("states"),
  model: z.looseObject({ sha256: z.string() }),
  settings: z.record(z.string(), z.unknown()),
  lines: z.strictObject({ count: z.number(), sha256: z.string() }),
  engines: z.array(z.looseObject({ engine: z.string() })),
  files: z.array(
    z.looseObject({
      file: z.string().regex(/^states-\d{5,}\.safetensors$/),
      prompts: z.int(),
      rows: z.int(),
      bytes: z.int(),
      indexBytes: z.int(),
      promptsBytes: z.int(),
      sha256: z.string().optional(),
      promptsSha256: z.string().optional(),
      indexSha256: z.string().optional(),
    }),
  ),
  seal: z.string().optional(),
});

/** As far as the folder is; what was cut off in writing goes. @throws ANSWERS_OTHER, STORE_CORRUPT */
async function openManifest(
  folder: string,
  { asked, estimate }: StatesJob,
): Promise<{ manifest: StatesManifest; lines: WrittenLines }> {
  const path = join(folder, MANIFEST);
  const before = await readJson<StatesManifest>(path, statesManifestSchema).catch((error) => {
    if (error instanceof InwardError && error.code === "STORE_INCOMPLETE") return undefined;
    throw error;
  });
  if (!before) {
    if ((await sizeOf(join(folder, INDEX))) > 0) {
      throw new InwardError("ANSWERS_OTHER", `${folder} has an ${INDEX}, and no ${MANIFEST} that says what it holds.`);
    }
    const made = { inward: INWARD_VERSION, what: "states" as const, ...asked, sites: estimate.sites };
    const manifest = await writeManifest(folder, { ...made, engines: [], warnings: [], files: [] });
    return { manifest, lines: await openLines(folder, undefined) };
  }
  const { seal, ...sealed } = before;
  if (seal !== undefined && seal !== hashOf(sealed)) throw changed(path);
  const difference = whatDiffers({ ...before, what: "states" }, { ...asked, what: "states" });
  if (difference !== undefined) throw new InwardError("ANSWERS_OTHER", `${folder} holds other states: ${difference}.`);
  for (const { file, bytes, sha256 } of before.files) {
    const found = await sizeOf(join(folder, file));
    if (found !== bytes) {
      throw new InwardError("STORE_CORRUPT", `${join(folder, file)} has ${found} bytes; ${bytes} were written.`);
    }
    await requireSha256(join(folder, file), sha256);
  }
  return { manifest: before, lines: await openLines(folder, before.files.at(-1)) };
}

/** @throws STORE_CORRUPT */
async function openLines(folder: string, last: FinishedShard | undefined): Promise<WrittenLines> {
  const index = await LinesFile.open(join(folder, INDEX), last?.indexBytes ?? 0);
  const prompts = await LinesFile.open(join(folder, PROMPTS), last?.promptsBytes ?? 0);
  if (last && prompts.sha256() !== last.promptsSha256) throw changed(join(folder, PROMPTS));
  if (last?.indexSha256 !== undefined && index.sha256() !== last.indexSha256) throw changed(join(folder, INDEX));
  return { index, prompts };
}

async function writeManifest(folder: string, { seal: _, ...manifest }: StatesManifest): Promise<StatesManifest> {
  const sealed = { ...manifest, seal: hashOf(manifest) };
  await writeJson(join(folder, MANIFEST), sealed);
  return sealed;
}

/** @throws STORE_CORRUPT */
async function requireSha256(path: string, sha256: string | undefined): Promise<void> {
  if (sha256 !== undefined && (await sha256OfFile(path)) !== sha256) throw changed(path);
}

function changed(path: string): InwardError {
  return new InwardError("STORE_CORRUPT", `${path} was changed after it was written.`);
}

async function sizeOf(path: string): Promise<number> {
  return (await stat(path).catch(() => undefined))?.size ?? 0;
}

/** @throws STORE_CORRUPT where there is less */
async function cutOff(path: string, bytes: number): Promise<void> {
  const found = await sizeOf(path);
  if (found < bytes) throw new InwardError("STORE_CORRUPT", `${path} has ${found} bytes; ${bytes} were written.`);
  if (found === bytes) return;
  await truncate(path, bytes).catch((error) => {
    throw writeError(error, path);
  });
}

/** Opens the model, and says who evaluates it. */
async function recordEngine(
  folder: string,
  manifest: StatesManifest,
  capturer: StateCapturer,
): Promise<StatesManifest> {
  const { manifest: engine, facts } = await capturer.open();
  if (manifest.engines.some((one) => canonicalJson(one) === canonicalJson(engine))) return manifest;
  const engines = [...manifest.engines, engine];
  return writeManifest(folder, { ...manifest, engines, warnings: facts.warnings });
}

function fileName(number: number): string {
  return `states-${String(number).padStart(5, "0")}.safetensors`;
}

/** @param asked the file's prompts */
async function finishFile(
  folder: string,
  manifest: StatesManifest,
  shard: CapturedShard,
  asked: readonly StatesPrompt[],
  file: string,
  lines: WrittenLines,
): Promise<StatesManifest> {
  const sound = asked.filter((_, at) => !shard.setAside.includes(at));
  await lines.index.append(indexLines(file, sound, shard.texts));
  await lines.prompts.append(promptLines(file, asked, shard));
  const { rows, bytes, sha256 } = shard;
  const setAside = shard.setAside.map((at) => (asked[at] as StatesPrompt).id);
  const finished = {
    ...{ file, prompts: asked.length, rows, bytes, sha256 },
    ...{ indexBytes: lines.index.bytes, promptsBytes: lines.prompts.bytes },
    ...{ promptsSha256: lines.prompts.sha256(), indexSha256: lines.index.sha256() },
    ...(setAside.length > 0 ? { setAside } : {}),
  };
  return writeManifest(folder, { ...manifest, files: [...manifest.files, finished] });
}

/** One line a row, in the order of the file's rows. */
function indexLines(file: string, prompts: readonly StatesPrompt[], texts: readonly CapturedText[]): object[] {
  let row = 0;
  return texts.flatMap(({ promptTokens, tokens }, at) => {
    const { id, kind = "prompt" } = prompts[at] as StatesPrompt;
    return tokens.map(({ position, id: tokenId, text, bytes }) => ({
      file: basename(file),
      row: row++,
      prompt: id,
      kind,
      part: position < promptTokens ? "prompt" : "reply",
      position,
      tokenId,
      text,
      ...(bytes === undefined ? {} : { bytes }),
    }));
  });
}

/** One line a prompt; of one that was set aside why it has no rows. */
function promptLines(file: string, prompts: readonly StatesPrompt[], { texts, setAside }: CapturedShard): object[] {
  let next = 0;
  return prompts.map(({ id, kind = "prompt", meta }, at) => {
    const about = meta === undefined ? {} : { meta };
    if (setAside.includes(at)) return { prompt: id, kind, file, rows: 0, setAside: SET_ASIDE, ...about };
    const { promptTokens, promptSha256, tokens, reply } = texts[next++] as CapturedText;
    const place = { prompt: id, kind, file, rows: tokens.length, promptTokens, promptSha256 };
    return { ...place, ...(reply ? { reply } : {}), ...about };
  });
}

const SET_ASIDE: SetAsideReason = "engine_crashed";

interface WrittenLines {
  readonly index: LinesFile;
  readonly prompts: LinesFile;
}

/** A file that grows by lines, and the hash of all that is in it. */
class LinesFile {
  private constructor(
    private readonly path: string,
    private readonly hash: Hash,
    private written: number,
  ) {}

  /** @param bytes that are kept; what is behind them is cut off @throws STORE_CORRUPT where there is less */
  static async open(path: string, bytes: number): Promise<LinesFile> {
    await cutOff(path, bytes);
    const hash = createHash("sha256");
    if (bytes > 0) for await (const piece of createReadStream(path)) hash.update(piece as Buffer);
    return new LinesFile(path, hash, bytes);
  }

  get bytes(): number {
    return this.written;
  }

  sha256(): string {
    return this.hash.copy().digest("hex");
  }

  /** @throws STORE_DISK_FULL, STORE_UNWRITABLE, STORE_CORRUPT where something else wrote to it */
  async append(lines: readonly object[]): Promise<void> {
    const text = Buffer.from(lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
    try {
      const file = await open(this.path, APPENDING);
      try {
        await file.writeFile(text);
        await file.sync();
        this.hash.update(text);
        this.written += text.length;
        if ((await file.stat()).size !== this.written) throw changed(this.path);
      } finally {
        await file.close();
      }
    } catch (error) {
      throw writeError(error, this.path);
    }
  }
}
