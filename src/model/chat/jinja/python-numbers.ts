/** Python's numbers as text and back. An int is a bigint here, a float a number: they never mix. */

import { OverBudget, Raised } from "./budget.js";

/** CPython refuses to write longer ones. */
const MOST_DIGITS = 4300;
const MOST_BITS = 1_000_000;

/** @throws Raised ValueError */
export function intText(value: bigint): string {
  const text = value.toString();
  if (text.length > MOST_DIGITS + (value < 0n ? 1 : 0)) {
    throw new Raised("ValueError", `Exceeds the limit (${MOST_DIGITS} digits) for integer string conversion`);
  }
  return text;
}

/** The shortest decimal that reads back as the same float, in Python's form. */
export function floatText(value: number): string {
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value < 0 ? "-inf" : "inf";
  const sign = value < 0 || Object.is(value, -0) ? "-" : "";
  const [mantissa = "0", power = "0"] = Math.abs(value).toExponential().split("e");
  const exponent = Number(power);
  const digits = mantissa.replace(".", "");
  if (exponent < -4 || exponent >= 16) return `${sign}${mantissa}${exponentText(exponent)}`;
  if (exponent < 0) return `${sign}0.${"0".repeat(-exponent - 1)}${digits}`;
  if (digits.length <= exponent + 1) return `${sign}${digits.padEnd(exponent + 1, "0")}.0`;
  return `${sign}${digits.slice(0, exponent + 1)}.${digits.slice(exponent + 1)}`;
}

function exponentText(exponent: number): string {
  return `e${exponent < 0 ? "-" : "+"}${String(Math.abs(exponent)).padStart(2, "0")}`;
}

const view = new DataView(new ArrayBuffer(8));

/** round(|value| · 10^places), half to even, of the exact binary value. */
function scaled(value: number, places: number): bigint {
  view.setFloat64(0, Math.abs(value));
  const bits = view.getBigUint64(0);
  const field = Number((bits >> 52n) & 0x7ffn);
  let top = bits & 0xfffffffffffffn;
  if (field !== 0) top |= 1n << 52n;
  const power = (field === 0 ? 1 : field) - 1075;
  let bottom = 1n;
  if (power >= 0) top <<= BigInt(power);
  else bottom <<= BigInt(-power);
  if (places >= 0) top *= 10n ** BigInt(places);
  else bottom *= 10n ** BigInt(-places);
  return halfEven(top, bottom);
}

function halfEven(top: bigint, bottom: bigint): bigint {
  const whole = top / bottom;
  const rest = (top % bottom) * 2n;
  return rest > bottom || (rest === bottom && whole % 2n === 1n) ? whole + 1n : whole;
}

/** Digits of |value| with so many decimals, no sign. */
export function fixedText(value: number, places: number): string {
  if (!Number.isFinite(value)) return floatText(Math.abs(value));
  const digits = scaled(value, places)
    .toString()
    .padStart(places + 1, "0");
  return places === 0 ? digits : `${digits.slice(0, -places)}.${digits.slice(-places)}`;
}

/** |value| as d.ddde+XX, no sign. */
export function exponentialText(value: number, places: number): string {
  const { digits, exponent } = significant(value, places);
  return `${digits[0]}${places > 0 ? `.${digits.slice(1)}` : ""}${exponentText(exponent)}`;
}

/** |value| in the form of `%g`, no sign. */
export function generalText(value: number, precision: number, keepZeros: boolean): string {
  const wanted = Math.max(1, precision);
  const { exponent } = significant(value, wanted - 1);
  const fixed = exponent >= -4 && exponent < wanted;
  const text = fixed ? fixedText(value, wanted - 1 - exponent) : exponentialText(value, wanted - 1);
  if (keepZeros || !text.includes(".")) return text;
  const [mantissa = "", power] = text.split("e");
  return mantissa.replace(/\.?0+$/, "") + (power === undefined ? "" : `e${power}`);
}

function significant(value: number, places: number): { digits: string; exponent: number } {
  if (value === 0) return { digits: "0".repeat(places + 1), exponent: 0 };
  let exponent = Number(Math.abs(value).toExponential().split("e")[1]);
  let digits = scaled(value, places - exponent).toString();
  if (digits.length > places + 1) {
    exponent += 1;
    digits = scaled(value, places - exponent).toString();
  }
  return { digits, exponent };
}

/** Python's `round(value, places)` of a float. */
export function roundFloat(value: number, places: number): number {
  if (!Number.isFinite(value) || value === 0 || places > 323) return value;
  if (places < -308) return 0 * value;
  const digits = scaled(value, places);
  const rounded = places >= 0 ? Number(`${digits}e-${places}`) : Number(`${digits}e${-places}`);
  return value < 0 ? -rounded : rounded;
}

/** Python's `round(value, places)` of an int. */
export function roundInt(value: bigint, places: number): bigint {
  if (places >= 0) return value;
  const unit = 10n ** BigInt(Math.min(-places, MOST_DIGITS));
  const rounded = halfEven(value < 0n ? -value : value, unit) * unit;
  return value < 0n ? -rounded : rounded;
}

/** `int(text, base)`. @returns undefined where Python raises ValueError */
export function parseInteger(text: string, base: number): bigint | undefined {
  const match = /^([+-]?)(0[xX]|0[oO]|0[bB])?(_?[0-9a-zA-Z]+(?:_[0-9a-zA-Z]+)*)$/.exec(text);
  if (!match) return undefined;
  let [, sign, prefix = "", digits = ""] = match;
  const prefixBase = { x: 16, o: 8, b: 2 }[prefix.slice(1).toLowerCase()];
  let radix = base;
  if (prefix !== "" && (base === 0 || base === prefixBase)) {
    radix = prefixBase as number;
  } else {
    digits = prefix + digits;
    if (base === 0) {
      if (/^0/.test(digits) && !/^[0_]+$/.test(digits)) return undefined;
      radix = 10;
    }
    if (digits.startsWith("_")) return undefined;
  }
  let value = 0n;
  const plain = digits.replaceAll("_", "");
  if (plain.length > MOST_DIGITS && ![2, 4, 8, 16, 32].includes(radix)) {
    throw new Raised("ValueError", `Exceeds the limit (${MOST_DIGITS} digits) for integer string conversion`);
  }
  for (const character of plain.toLowerCase()) {
    const digit = Number.parseInt(character, 36);
    if (!(digit < radix)) return undefined;
    value = value * BigInt(radix) + BigInt(digit);
  }
  return sign === "-" ? -value : value;
}

/** `float(text)`. @returns undefined where Python raises ValueError */
export function parseFloatText(text: string): number | undefined {
  const special = /^([+-]?)(inf|infinity|nan)$/i.exec(text);
  if (special) {
    if (special[2]?.toLowerCase() === "nan") return Number.NaN;
    return special[1] === "-" ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  }
  const number = /^[+-]?(\d+(_\d+)*\.?(\d+(_\d+)*)?|\.\d+(_\d+)*)(e[+-]?\d+(_\d+)*)?$/i;
  return number.test(text) ? Number(text.replaceAll("_", "")) : undefined;
}

/** @throws Raised ValueError, OverflowError */
export function floatToInt(value: number): bigint {
  if (Number.isNaN(value)) throw new Raised("ValueError", "cannot convert float NaN to integer");
  if (!Number.isFinite(value)) throw new Raised("OverflowError", "cannot convert float infinity to integer");
  return BigInt(Math.trunc(value));
}

/** @throws Raised OverflowError */
export function intToFloat(value: bigint): number {
  const float = Number(value);
  if (!Number.isFinite(float)) throw new Raised("OverflowError", "int too large to convert to float");
  return float;
}

/** @throws Raised ZeroDivisionError */
export function floorDivide(a: bigint, b: bigint): { quotient: bigint; rest: bigint } {
  if (b === 0n) throw new Raised("ZeroDivisionError", "integer division or modulo by zero");
  let quotient = a / b;
  let rest = a % b;
  if (rest !== 0n && rest < 0n !== b < 0n) {
    quotient -= 1n;
    rest += b;
  }
  return { quotient, rest };
}

/** @throws Raised ZeroDivisionError */
export function floorDivideFloat(a: number, b: number): { quotient: number; rest: number } {
  if (b === 0) throw new Raised("ZeroDivisionError", "float floor division by zero");
  let rest = a % b;
  let quotient = (a - rest) / b;
  if (rest !== 0) {
    if (rest < 0 !== b < 0) {
      rest += b;
      quotient -= 1;
    }
  } else {
    rest = b < 0 ? -0 : 0;
  }
  if (quotient !== 0) {
    const floor = Math.floor(quotient);
    quotient = quotient - floor > 0.5 ? floor + 1 : floor;
  } else {
    quotient = a / b < 0 || Object.is(a / b, -0) ? -0 : 0;
  }
  return { quotient, rest };
}

/** @throws OverBudget for numbers beyond a million bits, before they are made */
export function intPower(base: bigint, exponent: bigint): bigint {
  const bits = base.toString(2).length;
  if (base !== 0n && base !== 1n && base !== -1n && exponent * BigInt(bits) > BigInt(MOST_BITS)) {
    throw new OverBudget("it makes a number beyond a million bits");
  }
  if (base === -1n) return exponent % 2n === 0n ? 1n : -1n;
  if (base === 0n || base === 1n) return exponent === 0n ? 1n : base;
  return base ** exponent;
}

/** @throws OverBudget */
export function intProduct(a: bigint, b: bigint): bigint {
  if (a.toString(16).length + b.toString(16).length > MOST_BITS / 4) {
    throw new OverBudget("it makes a number beyond a million bits");
  }
  return a * b;
}
