/** Answers taken apart: which parts write them, which heads carry them, what a part of another string's state does, what states say elsewhere. */

import {
  type InsideAttribution,
  type InsideHeads,
  type InsidePatchscope,
  type InsideQuestion,
  type InsideResults,
  type InsideSubspace,
  type InsideSubspaceSite,
  isCarrier,
  isFollowed,
  isTold,
  isWriter,
  LEAST_INSIDE,
} from "../../probe/inside-results.js";
import type { PartEffect } from "../../probe/part-effects.js";
import type { ControlEffect, HeadEffect } from "../../probe/written-effects.js";
import type { AdjustedP } from "../../score/comparison/tests.js";
import type { Estimate } from "../../score/interval.js";
import type { ResamplingSettings } from "../../score/resampling.js";
import { INSIDE_READINGS, type InsideLabel, type InsideReading } from "../../study/inside-schema.js";
import {
  aside,
  type Block,
  decimals,
  decimalText,
  estimateCell,
  formatCount,
  formatMissing,
  formatPercent,
  type Inline,
  INTERVALS,
  left,
  paragraph,
  right,
  type Section,
  type Table,
  type TableCell,
} from "../document.js";
import type { StateNames } from "../state-names.js";
import { plural, type PropertyNames, readableName } from "../terms.js";

export interface InsideNames {
  readonly state: StateNames;
  readonly property: PropertyNames;
}

/** What a reading of one question says, before its numbers. */
export interface InsideWords {
  readonly title: string;
  readonly sentence: string;
  /** How many strings it is of, and which are left out. */
  readonly strings: string;
}

export function insideSection(results: InsideResults, state: StateNames, property: PropertyNames): Section {
  const names = { state, property };
  const { settings } = results;
  return {
    id: "inside",
    title: "Answers taken apart",
    blocks: [
      paragraph(
        "Each reading looks at one thing that a model does while it answers, where the answer begins. None of them alone says whether a prediction " +
          "goes through a simulated answer; under each stands what it may say and what it may not.",
      ),
      { kind: "list", items: method(results) },
      ...results.attribution.flatMap((one) => attributionBlocks(one, settings, names)),
      ...results.heads.flatMap((one) => headsBlocks(one, settings, names)),
      ...results.subspace.flatMap((one) => subspaceBlocks(one, settings, names)),
      ...results.patchscope.flatMap((one) => patchscopeBlocks(one, settings, names)),
    ],
  };
}

/** What each reading does. */
export const INSIDE_METHODS: Readonly<Record<InsideReading, { readonly name: string; readonly text: string }>> = {
  attribution: {
    name: "What parts write.",
    text: "The logit of each answer's first token is the sum of what the embedding, each layer's attention and MLP, and each head have written into the last residual. Beside what a part writes for a string's own answer stands what it writes, in the same prompt, for other strings' answers.",
  },
  heads: {
    name: "Heads knocked out.",
    text: "A head's value at the prompt's last token is set to 0, and to its mean over the strings: by how much the answer that is given without that loses on the others, ln P. Beside it a random change as large, and the same done to the other heads of its layer.",
  },
  subspace: {
    name: "A part of another string's state.",
    text: "In the directions in which the object-level states of train strings differ by behavior, a hypothetical run gets what the hypothetical run of a string with another value has: by how much that string's answer gains. Beside it changes as large outside of these directions and in as many by chance, a donor with the same value, and the donor's whole state.",
  },
  patchscope: {
    name: "States in another prompt.",
    text: "What a site leaves where an answer begins is written into another prompt, and the reply is searched for the string's own words, for other strings' words, and under a vector by chance that is as long.",
  },
};

export function insideTests({ confidence }: ResamplingSettings): string {
  return `Signs are flipped, or words permuted, by string, in all rows of a table at once (Westfall and Young); found is what beats every control at ${(1 - confidence).toFixed(2)} with its interval, by ${LEAST_INSIDE} logits or nats at least. Tables are not adjusted for each other.`;
}

function method(results: InsideResults): Inline[][] {
  return [
    ...INSIDE_READINGS.filter((reading) => results[reading].length > 0).map((reading): Inline[] => {
      const { name, text } = INSIDE_METHODS[reading];
      return [{ strong: `${name} ` }, text];
    }),
    [{ strong: "Tests. " }, insideTests(results.settings)],
    [{ strong: "Intervals. " }, "Strings are drawn. ", INTERVALS, "."],
  ];
}

// Words that the readings share.

function titleOf(what: string, { state, task, prompt, property }: InsideQuestion, names: InsideNames): string {
  const asked = prompt === "object_level" ? "object-level" : `asked for ${names.property(property ?? "")}`;
  return `${what}: ${readableName(task)}, ${asked} (${names.state(state)})`;
}

function stringsText({ strings, leftOut }: InsideQuestion, more: readonly string[] = []): string {
  const lacking = Object.entries(leftOut).map(([reason, count]) => `${formatCount(count)} because ${reason}`);
  const parts = [...more, ...(lacking.length > 0 ? [`left out: ${lacking.join(", ")}`] : [])];
  return `${plural(strings, "string", formatCount(strings))}${parts.map((part) => `; ${part}`).join("")}.`;
}

const LABELS: Readonly<Record<InsideLabel, string>> = { behavior: "first word of the answer", property: "value" };

function numberCell(estimate: Estimate | undefined): TableCell {
  if (estimate === undefined) return { text: formatMissing("not there"), missing: true };
  return estimate.ok ? { text: decimalText(estimate, 2) } : { text: formatMissing(estimate.reason), missing: true };
}

function overAllCell(adjusted: AdjustedP | undefined): TableCell {
  if (adjusted === undefined) return { text: formatMissing("not there"), missing: true };
  return adjusted.ok ? { text: adjusted.p.toFixed(3) } : { text: formatMissing(adjusted.reason), missing: true };
}

/** Names of the first few. */
function someOf(names: readonly string[]): string {
  const most = 5;
  const more = names.length > most ? `, and ${formatCount(names.length - most)} more` : "";
  return `${names.slice(0, most).join(", ")}${more}`;
}

/** A reading: what it says, of whom, and the numbers that it rests on. */
function readingBlocks({ title, sentence, strings }: InsideWords, table: Omit<Table, "kind"> | undefined): Block[] {
  return [
    { kind: "subheading", title },
    paragraph(sentence),
    aside(strings),
    ...(table ? [{ kind: "table" as const, ...table }] : []),
  ];
}

const NOTHING = "Nothing can be said: no string is left.";
const LARGEST = 12;

// What parts write.

const gainSize = ({ meanGain = 0 }: PartEffect) => Math.abs(meanGain);

export function attributionWords(
  one: InsideAttribution,
  settings: ResamplingSettings,
  names: InsideNames,
): InsideWords {
  const { label, prompt, effects, hasCap } = one;
  const title = titleOf(`What parts write of the ${LABELS[label]}`, one, names);
  const found = effects.filter((effect) => isWriter(effect, settings));
  const foundNames = [...found].sort((a, b) => gainSize(b) - gainSize(a)).map(({ component }) => component);
  const foreign = label === "behavior" && prompt === "hypothetical";
  const sentence = (() => {
    if (one.strings === 0) return NOTHING;
    const many = `${formatCount(effects.length)} parts`;
    if (found.length === 0)
      return `None of ${many} is shown to write a string's own ${LABELS[label]} beyond other strings'. It may be written by way of later parts, or in directions that the end does not read: only direct paths are looked at.`;
    const not = foreign
      ? " The answer is written there although it is not asked for. That the prediction is computed from it does not follow: it may be written and never read."
      : " What they do by way of later parts is not in it, and of a part that reads the answer elsewhere and passes it on this cannot tell.";
    return `A string's own ${LABELS[label]} is written directly, beyond other strings', by ${formatCount(found.length)} of ${many}: ${someOf(foundNames)}.${not}`;
  })();
  const capped = hasCap ? ["this model caps its logits, and parts sum to what they are before"] : [];
  return { title, sentence, strings: stringsText(one, capped) };
}

function attributionBlocks(one: InsideAttribution, settings: ResamplingSettings, names: InsideNames): Block[] {
  const words = attributionWords(one, settings, names);
  const { title } = words;
  const largest = [...one.effects].sort((a, b) => gainSize(b) - gainSize(a)).slice(0, LARGEST);
  const table = {
    caption: `${title}: the ${formatCount(largest.length)} of the largest difference, logits`,
    columns: [
      left("Part"),
      right("Own less the mean of the others"),
      right("Beyond other strings' values"),
      right("p, adjusted"),
      left("Found"),
    ],
    rows: largest.map((effect) => ({
      cells: [
        { text: effect.component },
        numberCell(effect.lead),
        numberCell(effect.gain),
        overAllCell(effect.adjusted),
        { text: isWriter(effect, settings) ? "yes" : "no" },
      ],
    })),
  };
  return readingBlocks(words, one.strings === 0 ? undefined : table);
}

// Heads.

const headName = ({ layer, head }: { readonly layer: number; readonly head: number }) => `${layer}.${head}`;

/** The span that a head attends to most, and its share. */
export function looksAt({ attention }: InsideHeads, { layer, head }: HeadEffect): string {
  const [most] = attention
    .filter((look) => look.layer === layer && look.head === head && look.span !== "elsewhere")
    .sort((a, b) => b.mean - a.mean);
  return most === undefined ? "—" : `${readableName(most.span)} ${formatPercent(most.mean)}`;
}

export function headsWords(one: InsideHeads, settings: ResamplingSettings, names: InsideNames): InsideWords {
  const { effects } = one;
  const found = effects.filter((effect) => isCarrier(effect, settings));
  const sentence = (() => {
    if (one.strings === 0) return NOTHING;
    const those = [...new Set(found.map(headName))];
    const all = new Set(effects.map(headName)).size;
    if (those.length === 0)
      return `Of ${formatCount(all)} heads none is shown to carry the answer where it begins: without it the answer does not lose beyond a random change and beyond the layer's other heads. Several may do the same work, so that no single one is missed.`;
    return `The answer is carried, where it begins, by ${formatCount(those.length)} of ${formatCount(all)} heads: ${someOf(those)}. What that is, a simulated answer or what a lookup needs of the text, is not told by that.`;
  })();
  return { title: titleOf("Heads knocked out", one, names), sentence, strings: stringsText(one) };
}

function headsBlocks(one: InsideHeads, settings: ResamplingSettings, names: InsideNames): Block[] {
  const words = headsWords(one, settings, names);
  const { title } = words;
  const beyond = ({ controls }: HeadEffect) => Math.abs(controls.random?.meanBeyond ?? 0);
  const largest = [...one.effects].sort((a, b) => beyond(b) - beyond(a)).slice(0, LARGEST);
  const table = {
    caption: `${title}: the ${formatCount(largest.length)} of the largest change, nats`,
    columns: [
      left("Head"),
      left("Set to"),
      left("Looks most at"),
      right("Lead of the answer"),
      right("Beyond a random change"),
      right("p, adjusted"),
      right("Beyond the layer's others"),
      right("p, adjusted"),
      left("Found"),
    ],
    rows: largest.map((effect) => {
      const { random, same_layer: others } = effect.controls;
      return {
        cells: [
          { text: headName(effect) },
          { text: effect.ablation === "zero" ? "0" : "mean" },
          { text: looksAt(one, effect) },
          numberCell(effect.lead),
          numberCell(random?.beyond),
          overAllCell(random?.adjusted),
          numberCell(others?.beyond),
          overAllCell(others?.adjusted),
          { text: isCarrier(effect, settings) ? "yes" : "no" },
        ],
      };
    }),
  };
  return readingBlocks(words, one.strings === 0 ? undefined : table);
}

// A part of another string's state.

export const INSIDE_CONTROLS: Readonly<Record<string, string>> = {
  outside: "Outside",
  random: "By chance",
  same: "Donor with the same value",
  whole: "Whole state",
};

export function subspaceWords(one: InsideSubspace, settings: ResamplingSettings, names: InsideNames): InsideWords {
  const { of, sites, alike } = one;
  const of_ = of === "behavior" ? "behavior's directions" : "directions of the value";
  const title = titleOf(`Another string's state, in ${of_}`, one, names);
  const there = sites.flatMap((site) => (site.ok ? [site] : []));
  const found = there.filter((site) => isFollowed(site, settings));
  const [lacking] = sites.flatMap((site) => (site.ok ? [] : [site.reason]));
  const sentence = (() => {
    if (there.length === 0) return `Nothing can be said: ${lacking ?? "no site was declared"}.`;
    const many = plural(there.length, "site", formatCount(there.length));
    if (found.length === 0)
      return `At none of ${many} does the prediction go with what stands in these directions, beyond the controls. A prediction may go through a simulated answer all the same: in other directions than in object-level runs, or at other tokens.`;
    return `At ${formatCount(found.length)} of ${many} the prediction goes with what stands in these directions, beyond the controls: ${someOf(found.map(({ site }) => site))}. They are those in which behavior stands in object-level runs, so that a part that tells behaviors apart is used there. That it was reached by simulating the answer, and holds for what training changed, is for the tests of self_simulation.`;
  })();
  const same = alike > 0 ? [`${formatCount(alike)} answered as their donor's, of which nothing can be told`] : [];
  return { title, sentence, strings: stringsText(one, same) };
}

function subspaceBlocks(one: InsideSubspace, settings: ResamplingSettings, names: InsideNames): Block[] {
  const words = subspaceWords(one, settings, names);
  const { title } = words;
  const { sites } = one;
  const there = sites.flatMap((site) => (site.ok ? [site] : []));
  const controls = [...new Set(there.flatMap((site) => Object.keys(site.controls)))];
  const cellsOf = (control: ControlEffect | undefined) => [numberCell(control?.lead), overAllCell(control?.adjusted)];
  const table = {
    caption: `${title}: by how much the donor's answer gains, nats, and p of what it gains beyond each control`,
    columns: [
      left("Site"),
      right("Directions"),
      right("Displaced"),
      right("Donor's answer gains"),
      ...controls.flatMap((name) => [right(INSIDE_CONTROLS[name] ?? readableName(name)), right("p, adjusted")]),
      left("Found"),
    ],
    rows: sites.map((site) => ({ cells: siteCells(site, controls, cellsOf, settings) })),
  };
  return readingBlocks(words, there.length === 0 ? undefined : table);
}

function siteCells(
  site: InsideSubspaceSite,
  controls: readonly string[],
  cellsOf: (control: ControlEffect | undefined) => TableCell[],
  settings: ResamplingSettings,
): TableCell[] {
  if (!site.ok) {
    const none = { text: formatMissing(site.reason), missing: true };
    return [{ text: site.site }, none, none, none, ...controls.flatMap(() => [none, none]), { text: "no" }];
  }
  return [
    { text: site.site },
    { text: formatCount(site.directions) },
    { text: `${decimals(site.displacement, 2)} of ${decimals(site.wholeDisplacement, 2)}` },
    numberCell(site.lead),
    ...controls.flatMap((name) => cellsOf(site.controls[name])),
    { text: isFollowed(site, settings) ? "yes" : "no" },
  ];
}

// States in another prompt.

export function patchscopeWords(one: InsidePatchscope, settings: ResamplingSettings, names: InsideNames): InsideWords {
  const { pairs, expected, prompt } = one;
  const title = titleOf(`States in another prompt, searched for the ${LABELS[expected]}`, one, names);
  const found = pairs.filter((pair) => isTold(pair, settings));
  const sentence = (() => {
    if (one.strings === 0) return NOTHING;
    if (found.length === 0)
      return `At none of ${formatCount(pairs.length)} pairs of sites do replies hold a string's own words beyond other strings'. That the state does not hold them is not shown: the model may not read it in another prompt.`;
    const not =
      prompt === "hypothetical" && expected === "behavior"
        ? " The state where the prediction begins is enough for the model to say the behavior; that the prediction uses it does not follow."
        : " The state is enough for the model to say it in another prompt.";
    return `At ${formatCount(found.length)} of ${formatCount(pairs.length)} pairs of sites replies hold a string's own words beyond other strings': ${someOf(found.map(({ from, into }) => (from === into ? from : `${from} into ${into}`)))}.${not}`;
  })();
  return { title, sentence, strings: stringsText(one) };
}

function patchscopeBlocks(one: InsidePatchscope, settings: ResamplingSettings, names: InsideNames): Block[] {
  const words = patchscopeWords(one, settings, names);
  const { title } = words;
  const { pairs } = one;
  const share = (value: number | undefined): TableCell =>
    value === undefined ? { text: formatMissing("not there"), missing: true } : { text: formatPercent(value) };
  const table = {
    caption: `${title}: shares of replies`,
    columns: [
      left("From"),
      left("Into"),
      right("Other reply"),
      right("Under a vector by chance"),
      right("Own words"),
      right("Others' words"),
      right("Nothing written"),
      right("By chance"),
      right("p, adjusted"),
      left("Found"),
    ],
    rows: pairs.map((pair) => ({
      cells: [
        { text: pair.from },
        { text: pair.into },
        estimateCell(pair.changed),
        estimateCell(pair.randomChanged),
        estimateCell(pair.told?.share),
        share(pair.told?.others),
        share(pair.told?.none),
        share(pair.told?.random),
        overAllCell(pair.told?.adjusted),
        { text: isTold(pair, settings) ? "yes" : "no" },
      ],
    })),
  };
  return readingBlocks(words, one.strings === 0 ? undefined : table);
}
