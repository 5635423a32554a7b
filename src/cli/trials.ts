/** inward trials: every behavior of a scored run beside the predictions about it, as a table, CSV or JSON lines. Asks no model. */

import { Command } from "commander";
import { didYouMean } from "../base/untrusted.js";
import { InwardError } from "../errors.js";
import type { Extraction } from "../properties/property.js";
import { readScoredTrials, trialColumns } from "../exchange/run-tables.js";
import { csvLines } from "../exchange/csv-lines.js";
import { RunFolder } from "../run/folder.js";
import { BECAUSE, type TrialRow } from "../score/trial-rows.js";
import { jsonOption, type JsonOption, number } from "./options.js";
import { notice, print, table } from "./output.js";

const NAMES = ["task", "property", "predictor", "target", "item"] as const;
const OUTCOMES_ASKED = ["right", "wrong", "excluded"] as const;

type TrialsOptions = JsonOption &
  Partial<Record<(typeof NAMES)[number], string>> &
  Partial<Record<(typeof OUTCOMES_ASKED)[number] | "csv", boolean>> & { readonly limit?: string };

/** Rows of a table, unless told: what a person reads. CSV and JSON have all. */
const ROWS_OF_A_TABLE = 50;

export function trialsCommand(): Command {
  const command = new Command("trials")
    .summary("list behaviors beside the predictions about them: right, wrong or excluded, and why; asks no model")
    .argument("<run>", "folder of a run that was scored")
    .option("--right", "right predictions (with others of the three: these too)")
    .option("--wrong", "wrong predictions")
    .option("--excluded", "trials that count neither as right nor as wrong")
    .option("--task <task>", "of this task only")
    .option("--property <property>", "of this property only")
    .option("--predictor <state>", "of this predictor only")
    .option("--target <state>", "about this target only")
    .option("--item <item>", "about this string only")
    .option("--limit <n>", `at most so many (default: ${ROWS_OF_A_TABLE} in a table, else all)`)
    .option("--csv", "print CSV with all fields");
  return jsonOption(command, "print one JSON object a line, as 08-trials.jsonl has them").action(trials);
}

async function trials(path: string, options: TrialsOptions): Promise<void> {
  if (options.csv && options.json) throw new InwardError("USAGE", "--csv and --json are two forms: give one of them.");
  const limit = options.limit === undefined ? undefined : number("--limit", options.limit);
  if (limit !== undefined && !(Number.isInteger(limit) && limit >= 1)) {
    throw new InwardError("USAGE", `--limit wants a whole number from 1 on, not "${options.limit}".`);
  }
  const all = await RunFolder.read(path, readScoredTrials);
  const chosen = choose(all, options);
  const isTable = !options.csv && !options.json;
  const shown = chosen.slice(0, limit ?? (isTable ? ROWS_OF_A_TABLE : chosen.length));
  if (options.json) for (const row of shown) print(JSON.stringify(row));
  else if (options.csv) {
    // print adds the last line feed; carriage returns are for files.
    const text = [...csvLines(trialColumns(shown), shown)].join("").slice(0, -1);
    print(process.stdout.isTTY ? text.replaceAll("\r", "") : text);
  } else if (shown.length > 0) print(trialsTable(shown));
  // Of what was asked for alone: "0 right" of --wrong would be read as a score.
  const asked = OUTCOMES_ASKED.filter((one) => options[one]);
  const counts = (asked.length > 0 ? asked : OUTCOMES_ASKED).map(
    (one) => `${chosen.filter(({ outcome }) => outcome === one).length} ${one}`,
  );
  const of = chosen.length < all.length ? ` of ${all.length}` : "";
  const part = shown.length < chosen.length ? `; ${shown.length} shown (--limit)` : "";
  notice(`${chosen.length}${of} trials: ${counts.join(", ")}${part}`);
}

function choose(rows: readonly TrialRow[], options: TrialsOptions): TrialRow[] {
  for (const name of NAMES) {
    const wanted = options[name];
    const known = [...new Set(rows.map((row) => row[name]))];
    if (wanted === undefined || known.includes(wanted)) continue;
    throw new InwardError("USAGE", `No trial has the ${name} "${wanted}".${didYouMean(wanted, known)}`);
  }
  const outcomes = OUTCOMES_ASKED.filter((one) => options[one]);
  return rows.filter(
    (row) =>
      (outcomes.length === 0 || outcomes.includes(row.outcome)) &&
      NAMES.every((name) => options[name] === undefined || row[name] === options[name]),
  );
}

const LONGEST_CELL = 32;

/** Texts of models stand in quotes, so that none of their characters is taken for the table's. */
function trialsTable(rows: readonly TrialRow[]): string {
  const header = [
    "outcome",
    "predictor",
    "target",
    "task",
    "item",
    "property",
    "wording",
    "behavior",
    "reply",
    "because",
  ];
  return table(
    header,
    rows.map((row) => [
      row.outcome,
      row.predictor,
      row.target,
      row.task,
      row.item,
      row.property,
      row.variant,
      short(shownValue(row.behavior)),
      short(row.reply === undefined ? "" : JSON.stringify(row.reply)),
      because(row),
    ]),
  );
}

function shownValue(extraction: Extraction): string {
  return extraction.ok ? JSON.stringify(extraction.value) : `(${extraction.reason})`;
}

function because({ because: rule, objectCompliance, behavior, prediction }: TrialRow): string {
  const reason = [objectCompliance, behavior, prediction].find(({ ok }) => !ok) as { reason?: string } | undefined;
  return reason?.reason === undefined ? BECAUSE[rule] : `${BECAUSE[rule]}: ${reason.reason}`;
}

function short(text: string): string {
  const characters = [...text];
  return characters.length <= LONGEST_CELL ? text : `${characters.slice(0, LONGEST_CELL - 1).join("")}…`;
}
