/**
 * llama.cpp rounds what goes into GELU, and what comes out of it, to half precision. Where a number lies in the middle of two halves,
 * the last bits of single precision decide, and logits differ by up to 1e-3 between any two correct evaluators. In these models the
 * rows of each gate are scaled by up to a half, so that no such number comes up on their prompt: evaluators must agree to the last digits.
 */
import { type TinyModel, type TinyModelOptions, writeTinyModel } from "../tiny-model.js";
import type { ReferenceAdapter } from "./adapter.js";
import { gelu, geluInHalves, toHalf } from "./gated.js";
import type { Matrix } from "./matrix.js";
import { type ReferenceModel, readReferenceModel } from "./reference-model.js";
import { referenceLogits } from "./reference-pass.js";

/** Above what single precision's sums, which are about 1, are wrong by. */
const ROOM = 1e-6;
/** Below it the next half is so near that it makes no difference. */
const SMALLEST = 2 ** -5;
const FACTORS = Array.from({ length: 65 }, (_, step) => 1 + step / 128);

export interface SteadyModel extends TinyModel {
  /** With GELU as llama.cpp's CPU kernels have it. */
  readonly model: ReferenceModel;
  readonly adapter: ReferenceAdapter | undefined;
}

/** @param adapterOf an adapter to be worn on the prompt, the same for the same shapes; where a gate's rows are scaled, its are, too */
export async function writeSteadyModel(
  path: string,
  options: TinyModelOptions,
  tokenIds: readonly number[],
  adapterOf?: (model: ReferenceModel) => ReferenceAdapter,
): Promise<SteadyModel> {
  /** Of each gate's rows, by the tensor's name. */
  const factors = new Map<string, number[]>();
  const scaleRows: TinyModelOptions["adjust"] = ({ name, dimensions: [columns = 1], values }) => {
    const ofRows = factors.get(name);
    return ofRows ? values.map((value, at) => value * (ofRows[Math.floor(at / columns)] as number)) : values;
  };
  for (let layer = 0; ; layer++) {
    const written = await writeTinyModel(path, { ...options, adjust: scaleRows });
    const model = await readReferenceModel(path, { halfGelu: true });
    const adapter = adapterOf && scaledPairs(adapterOf(model), factors);
    const gate = model.blocks[layer]?.gateUp[0];
    if (gate === undefined || model.activation !== geluInHalves) return { ...written, model, adapter };
    const inputs = geluInputs(model, tokenIds, adapter, layer);
    factors.set(gate.name, inputs.map(steadyFactor));
  }
}

function scaledPairs(adapter: ReferenceAdapter, factors: ReadonlyMap<string, readonly number[]>): ReferenceAdapter {
  const tensors = [...adapter.tensors].map(([name, matrix]): [string, Matrix] => {
    const ofRows = /\.lora_b$/.test(name) ? factors.get(name.replace(/\.lora_b$/, "")) : undefined;
    return [name, ofRows ? matrix.map((value, row) => value * (ofRows[row] as number)) : matrix];
  });
  return { ...adapter, tensors: new Map(tensors) };
}

/** @returns for each row of a layer's gate what it gives for each token */
function geluInputs(
  model: ReferenceModel,
  tokenIds: readonly number[],
  adapter: ReferenceAdapter | undefined,
  layer: number,
): number[][] {
  const seen: number[] = [];
  const value = (x: number) => {
    seen.push(x);
    return geluInHalves.value(x);
  };
  const blocks = model.blocks.slice(0, layer + 1);
  referenceLogits({ ...model, blocks, activation: { ...geluInHalves, value } }, tokenIds, adapter);
  const rows = model.blocks[layer]?.gateUp[0]?.weight.rows as number;
  const first = layer * tokenIds.length * rows;
  return Array.from({ length: rows }, (_, row) =>
    tokenIds.map((_, token) => seen[first + token * rows + row] as number),
  );
}

function steadyFactor(inputs: readonly number[]): number {
  const steady = FACTORS.find((factor) =>
    inputs.every((x) => !isBetweenHalves(factor * x) && !isBetweenHalves(gelu.value(toHalf(factor * x)))),
  );
  if (steady === undefined) throw new Error("no factor keeps a gate's numbers away from the middle of two halves");
  return steady;
}

function isBetweenHalves(x: number): boolean {
  const size = Math.abs(x);
  if (size < SMALLEST || size > 10 + ROOM) return false;
  const unit = 2 ** (Math.floor(Math.log2(size)) - 10);
  return Math.abs(((size / unit) % 1) - 0.5) * unit < ROOM;
}
