/** Holds each variant's logits against the source's, position by position; what is done stands in files of doubles, and is not done again. */

import { constants } from "node:fs";
import { type FileHandle, open, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { makeFolder, writeError } from "../base/files.js";
import { NO_LINK } from "../base/untrusted.js";
import { InwardError } from "../errors.js";
import {
  COMPARISON,
  COMPARISON_FIELDS,
  type ComparedItem,
  type CompareProcess,
  type Reading,
  keptPositions,
  positionsOf,
} from "./compare-logits.js";
import type { SettledEngine } from "../study/study.js";
import { isOnnxKind, onnxArithmetic } from "./onnx-variants.js";
import type { Variant } from "./variants.js";

/** Texts, or answers, that all files are held against each other on. */
export interface ComparedSet {
  readonly name: "text" | "answers" | "base";
  readonly items: readonly ComparedItem[];
  /** Path of a base file of llama-perplexity whose windows these are: it stands in the source's place, and the source is held against it too. */
  readonly base?: string;
}

interface MeasureDivergenceRequest {
  readonly process: CompareProcess;
  readonly engine: SettledEngine;
  /** The source first. */
  readonly variants: readonly ComparedVariant[];
  readonly set: ComparedSet;
  /** Of the run: `<variant>.<set>.f64`, `<variant>.<set>.floor.f64` and `<variant>.<set>.steps.f64` go there. */
  readonly folder: string;
  /** Items, the first ones, of which each file is held against itself in another batch composition. */
  readonly floorItems: number;
  /** Whether of the same items each file is also held against itself read a token at a time. Default false. */
  readonly steps?: boolean;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: (what: string, done: number, total: number) => void;
  /** Taken in the place of what memory allows. */
  readonly mostPositions?: number;
  /** Of so many processes that share the variants out, which one this is, from 0. Each evaluates the source itself. Default: it has all. */
  readonly share?: { readonly at: number; readonly of: number };
  /** Variants of which it is known what evaluated them; others are opened to be asked even where nothing is left to do. Default all. */
  readonly known?: ReadonlySet<string>;
  /** Before rows of these variants are kept. Throws where one's file is another by now, or the folder another's. */
  readonly require?: (variants: readonly ComparedVariant[]) => Promise<void>;
}

type ComparedVariant = Pick<Variant, "name" | "path" | "graph">;

/** A file against itself: in another batch composition, or a token at a time. */
export const OWN_READINGS = { floor: "pieces", steps: "steps" } as const satisfies Readonly<Record<string, Reading>>;
export type OwnReading = keyof typeof OWN_READINGS;

export function divergenceFile(folder: string, variant: string, set: ComparedSet["name"], own?: OwnReading): string {
  return join(folder, `${variant}.${set}${own === undefined ? "" : `.${own}`}.f64`);
}

/** What evaluated a file: of a graph nothing but the arithmetic, which its kind says. */
export type OpenedFiles = Readonly<Record<string, { readonly arithmetic?: string | undefined }>>;

/**
 * One model is in memory at a time, and some hundred fileSize of the source's logits.
 * @returns by variant the engine that evaluated it, where anything was left to do or it was not known
 * @throws InwardError MODEL_*, ENGINE_*, ONNX_*, STORE_* · INTERRUPTED: the same call goes on
 */
export async function measureDivergence(request: MeasureDivergenceRequest): Promise<OpenedFiles> {
  const {
    process,
    engine,
    variants,
    set,
    folder,
    floorItems,
    steps = false,
    signal,
    onProgress,
    mostPositions,
    share,
    known,
    require = async () => {},
  } = request;
  makeFolder(folder);
  const manifests: Record<string, OpenedFiles[string]> = {};
  const owns: readonly OwnReading[] = set.base !== undefined ? [] : steps ? ["floor", "steps"] : ["floor"];
  const [source] = variants as [ComparedVariant, ...typeof variants];
  const own = share === undefined ? variants : variants.filter((_, at) => at % share.of === share.at);
  const others = set.base === undefined ? own.filter((one) => one !== source) : own;
  // What is kept, what is held against it, and of each file against itself both again.
  const floors = Math.min(floorItems, set.items.length) * own.length;
  const total =
    set.items.length * (others.length === 0 ? 0 : others.length + 1) +
    (owns.length === 0 ? 0 : 1 + owns.length) * floors;
  let done = 0;
  const call = { signal, onNote: (items: number) => onProgress?.(set.name, Math.min(total, done + items), total) };
  const opened = async ({ name, path, graph }: ComparedVariant, reading: Reading = "usual") => {
    if (graph) {
      await process.call("openGraph", [{ path, ...graph }, { threads: engine.threads }, reading], { signal });
      if (isOnnxKind(name)) manifests[name] = { arithmetic: onnxArithmetic(name) };
      return;
    }
    const { manifest } = await process.call("open", [path, engine, { reading }], { signal });
    if (reading === "usual") manifests[name] = manifest;
  };

  const { facts: sourceFacts } = await process.call("open", [source.path, engine, {}], { signal });
  const room = mostPositions ?? keptPositions(sourceFacts.vocabularySize);
  for (const chunk of others.length === 0 ? [] : chunksOf(set.items, room)) {
    let kept = false;
    const begun = done;
    done += chunk.items.length;
    for (const variant of others) {
      const path = divergenceFile(folder, variant.name, set.name);
      if ((await wholeRows(path)) < chunk.end) {
        if (!kept) {
          const evaluated = done;
          done = begun;
          if (set.base === undefined) {
            await opened(source);
            await process.call("keep", [chunk.items], call);
          } else await process.call("keepBase", [set.base, chunk.first, chunk.items.length], call);
          done = evaluated;
          kept = true;
        }
        await opened(variant);
        const values = await process.call("compare", [chunk.items], call);
        requireAll(values, variant.name);
        await require(set.base === undefined ? [source, variant] : [variant]);
        await append(path, chunk.begin, values);
      }
      done += chunk.items.length;
    }
  }

  for (const variant of owns.length === 0 ? [] : own) {
    for (const chunk of chunksOf(set.items.slice(0, floorItems), room)) {
      const begun = done;
      let kept = false;
      for (const [at, reading] of owns.entries()) {
        const path = divergenceFile(folder, variant.name, set.name, reading);
        if ((await wholeRows(path)) >= chunk.end) continue;
        if (!kept) {
          done = begun;
          await opened(variant);
          await process.call("keep", [chunk.items], call);
          kept = true;
        }
        done = begun + (1 + at) * chunk.items.length;
        await opened(variant, OWN_READINGS[reading]);
        const values = await process.call("compare", [chunk.items], call);
        requireAll(values, variant.name);
        await require([variant]);
        await append(path, chunk.begin, values);
      }
      done = begun + (1 + owns.length) * chunk.items.length;
    }
  }
  // Whoever did the last of it may have been ended before it could say so.
  for (const variant of own) {
    if (known?.has(variant.name) === false && manifests[variant.name] === undefined) await opened(variant);
  }
  await process.call("close", []);
  return manifests;
}

function requireAll(values: Float64Array, variant: string): void {
  for (let at = COMPARISON.done; at < values.length; at += COMPARISON_FIELDS) {
    if (values[at] !== 1)
      throw new InwardError(
        "INTERNAL",
        `Position ${(at - COMPARISON.done) / COMPARISON_FIELDS} of ${variant} was not compared.`,
      );
  }
}

interface Chunk {
  readonly items: readonly ComparedItem[];
  /** Place of its first item among all. */
  readonly first: number;
  /** Its positions among all. */
  readonly begin: number;
  readonly end: number;
}

/**
 * What is evaluated as one group: as many items in order as have no more positions than there is room for, at least one. A function of the
 * items and the room alone, so that a run that was stopped asks the same groups.
 */
function chunksOf(items: readonly ComparedItem[], room: number): Chunk[] {
  const chunks: { items: ComparedItem[]; first: number; begin: number; end: number }[] = [];
  for (const [first, item] of items.entries()) {
    const positions = item.ids.length - item.scoreFrom;
    const last = chunks.at(-1);
    if (last && last.end - last.begin + positions <= room) {
      last.items.push(item);
      last.end += positions;
    } else chunks.push({ items: [item], first, begin: last?.end ?? 0, end: (last?.end ?? 0) + positions });
  }
  return chunks;
}

const ROW_BYTES = 8 * COMPARISON_FIELDS;

async function wholeRows(path: string): Promise<number> {
  const size = await stat(path).then(
    ({ size: bytes }) => bytes,
    () => 0,
  );
  return Math.floor(size / ROW_BYTES);
}

/** Behind so many rows; what stands there already is written over. */
async function append(path: string, rows: number, values: Float64Array): Promise<void> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, constants.O_RDWR | constants.O_CREAT | NO_LINK);
    await file.truncate(rows * ROW_BYTES);
    const bytes = Buffer.alloc(8 * values.length);
    values.forEach((value, at) => {
      bytes.writeDoubleLE(value, 8 * at);
    });
    const { bytesWritten } = await file.write(bytes, 0, bytes.length, rows * ROW_BYTES);
    if (bytesWritten < bytes.length) throw Object.assign(new Error("short write"), { code: "ENOSPC" });
    await file.datasync();
  } catch (error) {
    throw writeError(error, path);
  } finally {
    await file?.close();
  }
}

/** @returns [positions × COMPARISON_FIELDS] @throws InwardError STORE_INCOMPLETE, STORE_CORRUPT */
export async function readDivergence(path: string, items: readonly ComparedItem[]): Promise<Float64Array> {
  const bytes = await readFile(path).catch(() => {
    throw new InwardError("STORE_INCOMPLETE", `${path} is not there yet.`);
  });
  const expected = positionsOf(items) * ROW_BYTES;
  if (bytes.length !== expected) {
    throw new InwardError("STORE_CORRUPT", `${path} has ${bytes.length} bytes, and its positions come to ${expected}.`);
  }
  const values = Float64Array.from({ length: bytes.length / 8 }, (_, at) => bytes.readDoubleLE(8 * at));
  if (values.some((value) => Number.isNaN(value)))
    throw new InwardError("STORE_CORRUPT", `${path} holds what is no number.`);
  return values;
}

/** The source is held against itself: 0 at every position, and its own log-probabilities. */
export function asOwn(values: Float64Array): Float64Array {
  const own = values.slice();
  for (let row = 0; row < own.length; row += COMPARISON_FIELDS) {
    own[row + COMPARISON.klForward] = own[row + COMPARISON.klBackward] = own[row + COMPARISON.klLlama] = 0;
    own[row + COMPARISON.target] = own[row + COMPARISON.keptTarget] as number;
    own[row + COMPARISON.best] = own[row + COMPARISON.keptBest] as number;
    own[row + COMPARISON.margin] = own[row + COMPARISON.keptMargin] as number;
  }
  return own;
}
