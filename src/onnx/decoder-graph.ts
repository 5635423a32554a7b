/**
 * A decoder as an ONNX graph of the standard operators (opset 18), with keys and values that go in and come out. Names are those that
 * transformers.js gives and takes. Hidden states are two-dimensional, [batch · sequence, embedding], so that every product is a Gemm
 * whose matrix is [outputs, inputs], as a GGUF has it: nothing is transposed, nothing copied.
 */

import type { Decoder } from "./decoder.js";
import { GraphBuilder, type OnnxGraph, type OnnxValue } from "./model-proto.js";

/** How a matrix of the model becomes nodes: a Gemm on its floats, or the products of a quantization. */
export interface MatrixProducts {
  /** @returns the product [rows, outputs] of `input` [rows, inputs] with the matrix, and its bias where there is one */
  product(graph: GraphBuilder, input: string, matrix: MatrixName): string;
}

/** A matrix by the names of its tensors. */
export interface MatrixName {
  /** As `blk.0.attn_q`; where q, k and v are one tensor, the rows of it that are meant. */
  readonly name: string;
  readonly rows: number;
  readonly columns: number;
}

/** Initializers that are no matrices of products: made by whoever knows where the weights lie. */
export interface GraphWeights extends MatrixProducts {
  /** @returns the initializer's name, [rows, columns] as floats for a Gather */
  embeddings(graph: GraphBuilder): string;
  /** @returns a vector's name @param name as `blk.0.attn_norm.weight` */
  vector(graph: GraphBuilder, name: string): string;
  /** @returns the matrix that makes logits */
  readonly output: MatrixName;
}

export interface GraphOptions {
  /** Whether every layer's output is one of the graph's. Default false. */
  readonly hiddenStates?: boolean;
}

/** Less than any score, and no infinity: a row of padding that sees nothing stays finite, and exp of it is 0 beside any other. */
const UNSEEN = -1e30;
const OPSET = 18;

/** Of the hidden states: `0` is the embedding, `n` what layer n (from 1) leaves, `norm` what makes the logits. */
export function hiddenStateName(which: number | "norm"): string {
  return `hidden_states.${which}`;
}

/**
 * Inputs: `input_ids`, `position_ids` [batch, sequence] and `attention_mask` [batch, past + sequence], int64; `num_logits_to_keep`, of
 * the last positions, 0 for all; `past_key_values.<layer>.key|value` [batch, key heads, past, head width], empty at first. Outputs:
 * `logits` [batch, kept, vocabulary], `present.<layer>.key|value`, and `hidden_states.*` [batch, sequence, embedding].
 */
export function decoderGraph(
  decoder: Decoder,
  weights: GraphWeights,
  { hiddenStates = false }: GraphOptions = {},
): OnnxGraph {
  const { layers, embedding, keyValueHeads, headWidth, vocabulary } = decoder;
  const graph = new GraphBuilder();
  const cache = (length: string) => ["batch_size", keyValueHeads, length, headWidth];
  const inputs: OnnxValue[] = [
    { name: "input_ids", type: "int64", dimensions: ["batch_size", "sequence_length"] },
    { name: "attention_mask", type: "int64", dimensions: ["batch_size", "total_sequence_length"] },
    { name: "position_ids", type: "int64", dimensions: ["batch_size", "sequence_length"] },
    { name: "num_logits_to_keep", type: "int64", dimensions: [] },
  ];
  const outputs: OnnxValue[] = [
    { name: "logits", type: "float", dimensions: ["batch_size", "kept_length", vocabulary] },
  ];
  const keep = (value: string, which: number | "norm") => {
    if (!hiddenStates) return;
    const name = hiddenStateName(which);
    graph.op("Reshape", [value, sizes.ofHidden], {}, name);
    outputs.push({ name, type: "float", dimensions: ["batch_size", "sequence_length", embedding] });
  };

  const sizes = runSizes(graph, decoder);
  const turns = angles(graph, decoder);
  const mask = causalMask(graph, sizes);
  const embedded = graph.op("Gather", [weights.embeddings(graph), "input_ids"]);
  let hidden = graph.op("Reshape", [embedded, graph.ints(-1, embedding)]);
  keep(hidden, 0);
  for (let layer = 0; layer < layers; layer++) {
    for (const one of ["key", "value"]) {
      inputs.push({
        name: `past_key_values.${layer}.${one}`,
        type: "float",
        dimensions: cache("past_sequence_length"),
      });
      outputs.push({ name: `present.${layer}.${one}`, type: "float", dimensions: cache("total_sequence_length") });
    }
    const block = `blk.${layer}`;
    const attended = attention(
      graph,
      decoder,
      weights,
      layer,
      norm(graph, decoder, weights, hidden, `${block}.attn_norm`),
      {
        sizes,
        turns,
        mask,
      },
    );
    hidden = graph.op("Add", [hidden, attended]);
    const normed = norm(graph, decoder, weights, hidden, `${block}.ffn_norm`);
    hidden = graph.op("Add", [hidden, feedForward(graph, decoder, weights, block, normed)]);
    keep(hidden, layer + 1);
  }
  const last = norm(graph, decoder, weights, hidden, "output_norm");
  keep(last, "norm");
  const kept = keptRows(graph, sizes, last);
  const logits = weights.product(graph, graph.op("Reshape", [kept, graph.ints(-1, embedding)]), weights.output);
  const shape = graph.op("Concat", [sizes.batch, graph.ints(-1), graph.ints(vocabulary)], { axis: 0 });
  graph.op("Reshape", [logits, shape], {}, "logits");
  return {
    name: decoder.architecture,
    nodes: graph.nodes,
    initializers: graph.initializers,
    inputs,
    outputs,
    opsets: Object.fromEntries([...graph.usedDomains].map((domain) => [domain, domain === "" ? OPSET : 1])),
  };
}

/** Of one run, each a list of one whole number or a shape made of them. */
interface RunSizes {
  readonly batch: string;
  readonly sequence: string;
  /** Past and sequence together. */
  readonly total: string;
  readonly ofHidden: string;
}

function runSizes(graph: GraphBuilder, { embedding }: Decoder): RunSizes {
  const size = (of: string, axis: number) =>
    graph.op("Gather", [graph.op("Shape", [of]), graph.ints(axis)], { axis: 0 });
  const [batch, sequence, total] = [size("input_ids", 0), size("input_ids", 1), size("attention_mask", 1)];
  const ofHidden = graph.op("Concat", [batch, sequence, graph.ints(embedding)], { axis: 0 });
  return { batch, sequence, total, ofHidden };
}

interface Turns {
  /** [batch · sequence, 1, headWidth / 2] */
  readonly cosine: string;
  readonly sine: string;
}

/** In double precision: single precision is off by 1e-4 radians where a position has four digits. */
function angles(graph: GraphBuilder, { frequencies }: Decoder): Turns {
  const positions = graph.op("Cast", [graph.op("Reshape", ["position_ids", graph.ints(-1, 1, 1)])], { to: 11 });
  const turned = graph.op("Mul", [positions, graph.constant("double", [1, 1, frequencies.length], frequencies)]);
  // onnxruntime has no cosine of doubles on the CPU.
  const ahead = graph.op("Add", [turned, graph.scalar("double", Math.PI / 2)]);
  const sineOf = (angle: string) => graph.op("Cast", [graph.op("Sin", [angle])], { to: 1 });
  return { cosine: sineOf(ahead), sine: sineOf(turned) };
}

/** [batch, 1, 1, sequence, total]: 0 where a position sees another, else what no score comes near. */
function causalMask(graph: GraphBuilder, { sequence, total }: RunSizes): string {
  const range = (from: string, to: string) => {
    const scalar = (one: string) => graph.op("Squeeze", [one, graph.ints(0)]);
    return graph.op("Range", [scalar(from), scalar(to), graph.scalar("int64", 1)]);
  };
  const past = graph.op("Sub", [total, sequence]);
  const rows = graph.op("Unsqueeze", [range(past, total), graph.ints(1)]);
  const columns = graph.op("Unsqueeze", [range(graph.ints(0), total), graph.ints(0)]);
  const causal = graph.op("LessOrEqual", [columns, rows]);
  const there = graph.op("Greater", ["attention_mask", graph.scalar("int64", 0)]);
  const both = graph.op("And", [graph.op("Unsqueeze", [there, graph.ints(1, 2, 3)]), causal]);
  return graph.op("Where", [both, graph.scalar("float", 0), graph.scalar("float", UNSEEN)]);
}

/** Over the last axis, whose length the weight has. */
function norm(
  graph: GraphBuilder,
  { normEpsilon }: Decoder,
  weights: GraphWeights,
  input: string,
  name: string,
): string {
  const square = graph.op("ReduceMean", [graph.op("Pow", [input, graph.scalar("float", 2)]), graph.ints(-1)], {
    keepdims: 1,
  });
  const root = graph.op("Sqrt", [graph.op("Add", [square, graph.scalar("float", normEpsilon)])]);
  return graph.op("Mul", [graph.op("Div", [input, root]), weights.vector(graph, `${name}.weight`)]);
}

interface Shared {
  readonly sizes: RunSizes;
  readonly turns: Turns;
  readonly mask: string;
}

/** Grouped: the queries that share a key head stand below each other, so that keys and values are never repeated. */
function attention(
  graph: GraphBuilder,
  decoder: Decoder,
  weights: GraphWeights,
  layer: number,
  input: string,
  { sizes, turns, mask }: Shared,
): string {
  const { heads, keyValueHeads, headWidth, embedding, architecture } = decoder;
  const block = `blk.${layer}`;
  const { batch, sequence, total } = sizes;
  const projected = (one: "q" | "k" | "v", count: number) => {
    const rows = count * headWidth;
    return weights.product(graph, input, { name: `${block}.attn_${one}`, rows, columns: embedding });
  };
  /** [batch · sequence, heads, width] to [batch, heads, sequence, width]. */
  const byHead = (value: string, count: number) => {
    const shape = graph.op("Concat", [batch, sequence, graph.ints(count, headWidth)], { axis: 0 });
    return graph.op("Transpose", [graph.op("Reshape", [value, shape])], { perm: [0, 2, 1, 3] });
  };
  const turned = (one: "q" | "k", count: number) => {
    const flat = projected(one, count);
    if (architecture !== "qwen3") return rotate(graph, decoder, flat, count, turns);
    const each = graph.op("Reshape", [flat, graph.ints(-1, count, headWidth)]);
    return rotate(graph, decoder, norm(graph, decoder, weights, each, `${block}.attn_${one}_norm`), count, turns);
  };
  const grown = (one: "key" | "value", value: string) =>
    graph.op("Concat", [`past_key_values.${layer}.${one}`, value], { axis: 2 }, `present.${layer}.${one}`);

  const queries = byHead(turned("q", heads), heads);
  const keys = grown("key", byHead(turned("k", keyValueHeads), keyValueHeads));
  const values = grown("value", byHead(projected("v", keyValueHeads), keyValueHeads));
  const group = heads / keyValueHeads;
  const below = graph.op("Concat", [batch, graph.ints(keyValueHeads, -1, headWidth)], { axis: 0 });
  const scaled = graph.op("Mul", [queries, graph.scalar("float", 1 / Math.sqrt(headWidth))]);
  const transposed = graph.op("Transpose", [keys], { perm: [0, 1, 3, 2] });
  const scores = graph.op("MatMul", [graph.op("Reshape", [scaled, below]), transposed]);
  const apart = graph.op("Concat", [batch, graph.ints(keyValueHeads, group), sequence, total], { axis: 0 });
  const masked = graph.op("Add", [graph.op("Reshape", [scores, apart]), mask]);
  const shares = graph.op("Softmax", [masked], { axis: -1 });
  const together = graph.op("Concat", [batch, graph.ints(keyValueHeads, -1), total], { axis: 0 });
  const mixed = graph.op("MatMul", [graph.op("Reshape", [shares, together]), values]);
  const heads4 = graph.op("Concat", [batch, graph.ints(heads), sequence, graph.ints(headWidth)], { axis: 0 });
  const back = graph.op("Transpose", [graph.op("Reshape", [mixed, heads4])], { perm: [0, 2, 1, 3] });
  const flat = graph.op("Reshape", [back, graph.ints(-1, heads * headWidth)]);
  return weights.product(graph, flat, { name: `${block}.attn_output`, rows: embedding, columns: heads * headWidth });
}

/**
 * @param value [batch · sequence, heads · width], or with a head's numbers on an axis of their own
 * @returns [batch · sequence, heads, width], a head's turned numbers as two halves, whatever their pairs were: queries and keys alike,
 * so that their products are the same
 */
function rotate(
  graph: GraphBuilder,
  { pairs, headWidth }: Decoder,
  value: string,
  count: number,
  { cosine, sine }: Turns,
): string {
  const half = headWidth / 2;
  const [shape, axis] = pairs === "neighbours" ? [[-1, count, half, 2], 3] : [[-1, count, 2, half], 2];
  const apart = graph.op("Reshape", [value, graph.ints(...shape)]);
  const [x, y] = graph
    .add("Split", [apart], 2, { axis, num_outputs: 2 })
    .map((one) => graph.op("Squeeze", [one, graph.ints(axis)])) as [string, string];
  const times = (one: string, other: string) => graph.op("Mul", [one, other]);
  return graph.op(
    "Concat",
    [graph.op("Sub", [times(x, cosine), times(y, sine)]), graph.op("Add", [times(x, sine), times(y, cosine)])],
    { axis: -1 },
  );
}

function feedForward(
  graph: GraphBuilder,
  { embedding, feedForward: width }: Decoder,
  weights: GraphWeights,
  block: string,
  input: string,
): string {
  const up = (one: string) =>
    weights.product(graph, input, { name: `${block}.ffn_${one}`, rows: width, columns: embedding });
  const gate = up("gate");
  const opened = graph.op("Mul", [gate, graph.op("Sigmoid", [gate])]);
  const inner = graph.op("Mul", [opened, up("up")]);
  return weights.product(graph, inner, { name: `${block}.ffn_down`, rows: embedding, columns: width });
}

/** The last rows of each text, as many as are asked for; all of them for 0. */
function keptRows(graph: GraphBuilder, { sequence, ofHidden }: RunSizes, hidden: string): string {
  const asked = graph.op("Reshape", ["num_logits_to_keep", graph.ints(1)]);
  const all = graph.op("Equal", [asked, graph.ints(0)]);
  const count = graph.op("Min", [graph.op("Where", [all, sequence, asked]), sequence]);
  const from = graph.op("Sub", [sequence, count]);
  const shaped = graph.op("Reshape", [hidden, ofHidden]);
  return graph.op("Slice", [shaped, from, sequence, graph.ints(1)]);
}
