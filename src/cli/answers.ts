/** inward answers: answers that another program asked for, their properties, and a run that is scored and reported. Asks no model. */

import { Command } from "commander";
import { InwardError } from "../errors.js";
import { didYouMean } from "../base/untrusted.js";
import { CHOSEN_BY, type ChosenBy, type ForeignLog, unansweredReasons } from "../elsewhere/foreign-answers.js";
import { readForeignLog } from "../elsewhere/read-log.js";
import {
  type ForeignBehavior,
  foreignBehaviorColumns,
  foreignBehaviors,
  foreignCells,
} from "../exchange/foreign-behaviors.js";
import { csvLines } from "../exchange/csv-lines.js";
import { writeLogStudy } from "../exchange/task-of-log.js";
import { writeWhole } from "../base/files.js";
import { runPlanned } from "../run/run-study.js";
import type { TaskKind } from "../tasks/task.js";
import { jsonOption, type JsonOption, noteCacheFaults, number } from "./options.js";
import { abortOnInterrupt, notice, print, printJson, table } from "./output.js";
import { showProgress } from "./progress.js";
import { plannedText, summarize } from "./summary.js";

const KINDS: readonly TaskKind[] = ["sequence", "numbers", "continuation", "options"];

interface AnswersOptions extends JsonOption {
  readonly kind: string;
  readonly properties: string;
  readonly choose?: string;
  readonly csv?: string;
  readonly out?: string;
  readonly name?: string;
  readonly trainShare?: string;
  readonly replace?: true;
}

export function answersCommand(): Command {
  const command = new Command("answers")
    .summary(
      "take what another program asked for, lm-eval samples or an inspect log, as answers: from a log to a report; asks no model",
    )
    .description(
      "Reads samples_*.jsonl of lm-evaluation-harness or an inspect_ai log (.json, .eval) as object-level answers, takes\n" +
        "their properties by the rules of a run, and says of each how it is spread and what shows none. With --out it makes a\n" +
        "task of the log's questions and a study of its answers, runs that, and prints the path of the report.",
    )
    .argument("<file>", "samples_*.jsonl, or an inspect log")
    .requiredOption("--kind <kind>", `what the answers are: ${KINDS.join(", ")}`)
    .requiredOption("--properties <list>", "properties to take, with commas")
    .option("--choose <metric>", `of options scored by log-likelihood: by ${CHOSEN_BY.join(" or ")} (default: acc)`)
    .option("--csv <file>", "write every behavior as CSV")
    .option("-o, --out <folder>", "folder for the task and its study, which is run")
    .option("--name <name>", "with --out: what the model is called (default: as the log calls it)")
    .option("--train-share <share>", "with --out: strings that predictors may learn from (default: 0)")
    .option("--replace", "with --out: make a folder that is there anew");
  return jsonOption(command, "print the spread of each property, or the run's scores, as JSON").action(answers);
}

async function answers(path: string, options: AnswersOptions): Promise<void> {
  const kind = oneOf("--kind", options.kind, KINDS);
  const choose = options.choose === undefined ? undefined : oneOf("--choose", options.choose, CHOSEN_BY);
  const names = options.properties.split(",").map((name) => name.trim());
  const needsOut = (["name", "trainShare", "replace"] as const).find((name) => options[name] !== undefined);
  if (options.out === undefined && needsOut !== undefined) {
    throw new InwardError(
      "USAGE",
      `--${needsOut === "trainShare" ? "train-share" : needsOut} is for --out, which is not given.`,
    );
  }
  const log = await readForeignLog(path, choose);
  const behaviors: readonly ForeignBehavior[] = foreignBehaviors(log, kind, names);
  if (options.csv !== undefined) await writeWhole(options.csv, csvLines(foreignBehaviorColumns, behaviors));
  if (options.out === undefined) showSpread(log, behaviors, options);
  else await runLog(log, options.out, { ...options, kind, choose, properties: names });
}

function oneOf<Name extends string>(option: string, given: string, known: readonly Name[]): Name {
  if ((known as readonly string[]).includes(given)) return given as Name;
  throw new InwardError(
    "USAGE",
    `${option} ${given}: there is no such ${option.slice(2)}.${didYouMean(given, known)} There are ${known.join(", ")}.`,
  );
}

function showSpread(log: ForeignLog, behaviors: readonly ForeignBehavior[], { json }: JsonOption): void {
  const cells = foreignCells(behaviors);
  const { format, model, notes } = log;
  const said = log.answers.filter((one) => one.said.ok).length;
  const leftOut = unansweredReasons(log);
  if (json)
    printJson({ format, model, answers: said, lenient: lenientOf(behaviors), leftOut, notes, properties: cells });
  else {
    print(
      table(
        ["property", "answers", "with a value", "values", "most common", "share, %", "bits", "without one"],
        cells.map((cell) => [
          cell.property,
          String(cell.answers),
          String(cell.counted),
          String(cell.values.length),
          cell.values[0] === undefined ? "—" : JSON.stringify(cell.values[0].value),
          cell.values[0] === undefined ? "—" : ((100 * cell.values[0].count) / cell.counted).toFixed(1),
          cell.counted === 0 ? "—" : cell.entropyBits.toFixed(2),
          Object.entries(cell.missing)
            .map(([reason, count]) => `${reason} ${count}`)
            .join(", "),
        ]),
      ),
    );
  }
  const lenient = lenientOf(behaviors);
  if (lenient > 0) notice(`${lenient} answers name their option in more words than its letter, and count as it`);
  for (const [reason, count] of Object.entries(leftOut)) notice(`${count} samples left out: ${reason}`);
  for (const note of notes) notice(note);
  notice(`${said} answers of ${model ?? "a model that the file does not name"} (${format})`);
}

function lenientOf(behaviors: readonly ForeignBehavior[]): number {
  return new Set(behaviors.flatMap(({ id, lenient }) => (lenient ? [id] : []))).size;
}

interface LogRun extends Omit<AnswersOptions, "kind" | "choose" | "properties"> {
  readonly kind: TaskKind;
  readonly choose?: ChosenBy;
  readonly properties: readonly string[];
}

async function runLog(
  log: ForeignLog,
  folder: string,
  { kind, choose, properties, name, trainShare, replace, json }: LogRun,
): Promise<void> {
  const share = trainShare === undefined ? 0 : number("--train-share", trainShare);
  if (!(share >= 0 && share < 1))
    throw new InwardError("USAGE", `--train-share wants a share from 0 to below 1, not "${trainShare}".`);
  const made = await writeLogStudy(log, folder, { kind, choose, properties, name, trainShare: share, replace });
  for (const note of made.notes) notice(note);
  const progress = showProgress();
  const onPlanned = (planned: Parameters<typeof plannedText>[0]) => notice(plannedText(planned));
  const finished = await runPlanned(made.planned, {
    signal: abortOnInterrupt(),
    onProgress: progress.update,
    onPlanned,
    onCacheFaults: noteCacheFaults,
  })
    .finally(progress.end)
    .catch((error: unknown) => {
      notice(`The task and its study are in ${folder}; this goes on: npx inward run ${made.study}`);
      throw error;
    });
  const summary = await summarize(finished);
  if (json) printJson(summary);
  else print(`${summary.text}\n\nStudy: ${made.study}\nReport: ${summary.report}`);
}
