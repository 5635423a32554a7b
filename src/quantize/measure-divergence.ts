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
  keptPositions,
  positionsOf,
} from "../model/engines/compare-logits.js";
import type { EngineManifest } from "../study/plan.js";
import type { SettledEngine } from "../study/study.js";
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
  readonly variants: readonly Pick<Variant, "name" | "path" | "kind">[];
  readonly set: ComparedSet;
  /** Of the run: `<variant>.<set>.f64` and `<variant>.<set>.floor.f64` go there. */
  readonly folder: string;
  /** Items, the first ones, of which each file is held against itself in another batch composition. */
  readonly floorItems: number;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: (what: string, done: number, total: number) => void;
  /** Taken in the place of what memory allows. */
  readonly mostPositions?: number;
}

/** Another batch composition: so many rows at once, one text after the other. No power of two, so that pieces end elsewhere. */
const OTHER_ROWS = 193;

export function divergenceFile(folder: string, variant: string, set: ComparedSet["name"], isFloor = false): string {
  return join(folder, `${variant}.${set}${isFloor ? ".floor" : ""}.f64`);
}

/**
 * One model is in memory at a time, and some hundred fileSize of the source's logits.
 * @returns by variant the engine that evaluated it, where anything was left to do
 * @throws InwardError MODEL_*, ENGINE_*, STORE_* · INTERRUPTED: the same call goes on
 */
export async function measureDivergence(request: MeasureDivergenceRequest): Promise<Record<string, EngineManifest>> {
  const { process, engine, variants, set, folder, floorItems, signal, onProgress, mostPositions } = request;
  makeFolder(folder);
  const manifests: Record<string, EngineManifest> = {};
  // What is kept, what is held against it, and both again for the floor of each file.
  const floors = set.base === undefined ? Math.min(floorItems, set.items.length) * variants.length : 0;
  const total = set.items.length * (set.base === undefined ? variants.length : variants.length + 1) + 2 * floors;
  let done = 0;
  const call = { signal, onNote: (items: number) => onProgress?.(set.name, Math.min(total, done + items), total) };
  const opened = async ({ name, path }: Pick<Variant, "name" | "path">, batchTokens?: number) => {
    const choices = batchTokens === undefined ? {} : { batchTokens };
    const { manifest } = await process.call("open", [path, engine, choices], { signal });
    if (batchTokens === undefined) manifests[name] = manifest;
  };

  const [source, ...made] = variants as [MeasureDivergenceRequest["variants"][number], ...typeof variants];
  const others = set.base === undefined ? made : variants;
  const { facts: sourceFacts } = await process.call("open", [source.path, engine, {}], { signal });
  const room = mostPositions ?? keptPositions(sourceFacts.vocabularySize);
  for (const chunk of chunksOf(set.items, room)) {
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
        await append(path, chunk.begin, values);
      }
      done += chunk.items.length;
    }
  }

  for (const variant of set.base === undefined ? variants : []) {
    const path = divergenceFile(folder, variant.name, set.name, true);
    for (const chunk of chunksOf(set.items.slice(0, floorItems), room)) {
      const end = done + 2 * chunk.items.length;
      if ((await wholeRows(path)) < chunk.end) {
        await opened(variant);
        await process.call("keep", [chunk.items], call);
        done += chunk.items.length;
        await opened(variant, OTHER_ROWS);
        const values = await process.call("compare", [chunk.items, 1], call);
        requireAll(values, variant.name);
        await append(path, chunk.begin, values);
      }
      done = end;
    }
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
