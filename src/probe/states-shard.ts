/** A safetensors file of states: one tensor a site, one row a token, in the order of the prompts and of their tokens. */

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

/** Of one text: its captured tokens, ascending, and of each all sites one after the other, as the addon gives them. */
export interface TextStates {
  readonly positions: readonly number[];
  readonly bytes: Uint8Array;
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
const PIECE = 1 << 22;

/** @returns bytes of the file @throws STORE_DISK_FULL, STORE_UNWRITABLE; a file that was there is then as it was */
export async function writeShard(path: string, capture: Capture, texts: readonly TextStates[]): Promise<number> {
  const rows = texts.reduce((sum, { positions }) => sum + positions.length, 0);
  const keys = texts.reduce((most, { positions }) => Math.max(most, (positions.at(-1) ?? -1) + 1), 0);
  await writeWhole(path, pieces(capture, texts, rows, keys));
  return shardBytes(capture, rows, keys);
}

/** Each is there until the next one is asked for. */
async function* pieces(
  capture: Capture,
  texts: readonly TextStates[],
  rows: number,
  keys: number,
): AsyncGenerator<Uint8Array> {
  const { sites, shape, dtype } = capture;
  yield safetensorsPrefix(plannedTensors(capture, rows, keys), METADATA);
  const size = STATE_BYTES[dtype];
  let piece = Buffer.alloc(PIECE);
  let filled = 0;
  for (const [index, site] of sites.entries()) {
    const of = (some: readonly Site[]) => tokenBytes({ ...capture, sites: some });
    const [before, ownBytes, after] = [of(sites.slice(0, index)), of([site]), of(sites.slice(index + 1))];
    const width = size * siteNumbers(site, shape, keys);
    for (const text of texts) {
      let at = 0;
      for (const position of text.positions) {
        at += before(position);
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
          piece.set(text.bytes.subarray(begin, begin + head), filled + (one * width) / heads);
        }
        filled += width;
        at += own + after(position);
      }
    }
  }
  yield piece.subarray(0, filled);
}
