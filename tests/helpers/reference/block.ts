/** One transformer block: attention and feed-forward, each behind its norm and added to what came in. */
import type { LoraTensors, ReferenceAdapter } from "./adapter.js";
import { attend } from "./attention.js";
import { type Matrix, sum } from "./matrix.js";
import { project } from "./project.js";
import type { ReferenceBlock, ReferenceModel } from "./reference-model.js";
import { rmsNorm } from "./rms-norm.js";
import { rotate } from "./rope.js";
import { swiglu } from "./swiglu.js";

export interface BlockPass {
  /** [tokens × width] */
  readonly output: Matrix;
  /** Adds the LoRA pairs' gradients to `gradients`. @returns ∂loss/∂input */
  backward(dOutput: Matrix, gradients: LoraTensors): Matrix;
}

/** @param input [tokens × width] */
export function blockPass(
  input: Matrix,
  block: ReferenceBlock,
  model: ReferenceModel,
  adapter: ReferenceAdapter | undefined,
): BlockPass {
  const attentionNorm = rmsNorm(input, block.attentionNorm, model.normEpsilon);
  const q = project(attentionNorm.output, block.q, adapter);
  const k = project(attentionNorm.output, block.k, adapter);
  const v = project(attentionNorm.output, block.v, adapter);
  const attention = attend(
    rotate(q.output, model.ropeAngles, 1),
    rotate(k.output, model.ropeAngles, 1),
    v.output,
    model,
  );
  const o = project(attention.output, block.o, adapter);
  const middle = sum(input, o.output);

  const feedForwardNorm = rmsNorm(middle, block.feedForwardNorm, model.normEpsilon);
  const gate = project(feedForwardNorm.output, block.gate, adapter);
  const up = project(feedForwardNorm.output, block.up, adapter);
  const hidden = swiglu(gate.output, up.output);
  const down = project(hidden.output, block.down, adapter);

  return {
    output: sum(middle, down.output),
    backward(dOutput, gradients) {
      const { dGate, dUp } = hidden.backward(down.backward(dOutput, gradients));
      const dFeedForward = sum(gate.backward(dGate, gradients), up.backward(dUp, gradients));
      const dMiddle = sum(dOutput, feedForwardNorm.backward(dFeedForward));

      const { dQ, dK, dV } = attention.backward(o.backward(dMiddle, gradients));
      const dAttention = [
        q.backward(rotate(dQ, model.ropeAngles, -1), gradients),
        k.backward(rotate(dK, model.ropeAngles, -1), gradients),
        v.backward(dV, gradients),
      ].reduce(sum);
      return sum(dMiddle, attentionNorm.backward(dAttention));
    },
  };
}
