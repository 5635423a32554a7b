/** From files that other people made to a task of inward's: read, put in order, split, and described. */

import { createHash } from "node:crypto";
import { basename, resolve } from "node:path";
import { inSeededOrder } from "../base/random.js";
import { shown } from "../base/untrusted.js";
import { INWARD_VERSION } from "../base/version.js";
import { InwardError } from "../errors.js";
import { ALL_TASKS } from "../tasks/built-in.js";
import type { TaskKind } from "../tasks/task.js";
import { inBalancedOrder } from "./option-order.js";
import { type Preset, presetNamed } from "./presets.js";
import { LETTERS, type ImportedQuestion, withOptions } from "./read-questions.js";
import { type Gathered, gather, type TaskImport, readerOf } from "./read-source.js";
import { findSource, type Source } from "./source-files.js";
import { solvedExamples, splitQuestions, type SplitQuestions } from "./split-questions.js";
import { type ImportedTask, type ItemRow, STRINGS_FILE, type TaskCard } from "./task-folder.js";

/**
 * Reads a source and makes a task of it; writes nothing.
 * @param given path of a file or folder, or `hf:owner/name` in an existing cache
 * @throws IMPORT_SOURCE, IMPORT_COLUMNS, IMPORT_INVALID with the line, IMPORT_EMPTY
 */
export async function importTask(given: string, options: TaskImport = {}): Promise<ImportedTask> {
  const source = findSource(given, options);
  const preset = options.preset === undefined ? undefined : presetNamed(options.preset);
  const reader = preset ?? readerOf(source, options);
  const seed = options.seed ?? 0;
  const gathered = await gather(source, reader, options);
  const framed = preset?.framed ? takeFrame(gathered.questions) : { questions: gathered.questions };
  const ordered = (options.balance ?? preset?.balanced ?? false) ? inBalancedOrder(framed.questions, seed) : undefined;
  const all = ordered?.questions ?? framed.questions;
  const chosen =
    options.items === undefined ? all : inSeededOrder(all, ({ id }) => `${seed}/item/${id}`).slice(0, options.items);
  const isChoice = chosen[0]?.options !== undefined;
  const kind = isChoice ? "options" : (options.kind ?? "continuation");
  const split = splitQuestions(kind, chosen, { seed, trainShare: options.trainShare, excluded: gathered.excluded });
  requireSome(split, gathered, given);
  const published = [basename(resolve(given)), ...Object.values(options.where ?? {})]
    .map((one) => preset?.dispositionOf?.(one))
    .find((one) => one !== undefined);
  const disposition = options.disposition ?? published ?? (preset?.showsDisposition ? nameFrom(source) : undefined);
  const examples = options.examples ? solvedExamples(split, { seed, disposition }) : { examples: [], left: split };
  const name = options.name ?? taskNameFrom(source);
  const { train, heldOut } = examples.left;
  const rows = [...train.map((one) => itemRow(one, "train")), ...heldOut.map((one) => itemRow(one, "held_out"))];
  const strings = rows.map((row) => `${JSON.stringify(row)}\n`).join("");
  const sha256 = createHash("sha256").update(strings).digest("hex");
  const licence = options.licence ?? (preset ? preset.licence : "not stated");
  const question =
    options.question ?? questionOf(isChoice, { preset, around: gathered.around, frame: framed.frame, disposition });
  const notes = [
    ...gathered.notes,
    ...(ordered ? [ordered.note] : []),
    ...(framed.frame === undefined
      ? []
      : [`All strings begin with ${shown(framed.frame)}; the task's question says it once.`]),
    ...(split.note === undefined ? [] : [split.note]),
    ...(preset?.dispositionOf && rows.some(({ target }) => target !== undefined)
      ? [meaningOfTargets(options.disposition, published)]
      : []),
    ...oneLetterNote(rows),
    ...(preset && options.licence === undefined
      ? [`The licence is the one that the authors publish ${preset.title} under; check that of your copy.`]
      : []),
  ];
  const card: TaskCard = {
    cardVersion: 1,
    task: name,
    inwardVersion: INWARD_VERSION,
    source: {
      given: source.kind === "hub" ? given : basename(resolve(given)),
      kind: source.kind,
      ...(source.revision === undefined ? {} : { revision: source.revision }),
      files: gathered.files,
    },
    licence,
    recipe: { ...gathered.recipe, ...recipeOf(options, seed) },
    columns: gathered.columns,
    rows: gathered.rows,
    excluded: gathered.excluded.counted(),
    train: train.length,
    heldOut: heldOut.length,
    examples: examples.examples.length,
    ...(rows.some(({ target }) => target !== undefined) ? { letters: countLetters(rows) } : {}),
    notes,
    strings: { file: STRINGS_FILE, sha256 },
  };
  return {
    name,
    rows,
    card,
    task: {
      name,
      kind,
      summary: `imported from ${card.source.given}${preset ? `, ${preset.title}` : ""}`,
      question,
      properties: options.properties ?? defaultProperties(kind, rows, disposition),
      strings: STRINGS_FILE,
      ...(examples.examples.length > 0 ? { examples: examples.examples } : {}),
      ...(disposition === undefined ? {} : { disposition }),
      licence,
      source: `${card.source.given}${preset ? ` (${preset.name})` : ""}, strings sha256 ${sha256.slice(0, 12)}`,
    },
  };
}

/** Questions that all begin with the same line put it once, in the task's question: near twins are told by the rest. */
function takeFrame(questions: readonly ImportedQuestion[]): { questions: readonly ImportedQuestion[]; frame?: string } {
  const [first = ""] = questions.map(({ text }) => text.split("\n", 1)[0] as string);
  const isFrame =
    questions.length > 1 &&
    questions.every(({ text }) => text.startsWith(`${first}\n`) && text.length > first.length + 1);
  if (!isFrame || first.includes("{string}")) return { questions };
  return {
    questions: questions.map((one) => ({ ...one, text: one.text.slice(first.length + 1).trim() })),
    frame: first,
  };
}

/** One column holds right answers in some of the authors' files, and in others what shows a disposition. */
function meaningOfTargets(said: string | undefined, published: string | undefined): string {
  if (said !== undefined) return `A target is the option that shows ${said}, as --disposition says.`;
  return published === undefined
    ? "A target counts as the right option; where it shows a disposition, name that by --disposition."
    : `A target is the option that shows ${published}: the name of the file or of the set says so.`;
}

interface Wording {
  readonly preset?: Preset;
  readonly around?: string;
  readonly frame?: string;
  readonly disposition?: string;
}

/** Our own words: short, and the same for all strings of a task. */
function questionOf(isChoice: boolean, { preset, around, frame, disposition }: Wording): string {
  if (around !== undefined) return around;
  if (preset?.question !== undefined && isChoice) return preset.question;
  if (!isChoice) return "{string}";
  const ask = disposition === undefined ? "Choose the right option." : "Choose one option.";
  return `${ask} Answer with its letter only.\n${frame === undefined ? "" : `${frame}\n`}{string}`;
}

/** What options show or whether they are right, the letter itself, and halves of four options. */
function defaultProperties(kind: TaskKind, rows: readonly ItemRow[], disposition: string | undefined): string[] {
  if (kind === "numbers") return ["first_character", "is_even"];
  if (kind !== "options") return ["first_word", "second_character", "third_character"];
  const hasFour = rows.some(({ text }) => /\nD - /.test(text));
  const isAnswered = rows.every(({ target }) => target !== undefined);
  return [
    ...(disposition === undefined ? (isAnswered ? ["is_correct"] : []) : [`matches_${disposition}`]),
    "identity",
    ...(hasFour ? ["is_either_a_or_c", "is_either_b_or_d"] : []),
  ];
}

function itemRow({ id, text, options, right, meta }: ImportedQuestion, split: "train" | "held_out"): ItemRow {
  return {
    id,
    split,
    text: options ? withOptions(text, options) : text,
    ...(right === undefined ? {} : { target: LETTERS[right] as string }),
    ...(meta === undefined ? {} : { meta }),
  };
}

function countLetters(rows: readonly ItemRow[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { target } of rows) if (target !== undefined) counts[target] = (counts[target] ?? 0) + 1;
  return Object.fromEntries(Object.entries(counts).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Fewer may be so by chance. */
const TELLING_ROWS = 10;

function oneLetterNote(rows: readonly ItemRow[]): string[] {
  const answered = rows.filter(({ target }) => target !== undefined);
  const letters = Object.keys(countLetters(rows));
  if (answered.length < TELLING_ROWS || letters.length !== 1) return [];
  return [
    `Every answer is the option ${letters[0]}: always saying that letter would be right. Is it the column of the answers? If so, --balance deals the options out.`,
  ];
}

/** Lower-case, as names of tasks are: of `Wealth-Seeking v2.csv` `wealth_seeking_v2`. */
function nameFrom({ given, kind }: Source): string {
  const last = kind === "hub" ? (given.split("#")[0] as string).split("/").at(-1) : basename(resolve(given));
  const name = (last ?? "")
    .replace(/\.[A-Za-z]+$/, "")
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "_")
    .replace(/^_+|_+$/g, "")
    .slice(0, 60);
  return name === "" ? "imported" : name;
}

/** A file that is called like a built-in task gives another name. */
function taskNameFrom(source: Source): string {
  const name = nameFrom(source);
  return ALL_TASKS.some((task) => task.name === name) ? `${name}_imported` : name;
}

function recipeOf(options: TaskImport, seed: number): Record<string, unknown> {
  const { files, format, delimiter, header, where, items, trainShare, keepSplits, examples, balance, kind, question } =
    options;
  const given = {
    files,
    format,
    delimiter,
    header,
    where,
    items,
    trainShare,
    keepSplits,
    examples,
    balance,
    kind,
    question,
  };
  return { ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)), seed };
}

function requireSome({ heldOut }: SplitQuestions, { rows, excluded }: Gathered, given: string): void {
  if (heldOut.length > 0) return;
  const why = excluded.sentences();
  throw new InwardError(
    "IMPORT_EMPTY",
    `${given}: of ${rows} rows nothing is left to score${why.length > 0 ? `: ${why.join("; ")}` : ""}.`,
  );
}
