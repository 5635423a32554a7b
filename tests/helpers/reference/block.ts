/** One transformer block: attention and feed-forward, each added to what came in. Norms that a model lacks do nothing. */
import type { StatePart } from "../../../src/model/sites.js";
import type { LoraTensors, ReferenceAdapter } from "./adapter.js";
import { attend } from "./attention.js";
import { gated } from "./gated.js";
import { beside, columnsOf, type Matrix, sum, times } from "./matrix.js";
import { project, projectAll } from "./project.js";
import type { ReferenceBlock, ReferenceModel } from "./reference-model.js";
import { rmsNorm } from "./rms-norm.js";
import { rotate } from "./rope.js";

export interface BlockPass {
  /** [tokens × width] */
  readonly output: Matrix;
  /** Adds the LoRA pairs' gradients to `gradients`. @returns ∂loss/∂input */
  backward(dOutput: Matrix, gradients: LoraTensors): Matrix;
}

/** Changes the states of one place before anything reads them. @param states [tokens × numbers] */
export type EditPart = (part: StatePart, states: Matrix) => Matrix;

/** @param arriving [tokens × width] @param edit a pass that is edited has no way back */
export function blockPass(
  arriving: Matrix,
  block: ReferenceBlock,
  model: ReferenceModel,
  adapter: ReferenceAdapter | undefined,
  edit: EditPart = (_, states) => states,
): BlockPass {
  const input = edit("residual_before", arriving);
  const attention = attentionPass(input, block, model, adapter, edit);
  const middle = edit(
    "residual_middle",
    sum(input, edit("attention_output", times(model.residualScale, attention.output))),
  );
  const feedForward = feedForwardPass(middle, block, model, adapter);
  return {
    output: edit("residual_after", sum(middle, edit("mlp_output", times(model.residualScale, feedForward.output)))),
    backward(dOutput, gradients) {
      const dMiddle = sum(dOutput, feedForward.backward(times(model.residualScale, dOutput), gradients));
      return sum(dMiddle, attention.backward(times(model.residualScale, dMiddle), gradients));
    },
  };
}

/** @returns what is added to the input, before it is scaled */
function attentionPass(
  input: Matrix,
  block: ReferenceBlock,
  model: ReferenceModel,
  adapter: ReferenceAdapter | undefined,
  edit: EditPart,
): BlockPass {
  const { heads, keyValueHeads, headWidth, normEpsilon } = model;
  const queries = heads * headWidth;
  const keys = keyValueHeads * headWidth;
  const norm = rmsNorm(input, block.attentionNorm, normEpsilon);
  const qkv = projectAll(norm.output, block.qkv, adapter);
  const q = rmsNorm(columnsOf(qkv.output, 0, queries), block.qNorm, normEpsilon);
  const k = rmsNorm(columnsOf(qkv.output, queries, keys), block.kNorm, normEpsilon);
  const turned = attend(
    rotate(q.output, block.rope, headWidth, 1),
    rotate(k.output, block.rope, headWidth, 1),
    columnsOf(qkv.output, queries + keys, keys),
    { ...model, window: block.window },
  );
  const o = project(edit("head_values", turned.output), block.o, adapter);
  const postNorm = rmsNorm(o.output, block.attentionPostNorm, normEpsilon);
  return {
    output: postNorm.output,
    backward(dOutput, gradients) {
      const { dQ, dK, dV } = turned.backward(o.backward(postNorm.backward(dOutput), gradients));
      const dQkv = beside([
        q.backward(rotate(dQ, block.rope, headWidth, -1)),
        k.backward(rotate(dK, block.rope, headWidth, -1)),
        dV,
      ]);
      return norm.backward(qkv.backward(dQkv, gradients));
    },
  };
}

/** @returns what is added to the input, before it is scaled */
function feedForwardPass(
  input: Matrix,
  block: ReferenceBlock,
  model: ReferenceModel,
  adapter: ReferenceAdapter | undefined,
): BlockPass {
  const norm = rmsNorm(input, block.feedForwardNorm, model.normEpsilon);
  const gateUp = projectAll(norm.output, block.gateUp, adapter);
  const width = gateUp.output.columns / 2;
  const hidden = gated(columnsOf(gateUp.output, 0, width), columnsOf(gateUp.output, width, width), model.activation);
  const down = project(hidden.output, block.down, adapter);
  const postNorm = rmsNorm(down.output, block.feedForwardPostNorm, model.normEpsilon);
  return {
    output: postNorm.output,
    backward(dOutput, gradients) {
      const { dGate, dUp } = hidden.backward(down.backward(postNorm.backward(dOutput), gradients));
      return norm.backward(gateUp.backward(beside([dGate, dUp]), gradients));
    },
  };
}
