/** A template's thinking mode: how it is switched off, and whether the template opens reasoning by itself all the same. */

import type { ChatVariables } from "./format.js";

/** What templates set around reasoning, opening and closing; `properties/reasoning.ts` knows these and more in what a model writes. */
export const REASONING_MARKS: readonly (readonly [open: string, close: string])[] = [
  ["<think>", "</think>"],
  ["<thinking>", "</thinking>"],
  ["<thought>", "</thought>"],
  ["<reasoning>", "</reasoning>"],
  ["<reason>", "</reason>"],
  ["<seed:think>", "</seed:think>"],
  ["<mm:think>", "</mm:think>"],
  ["[THINK]", "[/THINK]"],
  ["<|START_THINKING|>", "<|END_THINKING|>"],
  ["<|think|>", "<|end_think|>"],
  ["<|think|>", "<|/think|>"],
  ["<|begin_of_thought|>", "<|end_of_thought|>"],
  ["<|inner_prefix|>", "<|inner_suffix|>"],
  ["<|channel|>analysis", "<|end|>"],
  ["<|channel>thought", "<channel|>"],
];

/** @returns the mark of reasoning that a template has anywhere, with the one that closes it */
export function marksIn(template: string): readonly [open: string, close: string] | undefined {
  return REASONING_MARKS.find(([open]) => template.includes(open));
}

/** How a template's thinking mode stands. */
export interface Thinking {
  /** Values at which it is off, as far as the template has such. */
  readonly variables: ChatVariables;
  /** Values of the same at which it is on; those that the template has on by itself are left to it. */
  readonly on: ChatVariables;
  /** Variables that say how much is thought, and have no value for nothing. */
  readonly levels: readonly string[];
}

const ABOUT_THINKING = /think|thought|reason|\bcot\b|_cot\b|\bcot_/i;
/** A variable that is true where nothing is to be thought. */
const NEGATED = /(^|_)(no|not|non|disable|disabled|skip|without|hide|suppress|off)(_|$)|^no(think|reason)/i;
/** Words for off, as templates compare their variables with. */
const OFF_WORDS = ["none", "off", "disabled", "disable", "no_think", "nothink", "no", "never", "false", "chat"];
const ON_WORDS = ["high", "on", "enabled", "enable", "medium", "low", "max", "think", "auto", "true", "thinking"];
/** No template compares with it: what it does, any true value does. */
const ANY_WORD = "zzyzx";
const ANY_AMOUNT = 4096;

/**
 * Finds the variables that switch thinking by what they do: each that is named after it and changes the prompt.
 * What a template does with reasoning in earlier answers alone is no switch.
 * @param template Jinja source
 * @param render the same prompts under given variables, as one text; undefined where the template refuses them
 */
export function switchThinkingOff(
  template: string,
  render: (variables: ChatVariables) => string | undefined,
): Thinking {
  const literals = new Set([...template.matchAll(/"([^"\\\n]*)"|'([^'\\\n]*)'/g)].map(([, a, b]) => a ?? b ?? ""));
  const variables: Record<string, boolean | number | string> = {};
  const on: Record<string, boolean | number | string> = {};
  const levels: string[] = [];
  // Whatever looks like a name is tried: what is no free variable has no effect.
  const names = new Set([...template.matchAll(/[A-Za-z_]\w*/g)].map(([name]) => name));
  for (const name of [...names].filter((one) => ABOUT_THINKING.test(one))) {
    const under = (value: boolean | number | string) => render({ ...variables, [name]: value });
    const left = render(variables);
    const any = under(ANY_WORD);
    const isNamed = (word: string) =>
      literals.has(word) && differs(under(word), any === undefined ? ON_WORDS.map(under) : [any]);
    const word = OFF_WORDS.find(isNamed);
    const off = NEGATED.test(name);
    // What the template prints is no switch: it would print `False`.
    const isPrinted = any?.includes(ANY_WORD) === true;
    if (word !== undefined) {
      variables[name] = word;
      const onWord = ON_WORDS.find((one) => literals.has(one) && differs(under(one), [under(word)]));
      if (!differs(under(word), [left])) on[name] = onWord ?? ANY_WORD;
    } else if (/budget|tokens/i.test(name) && differs(under(0), [left, under(ANY_AMOUNT)])) {
      variables[name] = 0;
      if (!differs(under(0), [left])) on[name] = ANY_AMOUNT;
    } else if (!isPrinted && differs(under(off), [under(!off)])) {
      variables[name] = off;
      on[name] = !off;
    } else if (differs(left, ON_WORDS.map(under))) levels.push(name);
  }
  return { variables, on, levels };
}

function differs(text: string | undefined, others: readonly (string | undefined)[]): boolean {
  return text !== undefined && others.some((other) => other !== undefined && other !== text);
}
