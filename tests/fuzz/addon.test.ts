/**
 * The addon's functions with arguments that nobody of ours sends: never a crash, an error or a result each, and an engine, a trainer and rows that
 * are open answer afterwards as ever.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Engine, LogitRows, NativeEngineOptions, NativeTrainerOptions, Trainer } from "../../native/index.js";
import { InwardError } from "../../src/errors.js";
import { findAddon, findBinaries, loadAddon } from "../../src/model/native/addon.js";
import { LORA_TARGETS } from "../../src/study/schema.js";
import { openEngine, workOf } from "../helpers/native-engine.js";
import { openTrainer, sideBySide } from "../helpers/native-trainer.js";
import { writeTinyModel } from "../helpers/tiny-model.js";
import { workIn } from "../helpers/work-in.js";
import { type Dice, fuzz, note } from "./mutations.js";

const isBuilt = await findAddon().then(
  () => true,
  () => false,
);

type Addon = Awaited<ReturnType<typeof loadAddon>>;
/** Takes its time where something is large: what is not refused is computed. */
const MOST_STEPS = 300;

let folder: string;
let addon: Addon;
let engine: Engine;
let trainer: Trainer;
let rows: LogitRows;
let modelPath: string;
let binariesFolder: string;

const WORK = workOf([
  { ids: [5, 6, 7, 8], maxTokens: 3, scoreFrom: 2 },
  { ids: [5, 6, 9], maxTokens: 2 },
]);
const BATCH = sideBySide([
  { tokenIds: [5, 6, 7, 8], answerStart: 2 },
  { tokenIds: [5, 9, 4], answerStart: 1 },
]);
const ADAMW = {
  learningRate: 1e-3,
  weightDecay: 0,
  beta1: 0.9,
  beta2: 0.99,
  epsilon: 1e-8,
  step: 1,
  gradientScale: 1,
  maxGradientNorm: 1,
};

const engineOptions = (): NativeEngineOptions => ({
  modelPath,
  binariesFolder,
  device: "cpu",
  threads: 1,
  sequences: 2,
  batchTokens: 64,
  mostCells: 0,
  strict: false,
  cacheType: "f32",
  deviceLayers: [],
  forward: "own",
  architecture: "llama",
});
const trainerOptions = (): NativeTrainerOptions => ({
  modelPath,
  binariesFolder,
  device: "cpu",
  threads: 1,
  rank: 2,
  alpha: 4,
  dropout: 0,
  targets: LORA_TARGETS,
  activationCheckpointing: false,
  maxMicrobatchTokens: 32,
  maxLossRows: 32,
  kernels: {},
});
const INTERVENTIONS = {
  modelLayers: 2,
  values: new Float32Array(64).fill(0.01),
  parts: Int32Array.of(0),
  layers: Int32Array.of(1),
  widths: Int32Array.of(64),
  operations: Int32Array.of(1),
  factors: Float32Array.of(1),
  vectorStarts: Int32Array.of(0, 1),
  vectors: Int32Array.of(0),
  headWidth: 16,
  headStarts: Int32Array.of(0, 0),
  heads: new Int32Array(0),
  setStarts: Int32Array.of(0, 1),
  sets: Int32Array.of(0),
  tokenSets: Int32Array.of(0, -1, 0, -1, 0, -1, -1),
  answerSets: Int32Array.of(-1, 0),
};
const CAPTURE = {
  parts: Int32Array.of(0),
  layers: Int32Array.of(1),
  widths: Int32Array.of(64),
  modelLayers: 2,
  dtype: "f32",
};

const NUMBERS = [
  0,
  -0,
  1,
  -1,
  2,
  7,
  0.5,
  255,
  65_536,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32,
  2 ** 33 + 5,
  2 ** 53,
  -(2 ** 31),
  -(2 ** 53),
].concat([1e300, -1e300, 1e-300, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]);
const TYPED = [Int8Array, Uint8Array, Int16Array, Int32Array, Uint32Array, Float32Array, Float64Array, BigInt64Array];

/** Whose parts cannot be looked at here either. */
const CLOSED = new WeakMap<object, string>();

function detached(): Int32Array {
  const one = Int32Array.of(1, 2, 3);
  structuredClone(one.buffer, { transfer: [one.buffer] });
  CLOSED.set(one, "(detached)");
  return one;
}

function throwing(): object {
  const get = () => {
    throw new Error("not to be read");
  };
  const one = new Proxy({}, { get });
  CLOSED.set(one, "(throws)");
  return one;
}

const closed = (value: unknown) => (typeof value === "object" && value !== null ? CLOSED.get(value) : undefined);

const ODD: readonly (() => unknown)[] = [
  () => undefined,
  () => null,
  () => true,
  () => "",
  () => "cpu",
  () => "x".repeat(70_000),
  () => "a\0b\ud800",
  () => "/nowhere/at/all",
  () => ({}),
  () => [],
  () => [null],
  () => [[]],
  () => Symbol("x"),
  () => 5n,
  () => () => 1,
  throwing,
  detached,
  () => new Int32Array(new SharedArrayBuffer(16)),
  () => new DataView(new ArrayBuffer(8)),
  () => new ArrayBuffer(8),
  () => new Int32Array(0),
  () => new Float32Array(3),
  () => rows,
  () => engine,
  () => trainer,
];

const isTyped = (value: unknown): value is Int32Array => ArrayBuffer.isView(value) && !(value instanceof DataView);

/** The same with one thing in it, or itself, another. */
function hostile(value: unknown, dice: Dice): unknown {
  // Arrays of big integers are no array that the addon takes, and take no number.
  if (dice.once(6) || closed(value) !== undefined || value instanceof BigInt64Array) return dice.of(ODD)();
  if (isTyped(value)) return hostileArray(value, dice);
  if (typeof value === "number") return dice.of(NUMBERS);
  if (typeof value === "string")
    return dice.of(["", `${value}x`, value.toUpperCase(), "f16", "own", value.slice(0, 100).repeat(200), "\0"]);
  if (Array.isArray(value)) {
    if (value.length === 0 || dice.once(4)) return [...value, dice.of(ODD)()];
    const at = dice.below(value.length);
    return value.map((one, index) => (index === at ? hostile(one, dice) : one));
  }
  if (value === null || typeof value !== "object") return dice.of(ODD)();
  const key = dice.of(Object.keys(value).concat("rows"));
  const { [key]: own, ...rest } = value as Record<string, unknown>;
  return dice.once(8) ? rest : { ...rest, [key]: hostile(own, dice) };
}

function hostileArray(value: Int32Array, dice: Dice): unknown {
  const make = (length: number) => new (value.constructor as Int32ArrayConstructor)(length);
  switch (dice.below(4)) {
    case 0: {
      const other = make(dice.of([0, value.length + 1, Math.max(0, value.length - 1), 3 * value.length]));
      other.set(value.subarray(0, other.length));
      return other;
    }
    case 1: {
      const Other = dice.of(TYPED);
      return Other === BigInt64Array ? new BigInt64Array(value.length) : new (Other as Int32ArrayConstructor)(value);
    }
    default: {
      const other = value.slice();
      if (other.length > 0) other[dice.below(other.length)] = dice.of(NUMBERS);
      return other;
    }
  }
}

/** One to three changes of a call's arguments. */
function mangled(args: readonly unknown[], dice: Dice): unknown[] {
  let result: unknown = dice.once(12) ? args.slice(1) : args;
  for (let left = 1 + dice.below(3); left > 0; left--) {
    const list = result as unknown[];
    if (list.length === 0) return [];
    const at = dice.below(list.length);
    result = list.map((one, index) => (index === at ? hostile(one, dice) : one));
  }
  return result as unknown[];
}

type Callable = (...args: unknown[]) => unknown;
interface Called {
  readonly name: string;
  readonly args: readonly unknown[];
  readonly call: (args: readonly unknown[]) => unknown;
}

function calls(at: number): readonly Called[] {
  const plain = (name: keyof Addon, ...args: readonly unknown[]): Called => ({
    name,
    args,
    call: (own) => (addon[name] as Callable)(...own),
  });
  const method = (of: "engine" | "trainer" | "rows", name: string, ...args: readonly unknown[]): Called => ({
    name: `${of}.${name}`,
    args,
    call: (own) => {
      const open = { engine, trainer, rows }[of] as unknown as Record<string, Callable>;
      return (open[name] as Callable)(...own);
    },
  });
  const made = (name: "Engine" | "Trainer" | "LogitRows" | "Vocabulary", ...args: readonly unknown[]): Called => ({
    name: `new ${name}`,
    args,
    call: (own) => {
      const One = addon[name] as unknown as new (...args: readonly unknown[]) => { dispose(): void };
      new One(...own).dispose();
    },
  });
  const floats = (count: number) => Float32Array.from({ length: count }, (_, one) => one / 4);
  const group = (more: object): Called => ({
    name: "engine.begin",
    args: [{ ...WORK, ...more }],
    call: (own) => {
      (engine.begin as Callable)(...own);
      for (let step = 0; engine.step() && step < MOST_STEPS; step++);
      return engine.take();
    },
  });
  return [
    plain("listDevices", { binariesFolder, fallbackFolder: "", kind: "cpu" }),
    plain("computeOperations", {
      binariesFolder,
      device: "cpu",
      threads: 1,
      cases: [{ operation: "mul_mat", type: "f32", inner: 32, outer: 4, columns: 2, first: 0, scale: 1 }],
    }),
    plain("decodeWeights", "q4_0", new Uint8Array(36), 32, "plain"),
    plain("decodeWeights", "q6_K", new Uint8Array(210), 256, "ggml"),
    plain("multiply", { m: 2, n: 3, k: 4, a: floats(8), b: floats(12), factor: 1, c: floats(6), add: true }, "plain"),
    plain("measureProducts", 1, 4, 4, 4),
    plain("requantize", {
      binariesFolder,
      input: modelPath,
      output: join(folder, `requantized-${at}`),
      type: "q8_0",
      threads: 1,
      importances: [{ tensor: "blk.0.attn_q.weight", values: floats(64) }],
      metadata: [{ key: "general.name", text: "x", number: 1 }],
    }),
    made("LogitRows", 4, 16),
    method("rows", "keep", 1, floats(16)),
    method("rows", "keepLogprobs", 1, floats(16)),
    method("rows", "compare", 0, floats(16), 3),
    method("rows", "kept", 0),
    made("Engine", engineOptions()),
    made("Trainer", trainerOptions()),
    made("Vocabulary", { modelPath, binariesFolder }),
    method("engine", "tokenize", "cat dog"),
    method("engine", "detokenize", Int32Array.of(5, 6, 7)),
    method("engine", "setAdapters", [{ path: modelPath, scale: 1 }]),
    method("engine", "setCapture", CAPTURE),
    group({}),
    group({
      endIds: Int32Array.of(7),
      sequences: 2,
      keep: 1,
      positionTokens: 2,
      topTokens: 3,
      readIds: Int32Array.of(4),
    }),
    group({ draws: Float64Array.from({ length: 6 }, () => 0.4), temperatures: Float64Array.of(1, 0.5) }),
    group({ interventions: INTERVENTIONS }),
    group({ capture: new Uint8Array(7).fill(1), captureAnswers: Uint8Array.of(1, 0) }),
    group({ rows: new addon.LogitRows(2, engine.describe().vocabularySize), compares: false }),
    method("trainer", "accumulate", BATCH, 1),
    method("trainer", "evaluate", BATCH),
    method("trainer", "logits", BATCH),
    method("trainer", "profile", BATCH),
    method("trainer", "update", ADAMW),
    method("trainer", "setState", trainer.state()),
  ];
}

const usual = () => {
  engine.cancel();
  engine.setCapture({
    ...CAPTURE,
    parts: new Int32Array(0),
    layers: new Int32Array(0),
    widths: new Int32Array(0),
  } as never);
  engine.begin(WORK);
  while (engine.step());
  const { tokenIds, logprobs, scores } = engine.take();
  trainer.zeroGradients();
  trainer.setState(start);
  const { logprobs: read } = trainer.evaluate(BATCH);
  rows.keep(
    2,
    Float32Array.from({ length: 16 }, (_, at) => at / 8),
  );
  rows.compare(
    2,
    Float32Array.from({ length: 16 }, (_, at) => at / 9),
    3,
  );
  return JSON.stringify([...tokenIds, ...logprobs, ...scores, ...read, ...rows.compared().subarray(20, 30)]);
};
let start: ReturnType<Trainer["state"]>;

beforeAll(async () => {
  if (!isBuilt) return;
  folder = mkdtempSync(join(tmpdir(), "inward-fuzz-addon-"));
  modelPath = join(folder, "tiny.gguf");
  await writeTinyModel(modelPath, { contextLength: 64 });
  binariesFolder = findBinaries("cpu").folder;
  addon = await loadAddon(binariesFolder);
  engine = await openEngine(modelPath, { ...engineOptions() });
  trainer = await openTrainer(modelPath, { ...trainerOptions() });
  start = trainer.state();
  rows = new addon.LogitRows(4, 16);
  // A file that is written under a mangled name lands here.
  return workIn(folder);
});
afterAll(() => {
  if (isBuilt) rmSync(folder, { recursive: true, force: true });
});

test.skipIf(!isBuilt)("the addon's functions", async () => {
  const expected = usual();
  const tally = await fuzz("addon", (dice, at) => {
    const { name, args, call } = dice.of(calls(at));
    const own = mangled(args, dice);
    note({ at, input: `${name}(${own.map(shown).join(", ")})`.slice(0, 1500) });
    return {
      input: () => `${name}(${own.map(shown).join(", ")})`,
      result: () => {
        let refused: unknown;
        try {
          call(own);
        } catch (error) {
          if (!(error instanceof Error)) throw new Error("what was thrown is no error");
          refused = error;
        }
        expect(usual()).toBe(expected);
        if (refused) throw new InwardError("TRAIN_SHAPE", "refused");
      },
    };
  });
  expect(Math.min(tally.accepted, tally.refused)).toBeGreaterThan(5);
});

function shown(value: unknown): string {
  const said = closed(value);
  if (said !== undefined) return said;
  if (isTyped(value)) return `${value.constructor.name}[${[...value.subarray(0, 8)].join()}…${value.length}]`;
  if (typeof value === "object" && value !== null) {
    return `{${Object.entries(value)
      .map(([key, own]) => `${key}: ${shown(own)}`)
      .join(", ")}}`;
  }
  return typeof value === "string" ? JSON.stringify(value.slice(0, 40)) : String(value);
}
