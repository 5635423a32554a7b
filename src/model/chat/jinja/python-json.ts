/** Python's json.dumps, as the `tojson` filter of chat templates calls it. */

import { nested, Raised, step } from "./budget.js";
import { floatText, intText } from "./python-numbers.js";
import { operate } from "./python-operators.js";
import { Text, TextBuilder } from "./python-text.js";
import { Dict, List, sorted, typeName, type Value } from "./python-values.js";

export interface JsonStyle {
  readonly ascii: boolean;
  readonly sortKeys: boolean;
  /** What each level begins a line with; undefined for one line. */
  readonly indent: Text | undefined;
  readonly itemSeparator: Text;
  readonly keySeparator: Text;
}

/** @param indent None, a number of blanks or a text @throws Raised */
export function jsonStyle(
  ascii: boolean,
  indent: Value,
  separators: readonly Value[] | undefined,
  sortKeys: boolean,
): JsonStyle {
  const level = indent === null ? undefined : indent instanceof Text ? indent : operate(new Text(" "), "*", indent);
  const [item, key] = separators ?? [new Text(indent === null ? ", " : ","), new Text(": ")];
  if (!(item instanceof Text && key instanceof Text)) throw new Raised("TypeError", "separators must be two texts");
  return { ascii, sortKeys, indent: level as Text | undefined, itemSeparator: item, keySeparator: key };
}

/** @throws Raised TypeError for what JSON has no form for */
export function toJson(value: Value, style: JsonStyle): Text {
  const whole = new TextBuilder();
  write(value, style, whole, 0);
  return whole.build();
}

function write(value: Value, style: JsonStyle, out: TextBuilder, level: number): void {
  step();
  if (value === null) out.push("null");
  else if (typeof value === "boolean") out.push(value ? "true" : "false");
  else if (typeof value === "bigint") out.push(intText(value));
  else if (typeof value === "number") out.push(jsonFloat(value));
  else if (value instanceof Text) writeText(value, style, out);
  else if (value instanceof List) {
    writeAll("[", value.items, "]", style, out, level, (item) => write(item, style, out, level + 1));
  } else if (value instanceof Dict) {
    const pairs = style.sortKeys ? sorted(value.pairs(), ([key]) => key) : value.pairs();
    writeAll("{", pairs, "}", style, out, level, ([key, item]) => {
      writeText(jsonKey(key), style, out);
      out.push(style.keySeparator);
      write(item, style, out, level + 1);
    });
  } else throw new Raised("TypeError", `Object of type ${typeName(value)} is not JSON serializable`);
}

function writeAll<T>(
  before: string,
  items: readonly T[],
  after: string,
  style: JsonStyle,
  out: TextBuilder,
  level: number,
  one: (item: T) => void,
): void {
  out.push(before);
  const line = (depth: number) => {
    if (style.indent === undefined) return;
    out.push("\n");
    for (let at = 0; at < depth; at++) out.push(style.indent);
  };
  nested(() => {
    for (const [index, item] of items.entries()) {
      if (index > 0) out.push(style.itemSeparator);
      line(level + 1);
      one(item);
    }
  });
  if (items.length > 0) line(level);
  out.push(after);
}

function jsonFloat(value: number): string {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value < 0 ? "-Infinity" : "Infinity";
  return floatText(value);
}

function jsonKey(key: Value): Text {
  if (key instanceof Text) return key;
  if (key === null) return new Text("null");
  if (typeof key === "boolean") return new Text(key ? "true" : "false");
  if (typeof key === "bigint") return new Text(intText(key));
  if (typeof key === "number") return new Text(jsonFloat(key));
  throw new Raised("TypeError", `keys must be str, int, float, bool or None, not ${typeName(key)}`);
}

const SHORT: Readonly<Record<string, string>> = {
  '"': '\\"',
  "\\": "\\\\",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\b": "\\b",
  "\f": "\\f",
};

const unit = (character: string) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;

function writeText(text: Text, style: JsonStyle, out: TextBuilder): void {
  out.push('"');
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what JSON escapes
  const escaped = style.ascii ? /["\\\x00-\x1f\x7f-\uffff]/g : /["\\\x00-\x1f]/g;
  out.push(
    text
      .plain()
      .map((stretch) =>
        stretch.replace(escaped, (character) =>
          character === "\x7f" ? character : (SHORT[character] ?? unit(character)),
        ),
      ),
  );
  out.push('"');
}
