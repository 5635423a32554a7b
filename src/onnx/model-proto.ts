/**
 * ONNX's file format, by hand: the few messages that a decoder's graph needs, in protobuf's wire format (onnx.proto, IR version 10).
 * Weights stay outside: a tensor names a file beside the graph, an offset and a length.
 */

import { InwardError } from "../errors.js";

/** TensorProto.DataType. */
export const DATA_TYPES = { float: 1, uint8: 2, int8: 3, int32: 6, int64: 7, double: 11 } as const;
export type OnnxDataType = keyof typeof DATA_TYPES;

/** Where the bytes of an initializer lie: in the graph itself, or in a file beside it. */
export type InitializerData =
  | { readonly bytes: Uint8Array }
  /** `location`: relative to the graph's folder. Bytes. */
  | { readonly location: string; readonly offset: number; readonly length: number };

export interface Initializer {
  readonly name: string;
  readonly type: OnnxDataType;
  readonly dimensions: readonly number[];
  readonly data: InitializerData;
}

/** Whole numbers, one or a list; a number with a fraction is `{ float }`. */
export type Attribute = number | readonly number[] | string | { readonly float: number };

export interface OnnxNode {
  readonly name: string;
  readonly type: string;
  /** The default domain when absent. */
  readonly domain?: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Readonly<Record<string, Attribute>>;
}

/** A size, or the name of one that a run decides. */
export type Dimension = number | string;

export interface OnnxValue {
  readonly name: string;
  readonly type: OnnxDataType;
  readonly dimensions: readonly Dimension[];
}

export interface OnnxGraph {
  readonly name: string;
  readonly nodes: readonly OnnxNode[];
  readonly initializers: readonly Initializer[];
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly OnnxValue[];
  /** Operator sets by domain, "" the default one. */
  readonly opsets: Readonly<Record<string, number>>;
}

const IR_VERSION = 10;
const ATTRIBUTE_TYPES = { float: 1, int: 2, string: 3, ints: 7 } as const;
const EXTERNAL = 1;

/** @returns a ModelProto */
export function encodeModel(graph: OnnxGraph, producer: string): Uint8Array {
  return message(
    whole(1, IR_VERSION),
    text(2, producer),
    submessage(7, encodeGraph(graph)),
    ...Object.entries(graph.opsets).map(([domain, version]) =>
      submessage(8, message(text(1, domain), whole(2, version))),
    ),
  );
}

function encodeGraph({ name, nodes, initializers, inputs, outputs }: OnnxGraph): Uint8Array {
  return message(
    ...nodes.map((node) => submessage(1, encodeNode(node))),
    text(2, name),
    ...initializers.map((one) => submessage(5, encodeInitializer(one))),
    ...inputs.map((one) => submessage(11, encodeValue(one))),
    ...outputs.map((one) => submessage(12, encodeValue(one))),
  );
}

function encodeNode({ name, type, domain, inputs, outputs, attributes }: OnnxNode): Uint8Array {
  return message(
    ...inputs.map((one) => text(1, one)),
    ...outputs.map((one) => text(2, one)),
    text(3, name),
    text(4, type),
    ...Object.entries(attributes).map(([key, value]) => submessage(5, encodeAttribute(key, value))),
    ...(domain === undefined ? [] : [text(7, domain)]),
  );
}

function encodeAttribute(name: string, value: Attribute): Uint8Array {
  const typed = (type: keyof typeof ATTRIBUTE_TYPES, ...fields: Uint8Array[]) =>
    message(text(1, name), ...fields, whole(20, ATTRIBUTE_TYPES[type]));
  if (typeof value === "number") return typed("int", whole(3, value));
  if (typeof value === "string") return typed("string", text(4, value));
  if ("float" in value) return typed("float", single(2, value.float));
  return typed("ints", ...value.map((one) => whole(8, one)));
}

function encodeInitializer({ name, type, dimensions, data }: Initializer): Uint8Array {
  const fields = [...dimensions.map((one) => whole(1, one)), whole(2, DATA_TYPES[type]), text(8, name)];
  if ("bytes" in data) return message(...fields, submessage(9, data.bytes));
  const entries = { location: data.location, offset: String(data.offset), length: String(data.length) };
  return message(
    ...fields,
    ...Object.entries(entries).map(([key, value]) => submessage(13, message(text(1, key), text(2, value)))),
    whole(14, EXTERNAL),
  );
}

function encodeValue({ name, type, dimensions }: OnnxValue): Uint8Array {
  const shape = dimensions.map((one) => submessage(1, typeof one === "number" ? whole(1, one) : text(2, one)));
  const tensor = message(whole(1, DATA_TYPES[type]), submessage(2, message(...shape)));
  return message(text(1, name), submessage(2, message(submessage(1, tensor))));
}

// The wire: a field is its number and kind, then what it holds.

const VARINT = 0;
const LENGTH = 2;
const FIXED32 = 5;

function message(...fields: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(fields);
}

/** @param value an int64, negative ones in two's complement */
function whole(field: number, value: number): Uint8Array {
  if (!Number.isSafeInteger(value)) throw new InwardError("INTERNAL", `${value} is no whole number of an ONNX graph`);
  return Buffer.from([...varint(BigInt(field * 8 + VARINT)), ...varint(BigInt.asUintN(64, BigInt(value)))]);
}

function text(field: number, value: string): Uint8Array {
  return submessage(field, Buffer.from(value, "utf8"));
}

function submessage(field: number, bytes: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from([...varint(BigInt(field * 8 + LENGTH)), ...varint(BigInt(bytes.length))]), bytes]);
}

function single(field: number, value: number): Uint8Array {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return Buffer.concat([Buffer.from(varint(BigInt(field * 8 + FIXED32))), bytes]);
}

function varint(value: bigint): number[] {
  const bytes: number[] = [];
  let left = value;
  do {
    const low = Number(left & 0x7fn);
    left >>= 7n;
    bytes.push(left === 0n ? low : low | 0x80);
  } while (left !== 0n);
  return bytes;
}

// Builds a graph node by node.

/** Collects nodes and initializers; every value has a name, made here unless it is given. */
export class GraphBuilder {
  readonly nodes: OnnxNode[] = [];
  readonly initializers: Initializer[] = [];
  private readonly constants = new Map<string, string>();
  private values = 0;
  private readonly domains = new Set<string>([""]);

  /** @returns the output's name @param output its name; made when absent */
  op(type: string, inputs: readonly string[], attributes: OnnxNode["attributes"] = {}, output?: string): string {
    return this.add(type, inputs, [output ?? this.fresh(type)], attributes)[0] as string;
  }

  /** A node with several outputs, or of another domain. @returns the outputs' names */
  add(
    type: string,
    inputs: readonly string[],
    outputs: number | readonly string[],
    attributes: OnnxNode["attributes"] = {},
    domain?: string,
  ): readonly string[] {
    const names = typeof outputs === "number" ? Array.from({ length: outputs }, () => this.fresh(type)) : outputs;
    if (domain !== undefined) this.domains.add(domain);
    this.nodes.push({ name: `n${this.nodes.length}`, type, domain, inputs, outputs: names, attributes });
    return names;
  }

  initializer(one: Initializer): string {
    this.initializers.push(one);
    return one.name;
  }

  /** A one-dimensional list of whole numbers, such as a shape or axes. */
  ints(...values: readonly number[]): string {
    return this.constant("int64", [values.length], BigInt64Array.from(values, BigInt));
  }

  scalar(type: "int64" | "float" | "double", value: number): string {
    const made = { int64: () => BigInt64Array.of(BigInt(value)), float: () => Float32Array.of(value) };
    return this.constant(type, [], type === "double" ? Float64Array.of(value) : made[type]());
  }

  /** Equal ones are one. */
  constant(
    type: OnnxDataType,
    dimensions: readonly number[],
    values: BigInt64Array | Float32Array | Float64Array,
  ): string {
    const bytes = Buffer.from(values.buffer, values.byteOffset, values.byteLength);
    const key = `${type}/${dimensions.join("x")}/${bytes.toString("base64")}`;
    const known = this.constants.get(key);
    if (known !== undefined) return known;
    const name = `c${this.constants.size}`;
    this.constants.set(key, name);
    return this.initializer({ name, type, dimensions, data: { bytes } });
  }

  get usedDomains(): ReadonlySet<string> {
    return this.domains;
  }

  private fresh(type: string): string {
    return `${type.toLowerCase()}.${this.values++}`;
  }
}
