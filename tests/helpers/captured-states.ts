/** States as the addon gives them, taken apart by item, token and site. */
import type { Engine, NativeWork } from "../../native/index.js";
import { captureOf, parseSites, siteName, siteNumbers, type StateShape } from "../../src/model/sites.js";
import { type Answered, answer, type Item, workOf } from "./native-engine.js";

export interface CapturedItem {
  readonly positions: number[];
  /** By site, [tokens][numbers]. */
  readonly sites: Readonly<Record<string, Float32Array[]>>;
}

export interface CapturedGroup {
  readonly answers: Answered[];
  readonly states: CapturedItem[];
  readonly evaluatedTokens: number;
}

/** All tokens of prompts and answers, or those of the prompts that `chosen` says. */
export function capture(
  engine: Engine,
  items: readonly Item[],
  shape: StateShape,
  sites: string,
  more: Partial<NativeWork> = {},
  chosen: (item: number, token: number, length: number) => boolean = () => true,
): CapturedGroup {
  const parsed = parseSites(sites, shape);
  engine.setCapture(captureOf(parsed, shape, "f32"));
  const all: CapturedItem[] = [];
  const watched = {
    begin: (work: NativeWork) => engine.begin(work),
    step: () => engine.step(),
    counts: () => engine.counts(),
    take: () => {
      const taken = engine.take();
      const states = taken.siteStates as Uint8Array;
      let [row, byte] = [0, 0];
      taken.items.forEach((item, at) => {
        const end = row + (taken.stateCounts[at] as number);
        const positions = Array.from(taken.statePositions.subarray(row, end));
        row = end;
        const found: Record<string, Float32Array[]> = Object.fromEntries(parsed.map((site) => [siteName(site), []]));
        for (const site of parsed) {
          for (const position of positions) {
            const bytes = 4 * siteNumbers(site, shape, position + 1);
            found[siteName(site)]?.push(new Float32Array(states.slice(byte, byte + bytes).buffer));
            byte += bytes;
          }
        }
        all[item] = { positions, sites: found };
      });
      if (byte !== states.length) throw new Error(`${states.length - byte} bytes are left over`);
      return taken;
    },
  };
  const work = workOf(items, {
    capture: Uint8Array.from(
      items.flatMap(({ ids }, item) => ids.map((_, at) => Number(chosen(item, at, ids.length)))),
    ),
    captureAnswers: new Uint8Array(items.length).fill(1),
    ...more,
  });
  const { answers, counts } = answer(watched as unknown as Engine, work);
  return { answers, states: all, evaluatedTokens: counts.evaluatedTokens };
}

/** The largest difference of any number of two captures, as a share of the root mean square of its tensor. */
export function statesApart(
  one: readonly CapturedItem[],
  other: readonly CapturedItem[],
): { worst: number; at: string } {
  let [worst, at] = [0, ""];
  one.forEach(({ positions, sites }, item) => {
    const theirs = other[item] as CapturedItem;
    if (String(positions) !== String(theirs.positions)) throw new Error(`item ${item} has other positions`);
    for (const [name, rows] of Object.entries(sites)) {
      rows.forEach((row, token) => {
        const their = theirs.sites[name]?.[token] as Float32Array;
        const size = Math.sqrt(row.reduce((sum, value) => sum + value * value, 0) / row.length);
        if (row.length !== their.length) throw new Error(`${name} has ${row.length} numbers and ${their.length}`);
        row.forEach((value, index) => {
          const apart = Math.abs(value - (their[index] as number)) / Math.max(size, 1e-3);
          if (apart <= worst) return;
          [worst, at] = [apart, `${name} of item ${item}, token ${token}, number ${index}`];
        });
      });
    }
  });
  return { worst, at };
}
