/**
 * Reads a pickle that holds data alone. A pickle is a program; this runs the part of it that builds numbers, texts, lists and
 * dictionaries, and asks its caller what each name stands for. An instruction or a name that is not expected is refused by name, so that
 * nothing a file asks for is ever called.
 */

import { shown } from "../base/untrusted.js";

/** Tuples are frozen arrays. An array or map may hold itself: walk no deeper than the format has it. */
export type PickleValue = null | boolean | number | string | PickleValue[] | Map<PickleKey, PickleValue> | PickleObject;
export type PickleKey = string | number | boolean | null;

/** What the caller's rules made; its class is theirs. */
export abstract class PickleObject {
  /** Without it any object would pass for one. */
  protected readonly isMade = true;
}

export interface PickleRules {
  /** @returns what stands for a name such as collections.OrderedDict; undefined where it is not expected */
  readonly named: (name: string) => PickleObject | undefined;
  /** What calling it gives. @throws Error in plain words */
  readonly call: (called: PickleObject, given: readonly PickleValue[]) => PickleValue;
  /** What an id stands for that leads out of the pickle. @throws Error in plain words */
  readonly persistent: (id: PickleValue) => PickleValue;
  /** Attributes that are set on a value beside its content. @throws Error in plain words, where it has none */
  readonly attributes: (of: PickleValue, state: PickleValue) => void;
}

/** Of pickle's protocols 2 to 5; those that are followed here, and those that are refused, by their names. */
const FOLLOWED = {
  "(": "MARK",
  ".": "STOP",
  "0": "POP",
  "1": "POP_MARK",
  "2": "DUP",
  "}": "EMPTY_DICT",
  "]": "EMPTY_LIST",
  ")": "EMPTY_TUPLE",
  l: "LIST",
  t: "TUPLE",
  d: "DICT",
  a: "APPEND",
  e: "APPENDS",
  s: "SETITEM",
  u: "SETITEMS",
  N: "NONE",
  J: "BININT",
  K: "BININT1",
  M: "BININT2",
  G: "BINFLOAT",
  X: "BINUNICODE",
  c: "GLOBAL",
  R: "REDUCE",
  b: "BUILD",
  Q: "BINPERSID",
  q: "BINPUT",
  r: "LONG_BINPUT",
  h: "BINGET",
  j: "LONG_BINGET",
  "\x80": "PROTO",
  "\x85": "TUPLE1",
  "\x86": "TUPLE2",
  "\x87": "TUPLE3",
  "\x88": "NEWTRUE",
  "\x89": "NEWFALSE",
  "\x8a": "LONG1",
  "\x8c": "SHORT_BINUNICODE",
  "\x8d": "BINUNICODE8",
  "\x93": "STACK_GLOBAL",
  "\x94": "MEMOIZE",
  "\x95": "FRAME",
} as const;
const REFUSED: Readonly<Record<string, string>> = {
  i: "INST",
  o: "OBJ",
  "\x81": "NEWOBJ",
  "\x92": "NEWOBJ_EX",
  "\x82": "EXT1",
  "\x83": "EXT2",
  "\x84": "EXT4",
  P: "PERSID",
  F: "FLOAT",
  I: "INT",
  L: "LONG",
  S: "STRING",
  T: "BINSTRING",
  U: "SHORT_BINSTRING",
  V: "UNICODE",
  B: "BINBYTES",
  C: "SHORT_BINBYTES",
  g: "GET",
  p: "PUT",
  "\x8b": "LONG4",
  "\x8e": "BINBYTES8",
  "\x8f": "EMPTY_SET",
  "\x90": "ADDITEMS",
  "\x91": "FROZENSET",
  "\x96": "BYTEARRAY8",
  "\x97": "NEXT_BUFFER",
  "\x98": "READONLY_BUFFER",
};
type Opcode = (typeof FOLLOWED)[keyof typeof FOLLOWED];

/** The newest protocol of Python 3. */
const MOST_PROTOCOL = 5;
/** A whole number of more bytes is none that is exact here. */
const MOST_LONG_BYTES = 8;

/**
 * The work grows with the number of bytes alone, and so does what is kept.
 * @throws Error in plain words: its caller says of which file
 */
export function readPickle(bytes: Uint8Array, rules: PickleRules): PickleValue {
  return new PickleMachine(bytes, rules).run();
}

class PickleMachine {
  private readonly view: DataView;
  private at = 0;
  private readonly stack: PickleValue[] = [];
  /** Heights of the stack at the marks that are open. */
  private readonly marks: number[] = [];
  private readonly memo = new Map<number, PickleValue>();

  constructor(
    private readonly bytes: Uint8Array,
    private readonly rules: PickleRules,
  ) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  run(): PickleValue {
    for (;;) {
      const code = this.bytes[this.take(1)] as number;
      const character = String.fromCharCode(code);
      if (!Object.hasOwn(FOLLOWED, character)) {
        const name = Object.hasOwn(REFUSED, character) ? REFUSED[character] : `0x${code.toString(16)}`;
        throw new Error(`its pickle has the instruction ${name}, which plain tensors do not need`);
      }
      const opcode = FOLLOWED[character as keyof typeof FOLLOWED];
      if (opcode === "STOP") break;
      this.step(opcode);
    }
    const left = this.bytes.length - this.at;
    if (left > 0) throw new Error(`its pickle has ${left} bytes behind its end`);
    if (this.stack.length !== 1 || this.marks.length > 0) throw new Error("its pickle leaves more than one value");
    return this.stack[0] as PickleValue;
  }

  private step(opcode: Exclude<Opcode, "STOP">): void {
    const { stack, view } = this;
    switch (opcode) {
      case "PROTO": {
        const protocol = this.bytes[this.take(1)] as number;
        if (protocol > MOST_PROTOCOL) throw new Error(`its pickle has the protocol ${protocol}, and 5 is the newest`);
        return;
      }
      case "FRAME":
        // Says how far to read ahead.
        this.take(8);
        return;
      case "MARK":
        this.marks.push(stack.length);
        return;
      case "POP":
        this.pop();
        return;
      case "POP_MARK":
        this.toMark();
        return;
      case "DUP":
        stack.push(this.top());
        return;
      case "NONE":
        stack.push(null);
        return;
      case "NEWTRUE":
        stack.push(true);
        return;
      case "NEWFALSE":
        stack.push(false);
        return;
      case "BININT":
        stack.push(view.getInt32(this.take(4), true));
        return;
      case "BININT1":
        stack.push(view.getUint8(this.take(1)));
        return;
      case "BININT2":
        stack.push(view.getUint16(this.take(2), true));
        return;
      case "LONG1":
        stack.push(this.long(view.getUint8(this.take(1))));
        return;
      case "BINFLOAT":
        stack.push(view.getFloat64(this.take(8), false));
        return;
      case "SHORT_BINUNICODE":
        stack.push(this.text(view.getUint8(this.take(1))));
        return;
      case "BINUNICODE":
        stack.push(this.text(view.getUint32(this.take(4), true)));
        return;
      case "BINUNICODE8":
        stack.push(this.text(Number(view.getBigUint64(this.take(8), true))));
        return;
      case "EMPTY_LIST":
        stack.push([]);
        return;
      case "EMPTY_DICT":
        stack.push(new Map());
        return;
      case "EMPTY_TUPLE":
        this.pushTuple([]);
        return;
      case "TUPLE1":
      case "TUPLE2":
      case "TUPLE3":
        this.pushTuple(this.popMany(Number(opcode.at(-1))));
        return;
      case "TUPLE":
        this.pushTuple(this.toMark());
        return;
      case "LIST":
        stack.push(this.toMark());
        return;
      case "DICT": {
        const made = new Map<PickleKey, PickleValue>();
        setItems(made, this.toMark());
        stack.push(made);
        return;
      }
      case "APPEND":
        appendItems(this.below(1), [this.pop()]);
        return;
      case "APPENDS": {
        const items = this.toMark();
        appendItems(this.top(), items);
        return;
      }
      case "SETITEM":
        setItems(this.below(2), this.popMany(2));
        return;
      case "SETITEMS": {
        const items = this.toMark();
        setItems(this.top(), items);
        return;
      }
      case "BINPUT":
        this.memo.set(view.getUint8(this.take(1)), this.top());
        return;
      case "LONG_BINPUT":
        this.memo.set(view.getUint32(this.take(4), true), this.top());
        return;
      case "MEMOIZE":
        this.memo.set(this.memo.size, this.top());
        return;
      case "BINGET":
        stack.push(this.remembered(view.getUint8(this.take(1))));
        return;
      case "LONG_BINGET":
        stack.push(this.remembered(view.getUint32(this.take(4), true)));
        return;
      case "GLOBAL":
        this.pushNamed(this.line(), this.line());
        return;
      case "STACK_GLOBAL": {
        const [module, name] = this.popMany(2);
        if (typeof module !== "string" || typeof name !== "string") throw new Error("its pickle names what is no name");
        this.pushNamed(module, name);
        return;
      }
      case "REDUCE": {
        const [called, given] = this.popMany(2);
        if (!(called instanceof PickleObject) || !isTuple(given))
          throw new Error("its pickle calls what is no function");
        stack.push(this.rules.call(called, given));
        return;
      }
      case "BUILD": {
        const state = this.pop() as PickleValue;
        this.rules.attributes(this.top(), state);
        return;
      }
      case "BINPERSID":
        stack.push(this.rules.persistent(this.pop()));
        return;
      default: {
        const never: never = opcode;
        throw new Error(`no step ${never}`);
      }
    }
  }

  /** @returns where so many bytes begin */
  private take(count: number): number {
    const { at } = this;
    if (count > this.bytes.length - at) throw new Error("its pickle is cut off");
    this.at += count;
    return at;
  }

  /** Nothing below the last mark is there to be taken. */
  private get floor(): number {
    return this.marks.at(-1) ?? 0;
  }

  private popMany(count: number): PickleValue[] {
    if (this.stack.length - count < this.floor) throw new Error("its pickle takes values that are not there");
    return this.stack.splice(this.stack.length - count, count);
  }

  private pop(): PickleValue {
    return this.popMany(1)[0] as PickleValue;
  }

  private top(): PickleValue {
    return this.below(0);
  }

  private below(depth: number): PickleValue {
    const place = this.stack.length - 1 - depth;
    if (place < this.floor) throw new Error("its pickle takes values that are not there");
    return this.stack[place] as PickleValue;
  }

  private toMark(): PickleValue[] {
    const mark = this.marks.pop();
    if (mark === undefined) throw new Error("its pickle has no mark where one is needed");
    return this.stack.splice(mark);
  }

  private pushTuple(items: PickleValue[]): void {
    this.stack.push(Object.freeze(items) as PickleValue[]);
  }

  private remembered(place: number): PickleValue {
    const value = this.memo.get(place);
    if (value === undefined) throw new Error(`its pickle has nothing at place ${place} of its memo`);
    return value;
  }

  private pushNamed(module: string, name: string): void {
    const full = `${module}.${name}`;
    const found = this.rules.named(full);
    if (!found) throw new Error(`its pickle asks for ${shown(full)}, which plain tensors do not need`);
    this.stack.push(found);
  }

  private text(length: number): string {
    const start = this.take(length);
    return decoded(this.bytes.subarray(start, start + length));
  }

  private line(): string {
    const end = this.bytes.indexOf(LINE_FEED, this.at);
    if (end < 0) throw new Error("its pickle is cut off");
    const text = decoded(this.bytes.subarray(this.at, end));
    this.at = end + 1;
    return text;
  }

  private long(count: number): number {
    const start = this.take(count);
    if (count > MOST_LONG_BYTES) throw new Error(`its pickle has a whole number of ${count} bytes`);
    let number = 0n;
    for (let at = count - 1; at >= 0; at--) number = (number << 8n) | BigInt(this.bytes[start + at] as number);
    const signed = BigInt.asIntN(Math.max(1, 8 * count), number);
    if (!Number.isSafeInteger(Number(signed))) throw new Error(`its pickle has the whole number ${signed}`);
    return Number(signed);
  }
}

const LINE_FEED = 10;
function decoded(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new Error("its pickle has a text that is not UTF-8");
  }
}

export function isTuple(value: PickleValue | undefined): value is PickleValue[] {
  return Array.isArray(value) && Object.isFrozen(value);
}

function appendItems(to: PickleValue, items: readonly PickleValue[]): void {
  if (!Array.isArray(to) || Object.isFrozen(to)) throw new Error("its pickle appends to what is no list");
  for (const item of items) to.push(item);
}

function setItems(to: PickleValue, items: readonly PickleValue[]): void {
  if (!(to instanceof Map)) throw new Error("its pickle sets items of what is no dictionary");
  if (items.length % 2 !== 0) throw new Error("its pickle has a key without a value");
  for (let at = 0; at < items.length; at += 2) {
    const key = items[at] as PickleValue;
    if (key !== null && typeof key === "object") throw new Error("its pickle has a key that is no text or number");
    if (to.has(key)) throw new Error(`its pickle has the key ${shown(key)} twice`);
    to.set(key, items[at + 1] as PickleValue);
  }
}
