/** `strftime_now` under a pinned date: the clock must not change what a model reads. */

import { Unsupported } from "./budget.js";

/** Friday 26 July 2024, 12:00:00: the day that Llama-3.1-style templates fall back to. */
const PINNED: Readonly<Record<string, string>> = {
  a: "Fri",
  A: "Friday",
  b: "Jul",
  B: "July",
  c: "Fri Jul 26 12:00:00 2024",
  C: "20",
  d: "26",
  D: "07/26/24",
  e: "26",
  f: "000000",
  F: "2024-07-26",
  g: "24",
  G: "2024",
  h: "Jul",
  H: "12",
  I: "12",
  j: "208",
  k: "12",
  l: "12",
  m: "07",
  M: "00",
  n: "\n",
  p: "PM",
  P: "pm",
  r: "12:00:00 PM",
  R: "12:00",
  S: "00",
  t: "\t",
  T: "12:00:00",
  u: "5",
  U: "29",
  V: "30",
  w: "5",
  W: "30",
  x: "07/26/24",
  X: "12:00:00",
  y: "24",
  Y: "2024",
  z: "",
  Z: "",
  "%": "%",
};

/** glibc's strftime in the C locale, with its flags `-`, `_`, `0`, `^`. @throws Unsupported for a directive not in the table */
export function pinnedTime(format: string): string {
  return format.replace(/%([-_0^#]?)([EO]?)(.|$)/gsu, (whole, flag: string, _, directive: string) => {
    const text = Object.hasOwn(PINNED, directive) ? PINNED[directive] : undefined;
    if (text === undefined) throw new Unsupported(`strftime_now with ${whole}`);
    if (flag === "^") return text.toUpperCase();
    const numeric = /^[CdegGHIjklmMSuUVwWyY]$/.test(directive);
    if (!numeric || flag === "" || flag === "#") return text;
    const digits = text.replace(/^[0 ]+(?=.)/, "");
    return flag === "-" ? digits : digits.padStart(text.length, flag === "_" ? " " : "0");
  });
}
