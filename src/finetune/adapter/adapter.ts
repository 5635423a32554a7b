/** A LoRA adapter in memory, wherever it came from. */

import type { NativeTensor } from "../../../native/index.js";
import { InwardError } from "../../errors.js";
import type { GgufValue } from "../../gguf/read-gguf.js";
import { writeGguf, type WriteGgufOptions, type WrittenGguf } from "../../gguf/write-gguf.js";
import { loraPlace } from "./projections.js";

export interface LoraMatrix {
  /** ggml order, fastest first: A is [in, rank], B is [rank, out]. */
  readonly dimensions: readonly [number, number];
  /** Row by row: A's rank rows of `in` values, B's `out` rows of `rank` values, just as PEFT keeps them. */
  readonly values: Float32Array;
}

export interface LoraAdapter {
  /** Of its base, which llama.cpp asks for. */
  readonly architecture: string;
  readonly name?: string;
  /** What the adapter's own file calls its base; a claim, not a proof. */
  readonly baseName?: string;
  /** The pair's product is scaled by alpha / rank. */
  readonly alpha: number;
  readonly rank: number;
  /** By GGUF name, e.g. `blk.0.attn_q.weight.lora_a`. */
  readonly tensors: ReadonlyMap<string, LoraMatrix>;
  /** Tensors of the file that llama.cpp skips (vectors of norms), and that are therefore not in `tensors` either. */
  readonly skipped?: readonly string[];
}

// Names of the files of an adapter: `style.gguf`, `style.card.json`, `style.README.md`.

export interface AdapterFiles {
  readonly adapter: string;
  readonly card: string;
  /** Not plain README.md: several adapters share a folder, and the folder may be somebody's project. */
  readonly readme: string;
}

export function adapterFiles(adapterPath: string): AdapterFiles {
  const stem = adapterPath.replace(/\.gguf$/i, "");
  return { adapter: adapterPath, card: `${stem}.card.json`, readme: `${stem}.README.md` };
}

// What the readers of model files say about a file, said about an adapter.

/** @returns ADAPTER_NOT_FOUND or ADAPTER_INVALID for a file that cannot be read as an adapter, any other error as it is */
export function adapterFailure(error: unknown): unknown {
  if (!(error instanceof InwardError)) return error;
  switch (error.code) {
    case "MODEL_NOT_FOUND":
      return new InwardError("ADAPTER_NOT_FOUND", error.message, { cause: error });
    case "MODEL_NOT_GGUF":
    case "MODEL_TRUNCATED":
    case "MODEL_TENSOR_TYPE":
      return new InwardError("ADAPTER_INVALID", error.message, { cause: error });
    default:
      return error;
  }
}

// What makes a set of tensors a LoRA adapter.

/** ggml's own limit, its terminating zero not counted. llama.cpp refuses a file with a longer name. */
const MAX_NAME_BYTES = 63;

/**
 * Every tensor is half of a pair, all pairs have one rank, all values are finite.
 * @param source what to call the adapter in messages
 * @returns the rank
 * @throws InwardError ADAPTER_INVALID
 */
export function checkPairs(tensors: ReadonlyMap<string, LoraMatrix>, source: string): number {
  const invalid = (what: string) => new InwardError("ADAPTER_INVALID", `${source}: ${what}`);
  let first: { readonly base: string; readonly rank: number } | undefined;
  for (const [name, matrix] of tensors) {
    const half = /^(.+)\.lora_([ab])$/.exec(name);
    if (half === null) throw invalid(`tensor ${name} is neither a .lora_a nor a .lora_b`);
    if (Buffer.byteLength(name) > MAX_NAME_BYTES)
      throw invalid(`tensor name ${name} is longer than ${MAX_NAME_BYTES} bytes`);
    const base = half[1] as string;
    const other = half[2] === "a" ? "lora_b" : "lora_a";
    if (!tensors.has(`${base}.${other}`)) throw invalid(`${name} has no ${other} beside it`);
    const [columns, rows] = matrix.dimensions;
    if (columns < 1 || rows < 1 || matrix.values.length !== columns * rows)
      throw invalid(`${name} is [${columns}, ${rows}] with ${matrix.values.length} values`);
    const bad = matrix.values.findIndex((value) => !Number.isFinite(value));
    if (bad !== -1) throw invalid(`value ${bad} of ${name} is ${matrix.values[bad]}`);
    const rank = rankOf(base, half[2] as "a" | "b", matrix);
    first ??= { base, rank };
    if (rank !== first.rank) throw invalid(`${name} has rank ${rank}, ${first.base} has rank ${first.rank}`);
  }
  if (first === undefined) throw invalid("it holds no LoRA tensor");
  return first.rank;
}

/** Beside the token embedding, which is looked up and not multiplied, llama.cpp keeps A the other way round: [rank, vocabulary]. */
function rankOf(base: string, half: "a" | "b", { dimensions }: LoraMatrix): number {
  return half === "b" || base === "token_embd.weight" ? dimensions[0] : dimensions[1];
}

// One rank and one scale for all pairs, as our trainer and our readers have them.

/**
 * A pair of a lower rank is filled up with rows and columns of zeros; another scale goes into its B. What each pair adds stays the
 * same: zeros add nothing, and training leaves them zero, for A's gradient is made of B and B's of A.
 * @param tensors whole pairs or not: what is no pair is left as it is
 * @param scaleOf what the pair's product is multiplied by, given the name of its A and its own rank
 * @param common what all products are to be multiplied by, given the largest rank
 */
export function evenPairs(
  tensors: ReadonlyMap<string, LoraMatrix>,
  scaleOf: (name: string, rank: number) => number,
  common: (rank: number) => number,
): Map<string, LoraMatrix> {
  const names = [...tensors.keys()].filter((name) => name.endsWith(".lora_a") && !name.startsWith("token_embd."));
  const rankOfA = (name: string) => (tensors.get(name) as LoraMatrix).dimensions[1];
  const rank = names.reduce((most, name) => Math.max(most, rankOfA(name)), 0);
  const even = new Map(tensors);
  for (const name of names) {
    const [a, b] = [tensors.get(name), tensors.get(name.replace(/a$/, "b"))];
    if (!a || !b || b.dimensions[0] !== a.dimensions[1]) continue;
    const factor = scaleOf(name, rankOfA(name)) / common(rank);
    even.set(name, filledUp(a, rank, "rows"));
    even.set(name.replace(/a$/, "b"), multiplied(filledUp(b, rank, "columns"), factor));
  }
  return even;
}

/** With zeros behind its rows, or behind the values of each. */
function filledUp(matrix: LoraMatrix, rank: number, what: "rows" | "columns"): LoraMatrix {
  const [columns, rows] = matrix.dimensions;
  if (rank === (what === "rows" ? rows : columns)) return matrix;
  const dimensions: [number, number] = what === "rows" ? [columns, rank] : [rank, rows];
  const values = new Float32Array(dimensions[0] * dimensions[1]);
  for (let row = 0; row < rows; row++)
    values.set(matrix.values.subarray(row * columns, (row + 1) * columns), row * dimensions[0]);
  return { dimensions, values };
}

function multiplied({ dimensions, values }: LoraMatrix, factor: number): LoraMatrix {
  return factor === 1 ? { dimensions, values } : { dimensions, values: values.map((value) => value * factor) };
}

// Writes an adapter as a GGUF that stock llama.cpp loads (`--lora`).

/**
 * All tensors F32. The file is there whole or not at all, and the same adapter gives the same bytes.
 * @throws InwardError ADAPTER_INVALID for what no reader would take back (a half pair, two ranks, NaN, an alpha that is not above 0)
 * · STORE_DISK_FULL · STORE_UNWRITABLE · INTERRUPTED
 */
export async function writeAdapter(
  path: string,
  adapter: LoraAdapter,
  options: WriteGgufOptions = {},
): Promise<WrittenGguf> {
  const rank = checkPairs(adapter.tensors, path);
  if (rank !== adapter.rank)
    throw new InwardError("ADAPTER_INVALID", `${path}: its tensors have rank ${rank}, not ${adapter.rank}`);
  // llama.cpp reads an alpha of 0 as "not scaled", the opposite of what it says.
  const alpha = Math.fround(adapter.alpha);
  if (!(alpha > 0 && alpha < Number.POSITIVE_INFINITY))
    throw new InwardError("ADAPTER_INVALID", `${path}: alpha is ${adapter.alpha}, not a positive number`);
  const tensors = [...adapter.tensors].map(([name, { dimensions, values }]) => ({
    name,
    dimensions,
    type: "F32" as const,
    chunks: () => [new Uint8Array(values.buffer, values.byteOffset, values.byteLength)],
  }));
  return writeGguf(path, metadata(adapter), tensors, options);
}

function metadata({ architecture, alpha, name, baseName }: LoraAdapter): Map<string, GgufValue> {
  const string = (value: string): GgufValue => ({ type: "string", value });
  const entries: [string, GgufValue][] = [
    ["general.type", string("adapter")],
    ["general.architecture", string(architecture)],
    ["general.name", string(name ?? `LoRA for ${baseName ?? "an unnamed base"}`)],
    ["adapter.type", string("lora")],
    // Single precision: llama.cpp aborts the process on any other type.
    ["adapter.lora.alpha", { type: "f32", value: alpha }],
  ];
  if (baseName !== undefined) {
    entries.push(["general.base_model.count", { type: "u32", value: 1 }]);
    entries.push(["general.base_model.0.name", string(baseName)]);
  }
  return new Map(entries);
}

// An adapter as the trainer's flat parameters, to go on training it.

interface StateLayout {
  readonly tensors: readonly NativeTensor[];
  /** Floats in all. */
  readonly parameters: number;
  /** What the trainer scales by: alpha / rank. */
  readonly alpha: number;
}

/**
 * An adapter on some layers stays one: where a projection has pairs in other layers only, A and B are zero, which training leaves
 * so. `save` leaves such pairs out again.
 * @returns [parameters]
 * @throws InwardError ADAPTER_SHAPE when a tensor is superfluous or of another shape, or a projection has no pair in any layer ·
 * TRAIN_SETTINGS when the trainer's alpha is another, for the same A and B would then be another adapter
 */
export function adapterToState(adapter: LoraAdapter, layout: StateLayout): Float32Array {
  const wanted = new Map(layout.tensors.map((tensor) => [tensor.name, tensor]));
  for (const [name, { dimensions }] of adapter.tensors) {
    if (!wanted.has(name))
      throw new InwardError(
        "ADAPTER_SHAPE",
        `The adapter has ${name} ${shape(dimensions)}; the trainer has no such tensor: it does not train that projection, or the base has fewer layers.`,
      );
  }
  const parameters = new Float32Array(layout.parameters);
  const matrixOf = (name: string) => loraPlace(name, adapter.architecture)?.matrix;
  const matrices = new Set([...adapter.tensors.keys()].map(matrixOf));
  for (const { name, dimensions, offset } of layout.tensors) {
    const found = adapter.tensors.get(name);
    if (found === undefined && matrices.has(matrixOf(name))) continue;
    if (found?.dimensions[0] !== dimensions[0] || found.dimensions[1] !== dimensions[1]) {
      const has = found === undefined ? "no such tensor" : shape(found.dimensions);
      throw new InwardError("ADAPTER_SHAPE", `${name} is ${shape(dimensions)} in the trainer; the adapter has ${has}.`);
    }
    parameters.set(found.values, offset);
  }
  // The file keeps single precision.
  if (Math.fround(adapter.alpha) !== Math.fround(layout.alpha))
    throw new InwardError(
      "TRAIN_SETTINGS",
      `lora.alpha is ${layout.alpha}; the adapter was made with ${adapter.alpha}.`,
    );
  return parameters;
}

/**
 * An adapter of a smaller rank, or on fewer projections, as the beginning of a larger one: its product is what it was, and all that
 * it does not fill begins as in a training without it.
 * @param fresh [parameters] of such a training: A random, B zero
 * @returns [parameters]
 * @throws InwardError ADAPTER_SHAPE when a tensor is superfluous, of a larger rank or of another width
 */
export function adapterIntoState(adapter: LoraAdapter, layout: StateLayout, fresh: Float32Array): Float32Array {
  const parameters = fresh.slice();
  const places = new Map(layout.tensors.map((tensor) => [tensor.name, tensor]));
  for (const [name, { dimensions, values }] of adapter.tensors) {
    const place = places.get(name);
    const isA = name.endsWith(".lora_a");
    const rank = adapter.rank;
    const fits =
      place !== undefined &&
      place.dimensions[isA ? 0 : 1] === dimensions[isA ? 0 : 1] &&
      place.dimensions[isA ? 1 : 0] >= rank;
    if (!fits) {
      const there = place === undefined ? "no such tensor" : shape(place.dimensions);
      throw new InwardError("ADAPTER_SHAPE", `The adapter has ${name} ${shape(dimensions)}; the trainer has ${there}.`);
    }
    const { offset } = place;
    if (isA) {
      parameters.set(values, offset);
      continue;
    }
    const [columns, rows] = place.dimensions;
    const factor = adapter.alpha / adapter.rank / (layout.alpha / columns);
    for (let row = 0; row < rows; row++) {
      for (let at = 0; at < rank; at++)
        parameters[offset + row * columns + at] = (values[row * rank + at] as number) * factor;
    }
  }
  return parameters;
}

const shape = (dimensions: readonly [number, number]) => `[${dimensions.join(", ")}]`;

// The trainer's flat parameters as an adapter.

interface FlatState {
  readonly architecture: string;
  readonly layout: readonly NativeTensor[];
  /** Views of this array stand in the adapter: it is not copied. */
  readonly parameters: Float32Array;
  readonly alpha: number;
  readonly rank: number;
  readonly name?: string;
  readonly baseName?: string;
}

/** @throws InwardError TRAIN_SHAPE when a tensor of the layout lies outside the parameters */
export function stateToAdapter(state: FlatState): LoraAdapter {
  const { layout, parameters, ...rest } = state;
  const tensors = new Map<string, LoraMatrix>();
  for (const { name, dimensions, offset } of layout) {
    const end = offset + dimensions[0] * dimensions[1];
    if (!(offset >= 0 && end <= parameters.length))
      throw new InwardError("TRAIN_SHAPE", `${name} lies at ${offset} to ${end} of ${parameters.length} parameters`);
    tensors.set(name, { dimensions, values: parameters.subarray(offset, end) });
  }
  return { ...rest, tensors };
}
