/** A file as torch.save writes it: a zip archive of a pickle and storages. Made byte by byte, so that it can lie. */
import { type ZipMember, zip } from "./made-zip.js";

export interface MadeTensor {
  readonly shape: readonly number[];
  readonly values: Float32Array;
  /** Contiguous where absent. */
  readonly strides?: readonly number[];
  readonly offset?: number;
}

export type Saved = null | boolean | number | string | readonly Saved[] | Map<string | number, Saved> | MadeTensor;

const byte = (...values: number[]) => Buffer.from(values);
const ascii = (text: string) => Buffer.from(text, "latin1");
const int = (value: number) => {
  const bytes = Buffer.alloc(5);
  bytes.write("J", "latin1");
  bytes.writeInt32LE(value, 1);
  return bytes;
};
export const unicode = (text: string) => {
  const content = Buffer.from(text);
  const length = Buffer.alloc(5);
  length.write("X", "latin1");
  length.writeUInt32LE(content.length, 1);
  return Buffer.concat([length, content]);
};
const tuple = (items: readonly Buffer[]) => Buffer.concat([ascii("("), ...items, ascii("t")]);
export const named = (module: string, name: string) => ascii(`c${module}\n${name}\n`);
const isTensor = (value: Saved): value is MadeTensor =>
  value !== null && typeof value === "object" && "values" in value && "shape" in value;

/** The pickle's instructions for a value; storages are added to the list. */
function instructions(value: Saved, storages: Float32Array[]): Buffer {
  if (value === null) return ascii("N");
  if (typeof value === "boolean") return byte(value ? 0x88 : 0x89);
  if (typeof value === "number") return int(value);
  if (typeof value === "string") return unicode(value);
  const inner = (one: Saved) => instructions(one, storages);
  if (Array.isArray(value)) return Buffer.concat([ascii("]("), ...value.map(inner), ascii("e")]);
  if (value instanceof Map) {
    const items = [...value].flatMap(([key, one]) => [inner(key), inner(one)]);
    return Buffer.concat([ascii("}("), ...items, ascii("u")]);
  }
  if (!isTensor(value)) throw new Error("no such value");
  const { shape, values, offset = 0, strides = contiguous(shape) } = value;
  const known = storages.indexOf(values);
  const key = known < 0 ? storages.push(values) - 1 : known;
  const id = tuple([
    unicode("storage"),
    named("torch", "FloatStorage"),
    unicode(String(key)),
    unicode("cpu"),
    int(values.length),
  ]);
  const hooks = Buffer.concat([named("collections", "OrderedDict"), ascii(")R")]);
  const args = [
    Buffer.concat([id, ascii("Q")]),
    int(offset),
    tuple(shape.map(int)),
    tuple(strides.map(int)),
    byte(0x89),
    hooks,
  ];
  return Buffer.concat([named("torch._utils", "_rebuild_tensor_v2"), tuple(args), ascii("R")]);
}

const contiguous = (shape: readonly number[]) =>
  shape.map((_, at) => shape.slice(at + 1).reduce((product, length) => product * length, 1));

/** @param changed of the members, before they are put together */
export function torchFile(content: Saved, changed: (members: ZipMember[]) => ZipMember[] = (all) => all): Buffer {
  const storages: Float32Array[] = [];
  const pickle = Buffer.concat([byte(0x80, 2), instructions(content, storages), ascii(".")]);
  const stored = (name: string, bytes: Buffer): ZipMember => ({ name: `archive/${name}`, content: bytes, method: 0 });
  return zip(
    changed([
      stored("data.pkl", pickle),
      stored("byteorder", Buffer.from("little")),
      ...storages.map((values, key) =>
        stored(`data/${key}`, Buffer.from(values.buffer, values.byteOffset, values.byteLength)),
      ),
      stored("version", Buffer.from("3\n")),
    ]),
  );
}

/** A Jacobian lens. */
export function jacobianFile(
  width: number,
  matrices: ReadonlyMap<number, Float32Array>,
  more: [string, Saved][] = [],
): Buffer {
  const tensors = [...matrices].map(([layer, values]) => [layer, { shape: [width, width], values }] as const);
  return torchFile(
    new Map<string, Saved>([
      ["J", new Map<number, Saved>(tensors)],
      ["n_prompts", 7],
      ["source_layers", [...matrices.keys()]],
      ["d_model", width],
      ...more,
    ]),
  );
}
