/** What verify device says of measured operations: a distance beyond its tolerance, no number, and other bits the second time are mismatches. */
import { describe, expect, test } from "vitest";
import type { NativeOperationResult } from "../../native/index.js";
import { InwardError } from "../../src/errors.js";
import { type DeviceCheck, held, rowsOfPart } from "../../src/run/verify-device/check.js";
import { operationGroups, operationRow } from "../../src/run/verify-device/operations.js";

const found = (distance: number, other: Partial<NativeOperationResult> = {}): NativeOperationResult => ({
  supported: true,
  room: true,
  distance,
  seconds: 0.001,
  same: true,
  ...other,
});

const group = (mode: "exact" | "usual", what: string, device: "cpu" | "cuda" | "vulkan" = "cuda") => {
  const one = operationGroups(device, mode).find((each) => each.what.startsWith(what));
  if (!one) throw new Error(what);
  return one;
};

describe("a row of single operations", () => {
  const products = group("exact", "F32 products, by columns");
  const at = (columns: number, result: NativeOperationResult) =>
    products.cases.map((one) => (one.columns === columns ? result : found(1e-7)));

  test("is fine within the tolerances, and tells each", () => {
    const row = operationRow("exact", products, at(4, found(4e-4)));
    // On CUDA 4 to 16 columns take TensorFloat-32 whatever is set; no evaluation has so few.
    expect(row.verdict).toBe("ok");
    expect(row.found).toContain("4 0.00040");
  });

  test.each([
    ["one product is rounded where it must not be", at(17, found(4e-4)), "17 0.00040, allowed 0.000001"],
    ["a number is none", at(512, found(Number.NaN)), "512 NaN"],
    ["the same product gives other bits", at(3, found(1e-7, { same: false })), "twice other bits: 3"],
  ])("is a mismatch where %s", (_, results, words) => {
    const row = operationRow("exact", products, results);
    expect(row.verdict).toBe("mismatch");
    expect(row.found).toContain(words);
  });

  test("says what a device lacks and what has no room, and proves nothing by them", () => {
    const lacking = operationRow("exact", products, at(64, found(0, { supported: false })));
    expect([lacking.verdict, lacking.found]).toEqual(["ok", expect.stringContaining("64 the device lacks")]);
    const none = products.cases.map(() => found(0, { room: false }));
    expect(operationRow("exact", products, none)).toMatchObject({
      verdict: "note",
      found: expect.stringContaining("no room for 1"),
    });
  });

  test("sums beyond half precision are asked of CUDA and not of Vulkan's usual arithmetic", () => {
    const beyond = "products of F16 weights whose sums";
    const results = [found(Number.NaN)];
    expect(operationRow("usual", group("usual", beyond), results).verdict).toBe("mismatch");
    expect(operationRow("exact", group("exact", beyond, "vulkan"), results).verdict).toBe("mismatch");
    expect(operationRow("usual", group("usual", beyond, "vulkan"), results).verdict).toBe("note");
  });
});

test("no number is within any tolerance", () => {
  expect(held("x", Number.NaN, 1).verdict).toBe("mismatch");
  expect(held("x", 1, 1).verdict).toBe("ok");
});

describe("a process that dies on the device", () => {
  const crash = () => Promise.reject(new InwardError("ENGINE_CRASHED", "The worker is gone.\n  double free"));

  test("is a row, and the verification goes on", async () => {
    const checks: DeviceCheck[] = [held("before", 1, 1)];
    await rowsOfPart({ checks }, "asking, exact", crash);
    await rowsOfPart({ checks }, "asking", () => Promise.resolve([held("after", 1, 1)]));
    expect(checks.map(({ check, verdict }) => [check, verdict])).toEqual([
      ["before", "ok"],
      ["asking, exact: its process", "mismatch"],
      ["after", "ok"],
    ]);
    expect(checks[1]?.found).toBe("The worker is gone. double free");
  });

  test("ends it where the user stopped it, and so does every other error", async () => {
    const signal = AbortSignal.abort();
    const checks: DeviceCheck[] = [];
    await expect(rowsOfPart({ signal, checks }, "asking", crash)).rejects.toMatchObject({ code: "ENGINE_CRASHED" });
    const missing = () => Promise.reject(new InwardError("MODEL_NOT_FOUND", "no such model"));
    await expect(rowsOfPart({ checks }, "asking", missing)).rejects.toMatchObject({ code: "MODEL_NOT_FOUND" });
    await expect(rowsOfPart({ checks }, "asking", () => Promise.reject(new TypeError("ours")))).rejects.toThrow(
      TypeError,
    );
    expect(checks).toEqual([]);
  });
});
