/** Samples of lm-evaluation-harness (`samples_*.jsonl`): generated texts, or options that were scored. */

import { z } from "zod";
import { byteLines } from "../base/byte-lines.js";
import { shown } from "../base/untrusted.js";
import {
  type ChosenBy,
  sampleColumns,
  Counts,
  type ForeignAnswer,
  invalidLog,
  letterAt,
  logJson,
  parsed,
  type ReadLog,
} from "./foreign-answers.js";

/** A line repeats its prompt once for each option. */
const MOST_LINE_BYTES = 64 * 1024 * 1024;

/** A log-likelihood, and whether the option is what greedy decoding says. */
const scoredSchema = z.tuple([z.union([z.string(), z.number()]), z.union([z.enum(["True", "False"]), z.boolean()])]);
const lineSchema = z.object({
  doc_id: z.union([z.int(), z.string()]),
  doc: z.unknown().optional(),
  target: z.unknown().optional(),
  arguments: z.union([z.record(z.string(), z.record(z.string(), z.unknown())), z.array(z.array(z.unknown()))]),
  resps: z.array(z.unknown()).min(1),
  filter: z.string().optional(),
  acc: z.number().optional(),
  acc_norm: z.number().optional(),
  exact_match: z.number().optional(),
});
type Line = z.infer<typeof lineSchema>;

/** What is counted over all lines. */
interface Seen {
  readonly leftOut: Counts;
  readonly notes: Counts;
  readonly temperatures: Set<number>;
  metric?: string;
}

const OWN_PROMPTS = "its options have prompts of their own, so that there is no one question";
const NO_LIKELIHOOD = "no option has a finite log-likelihood";
const TOO_FEW = "one log-likelihood alone chooses nothing";
const SEVERAL_REQUESTS = "it has several requests, so that there is no one question";
const OTHER_FILTER = "another filter of the same samples";

/** @throws IMPORT_INVALID with the line */
export function readSamples(path: string, choose: ChosenBy): ReadLog {
  const answers: ForeignAnswer[] = [];
  const seen: Seen = { leftOut: new Counts(), notes: new Counts(), temperatures: new Set() };
  let filter: { readonly name?: string } | undefined;
  for (const { text, number } of byteLines(path, MOST_LINE_BYTES).lines) {
    if (text.trim() === "") continue;
    const place = `${path}, line ${number}`;
    const line = parsed(lineSchema, logJson(text, place), place);
    filter ??= { name: line.filter };
    // Each filter repeats every sample; the answers are the same.
    if (line.filter !== filter.name) seen.leftOut.add(OTHER_FILTER);
    else answers.push(...answersIn(line, place, choose, seen));
  }
  return {
    format: "lm-eval samples",
    temperatures: [...seen.temperatures].sort((a, b) => a - b),
    ...(seen.metric === undefined ? {} : { metric: seen.metric }),
    answers,
    leftOut: seen.leftOut.all,
    notes: notesOf(seen, choose),
  };
}

const DIFFER = "differ";
const UNNAMED = "unnamed";
const UNCLEAR = "unclear";
const TIED = "tied";
const BY_LENGTH = "by length";

function notesOf({ notes }: Seen, choose: ChosenBy): string[] {
  const [differ, unnamed, unclear, tied, byLength] = [DIFFER, UNNAMED, UNCLEAR, TIED, BY_LENGTH].map((what) =>
    notes.of(what),
  ) as [number, number, number, number, number];
  return [
    ...(differ > 0
      ? [`Of ${differ} samples the option that has the best ${choose} here is not what the log's own ${choose} counts.`]
      : []),
    ...(unnamed > 0 ? [`Of ${unnamed} samples the log's target is none of their options, and is left out.`] : []),
    ...(unclear > 0
      ? [
          `Of ${unclear} samples the log's target is the place of one option and the text of another, and the log's own ${choose} does not tell which: it is left out.`,
        ]
      : []),
    ...(tied > 0
      ? [
          `Of ${tied} samples several options have the same best ${choose}: the first of them is taken, as the harness does.`,
        ]
      : []),
    ...(byLength > 0
      ? ["Sums are divided by the characters of each option without its leading blank, as acc_norm is defined."]
      : []),
  ];
}

function answersIn(line: Line, place: string, choose: ChosenBy, seen: Seen): ForeignAnswer[] {
  const requests = Array.isArray(line.arguments)
    ? line.arguments
    : Object.values(line.arguments).map((one) => Object.values(one));
  const prompts = requests.map(([prompt]) => promptText(prompt));
  const [prompt] = prompts;
  if (prompt === undefined) throw invalidLog(place, "arguments: the first is no text");
  const about = { sample: String(line.doc_id), ...lastTurn(prompt), columns: sampleColumns(line.doc) };
  const scored = line.resps.map((resp) =>
    scoredSchema.safeParse(Array.isArray(resp) && Array.isArray(resp[0]) ? resp[0] : resp),
  );
  if (scored.every(({ success }) => success)) {
    const sums = scored.map(({ data }) => logLikelihood(data?.[0], place));
    return choiceScored({ line, about, requests, prompts, sums, place, choose, seen });
  }
  for (const [, settings] of requests) noteTemperature(settings, seen);
  if (line.resps.length > 1 && line.resps.some(Array.isArray)) {
    seen.leftOut.add(SEVERAL_REQUESTS);
    return [];
  }
  const texts = (Array.isArray(line.resps[0]) ? line.resps[0] : line.resps) as unknown[];
  if (!texts.every((text) => typeof text === "string")) {
    throw invalidLog(place, "resps: neither texts nor log-likelihoods");
  }
  if (texts.length === 0) throw invalidLog(place, "resps: there is no answer in it");
  if (line.exact_match !== undefined) seen.metric = "exact_match";
  const target = targetText(line.target);
  return texts.map((text, epoch) => ({
    ...about,
    epoch,
    said: { ok: true, text: text as string, stop: "end_of_generation" },
    ...(target === undefined ? {} : { target }),
    // A score of several answers together is that of none of them.
    ...(line.exact_match === undefined || texts.length > 1 ? {} : { countedRight: line.exact_match === 1 }),
  }));
}

const LOG_LIKELIHOOD = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
/** A probability of 1, summed over tokens in half precision, may come out so much above it. */
const MOST_LOG_LIKELIHOOD = 0.01;

/** @throws IMPORT_INVALID what is the logarithm of no probability */
function logLikelihood(given: string | number | undefined, place: string): number {
  const text = String(given).trim();
  if (/^-inf(inity)?$/i.test(text)) return -Infinity;
  const sum = LOG_LIKELIHOOD.test(text) ? Number(text) : Number.NaN;
  if (sum <= MOST_LOG_LIKELIHOOD) return sum;
  throw invalidLog(place, `resps: ${shown(given)} is no log-likelihood, which is a number of at most 0`);
}

interface ScoredOptions {
  readonly line: Line;
  readonly about: Pick<ForeignAnswer, "sample" | "question" | "turnsBefore" | "columns">;
  readonly requests: readonly (readonly unknown[])[];
  readonly prompts: readonly (string | undefined)[];
  readonly sums: readonly number[];
  readonly place: string;
  readonly choose: ChosenBy;
  readonly seen: Seen;
}

/** The option with the highest sum, and of several the first; or with the highest sum a character. */
function choiceScored({ line, about, requests, prompts, sums, place, choose, seen }: ScoredOptions): ForeignAnswer[] {
  if (sums.length !== requests.length) {
    throw invalidLog(place, `resps: ${sums.length} log-likelihoods of ${requests.length} requests`);
  }
  // Behind the options of the prompt acc_mutual_info has the same ones without it.
  const count =
    prompts.findIndex((one) => one !== prompts[0]) < 0 ? sums.length : prompts.findIndex((one) => one !== prompts[0]);
  const continuations = requests.map(([, text]) => (typeof text === "string" ? text : undefined));
  const isAgain = continuations.every((text, at) => at < count || text === continuations[at % count]);
  if (count < sums.length && !(isAgain && sums.length === 2 * count && count > 1)) {
    seen.leftOut.add(OWN_PROMPTS);
    return [];
  }
  if (count < 2) throw invalidLog(place, `resps: ${TOO_FEW}`);
  if (count > 26) throw invalidLog(place, `resps: ${count} options, and there are 26 letters`);
  const own = continuations.slice(0, count);
  if (own.some((text) => text === undefined)) throw invalidLog(place, "arguments: an option is no text");
  const options = own.map((text) => (text as string).replace(/^ /, ""));
  const lengths = options.map((text) => [...text].length);
  if (choose === "acc_norm") {
    if (lengths.includes(0))
      throw invalidLog(place, "arguments: an option is empty, so that acc_norm divides by nothing");
    seen.notes.add(BY_LENGTH);
  }
  const scores = sums.slice(0, count).map((sum, at) => (choose === "acc" ? sum : sum / (lengths[at] as number)));
  if (!scores.some((score) => Number.isFinite(score))) {
    seen.leftOut.add(NO_LIKELIHOOD);
    return [];
  }
  const highest = Math.max(...scores);
  const best = scores.indexOf(highest);
  if (scores.lastIndexOf(highest) > best) seen.notes.add(TIED);
  const counted = line[choose];
  const places = targetPlaces(line.target, options);
  // The log's own count tells the two apart wherever one of them was chosen.
  const isChosen = places.length > 1 && counted !== undefined && places.includes(best);
  const [right, other] = isChosen ? places.filter((place) => (place === best) === (counted === 1)) : places;
  if (places.length === 0 && targetText(line.target) !== undefined) seen.notes.add(UNNAMED);
  if (other !== undefined) seen.notes.add(UNCLEAR);
  if (counted !== undefined) seen.metric = choose;
  const target = other === undefined ? right : undefined;
  if (counted !== undefined && target !== undefined && (counted === 1) !== (best === target)) seen.notes.add(DIFFER);
  return [
    {
      ...about,
      epoch: 0,
      said: { ok: true, text: letterAt(best), stop: "end_of_generation", by: "loglikelihood" },
      options,
      ...(target === undefined ? {} : { target: letterAt(target) }),
      ...(counted === undefined ? {} : { countedRight: counted === 1 }),
    },
  ];
}

/**
 * The harness writes a target as text, whether it was a place from 0 or an option's own words: digits may be both, of different options. A
 * letter where it is neither.
 */
function targetPlaces(target: unknown, options: readonly string[]): number[] {
  const text = targetText(target);
  if (text === undefined) return [];
  const place = options.findIndex((option) => option.trim() === text.trim());
  const words = place < 0 ? [] : [place];
  if (/^\d+$/.test(text)) {
    const at = Number(text);
    return at < options.length ? [...new Set([at, ...words])] : words;
  }
  if (place >= 0) return words;
  const letter = /^[A-Z]$/.test(text.trim()) ? text.trim().charCodeAt(0) - 65 : -1;
  return letter >= 0 && letter < options.length ? [letter] : [];
}

function targetText(target: unknown): string | undefined {
  return ["string", "number", "boolean"].includes(typeof target) ? String(target) : undefined;
}

/** A prompt of messages is JSON in a string, and in some versions that string in a list. */
function promptText(prompt: unknown): string | undefined {
  const inner = Array.isArray(prompt) && prompt.length === 1 ? prompt[0] : prompt;
  return typeof inner === "string" ? inner : undefined;
}

/** Where a chat template was applied by the harness, the prompt is all there is; a list of messages has a last turn. */
function lastTurn(prompt: string): Pick<ForeignAnswer, "question" | "turnsBefore"> {
  const whole = { question: prompt, turnsBefore: 0 };
  if (!/^\s*\[\s*\{/.test(prompt)) return whole;
  try {
    const messages = JSON.parse(prompt) as { content?: unknown }[];
    const last = messages.at(-1)?.content;
    return typeof last === "string" ? { question: last, turnsBefore: messages.length - 1 } : whole;
  } catch {
    return whole;
  }
}

function noteTemperature(settings: unknown, { temperatures }: Seen): void {
  if (settings === null || typeof settings !== "object") return;
  const { temperature, do_sample } = settings as { temperature?: unknown; do_sample?: unknown };
  if (typeof temperature === "number" && Number.isFinite(temperature)) temperatures.add(temperature);
  else if (do_sample === false) temperatures.add(0);
}
