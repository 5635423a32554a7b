/** A safetensors file of states: one tensor a site, one row a token, in the order of the prompts and of their tokens. */

import { createHash, type Hash } from "node:crypto";
import { writeWhole } from "../base/files.js";
import { type PlannedTensor, safetensorsPrefix } from "../finetune/adapter/safetensors.js";
import { type Site, siteDimensions, siteName, siteNumbers, type StateShape } from "../model/sites.js";

export type StatesType = "f16" | "f32";
export const STATE_BYTES: Readonly<Record<StatesType, number>> = { f16: 2, f32: 4 };

/** What is captured of each token. */
export interface Capture {
  readonly sites: readonly Site[];
  readonly shape: StateShape;
  readonly dtype: StatesType;
}

/** Of one text: its captured tokens, ascending, and site after site a row for each of them, as the addon gives them. */
export interface TextStates {
  readonly positions: readonly number[];
  readonly bytes: Uint8Array;
}

export interface WrittenShard {
  readonly bytes: number;
  /** Of what was written, lower case hex. */
  readonly sha256: string;
}

/** @returns bytes of one token's sites, by its position */
export function tokenBytes({ sites, shape, dtype }: Capture): (position: number) => number {
  const numbers = (keys: number) => sites.reduce((sum, site) => sum + siteNumbers(site, shape, keys), 0);
  const [fixed, forEachKey] = [numbers(0), numbers(1) - numbers(0)];
  return (position) => STATE_BYTES[dtype] * (fixed + forEachKey * (position + 1));
}

/** Of all tokens: attention weights have a place for every key up to the last token that any row has; there is no weight beyond its own. */
function plannedTensors({ sites, shape, dtype }: Capture, rows: number, keys: number): PlannedTensor[] {
  return sites.map((site) => ({
    name: siteName(site),
    dtype: dtype === "f16" ? "F16" : "F32",
    shape: [rows, ...siteDimensions(site, shape, keys)],
    bytes: STATE_BYTES[dtype] * rows * siteNumbers(site, shape, keys),
  }));
}

/** Of a whole file. @param keys tokens from a text's first up to the last that any row is of */
export function shardBytes(capture: Capture, rows: number, keys: number): number {
  const tensors = plannedTensors(capture, rows, keys);
  return tensors.reduce((sum, { bytes }) => sum + bytes, safetensorsPrefix(tensors, METADATA).length);
}

/** Other programs look for a format. */
const METADATA = { format: "pt" };
const PIECE = 1 << 20;
/** Rows that stand together and take as much are written from where they lie. */
const LARGE = 1 << 16;

/** @throws STORE_DISK_FULL, STORE_UNWRITABLE; a file that was there is then as it was */
export async function writeShard(path: string, capture: Capture, texts: readonly TextStates[]): Promise<WrittenShard> {
  const rows = texts.reduce((sum, { positions }) => sum + positions.length, 0);
  const keys = texts.reduce((most, { positions }) => Math.max(most, (positions.at(-1) ?? -1) + 1), 0);
  const hash = createHash("sha256");
  await writeWhole(path, hashed(pieces(capture, texts, rows, keys), hash));
  return { bytes: shardBytes(capture, rows, keys), sha256: hash.digest("hex") };
}

async function* hashed(all: Iterable<Uint8Array>, hash: Hash): AsyncGenerator<Uint8Array> {
  for (const piece of all) {
    hash.update(piece);
    yield piece;
  }
}

/** Each is there until the next one is asked for. */
function* pieces(capture: Capture, texts: readonly TextStates[], rows: number, keys: number): Generator<Uint8Array> {
  const { sites, shape, dtype } = capture;
  yield safetensorsPrefix(plannedTensors(capture, rows, keys), METADATA);
  const size = STATE_BYTES[dtype];
  let piece = Buffer.alloc(PIECE);
  let filled = 0;
  const begins = texts.map(() => 0);
  for (const site of sites) {
    const ownBytes = tokenBytes({ ...capture, sites: [site] });
    const width = size * siteNumbers(site, shape, keys);
    for (const [text, { positions, bytes }] of texts.entries()) {
      let at = begins[text] as number;
      const end = positions.reduce((sum, position) => sum + ownBytes(position), at);
      begins[text] = end;
      if (end - at === width * positions.length && end - at >= LARGE) {
        if (filled > 0) yield piece.subarray(0, filled);
        filled = 0;
        yield bytes.subarray(at, end);
        continue;
      }
      for (const position of positions) {
        const own = ownBytes(position);
        if (filled + width > piece.length) {
          yield piece.subarray(0, filled);
          if (width > piece.length) piece = Buffer.alloc(width);
          filled = 0;
        }
        // Each head's weights stand at the beginning of its place; what was there before goes.
        if (own !== width) piece.fill(0, filled, filled + width);
        const [heads, head] = own === width ? [1, own] : [shape.heads[site.layer] as number, size * (position + 1)];
        for (let one = 0; one < heads; one++) {
          const begin = at + one * head;
          piece.set(bytes.subarray(begin, begin + head), filled + (one * width) / heads);
        }
        filled += width;
        at += own;
      }
    }
  }
  yield piece.subarray(0, filled);
}
