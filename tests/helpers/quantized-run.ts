/** A benchmark of quantized files as its results stand in a folder, with a planted front: made-up figures, of which it is known which file beats which. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type MeasuredFigure, type QuantizeRow, unmeasured } from "../../src/quantize/quantize-results.js";

type Divergence = Extract<QuantizeRow["text"], { ok: true }>["value"];

/** Name, what evaluates it, megabytes, mean divergence. `dear` is beaten by `q8`; the graph is as small as `q4` and worse. */
const FILES = [
  ["source", "inward", 540, 0],
  ["q8", "inward", 145, 0.001],
  ["dear", "inward", 200, 0.002],
  ["q4", "inward", 90, 0.05],
  ["<b>int8</b>", "onnxruntime", 90, 0.09],
] as const;

export async function quantizedRun(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  const none = unmeasured("it was not asked for");
  const rows = FILES.map(([name, engine, megabytes, nats]): QuantizeRow => {
    const near = (value: number) =>
      ({ ok: true, value, low: value * 0.9, high: value * 1.1, n: 1000, clusters: 10 }) as const;
    const text: MeasuredFigure<Divergence> = {
      ok: true,
      value: { kl: { mean: near(nats) }, sameTop: near(1 - nats), logRatio: near(nats / 2) } as unknown as Divergence,
    };
    return {
      variant: {
        ...{ name, engine, kind: name === "source" ? "source" : "made", path: `/${name}`, sha256: name },
        ...{ bytes: megabytes * 1e6, parameters: 135e6, bitsPerWeight: (megabytes * 8) / 135, weights: {} },
      },
      ...{ text, answers: none, steps: none, base: none, flips: none, again: none, distances: none },
      ...{ textFloor: none, answersFloor: none, self: none, calibration: none, speed: none, llamaSpeed: none },
      ...(engine === "inward" ? {} : { arithmetic: "int8 matrices, floats between" }),
    };
  });
  const plan = {
    quantizeVersion: 1,
    inward: "0.1.0",
    benchmark: { benchmark: "planted-front", source: { source: "m" } },
  };
  await writeFile(join(folder, "01-plan.json"), JSON.stringify(plan));
  await writeFile(
    join(folder, "05-results.json"),
    JSON.stringify({ resultsVersion: 1, rows, adapters: none, notes: ["a note"] }),
  );
}
