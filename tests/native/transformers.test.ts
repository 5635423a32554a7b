/**
 * Every architecture that can be trained against transformers and PEFT, whose logprobs validation/compare-architectures.mjs has kept:
 * the files that they read are written again here, to the byte, and what they made of them is what is made of them here.
 */
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { answer, openEngine, workOf } from "../helpers/native-engine.js";
import { writeReferenceAdapter } from "../helpers/reference/write-adapter.js";
import { TINY_ARCHITECTURES } from "../helpers/tiny-architectures.js";
import {
  ALPHA,
  KEPT_IDS,
  keptLogprobs,
  TOKEN_IDS,
  type TransformersCase,
  writeTransformersCase,
} from "../helpers/transformers-cases.js";

interface Kept {
  readonly architecture: string;
  readonly modelSha256: string;
  readonly adapterSha256: string;
  /** [tokens][kept ids], nats */
  readonly base: readonly (readonly number[])[];
  readonly adapted: readonly (readonly number[])[];
}

const kept: { readonly cases: readonly Kept[] } = JSON.parse(
  readFileSync(new URL("../fixtures/transformers/logprobs.json", import.meta.url), "utf8"),
);
const folder = mkdtempSync(join(tmpdir(), "inward-transformers-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** transformers' sums are single precision's: up to 1.5e-5 was seen. An adapter moves these logprobs by 2 to 9 nats. */
const TOLERANCE_NATS = 1e-4;
/** Our own forward pass rounds what goes into GELU to halves, as llama.cpp does: up to 6e-3 from exact GELU was seen. */
const HALVES_NATS = 2e-2;

test("each architecture was compared", () => {
  expect(kept.cases.map(({ architecture }) => architecture)).toEqual(TINY_ARCHITECTURES);
});

describe.each(kept.cases)("$architecture", ({ architecture, modelSha256, adapterSha256, base, adapted }) => {
  const made = writeTransformersCase(folder, architecture);

  test("the model and the exported adapter are those that transformers and PEFT have read", async () => {
    const found = await made;
    expect(found.modelSha256).toBe(modelSha256);
    expect(sha256(join(found.peft, "adapter_model.safetensors"))).toBe(adapterSha256);
  });

  test("the float64 reference gives their logprobs, without and with the adapter", async () => {
    const { model, adapter } = await made;
    expect(furthest(keptLogprobs(model), base)).toBeLessThan(TOLERANCE_NATS);
    expect(furthest(keptLogprobs(model, adapter), adapted)).toBeLessThan(TOLERANCE_NATS);
    expect(furthest(base, adapted)).toBeGreaterThan(1);
  });

  test("so does our own forward pass", async () => {
    const tolerance = architecture.startsWith("gemma") ? HALVES_NATS : TOLERANCE_NATS;
    const found = await made;
    expect(await ownDifference(found, base)).toBeLessThan(tolerance);
    const path = join(folder, `${architecture}-adapter.gguf`);
    await writeReferenceAdapter(path, found.adapter, ALPHA, architecture);
    expect(await ownDifference(found, adapted, path)).toBeLessThan(tolerance);
  });
});

/** Of what follows each beginning of the prompt. */
async function ownDifference(
  { modelPath }: TransformersCase,
  expected: readonly (readonly number[])[],
  adapter?: string,
): Promise<number> {
  const engine = await openEngine(modelPath, { forward: "own" });
  try {
    if (adapter !== undefined) engine.setAdapters([{ path: adapter, scale: 1 }]);
    const items = TOKEN_IDS.map((_, at) => ({ ids: TOKEN_IDS.slice(0, at + 1) }));
    const { answers } = answer(engine, workOf(items, { readIds: Int32Array.from(KEPT_IDS) }));
    return furthest(
      answers.map(({ readLogprobs }) => readLogprobs),
      expected,
    );
  } finally {
    engine.dispose();
  }
}

function furthest(x: readonly (readonly number[])[], y: readonly (readonly number[])[]): number {
  expect(x.map((row) => row.length)).toEqual(y.map((row) => row.length));
  return Math.max(...x.flatMap((row, at) => row.map((value, id) => Math.abs(value - (y[at]?.[id] as number)))));
}

function sha256(path: string): string {
  return createHash("sha256").update(readFileSync(path)).digest("hex");
}
