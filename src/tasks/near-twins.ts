/**
 * Which strings of a task are one choice in several forms, or nearly so: near twins. A train string that is a near twin of a held-out one
 * gives its answer away. Found by what twins have in common, never by all pairs.
 */

import { DisjointSets } from "../base/disjoint-sets.js";
import { itemsOf } from "./heuristics.js";
import { optionsOf } from "./option-lines.js";
import { similarTexts, wordPairs, wordsOf } from "./similar-texts.js";
import type { Task, TaskItem, TaskKind } from "./task.js";

/** Longer lists are read as text: one item more or less says little about them. */
const LONGEST_LIST = 20;
/** Of the longer of two lists, for one edit to leave most of it as it was. */
const FEWEST_ITEMS = 3;
/** A question that more strings of a task than this, and more than this share of them, put is the task's frame and no scenario. */
const FRAME = { strings: 10, share: 0.05 };

/** For people: what near twins are. */
export const NEAR_TWINS_ARE: Readonly<Record<TaskKind, string>> = {
  sequence: "the same items in any order, or one item replaced, added or left out",
  numbers:
    "the same numbers in any order, or one of them replaced, added or left out; of sums and products the same numbers",
  continuation: "half or more of all neighbouring word pairs in common",
  options: "the same scenario, or half or more of its neighbouring word pairs in common",
};

/** How many train strings are near twins of a held-out one, with the first of them. */
export interface CountedTwins {
  readonly train: number;
  readonly heldOut: number;
  readonly example?: readonly [train: string, heldOut: string];
}

export function countNearTwins({ definition, train, heldOut }: Task): CountedTwins {
  const { twinFinder } = likenessOf(definition.kind, [...train, ...heldOut]);
  const [inTrain, inHeldOut] = [twinFinder(train), twinFinder(heldOut)];
  const twins = train.flatMap(({ text, ...item }) => {
    const other = inHeldOut({ text, ...item });
    return other ? [[text, other.text] as const] : [];
  });
  return { train: twins.length, heldOut: heldOut.filter((item) => inTrain(item)).length, example: twins[0] };
}

/** What is compared of a string. */
export type Likened = Pick<TaskItem, "text" | "cluster">;

/** Two strings are near twins where one shows a key that the other seeks, or where their word pairs are similar. */
interface Traits {
  /** The same for all forms of one choice. */
  readonly choice: string;
  readonly shown: readonly string[];
  readonly sought: readonly string[];
  readonly pairs?: ReadonlySet<string>;
}

export interface Likeness {
  /** The same for all forms of one choice. */
  readonly choiceOf: (item: Likened) => string;
  /** @returns a function that finds a near twin of a string among these */
  readonly twinFinder: <Item extends Likened>(among: readonly Item[]) => (of: Likened) => Item | undefined;
  /** @returns groups of strings that near twins, and near twins of near twins, link; each in the order of `items`, by its first */
  readonly linked: <Item extends Likened>(items: readonly Item[]) => Item[][];
}

/** @param all strings of the task, of both splits: what so many of them have in common tells none from another */
export function likenessOf(kind: TaskKind, all: readonly Pick<TaskItem, "text">[]): Likeness {
  const frames = kind === "options" ? framesOf(all) : new Set<string>();
  const traitsOf = ({ text, cluster }: Likened): Traits => {
    const traits = traitsOfText(kind, text, frames);
    if (cluster === undefined) return traits;
    const named = `cluster ${cluster}`;
    return { ...traits, shown: [...traits.shown, named], sought: [...traits.sought, named] };
  };
  return {
    choiceOf: (item) => traitsOf(item).choice,
    twinFinder: (among) => finderAmong(among, traitsOf),
    linked: (items) => linkedStrings(items, traitsOf),
  };
}

function finderAmong<Item extends Likened>(among: readonly Item[], traitsOf: (item: Likened) => Traits) {
  const known = new Map<string, Item>();
  const texts: { item: Item; pairs: ReadonlySet<string> }[] = [];
  for (const item of among) {
    const { shown, pairs } = traitsOf(item);
    for (const key of shown) if (!known.has(key)) known.set(key, item);
    if (pairs) texts.push({ item, pairs });
  }
  const similar = similarTexts(texts.map(({ pairs }) => pairs));
  return (of: Likened): Item | undefined => {
    const { sought, pairs } = traitsOf(of);
    const key = sought.find((one) => known.has(one));
    if (key !== undefined) return known.get(key);
    for (const at of pairs ? similar(pairs) : []) return texts[at]?.item;
    return undefined;
  };
}

function linkedStrings<Item extends Likened>(items: readonly Item[], traitsOf: (item: Likened) => Traits): Item[][] {
  const traits = items.map(traitsOf);
  const sets = new DisjointSets(items.length);
  const shown = new Map<string, number>();
  traits.forEach((one, at) => {
    for (const key of one.shown) if (!shown.has(key)) shown.set(key, at);
  });
  // Whoever seeks a key is a twin of all who show it, which links those too; a key that nobody seeks links nobody.
  const sought = new Set<string>();
  traits.forEach((one, at) => {
    for (const key of one.sought) {
      const first = shown.get(key);
      if (first === undefined) continue;
      sought.add(key);
      sets.link(first, at);
    }
  });
  traits.forEach((one, at) => {
    for (const key of one.shown) if (sought.has(key)) sets.link(shown.get(key) as number, at);
  });
  const texts = traits.flatMap(({ pairs }, at) => (pairs ? [{ at, pairs }] : []));
  const placeOf = (text: number) => texts[text]?.at as number;
  const similar = similarTexts(texts.map(({ pairs }) => pairs));
  texts.forEach(({ at, pairs }, text) => {
    const isKnown = (other: number) => other >= text || sets.firstOf(placeOf(other)) === sets.firstOf(at);
    for (const other of similar(pairs, isKnown)) sets.link(placeOf(other), at);
  });
  return sets.groups(items);
}

function traitsOfText(kind: TaskKind, text: string, frames: ReadonlySet<string>): Traits {
  if (kind === "options") return traitsOfOptions(text, frames);
  if (kind === "numbers" && isExpression(text)) return traitsOfExpression(text);
  if (kind === "sequence" || (kind === "numbers" && !/\p{L}/u.test(text))) {
    const items = itemsOf(kind, text).map((item) => item.normalize("NFC").toLowerCase());
    if (items.length > 0 && items.length <= LONGEST_LIST) return traitsOfList(items);
  }
  return { ...onlyItself(textChoice(text)), pairs: wordPairs(text) };
}

function onlyItself(choice: string): Traits {
  return { choice, shown: [choice], sought: [choice] };
}

function textChoice(text: string): string {
  const words = wordsOf(text);
  return words.length === 0 ? text.trim() : words.join(" ");
}

/** In any order: of two lists as long, one item replaced is the same rest; one item more or less is the other's whole list as a rest. */
function traitsOfList(items: readonly string[]): Traits {
  const sorted = [...items].sort();
  const choice = `items ${listKey(sorted)}`;
  if (items.length < FEWEST_ITEMS) {
    const longer = `rest ${listKey(sorted)}`;
    return { choice, shown: [choice, `whole ${listKey(sorted)}`], sought: [choice, longer] };
  }
  const rests = [...new Set(sorted.map((_, at) => listKey([...sorted.slice(0, at), ...sorted.slice(at + 1)])))];
  const replaced = rests.map((rest) => `replaced ${rest}`);
  return {
    choice,
    shown: [choice, ...replaced, `whole ${listKey(sorted)}`, ...rests.map((rest) => `rest ${rest}`)],
    sought: [choice, ...replaced, `rest ${listKey(sorted)}`, ...rests.map((rest) => `whole ${rest}`)],
  };
}

function listKey(items: readonly string[]): string {
  return items.join("\n");
}

const EXPRESSION_PARTS = /\p{N}+(?:[.,]\p{N}+)*|[^\s\p{N}]/gu;

/** Numbers with signs of arithmetic between them, and not a list of them. */
function isExpression(text: string): boolean {
  return !/[^\P{L}x]/u.test(text) && /=|\p{N}\s*[*×·x/:÷^]\s*\p{N}|\p{N}\s+[-+−]\s+\p{N}|\p{N}[-+−]\p{N}/u.test(text);
}

/** A sum or product of two is the same with its numbers exchanged. */
function expressionChoice(text: string): string {
  const [a, sign, b, ...rest] = (text.match(EXPRESSION_PARTS) ?? []).filter((part) => part !== "=" && part !== "?");
  if (a === undefined || sign === undefined || b === undefined) return `value ${text.trim()}`;
  const commutes = rest.length === 0 && /^[+*×·x]$/.test(sign);
  const [first, second] = commutes && b < a ? [b, a] : [a, b];
  return `value ${[first, sign, second, ...rest].join(" ")}`;
}

/** Whatever the signs between them, the same numbers make near twins: 7 + 0 tells of 7 - 0. */
function traitsOfExpression(text: string): Traits {
  const choice = expressionChoice(text);
  const keys = [choice, `numbers ${listKey((text.match(/\p{N}+(?:[.,]\p{N}+)*/gu) ?? []).sort())}`];
  return { choice, shown: keys, sought: keys };
}

function stemOf(text: string, options: number): string {
  return text.trimEnd().split("\n").slice(0, -options).join("\n").trim();
}

function stemChoice(stem: string): string {
  return isExpression(stem) ? expressionChoice(stem) : textChoice(stem);
}

/** Options count in any order, whatever their letters. */
function traitsOfOptions(text: string, frames: ReadonlySet<string>): Traits {
  const options = [...optionsOf(text).values()].map(textChoice).sort();
  if (options.length === 0) return { ...onlyItself(textChoice(text)), pairs: wordPairs(text) };
  const stem = stemOf(text, options.length);
  const scenario = stemChoice(stem);
  const choice = `choice ${listKey([scenario, ...options])}`;
  if (scenario !== "" && !frames.has(scenario)) {
    const { pairs, shown } = isExpression(stem)
      ? traitsOfExpression(stem)
      : { ...onlyItself(scenario), pairs: wordPairs(stem) };
    const keys = [choice, ...shown.map((key) => `scenario ${key}`)];
    return { choice, shown: keys, sought: keys, pairs };
  }
  // In a frame the options are all there is: a list of which one may be another.
  const others = (at: number) =>
    listKey([scenario, String(options.length), ...options.slice(0, at), ...options.slice(at + 1)]);
  const keys = [choice, ...(options.length < FEWEST_ITEMS ? [] : options.map((_, at) => `others ${others(at)}`))];
  return { choice, shown: keys, sought: keys };
}

function framesOf(all: readonly Pick<TaskItem, "text">[]): Set<string> {
  const counts = new Map<string, number>();
  for (const { text } of all) {
    const scenario = stemChoice(stemOf(text, optionsOf(text).size));
    counts.set(scenario, (counts.get(scenario) ?? 0) + 1);
  }
  const most = Math.max(FRAME.strings, FRAME.share * all.length);
  return new Set([...counts].flatMap(([scenario, count]) => (count > most ? [scenario] : [])));
}
