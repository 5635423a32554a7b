/** What inward itself has written, changed on the disk: refused, or gone on with to the same bytes. */
import { createHash } from "node:crypto";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { canonicalJson } from "../../src/base/files.js";
import { readSafetensors, writeSafetensors } from "../../src/finetune/adapter/safetensors.js";
import {
  readCheckpoint,
  requireReachable,
  requireSameRun,
  type TrainingIdentity,
  writeCheckpoint,
} from "../../src/finetune/checkpoint.js";
import { parsePrompts } from "../../src/run/prompt-lines.js";
import { captureStates } from "../../src/run/states-file.js";
import { ENGINES } from "../helpers/engines.js";
import { writeTinyModel } from "../helpers/tiny-model.js";
import { changeBytes, changeStructure, changeText, type Dice, fuzz } from "./mutations.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "inward-fuzz-saved-"));
  vi.stubEnv("INWARD_MODELS", join(folder, "models"));
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true });
});

const ODD_FLOATS = [Number.NaN, Number.POSITIVE_INFINITY, -1, 0, 1e30];

/** With a header of another structure, or of other numbers, and the checksum that belongs to it. */
function forged(whole: Buffer, dice: Dice): Buffer {
  const length = whole.readUInt32LE(8);
  const header = JSON.parse(whole.toString("utf8", 16, 16 + length)) as unknown;
  const changed = Buffer.from(JSON.stringify(changeStructure(header, dice)));
  const preamble = Buffer.from(whole.subarray(0, 16));
  preamble.writeUInt32LE(changed.length, 8);
  const state = Buffer.from(whole.subarray(16 + length, -32));
  if (dice.once(4)) state.writeFloatLE(dice.of(ODD_FLOATS), 4 * dice.below(state.length / 4));
  const content = Buffer.concat([preamble, changed, state]);
  return Buffer.concat([content, createHash("sha256").update(content).digest()]);
}

test("a checkpoint", async () => {
  const identity = {
    settings: { lora: { rank: 4 }, seed: 1 },
    data: "d",
    base: "b",
    device: "cpu",
    threads: 2,
    llamaCpp: "x",
  };
  const losses = [1, 2].map((step) => ({
    step,
    epoch: 1,
    lossNatsPerToken: 1,
    answerTokens: 9,
    learningRate: 1e-3,
    gradientNorm: 1,
  }));
  const state = {
    parameters: Float32Array.of(1, 2, 3),
    firstMoments: Float32Array.of(0, 1, 0),
    secondMoments: Float32Array.of(0, 1, 2),
  };
  const saved = {
    identity: identity as unknown as TrainingIdentity,
    step: 2,
    losses,
    validation: [],
    kernels: { a: "b" },
    state,
  };
  await writeCheckpoint(join(folder, "good"), saved);
  const whole = await readFile(join(folder, "good", "checkpoint.bin"));
  const tally = await fuzz(
    "checkpoint",
    (dice, at) => {
      const isForged = dice.once(2);
      const bytes = isForged
        ? forged(whole, dice)
        : dice.once(4)
          ? whole.subarray(0, dice.below(whole.length))
          : changeBytes(whole, dice);
      const path = join(folder, `c${at}`);
      const result = async () => {
        await mkdir(path);
        await writeFile(join(path, "checkpoint.bin"), bytes);
        const read = await readCheckpoint(path);
        if (!read) throw new Error("there is one");
        requireReachable(path, read, 3);
        requireSameRun(path, read.identity, saved.identity);
        return { read, isSame: bytes.equals(whole), isForged };
      };
      return { input: () => bytes.toString("hex"), result: result() };
    },
    ({ read, isSame, isForged }) => {
      // A checksum that was made anew vouches for what it says; without one nothing is taken that was not written.
      if (!isForged) expect(isSame).toBe(true);
      expect(canonicalJson(read.identity)).toBe(canonicalJson(identity));
      expect(read.losses.map(({ step }) => step)).toEqual(read.losses.map((_, at) => at + 1));
      expect(Object.values(read.state).every((values) => values.every(Number.isFinite))).toBe(true);
    },
  );
  expect(Math.min(tally.accepted, tally.refused)).toBeGreaterThan(5);
});

test("safetensors", async () => {
  const path = join(folder, "good.safetensors");
  const values = (count: number) => Float32Array.from({ length: count }, (_, at) => at / 4);
  await writeSafetensors(
    path,
    new Map([
      ["a", { shape: [2, 3], values: values(6) }],
      ["b", { shape: [], values: values(1) }],
      ["c", { shape: [0], values: values(0) }],
    ]),
  );
  const whole = await readFile(path);
  const tally = await fuzz(
    "safetensors",
    (dice, at) => {
      const length = Number(whole.readBigUInt64LE());
      const said = whole.toString("utf8", 8, 8 + length);
      const header = dice.once(2) ? changeText(said, dice) : JSON.stringify(changeStructure(JSON.parse(said), dice));
      const own = Buffer.from(header);
      const prefix = Buffer.alloc(8);
      prefix.writeBigUInt64LE(BigInt(own.length));
      const rebuilt = Buffer.concat([prefix, own, whole.subarray(8 + length)]);
      const bytes = dice.once(4)
        ? whole.subarray(0, dice.below(whole.length))
        : dice.once(3)
          ? changeBytes(whole, dice)
          : rebuilt;
      const changed = join(folder, `s${at}.safetensors`);
      const result = async () => {
        await writeFile(changed, bytes);
        return { read: await readSafetensors(changed), bytes };
      };
      return { input: () => bytes.toString("latin1"), result: result() };
    },
    ({ read, bytes }) => {
      const length = Number(bytes.readBigUInt64LE());
      const header = JSON.parse(bytes.toString("utf8", 8, 8 + length)) as Record<
        string,
        { dtype: string; shape: number[]; data_offsets: [number, number] }
      >;
      const names = Object.keys(header).filter((name) => name !== "__metadata__");
      expect([...read.keys()].sort()).toEqual(names.sort());
      let covered = 0;
      for (const [name, { shape, values }] of read) {
        const {
          dtype,
          shape: said,
          data_offsets: [begin, end],
        } = header[name] as (typeof header)[string];
        expect(shape).toEqual(said);
        expect(values).toHaveLength(said.reduce((product, one) => product * one, 1));
        covered += end - begin;
        if (dtype !== "F32") continue;
        expect([...values]).toEqual(Array.from(values, (_, at) => bytes.readFloatLE(8 + length + begin + 4 * at)));
      }
      expect(covered).toBe(bytes.length - 8 - length);
    },
  );
  expect(Math.min(tally.accepted, tally.refused)).toBeGreaterThan(5);
});

test.runIf(ENGINES.includes("native"))("a folder of states", async () => {
  const model = join(folder, "tiny.gguf");
  await writeTinyModel(model, { seed: 5, blocks: 1 });
  const lines = ["river", "stone", "cloud ember", "falcon"].map((prompt) => JSON.stringify({ prompt }));
  const prompts = parsePrompts(Buffer.from(lines.join("\n")), "prompts.jsonl");
  const capture = (out: string) =>
    captureStates(prompts, model, { out, shardBytes: 1500, sites: "residual", engine: { device: "cpu", threads: 1 } });
  const whole = join(folder, "states");
  await capture(whole);
  const filesOf = async (of: string) => {
    const names = (await readdir(of)).sort();
    const read = async (name: string) => {
      const bytes = await readFile(join(of, name));
      // Blanks between its words say nothing, and are left where nothing is written anew.
      return name === "states.json" ? JSON.stringify(JSON.parse(bytes.toString())) : bytes.toString("base64");
    };
    return Promise.all(names.map(async (name) => [name, await read(name)] as const));
  };
  const before = await filesOf(whole);
  expect(before.length).toBeGreaterThan(4);
  await fuzz(
    "states",
    (dice, at) => {
      const path = join(folder, `states-${at}`);
      const name = before[at % before.length]?.[0] ?? "";
      const result = async () => {
        await cp(whole, path, { recursive: true });
        const bytes = await readFile(join(path, name));
        const text = bytes.toString();
        const kind = at % 4;
        const changed =
          kind === 0
            ? bytes.subarray(0, dice.below(bytes.length))
            : kind === 1 && name === "states.json"
              ? JSON.stringify(changeStructure(JSON.parse(text), dice), null, 2)
              : kind === 1 && name.endsWith(".jsonl")
                ? text.replace(/\d/, (digit) => String((Number(digit) + 1) % 10))
                : changeBytes(bytes, dice);
        if (kind === 2) await rm(join(path, name));
        else await writeFile(join(path, name), changed);
        await capture(path);
        return path;
      };
      return { input: () => `${path} ${name}`, result: result() };
    },
    async (path) => {
      expect(await filesOf(path)).toEqual(before);
      await rm(path, { recursive: true });
    },
    5,
  );
});
