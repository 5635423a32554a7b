/** engine.invariant: every number of an item has the same bits, whoever is asked with it, in whichever order. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import type { Engine, NativeEngineOptions } from "../../native/index.js";
import { ask, different, furthest, items } from "../helpers/invariant-items.js";
import { openEngine } from "../helpers/native-engine.js";
import { type TinyEncoding, writeTinyModel } from "../helpers/tiny-model.js";

const folder = mkdtempSync(join(tmpdir(), "inward-invariant-"));
const opened: Engine[] = [];
afterAll(() => {
  for (const engine of opened) engine.dispose();
});

async function open(path: string, options: Partial<NativeEngineOptions> = {}): Promise<Engine> {
  const engine = await openEngine(path, { invariant: true, ...options });
  opened.push(engine);
  return engine;
}

const ALL = items.map((_, index) => index);
const SOME = [13, 3, 17, 8, 0];

describe.each<TinyEncoding>(["F32", "Q4_K"])("%s on the CPU", (encoding) => {
  test("together, in another order, few, and alone", async () => {
    const path = join(folder, `${encoding}.gguf`);
    await writeTinyModel(path, { seed: 5, encoding, width: 256, feedForward: 256, blocks: 1, contextLength: 1024 });
    const engine = await open(path);
    const together = ask(engine, ALL);
    expect(different(together, ask(engine, [...ALL].reverse()))).toEqual([]);
    expect(different(together, ask(engine, SOME))).toEqual([]);
    expect(different(together, ask(engine, ALL, 2))).toEqual([]);
    for (const index of SOME) expect(different(together, ask(engine, [index]))).toEqual([]);
    // The same model, asked as ever: sums in another order, of a quantized file of activations rounded to 8 bits.
    const strict = ask(await open(path, { invariant: false, strict: true }), ALL);
    expect(furthest(strict, together)).toBeLessThan(encoding === "F32" ? 2e-5 : 0.3);
  });
});
