/** Proof 5: thousands of items in one call, and many loads, leave no memory behind. */
import { mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { answer, type Item, openEngine, workOf } from "../helpers/native-engine.js";
import { writeTinyModel } from "../helpers/tiny-model.js";

const path = join(mkdtempSync(join(tmpdir(), "inward-engine-load-")), "tiny.gguf");
beforeAll(() => writeTinyModel(path));

const items = (count: number): Item[] =>
  Array.from({ length: count }, (_, index) => ({
    ids: [5, 6, 7, 60 + (index % 40), 60 + (Math.floor(index / 40) % 50), 61],
    maxTokens: 3,
  }));

/** Of the whole process, as the system counts it. */
function residentBytes(): number {
  globalThis.gc?.();
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1]) * 1024;
}

test.runIf(process.platform === "linux")(
  "2,000 items in one call need no more than 200 do: within 8 MB while they run",
  async () => {
    const engine = await openEngine(path, { sequences: 8 });
    answer(engine, workOf(items(200)));
    const before = residentBytes();
    engine.begin(workOf(items(2000)));
    let most = 0;
    let finished = 0;
    for (let goesOn = true; goesOn; ) {
      goesOn = engine.step();
      finished += engine.take().items.length;
      most = Math.max(most, residentBytes() - before);
    }
    expect(finished).toBe(2000);
    expect(engine.counts().mostSequences).toBe(8);
    expect(most).toBeLessThan(8e6);
    engine.dispose();
  },
);

test.runIf(process.platform === "linux")("20 loads and unloads after the first 5: within 4 MB", async () => {
  const load = async () => {
    const engine = await openEngine(path);
    expect(answer(engine, workOf(items(10))).answers).toHaveLength(10);
    engine.dispose();
  };
  for (let time = 0; time < 5; time++) await load();
  const before = residentBytes();
  for (let time = 0; time < 20; time++) await load();
  expect(residentBytes() - before).toBeLessThan(4e6);
});
