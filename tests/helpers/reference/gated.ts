/** activation(gate) · up, element by element. */
import { floatsToHalves, dequantize } from "../../../src/gguf/encodings.js";
import type { Matrix } from "./matrix.js";

export interface Activation {
  readonly value: (x: number) => number;
  readonly slope: (x: number) => number;
}

export interface GatedPass {
  readonly output: Matrix;
  backward(dOutput: Matrix): { readonly dGate: Matrix; readonly dUp: Matrix };
}

export function gated(gate: Matrix, up: Matrix, { value, slope }: Activation): GatedPass {
  return {
    output: gate.map((x, row, column) => value(x) * up.at(row, column)),
    backward: (dOutput) => ({
      dGate: gate.map((x, row, column) => dOutput.at(row, column) * up.at(row, column) * slope(x)),
      dUp: gate.map((x, row, column) => dOutput.at(row, column) * value(x)),
    }),
  };
}

/** x σ(x) */
export const silu: Activation = {
  value: (x) => x * sigmoid(x),
  slope: (x) => sigmoid(x) * (1 + x * (1 - sigmoid(x))),
};

/** What transformers calls gelu_pytorch_tanh: x/2 · (1 + tanh(√(2/π) · (x + 0.044715 x³))) */
export const gelu: Activation = {
  value: (x) => (x / 2) * (1 + Math.tanh(geluArgument(x))),
  slope: (x) => {
    const t = Math.tanh(geluArgument(x));
    return (1 + t) / 2 + (x / 2) * (1 - t * t) * Math.sqrt(2 / Math.PI) * (1 + 3 * 0.044715 * x * x);
  },
};

/** As llama.cpp's CPU kernels have it: looked up in a table by x in half precision, whose values are in half precision, too. */
export const geluInHalves: Activation = {
  value: (x) => {
    if (x <= -10) return 0;
    return x >= 10 ? x : toHalf(gelu.value(toHalf(x)));
  },
  slope: () => {
    throw new Error("a table of halves has no slope");
  },
};

function geluArgument(x: number): number {
  return Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3);
}

function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x));
}

const half = new Uint16Array(1);

/** The nearest half float. */
export function toHalf(x: number): number {
  floatsToHalves(Float32Array.of(x), half);
  return dequantize("F16", new Uint8Array(half.buffer), 1)[0] as number;
}
