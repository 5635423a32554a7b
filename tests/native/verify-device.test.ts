/** `inward verify device` as a user meets it, with the processor as device; its Vulkan run is in docs/gpu.md. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadAddon } from "../../src/model/native/addon.js";
import { inward } from "../helpers/command-line.js";
import { binariesFolder } from "../helpers/native-trainer.js";
import { writeTinyModel } from "../helpers/tiny-model.js";

let folder: string;
let model: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "inward-verify-device-"));
  model = (await writeTinyModel(join(folder, "tiny.gguf"), { contextLength: 4096 })).path;
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Row {
  readonly check: string;
  readonly verdict: string;
  readonly value?: number;
  readonly found: string;
}

async function verify(name: string, more: readonly string[], env: NodeJS.ProcessEnv = {}) {
  const out = join(folder, `${name}.json`);
  const { code, stdout, stderr } = await inward(
    ["verify", "device", "--model", model, "--device", "cpu", "--threads", "1", ...more, "--out", out],
    { env: { INWARD_MODELS: join(folder, "models"), ...env } },
  );
  expect(stderr).not.toMatch(/INTERNAL|ENGINE_|TRAIN_/);
  const result = JSON.parse(readFileSync(out, "utf8"));
  const rows: readonly Row[] = result.checks;
  const named = (part: string) => rows.find(({ check }) => check.includes(part)) as Row;
  return { code, stdout, result, named, wrong: rows.filter(({ verdict }) => verdict === "mismatch") };
}

test("the processor computes what it computes: every check, a table, a file", async () => {
  const { code, stdout, result, named, wrong } = await verify("sound", ["--questions", "6"]);
  expect(wrong).toEqual([]);
  expect(code).toBe(0);
  expect(stdout).toContain("The device computes what the processor computes.");
  // F32 weights: the same products, in ggml's kernels or our own.
  expect(named("exact: gradient of the worst tensor").value).toBeLessThan(2e-5);
  expect(named("exact: 10 times the same bits").found).toBe("1 different");
  expect(named("killed after 10 steps").verdict).toBe("ok");
  expect(named("peak memory").verdict).toBe("ok");
  expect(named("what does not fit").found).toContain("TRAIN_MEMORY");
  expect(named("in the trainer and in the engine").value).toBeLessThan(1e-3);
  expect(named("floor at 1 to 64 rows").verdict).toBe("ok");
  expect(named("invariant: the same bits").verdict).toBe("ok");
  // Each of what a GPU is asked for, singly; AdamW at as many parameters as there is time for.
  expect(result.operations.length).toBeGreaterThan(60);
  expect(named("AdamW at").found).toContain("more take longer than 1 s");
  expect(result.environment.exact.NVIDIA_TF32_OVERRIDE).toBe("0");
}, 240_000);

/**
 * What the addon asks of ggml to have its own kernels in a graph, with a hundredth too much in the first of each row that a projection
 * gives: the loader takes it before ggml's.
 */
const FAULTY_NODES = `
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
struct tensor { int type; void *buffer; int64_t ne[4]; size_t nb[4]; };
typedef void (*op)(struct tensor *, int, int, void *);
struct faulty { op real; void *data; };
static float *(*data_of)(const struct tensor *);
static const char *(*name_of)(const struct tensor *);
static void compute(struct tensor *t, int ith, int nth, void *data) {
  struct faulty *own = data;
  own->real(t, ith, nth, own->data);
  if (strncmp(name_of(t), "linear ", 7)) return;
  for (int64_t row = 0; row < t->ne[1]; row++) data_of(t)[row * t->nb[1] / 4] *= 1.01f;
}
typedef struct tensor *(*maker)(void *, int, int64_t, int64_t, int64_t, int64_t, struct tensor **, int, op, int, void *);
struct tensor *ggml_custom_4d(void *ctx, int type, int64_t a, int64_t b, int64_t c, int64_t d, struct tensor **args, int count, op fun,
                              int tasks, void *data) {
  void *base = dlopen(BASE, RTLD_NOW | RTLD_NOLOAD);
  data_of = (float *(*)(const struct tensor *)) dlsym(base, "ggml_get_data_f32");
  name_of = (const char *(*)(const struct tensor *)) dlsym(base, "ggml_get_name");
  struct faulty *own = malloc(sizeof *own);
  own->real = fun;
  own->data = data;
  return ((maker) dlsym(base, "ggml_custom_4d"))(ctx, type, a, b, c, d, args, count, compute, tasks, own);
}
`;
const canPlant = process.platform === "linux" && spawnSync("cc", ["--version"]).status === 0;

test.runIf(canPlant)(
  "a product that is a little wrong is found, and the command ends with 4",
  async () => {
    const [source, library] = [join(folder, "faulty.c"), join(folder, "libfaulty.so")];
    writeFileSync(source, FAULTY_NODES);
    const base = join(binariesFolder("cpu"), "libggml-base.so");
    expect(spawnSync("cc", ["-shared", "-fPIC", `-DBASE="${base}"`, "-o", library, source, "-ldl"]).status).toBe(0);
    const { code, stdout, named, wrong } = await verify("faulty", ["--only", "training"], { LD_PRELOAD: library });
    expect(code).toBe(4);
    expect(stdout).toContain("THE DEVICE DOES NOT COMPUTE WHAT THE PROCESSOR COMPUTES.");
    expect(named("exact: gradient of the worst tensor").verdict).toBe("mismatch");
    expect(named("exact: logits").verdict).toBe("mismatch");
    // What knows nothing of those kernels is sound still.
    expect(wrong.every(({ check }) => check.startsWith("training"))).toBe(true);
    expect(named("asking").found).toContain("not tried");
  },
  240_000,
);

describe("single operations", () => {
  const compute = async (one: object) => {
    const folder = binariesFolder("cpu");
    const { computeOperations } = await loadAddon(folder);
    return computeOperations({ binariesFolder: folder, device: "cpu", threads: 1, cases: [one as never] });
  };

  test("what a kernel rounds is seen: activations in 8 bits, beside the same weights as floats", async () => {
    const { results } = await compute({ operation: "mul_mat", type: "q8_0", inner: 512, outer: 96, columns: 16 });
    expect(results[0]?.distance).toBeGreaterThan(1e-3);
    expect(results[0]?.distance).toBeLessThan(2e-2);
  });

  test.each([
    [{ operation: "softmax", inner: 4 }, /no operation softmax/],
    [{ operation: "mul_mat", type: "q4_K", inner: 64 }, /rows of 64 cannot be q4_K/],
    [{ operation: "mul_mat", type: "q3", inner: 64 }, /no type of weights q3/],
    [{ operation: "rms_norm", inner: 0 }, /empty operand/],
  ])("%o is refused", async (one, words) => {
    await expect(compute(one)).rejects.toThrow(words);
  });
});
