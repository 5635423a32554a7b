// What a dry run learns of models that are, or are not, on this machine; nothing is fetched or made.
import { existsSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { locateModel } from "../../src/model/locate-model.js";
import { weightBytes } from "../../src/model/model-shape.js";
import { loadRegistry } from "../../src/model/registry.js";
import { resolveModel } from "../../src/model/resolve-model.js";
import { type TinyModel, writeTinyModel } from "../helpers/tiny-model.js";

const folder = mkdtempSync(join(tmpdir(), "inward-locate-"));
const env = { INWARD_MODELS: join(folder, "models"), HF_HOME: join(folder, "hf") };
let tiny: TinyModel;
beforeAll(async () => {
  tiny = await writeTinyModel(join(folder, "tiny.gguf"), { blocks: 4, encoding: "Q8_0" });
});

describe("a model that is not here", () => {
  it("of the registry has its shape, and sizes by its encoding that are no exact ones", async () => {
    const shape = loadRegistry().models.find(({ name }) => name === "llama-3.1-8b-instruct")?.shape;
    if (!shape) throw new Error("no shape");
    const located = await locateModel({ source: "llama-3.1-8b-instruct", encoding: "as_shipped" }, { env });
    expect(located).toEqual({
      source: "llama-3.1-8b-instruct",
      missing: "llama-3.1-8b-instruct is not on this machine",
      shape,
      weights: { bytes: weightBytes(shape, "q4_k_m"), exact: false },
      toDownload: weightBytes(shape, "q4_k_m"),
      toWrite: 0,
    });
    const copied = await locateModel({ source: "llama-3.1-8b-instruct", encoding: "f16", dropLayers: 0.25 }, { env });
    expect(copied.shape?.layers).toBe(24);
    expect(copied.weights).toEqual({ bytes: weightBytes({ ...shape, layers: 24 }, "f16"), exact: false });
  });

  it("of the default's has the recorded number of bytes", async () => {
    const located = await locateModel({ source: "smollm2-135m-instruct", encoding: "as_shipped" }, { env });
    expect(located).toMatchObject({ weights: { bytes: 98_362_432, exact: true }, toDownload: 98_362_432 });
  });

  it("of another origin has no sizes", async () => {
    const located = await locateModel({ source: "hf:someone/some-model-GGUF:Q8_0", encoding: "as_shipped" }, { env });
    expect(located).toEqual({
      source: "hf:someone/some-model-GGUF:Q8_0",
      missing: "hf:someone/some-model-GGUF:Q8_0 is not on this machine",
      toWrite: 0,
    });
  });
});

describe("a file that is here", () => {
  it("is what a run would find", async () => {
    const located = await locateModel({ source: tiny.path, encoding: "as_shipped" }, { env });
    expect(located.file).toEqual(await resolveModel(tiny.path, { encoding: "as_shipped", env }));
    expect(located).toMatchObject({ weights: { bytes: tiny.bytes, exact: true }, toWrite: 0, shape: { layers: 4 } });
  });

  it("tells of a copy that a run would make, and finds it once it is made", async () => {
    const model = { source: tiny.path, encoding: "f32" as const, dropLayers: 0.25 };
    const before = await locateModel(model, { env });
    expect(before.missing).toMatch(/without-layer-1-of-4\.gguf has not been made yet/);
    expect(before.weights?.exact).toBe(false);
    expect(before.toWrite).toBeGreaterThan(0);
    expect(before.file).toBeUndefined();
    expect(existsSync(before.missing?.split(" ")[0] ?? "")).toBe(false);
    const made = await resolveModel(model.source, { ...model, env });
    const after = await locateModel(model, { env });
    expect(after).toMatchObject({ file: made, weights: { bytes: made.bytes, exact: true }, toWrite: 0 });
    // Names, norms and a header beside the weights.
    expect(Math.abs((before.weights?.bytes ?? 0) / made.bytes - 1)).toBeLessThan(0.2);
  });
});
