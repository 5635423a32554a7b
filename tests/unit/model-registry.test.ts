// The shipped registry, and what a spoilt one is told.
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { identifyModel } from "../../src/model/model-file.js";
import { checkRegistry, loadRegistry } from "../../src/model/registry.js";

const shipped = loadRegistry();
const entry = () => structuredClone(shipped.models[0]) as Record<string, unknown>;
const PART = { package: "p", version: "1", member: "p/part1.bin", bytes: 1, sha256: "0".repeat(64) };
const registryWith = (...models: Record<string, unknown>[]) => ({
  registryVersion: 1,
  default: "smollm2-135m-instruct",
  models,
});

describe("the shipped registry", () => {
  it("has the default with the checksum of issue 3 and the Llama models by hf: URI", () => {
    expect(shipped.models.find((model) => model.name === shipped.default)).toMatchObject({
      bytes: 98_362_432,
      sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
      licence: "apache-2.0",
    });
    for (const name of ["llama-3.2-1b", "llama-3.2-3b", "llama-3.1-8b", "llama-3.3-70b"]) {
      const model = shipped.models.find((candidate) => candidate.name === `${name}-instruct`);
      expect(model?.sources[0]?.type, name).toBe("hf");
      expect(model?.licence).toBe(name.replace(/llama-(3\.\d).*/, "llama$1"));
    }
  });

  it("has the second models with their checksums: hub first, then parts that add up to the file", () => {
    for (const [name, parts] of [
      ["qwen2.5-coder-0.5b-instruct", 6],
      ["gemma-3-270m", 4],
    ] as const) {
      const model = shipped.models.find((candidate) => candidate.name === name);
      const [hub, packages] = model?.sources ?? [];
      if (hub?.type !== "hf" || packages?.type !== "python_packages") throw new Error(`${name} has other sources`);
      expect(packages.parts).toHaveLength(parts);
      expect(packages.parts.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(model?.bytes);
      expect(model?.sha256).toMatch(/^[0-9a-f]{64}$/);
    }
  });
});

describe("a spoilt registry", () => {
  it.each<[string, unknown, RegExp]>([
    ["no object", [], /top level/],
    ["unknown key", registryWith({ ...entry(), sha265: "x" }), /sha265/],
    ["short checksum", registryWith({ ...entry(), sha256: "abc" }), /models\.0\.sha256: must be 64/],
    ["negative size", registryWith({ ...entry(), bytes: -1 }), /models\.0\.bytes/],
    ["no source", registryWith({ ...entry(), sources: [] }), /models\.0\.sources/],
    ["source of unknown type", registryWith({ ...entry(), sources: [{ type: "ftp", url: "x" }] }), /sources\.0\.type/],
    [
      "an hf source without the scheme",
      registryWith({ ...entry(), sources: [{ type: "hf", uri: "user/repo" }] }),
      /hf:user\/repo/,
    ],
    [
      "a package version that is an option",
      registryWith({
        ...entry(),
        sources: [{ type: "python_package", package: "p", version: "-r", member: "m.gguf" }],
      }),
      /version/,
    ],
    [
      "one part alone",
      registryWith({ ...entry(), sources: [{ type: "python_packages", parts: [PART] }] }),
      /sources\.0\.parts/,
    ],
    [
      "a part without a checksum",
      registryWith({
        ...entry(),
        sources: [{ type: "python_packages", parts: [PART, { ...PART, sha256: undefined }] }],
      }),
      /parts\.1\.sha256/,
    ],
    ["a name twice", registryWith(entry(), entry()), /smollm2-135m-instruct stands twice/],
    ["a default that is not there", { ...registryWith(entry()), default: "other" }, /default other/],
  ])("%s", (_case, data, text) => {
    expect(() => checkRegistry(data)).toThrow(
      expect.objectContaining({ code: "MODEL_REGISTRY", message: expect.stringMatching(text) }),
    );
  });

  it("says so when it is no JSON, and when it is not there", () => {
    const path = join(mkdtempSync(join(tmpdir(), "inward-registry-")), "registry.json");
    expect(() => loadRegistry(path)).toThrow(expect.objectContaining({ code: "MODEL_REGISTRY" }));
    writeFileSync(path, "{ models: }");
    expect(() => loadRegistry(path)).toThrow(
      expect.objectContaining({ code: "MODEL_REGISTRY", message: expect.stringContaining("not JSON") }),
    );
  });
});

describe("what a study may call a model", () => {
  it.each([
    ["smollm2-135m-instruct", { kind: "managed", id: "smollm2-135m-instruct" }],
    ["hf:user/repo-GGUF:Q4_K_M", { kind: "managed", id: "hf__user__repo-GGUF__Q4_K_M", sha256: null }],
    ["hf:user/repo/sub/file.gguf#abc", { kind: "managed", id: "hf__user__repo__sub_file__abc" }],
    ["models/mine.gguf", { kind: "user_file", path: "models/mine.gguf" }],
    ["mine.GGUF", { kind: "user_file", path: "mine.GGUF" }],
  ])("%s", (source, identity) => {
    expect(identifyModel(source, shipped)).toMatchObject({ source, ...identity });
  });

  it.each(["smollm3", "hf:", "hf:user", "hf:user/repo/../../x.gguf"])("%s is nothing", (source) => {
    expect(() => identifyModel(source, shipped)).toThrow(expect.objectContaining({ code: "MODEL_NOT_FOUND" }));
  });
});

describe("a registry's text", () => {
  const read = (text: string) => {
    const path = join(mkdtempSync(join(tmpdir(), "inward-registry-")), "registry.json");
    writeFileSync(path, text);
    return () => loadRegistry(path);
  };
  const text = JSON.stringify(registryWith(entry()));

  it("with a key twice, NUL or nesting without end is refused with its place", () => {
    expect(read(text.replace('"licence":', '"licence":"mit","licence":'))).toThrow(
      /the key "licence" stands twice \(column/,
    );
    expect(read(text.replace("apache-2.0", "apache\\u0000"))).toThrow(/licence: holds a NUL/);
    expect(read("[".repeat(20_000) + "]".repeat(20_000))).toThrow(/nested more than 64 deep/);
    expect(read(text)()).toMatchObject({ default: "smollm2-135m-instruct" });
  });

  it.each([
    { type: "path", path: "../../etc/model.gguf" },
    { type: "path", path: "models\\..\\x.gguf" },
    { type: "path", path: "a\0b.gguf" },
    { type: "hf", uri: "hf:user/../x.gguf" },
    { type: "hf", uri: "hf:user/repo/a/../../x.gguf" },
    { type: "hf", uri: "hf:user/repo/x.gguf#../../main" },
    { type: "python_package", package: "p", version: "1", member: "../x.gguf" },
    { type: "python_packages", parts: [PART, { ...PART, member: "p/../../x.bin" }] },
  ])("with a source that leaves its folder or holds NUL is refused: %j", (source) => {
    expect(() => checkRegistry(registryWith({ ...entry(), sources: [source] }))).toThrow(
      expect.objectContaining({
        code: "MODEL_REGISTRY",
        message: expect.stringMatching(/must (not leave|hold no|look like)/),
      }),
    );
  });

  it("with words that a terminal would obey is refused", () => {
    expect(() => checkRegistry(registryWith({ ...entry(), summary: "a\u001b[2J" }))).toThrow(
      /models\.0\.summary: must hold no control/,
    );
  });
});
