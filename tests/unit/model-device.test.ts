// Devices: the probe runs apart, so that a crash, a hang or nonsense in native code is only a reason.
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { checkDevices, checkNode } from "../../src/cli/doctor.js";
import { type DeviceName, probeDevice, resolveDevice, tooOld } from "../../src/model/device.js";

function script(source: string): string {
  const path = join(mkdtempSync(join(tmpdir(), "inward-probe-")), "probe.mjs");
  writeFileSync(path, source);
  return path;
}

const found = (name: DeviceName) => ({
  name,
  available: true as const,
  deviceNames: name === "cpu" ? [] : ["Made-up GPU"],
  memory: { totalBytes: 8e9, freeBytes: 2e9 },
  llamaCpp: "v0",
  systemInfo: "",
});
const missing = (name: DeviceName) => ({ name, available: false as const, reason: "no driver" });

describe("probeDevice", () => {
  it.each<[string, string, RegExp]>([
    ["an abort", "process.stderr.write('ggml: out of luck\\n', () => process.abort());", /SIGABRT.*out of luck/],
    ["a failure", "throw new Error('no such symbol');", /exit code 1: Error: no such symbol/],
    ["nonsense", "console.log('{\"available\": maybe}');", /exit code 0/],
    ["a report on another device", `console.log('${JSON.stringify(missing("cpu"))}');`, /exit code 0/],
    ["a hang", "setInterval(() => {}, 1000);", /longer than 1\.5 s/],
  ])("%s is a reason", async (_case, source, reason) => {
    const report = await probeDevice("vulkan", { probeScript: script(source), timeoutMilliseconds: 1500 });
    expect(report).toMatchObject({ name: "vulkan", available: false, reason: expect.stringMatching(reason) });
  });

  it("reads the report among lines of others", async () => {
    const source = `console.log("ggml says hello"); console.log('${JSON.stringify(found("vulkan"))}'); console.log("bye");`;
    expect(await probeDevice("vulkan", { probeScript: script(source) })).toEqual(found("vulkan"));
  });
});

describe("resolveDevice", () => {
  it("takes the CPU without a probe", async () => {
    const device = await resolveDevice({ device: "cpu" }, { probeScript: "/nowhere" });
    expect(device).toMatchObject({ name: "cpu", deviceNames: [], llamaOptions: { gpu: false, build: "never" } });
  });

  it("takes a named device that is there", async () => {
    const probeScript = script(`console.log('${JSON.stringify(found("vulkan"))}');`);
    expect(await resolveDevice({ device: "vulkan" }, { probeScript })).toMatchObject({
      name: "vulkan",
      deviceNames: ["Made-up GPU"],
      llamaOptions: { gpu: "vulkan" },
    });
  });

  it("never falls back from a named device", async () => {
    const probeScript = script(`console.log('${JSON.stringify(missing("vulkan"))}');`);
    await expect(resolveDevice({ device: "vulkan" }, { probeScript })).rejects.toMatchObject({
      code: "ENGINE_UNAVAILABLE",
      message: expect.stringContaining("no driver"),
    });
    const foreign = process.platform === "darwin" ? "cuda" : "metal";
    await expect(resolveDevice({ device: foreign })).rejects.toMatchObject({ code: "ENGINE_UNAVAILABLE" });
  });
});

describe("CUDA cards that the prebuilt kernels are too new for", () => {
  const line = (number: number, card: string, version: string) =>
    `  Device ${number}: ${card}, compute capability ${version}, VMM: yes, VRAM: 16151 MiB\n`;

  it("are named, unless another one can compute", () => {
    expect(tooOld(line(0, "Tesla V100-SXM2-16GB", "7.0"))).toMatch(
      /Tesla V100-SXM2-16GB has compute capability 7\.0.*7\.5/,
    );
    expect(tooOld(line(0, "Tesla P100", "6.0") + line(1, "Tesla T4", "7.5"))).toBeUndefined();
    expect(tooOld(line(0, "NVIDIA B200", "10.0"))).toBeUndefined();
    expect(tooOld("")).toBeUndefined();
  });
});

describe("what the doctor makes of it", () => {
  it("a missing GPU is a note while something loads, and a failure when nothing does", () => {
    expect(checkDevices([missing("cuda"), found("cpu")]).map((finding) => finding.status)).toEqual(["note", "ok"]);
    expect(checkDevices([missing("cuda"), missing("cpu")]).map((finding) => finding.status)).toEqual([
      "failure",
      "failure",
    ]);
  });

  it.each([
    ["20.18.3", "failure"],
    ["20.19.0", "ok"],
    ["22.1.0", "ok"],
    ["18.20.0", "failure"],
  ])("Node %s: %s", (version, status) => {
    expect(checkNode(version).status).toBe(status);
  });
});
