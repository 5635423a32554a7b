/** Reads all rows of a source: each understood or counted out, with what became of every column. */

import { isRecord, shown } from "../base/untrusted.js";
import { InwardError } from "../errors.js";
import { sameText } from "../tasks/strings.js";
import type { ItemMeta, TaskKind } from "../tasks/task.js";
import { columnReader, hasColumn, metaOf, type NamedColumns, type RowReader, textIn, valueAt } from "./columns.js";
import type { Preset, PresetName } from "./presets.js";
import {
  ANSWER_NOTATIONS_ARE,
  type AnswerNotation,
  answerNotation,
  Exclusions,
  flawOf,
  indexOfAnswer,
  type ImportedQuestion,
  type ReadQuestion,
} from "./read-questions.js";
import type { Source, SourceChoice, SourceFile } from "./source-files.js";
import { openTable, type SourceRow } from "./source-rows.js";
import type { TaskCard } from "./task-folder.js";

export interface TaskImport extends SourceChoice {
  /** A known set, or columns by name; of plain text neither. */
  readonly preset?: PresetName;
  readonly columns?: NamedColumns;
  /** Of a CSV: what stands between cells, and whether its first record names them. */
  readonly delimiter?: string;
  readonly header?: boolean;
  /** Column -> the value that a row must have there to be read. */
  readonly where?: Readonly<Record<string, string>>;
  /** How answers are said, where rows alone do not tell. */
  readonly answerIs?: AnswerNotation;
  /** The task's name; made of the source's name when absent. */
  readonly name?: string;
  /** Kind of plain strings: `continuation` when absent. Questions with options are `options`. */
  readonly kind?: TaskKind;
  /** The task's question with `{string}` in it. */
  readonly question?: string;
  readonly properties?: readonly string[];
  /** What choosing the matching option shows. */
  readonly disposition?: string;
  readonly licence?: string;
  /** Chooses items, the split, the order of options, and examples. */
  readonly seed?: number;
  /** Most items; a seeded choice. */
  readonly items?: number;
  readonly trainShare?: number;
  /** Whether files named train, dev, validation and test stay what they are. */
  readonly keepSplits?: boolean;
  /** Two train items become solved examples. */
  readonly examples?: boolean;
  /** The right option stands at every place equally often, in a seeded order. */
  readonly balance?: boolean;
}

export interface Gathered {
  readonly questions: readonly ImportedQuestion[];
  readonly files: TaskCard["source"]["files"];
  readonly columns: Readonly<Record<string, string>>;
  readonly rows: number;
  readonly excluded: Exclusions;
  readonly notes: readonly string[];
  readonly recipe: Readonly<Record<string, unknown>>;
  /** The authors' own words around every string, where they are the same. */
  readonly around?: string;
}

/** @throws IMPORT_COLUMNS */
export function readerOf(source: Source, { columns }: TaskImport): RowReader {
  const plain = source.files.every(({ format }) => format === "text");
  if (columns && Object.values(columns).some((one) => one !== undefined)) return columnReader(columns);
  if (plain) return columnReader({ text: "text" });
  throw new InwardError(
    "IMPORT_COLUMNS",
    `${source.given}: which columns are what? Say --preset, or --question, --options and --answer, or --text.`,
  );
}

/** @throws IMPORT_SOURCE, IMPORT_COLUMNS, IMPORT_INVALID with the line */
export async function gather(
  source: Source,
  reader: RowReader & Partial<Preset>,
  options: TaskImport,
): Promise<Gathered> {
  const excluded = new Exclusions();
  const files: { name: string; bytes: number; sha256: string; rows: number }[] = [];
  const columns = new ColumnFates(reader.uses);
  const read: (ReadQuestion & { readonly place: string; readonly number: number })[] = [];
  const around = new AroundStrings();
  let rows = 0;
  for (const file of source.files) {
    const before = rows;
    const table = await openTable(file, { delimiter: options.delimiter, ...tableOptions(reader, options) });
    for await (const row of table.rows) {
      rows++;
      if (!isWanted(row, options.where)) {
        excluded.add("not_wanted", row.place);
        continue;
      }
      const question = reader.read(row);
      const left = columns.see(row.values);
      if ("excluded" in question) {
        excluded.add(question.excluded, row.place);
        continue;
      }
      around.see(row.values, question);
      const meta = { ...left, ...question.meta, ...(source.files.length > 1 ? { file: file.name } : {}) };
      const split = options.keepSplits ? splitOfName(file) : undefined;
      read.push({
        ...question,
        place: row.place,
        number: rows,
        ...(split === undefined ? {} : { split }),
        ...(Object.keys(meta).length > 0 ? { meta: meta as ItemMeta } : {}),
      });
    }
    files.push({ name: file.name, bytes: file.bytes, sha256: table.sha256(), rows: rows - before });
  }
  const settled = settleAnswers(read, { ...options, countsFrom0: reader.countsFrom0 === true }, excluded);
  requireOneKind(settled.questions, source.given);
  const questions = withoutRepeats(settled.questions, reader.repeats === true, excluded);
  return {
    questions,
    files,
    columns: columns.said(settled.form),
    rows,
    excluded,
    notes: [...settled.notes, ...around.notes(), ...columns.notes()],
    recipe: { ...reader.recipe, ...(settled.form === undefined ? {} : { answerIs: settled.form }) },
    around: around.question(),
  };
}

function tableOptions(reader: Partial<Preset>, { header }: TaskImport) {
  if (header === false) return { names: (first: readonly string[]) => first.map((_, at) => String(at + 1)) };
  return reader.table ?? {};
}

/** What the authors call their files: train, dev, validation, test. */
function splitOfName({ name }: SourceFile): "train" | "held_out" {
  const word = /(?:^|[/_.-])(train|auxiliary_train|dev|validation|valid|val|test)(?=[/_.-]|$)/.exec(name)?.[1];
  if (word === undefined) {
    throw new InwardError(
      "IMPORT_SOURCE",
      `--keep-splits: the name of ${name} says neither train nor dev, validation or test.`,
    );
  }
  return word.endsWith("train") ? "train" : "held_out";
}

function isWanted({ values, place }: SourceRow, where: TaskImport["where"] = {}): boolean {
  return Object.entries(where).every(([column, wanted]) => {
    if (!hasColumn(values, column)) {
      const there = Object.keys(values).slice(0, 20).map(shown).join(", ");
      throw new InwardError("IMPORT_COLUMNS", `${place}: --where names ${shown(column)}; there is ${there}.`);
    }
    return textIn(valueAt(values, column)) === wanted;
  });
}

/** Sets that are published in one file: each is a task of its own, with a question of its own. */
function requireOneKind(questions: readonly ImportedQuestion[], given: string): void {
  const [choices, plain] = [true, false].map((wanted) =>
    questions.filter(({ options }) => (options !== undefined) === wanted),
  ) as [ImportedQuestion[], ImportedQuestion[]];
  if (choices.length === 0 || plain.length === 0) return;
  const telling = Object.entries(choices[0]?.meta ?? {}).find(
    ([column, value]) => typeof value === "string" && plain.every(({ meta }) => meta?.[column] !== value),
  );
  const example = telling ? `, such as --where ${shown(`${telling[0]}=${String(telling[1])}`)}` : "";
  throw new InwardError(
    "IMPORT_COLUMNS",
    `${given}: ${choices.length} rows have options (the first: ${choices[0]?.place}) and ${plain.length} have none ` +
      `(the first: ${plain[0]?.place}); a task has one kind. Choose rows by --where column=value${example}.`,
  );
}

type PlacedRow = ReadQuestion & { readonly place: string; readonly number: number };

/** With more rows than these some would be 0. */
const FEW_ROWS = 20;

function settleAnswers(
  read: readonly PlacedRow[],
  { answerIs, countsFrom0 }: TaskImport & { readonly countsFrom0: boolean },
  excluded: Exclusions,
) {
  const said = read.flatMap(({ options, answer }) =>
    options && answer && "said" in answer ? [{ options, said: answer.said }] : [],
  );
  const isFrom0 =
    countsFrom0 &&
    said.length < FEW_ROWS &&
    said.every((one) => indexOfAnswer(one.said, one.options, "index0") !== undefined);
  const told = answerIs ?? (isFrom0 ? "index0" : undefined);
  const found = told ? { form: told } : said.length === 0 ? undefined : answerNotation(said);
  if (found && "unclear" in found) {
    throw new InwardError(
      "IMPORT_COLUMNS",
      `The answers, such as ${shown(said[0]?.said)}, ${found.unclear}: say --answer-is letter, index0, index1 or text.`,
    );
  }
  const form = found?.form;
  const ids = new Set<string>();
  const questions = read.flatMap(({ text, options, answer, id, meta, place, number, split }): ImportedQuestion[] => {
    let right: number | undefined;
    if (options && answer) {
      right = "index" in answer ? answer.index : form && indexOfAnswer(answer.said, options, form);
      if (right === undefined || !Number.isInteger(right) || right < 0 || right >= options.length) {
        excluded.add("unknown_answer", place);
        return [];
      }
    }
    const flaw = flawOf({ text, options });
    if (flaw) {
      excluded.add(flaw, place);
      return [];
    }
    const own = id !== undefined && /^[A-Za-z0-9_.-]{1,90}$/.test(id) ? id : `row-${number}`;
    if (ids.has(own)) {
      excluded.add("duplicate_id", place);
      return [];
    }
    ids.add(own);
    return [
      { id: own, place, text, ...(options ? { options } : {}), ...(right === undefined ? {} : { right }), split, meta },
    ];
  });
  return { questions, form, notes: form ? [`Answers are read as ${ANSWER_NOTATIONS_ARE[form]}.`] : [] };
}

/** The first of rows that ask the same; none of those that ask the same and are answered otherwise. */
function withoutRepeats(
  questions: readonly ImportedQuestion[],
  repeats: boolean,
  excluded: Exclusions,
): ImportedQuestion[] {
  const key = ({ text, options = [] }: ImportedQuestion) => sameText([text, ...[...options].sort()].join("\n"));
  const groups = new Map<string, ImportedQuestion[]>();
  for (const question of questions) {
    const known = groups.get(key(question));
    if (known) known.push(question);
    else groups.set(key(question), [question]);
  }
  return [...groups.values()].flatMap((same) => {
    const [first, ...others] = same as [ImportedQuestion, ...ImportedQuestion[]];
    const answerIn = ({ options, right }: ImportedQuestion) => (right === undefined ? undefined : options?.[right]);
    const differ = others.some((other) => answerIn(other) !== answerIn(first));
    if (differ && !repeats) {
      for (const { place } of same) excluded.add("duplicate_answer", place);
      return [];
    }
    for (const { place } of others) excluded.add("duplicate", place);
    return [first];
  });
}

/** What becomes of each column, told of all rows together. */
class ColumnFates {
  private readonly seen = new Map<string, { rows: number; left: number }>();

  constructor(private readonly uses: Readonly<Record<string, string>>) {}

  /** @returns the values that are kept as meta */
  see(values: Readonly<Record<string, unknown>>): ItemMeta {
    const isUsed = (column: string) => this.useOf(column) !== undefined && this.useOf(column) !== "kept as meta";
    const { meta, left } = metaOf(values, isUsed);
    for (const column of Object.keys(values)) {
      const known = this.seen.get(column) ?? { rows: 0, left: 0 };
      known.rows++;
      if (left.includes(column)) known.left++;
      this.seen.set(column, known);
    }
    return meta;
  }

  said(form: AnswerNotation | undefined): Record<string, string> {
    return Object.fromEntries(
      [...this.seen].map(([column, { left }]) => {
        const use = this.useOf(column);
        if (use === "answer" && form) return [column, `answer, read as ${ANSWER_NOTATIONS_ARE[form]}`];
        return [column, use ?? (left > 0 ? "kept as meta where it is short" : "kept as meta")];
      }),
    );
  }

  notes(): string[] {
    return [...this.seen].flatMap(([column, { left }]) =>
      left === 0
        ? []
        : [`The column ${shown(column)} is left out of ${left} rows, where it is too long or too much to keep.`],
    );
  }

  /** A value inside a group uses the group. */
  private useOf(column: string): string | undefined {
    if (Object.hasOwn(this.uses, column)) return this.uses[column];
    const inside = Object.keys(this.uses).find((one) => one.startsWith(`${column}.`));
    return inside === undefined ? undefined : this.uses[inside];
  }
}

/** Whether all released rows of the authors put their strings in the same words, and in which. */
class AroundStrings {
  private readonly found = new Set<string | undefined>();

  see(
    { object_level_prompt: prompt, original_question: text }: Readonly<Record<string, unknown>>,
    _: ReadQuestion,
  ): void {
    if (prompt === undefined) return;
    const turns = Array.isArray(prompt) ? prompt : [];
    const [only] = turns;
    const content = turns.length === 1 && isRecord(only) ? only.content : undefined;
    const at = typeof content === "string" && typeof text === "string" ? content.indexOf(text) : -1;
    const around =
      at < 0
        ? undefined
        : `${(content as string).slice(0, at)}{string}${(content as string).slice(at + (text as string).length)}`;
    this.found.add(around?.includes("{string}{string}") ? undefined : around);
  }

  notes(): string[] {
    if (this.found.size < 2) return [];
    return [
      `The rows put their strings in ${this.found.size} different ways; the task's question is made here. --where chooses rows of one kind.`,
    ];
  }

  question(): string | undefined {
    return this.found.size === 1 ? [...this.found][0]?.trimEnd() : undefined;
  }
}
