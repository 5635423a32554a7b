/** inward tasks import: other people's questions become a task, shown before they are believed. */

import { Command, Option } from "commander";
import { InwardError } from "../errors.js";
import { importTask } from "../exchange/import-task.js";
import { PRESETS } from "../exchange/presets.js";
import { ANSWER_NOTATIONS, EXCLUSIONS, type ExclusionReason } from "../exchange/read-questions.js";
import type { TaskImport } from "../exchange/read-source.js";
import { SOURCE_FORMATS } from "../exchange/source-files.js";
import { type ImportedTask, writeTask } from "../exchange/task-folder.js";
import { collect, jsonOption, type JsonOption, number, wholeNumber } from "./options.js";
import { columns, notice, print, printJson } from "./output.js";

interface ImportCommandOptions
  extends JsonOption,
    Pick<
      TaskImport,
      | "preset"
      | "files"
      | "format"
      | "delimiter"
      | "header"
      | "answerIs"
      | "name"
      | "kind"
      | "disposition"
      | "licence"
      | "keepSplits"
      | "examples"
      | "balance"
    > {
  readonly question?: string;
  readonly options?: string;
  readonly answer?: string;
  readonly text?: string;
  readonly id?: string;
  readonly prompt?: string;
  readonly properties?: string;
  readonly where?: readonly string[];
  readonly seed: string;
  readonly items?: string;
  readonly trainShare: string;
  readonly out?: string;
  readonly preview?: boolean;
  readonly replace?: boolean;
}

export function importTaskCommand(): Command {
  const command = new Command("import")
    .description(
      "Makes a task of other people's questions or strings: CSV, TSV, JSONL, JSON, Parquet or plain text, one string a line.\n" +
        "Shows three items as they will be asked, what becomes of every column, and how many rows are left out for which reason;\n" +
        "then writes a folder with task.yaml, strings.jsonl and card.json (source, licence, sizes, recipe, checksums), or nothing.",
    )
    .argument("<source>", "a file, a folder, or hf:owner/name of a data set that Hugging Face's cache has already")
    .addOption(new Option("--preset <name>", "a known set, in each form it is published in").choices(PRESETS))
    .option("--question <column>", "multiple choice: the column of the question")
    .option("--options <columns>", "its options: A,B,C,D for one column each, or one column that holds a list")
    .option("--answer <column>", "its answer; without one nothing is right or wrong")
    .option("--text <column>", "strings without options: their column")
    .option("--id <column>", "names of the items; row-1, row-2, … otherwise")
    .addOption(
      new Option("--answer-is <form>", "how answers are said; found out where all rows agree").choices(
        ANSWER_NOTATIONS,
      ),
    )
    .option("--name <name>", "the task's name, made of the source's when absent")
    .option("-o, --out <folder>", "the folder to write; the task's name when absent")
    .addOption(
      new Option("--kind <kind>", "of strings: continuation, sequence or numbers").choices([
        "continuation",
        "sequence",
        "numbers",
      ]),
    )
    .option("--prompt <text>", "the question around each string, {string} in its place")
    .option("--properties <names>", "properties of the task, separated by commas")
    .option("--disposition <name>", "what choosing the answer's option shows, where none is right")
    .option("--licence <text>", "of the data, for the card and for reports")
    .option("--items <n>", "at most so many items, chosen by the seed")
    .option("--train-share <share>", "share of the items that become train strings", "0.5")
    .option("--keep-splits", "files named train stay train; dev, validation and test are held out")
    .option("--examples", "take two train items out as solved examples")
    .option("--balance", "put the right option at every letter equally often; truthfulqa and mwe do")
    .option("--no-balance", "leave the order of options as the file has it")
    .option("--where <column=value>", "only rows that have this value there (repeatable)", collect)
    .option("--files <pattern>", "of a folder only these, such as test/*.csv (repeatable)", collect)
    .addOption(new Option("--format <format>", "of a file whose name does not say it").choices(SOURCE_FORMATS))
    .option("--delimiter <mark>", "what stands between the cells of a CSV")
    .option("--no-header", "the CSV's first line is a row; its columns are called 1, 2, …")
    .option("--seed <n>", "of the choice, the split, the order of options and the examples", "0")
    .option("--replace", "make an imported task of the same folder anew")
    .option("--preview", "show, and write nothing");
  return jsonOption(command).action(importAndShow);
}

async function importAndShow(source: string, options: ImportCommandOptions): Promise<void> {
  const imported = await importTask(source, toImport(options));
  const out = options.out ?? imported.name;
  const written = options.preview ? undefined : await writeTask(imported, out, { replace: options.replace });
  const { sha256 } = written?.task ?? {};
  if (options.json) {
    printJson({
      card: imported.card,
      task: imported.task,
      shown: shownItems(imported),
      written: written?.path,
      sha256,
    });
    return;
  }
  print(preview(imported));
  if (written) {
    print(
      `\n${written.path} is written. A study whose file lies in the current folder names it: tasks: [{ task: ${written.path} }]. The path starts at the study's folder.`,
    );
    notice(`Next: npx inward tasks show ${written.path}`);
  } else notice("Nothing is written: leave --preview out to write it.");
}

function toImport(options: ImportCommandOptions): TaskImport {
  const { prompt, properties, where, seed, items, trainShare, question, answer, text, id, header, balance, ...more } =
    options;
  const listed = options.options?.split(",").map((one) => one.trim());
  const share = number("--train-share", trainShare);
  if (share < 0 || share >= 1) {
    throw new InwardError("USAGE", `--train-share wants a share from 0 to below 1, not "${trainShare}".`);
  }
  if (options.delimiter !== undefined && options.delimiter.replace("\\t", "\t").length !== 1) {
    throw new InwardError("USAGE", `--delimiter wants one character, not "${options.delimiter}".`);
  }
  if (prompt !== undefined && prompt.split("{string}").length !== 2) {
    throw new InwardError("USAGE", `--prompt wants {string} once, the place of the item's text, not "${prompt}".`);
  }
  const named = { question, options: listed, answer, text, id };
  if (options.preset !== undefined && Object.values(named).some((one) => one !== undefined)) {
    throw new InwardError(
      "USAGE",
      "--preset knows its columns: leave out --question, --options, --answer, --text and --id.",
    );
  }
  return {
    ...more,
    columns: named,
    delimiter: options.delimiter?.replace("\\t", "\t"),
    header: header === false ? false : undefined,
    balance,
    question: prompt?.replaceAll("\\n", "\n"),
    properties: properties?.split(",").map((one) => one.trim()),
    where: where && Object.fromEntries(where.map(columnAndValue)),
    seed: seedOf(seed),
    items: items === undefined ? undefined : wholeNumber("--items", items),
    trainShare: share,
  };
}

function columnAndValue(text: string): [column: string, value: string] {
  const at = text.indexOf("=");
  if (at > 0) return [text.slice(0, at), text.slice(at + 1)];
  throw new InwardError("USAGE", `--where wants column=value, not "${text}".`);
}

function seedOf(text: string): number {
  const seed = number("--seed", text);
  if (Number.isSafeInteger(seed) && seed >= 0) return seed;
  throw new InwardError("USAGE", `--seed wants a whole number from 0 on, not "${text}".`);
}

const SHOWN_ITEMS = 3;

function shownItems({ rows, task }: ImportedTask) {
  return rows.slice(0, SHOWN_ITEMS).map(({ id, split, text, target, meta }) => ({
    id,
    split,
    asked: String(task.question).replace("{string}", () => text),
    ...(target === undefined ? {} : { target }),
    ...(meta === undefined ? {} : { meta }),
  }));
}

function preview(imported: ImportedTask): string {
  const { card, task, name } = imported;
  const excluded = Object.entries(card.excluded);
  const facts = [
    ["task", `${name}, of kind ${task.kind}`],
    [
      "source",
      `${card.source.given}: ${card.rows} rows in ${card.source.files.length} ${card.source.files.length === 1 ? "file" : "files"}`,
    ],
    [
      "items",
      `${card.train} train, ${card.heldOut} held-out${card.examples > 0 ? `, ${card.examples} solved examples` : ""}`,
    ],
    ["left out", excluded.length === 0 ? "nothing" : `${excluded.reduce((sum, [, { count }]) => sum + count, 0)} rows`],
    ...excluded.map(([reason, { count, first }]) => [
      "",
      `${count} ${EXCLUSIONS[reason as ExclusionReason]} (the first: ${first})`,
    ]),
    ...(card.letters
      ? [
          [
            "letters",
            Object.entries(card.letters)
              .map(([letter, count]) => `${letter} ${count}`)
              .join(", "),
          ],
        ]
      : []),
    ["properties", (task.properties as readonly string[]).join(" ")],
    ["licence", card.licence],
  ];
  return [
    columns(facts),
    ...card.notes.map((note) => `- ${note}`),
    "",
    columns([["column", "becomes"], ...Object.entries(card.columns)]),
    ...shownItems(imported).map(
      ({ id, split, asked, target, meta }) =>
        `\n--- ${id}, ${split}${target === undefined ? "" : `, ${task.disposition === undefined ? "right" : "matching"}: ${target}`}${meta ? `, ${JSON.stringify(meta)}` : ""}\n${asked}`,
    ),
  ].join("\n");
}
