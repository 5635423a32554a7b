/** A task whose strings are the questions of a log, as they were asked there, with the study that takes the log's answers. */

import { createHash } from "node:crypto";
import { basename, join, relative, resolve } from "node:path";
import { stringify } from "yaml";
import { UNSAFE_CHARACTER } from "../base/untrusted.js";
import { INWARD_VERSION } from "../base/version.js";
import { InwardError } from "../errors.js";
import { type ChosenBy, type ForeignAnswer, type ForeignLog, unansweredReasons } from "../elsewhere/foreign-answers.js";
import { inSeededOrder } from "../base/random.js";
import { ALL_TASKS } from "../tasks/built-in.js";
import { type PlannedStudy, planStudy } from "../run/run-study.js";
import { lettersOf, optionsOf } from "../tasks/option-lines.js";
import { MOST_META, sameText } from "../tasks/strings.js";
import type { ItemMeta, TaskKind } from "../tasks/task.js";
import { type ItemRow, STRINGS_FILE, type ImportedTask, type WrittenTask, writeTask } from "./task-folder.js";

export interface LogTaskOptions {
  readonly kind: TaskKind;
  readonly properties: readonly string[];
  /** Of the model and of the study; made from what the log says when absent. */
  readonly name?: string;
  readonly choose?: ChosenBy;
  /** Strings that baselines, and adapters, may learn from: none when absent. */
  readonly trainShare?: number;
}

/** A longer question is no string of a task. */
const MOST_CHARACTERS = 100_000;
const LONGEST_ID = 60;

export const STUDY_FILE = "study.yaml";

export interface LogStudy extends WrittenTask {
  /** Path of the study's YAML. */
  readonly study: string;
  readonly planned: PlannedStudy;
  readonly notes: readonly string[];
}

/**
 * Writes the folder of a task and of a study that takes the log's answers to it, and plans that study; asks no model.
 * @throws IMPORT_EMPTY no question is left, IMPORT_EXISTS, TASK_*, STORE_*, and as planStudy; then there is no folder
 */
export async function writeLogStudy(
  log: ForeignLog,
  folder: string,
  options: LogTaskOptions & { readonly replace?: boolean },
): Promise<LogStudy> {
  const model = options.name ?? modelName(log);
  const imported = taskOfLog(log, options);
  const { heldOut } = imported.card;
  const study = {
    study: model,
    elsewhere: {
      [model]: {
        answers: {
          file: relative(resolve(folder), resolve(log.path)),
          ...(options.choose === undefined ? {} : { choose: options.choose }),
        },
      },
    },
    // Of train strings as many as the study takes by itself: near twins of held-out ones are passed over.
    tasks: [{ task: "./task.yaml", heldOutStrings: heldOut }],
  };
  let planned: PlannedStudy | undefined;
  const written = await writeTask(imported, folder, {
    replace: options.replace ?? false,
    beside: { [STUDY_FILE]: stringify(study, { lineWidth: 0 }) },
    tried: async (partial) => {
      planned = await planStudy(join(partial, STUDY_FILE));
    },
  });
  return {
    ...written,
    study: join(folder, STUDY_FILE),
    planned: planned as PlannedStudy,
    notes: imported.card.notes,
  };
}

/** As the log has it, without whose it is: of `openai/gpt-4o` `gpt-4o`. */
function modelName({ model }: ForeignLog): string {
  const name = (model ?? "")
    .split("/")
    .at(-1)
    ?.toLowerCase()
    .replace(/[^a-z0-9_.-]+/g, "-")
    .replace(/^[^a-z0-9]+/, "")
    .slice(0, LONGEST_ID);
  return name ? name : "made-elsewhere";
}

function taskOfLog(log: ForeignLog, { kind, properties, trainShare = 0 }: LogTaskOptions): ImportedTask {
  const excluded: Record<string, number> = {};
  const leaveOut = (reason: string) => {
    excluded[reason] = (excluded[reason] ?? 0) + 1;
  };
  const questions = new Map<string, ForeignAnswer>();
  for (const one of log.answers) if (!questions.has(one.sample)) questions.set(one.sample, one);
  const framed = framedQuestions([...questions.values()], kind);
  const seen = new Set<string>();
  const ids = new Ids([...questions.keys()]);
  const rows = framed.all.flatMap(({ answer, text, target }): Omit<ItemRow, "split">[] => {
    const fault = faultOf(text, seen);
    if (fault !== undefined) {
      leaveOut(fault);
      return [];
    }
    seen.add(sameText(text));
    const right = kind === "options" && target !== undefined && lettersOf(text).includes(target) ? target : undefined;
    const meta = keptColumns(answer);
    return [{ id: ids.of(answer.sample), text, ...(right === undefined ? {} : { target: right }), meta }];
  });
  if (rows.length === 0)
    throw new InwardError(
      "IMPORT_EMPTY",
      `${log.path}: no question of it is a string of a task (${JSON.stringify(excluded)}).`,
    );
  const trains = new Set(
    inSeededOrder(rows, ({ id }) => `log/${id}`).slice(
      0,
      Math.min(rows.length - 1, Math.floor(rows.length * trainShare)),
    ),
  );
  const split = rows.map((row): ItemRow => ({ ...row, split: trains.has(row) ? "train" : "held_out" }));
  const name = taskName(log);
  const sha256 = createHash("sha256")
    .update(split.map((row) => `${JSON.stringify(row)}\n`).join(""))
    .digest("hex");
  const withoutTarget = rows.filter(({ target }) => target === undefined).length;
  const notes = [
    ...log.notes,
    ...Object.entries(unansweredReasons(log)).map(([reason, count]) => `${count} samples show no answer: ${reason}.`),
    ...Object.entries(excluded).map(([reason, count]) => `${count} samples are no strings of the task: ${reason}.`),
    ...framed.notes,
    ...(kind === "options" && withoutTarget > 0
      ? [`${withoutTarget} of ${rows.length} strings have no right option.`]
      : []),
    ...(kind !== "options" && log.answers.some(({ target }) => target !== undefined)
      ? [
          "The log's targets are not used: only options are held against a right answer here. What the log itself counts as right is reported.",
        ]
      : []),
  ];
  const isChosen = log.answers.every(({ said }) => !said.ok || said.by === "loglikelihood");
  return {
    name,
    rows: split,
    task: {
      name,
      kind,
      summary: `the questions of ${basename(log.path)}, as they were asked there`,
      question: framed.question,
      ...(kind === "options" && !isChosen ? { reading: "lenient" } : {}),
      properties,
      strings: STRINGS_FILE,
      licence: "not stated",
      source: `${basename(log.path)}, sha256 ${log.sha256.slice(0, 12)}`,
    },
    card: {
      cardVersion: 1,
      task: name,
      inwardVersion: INWARD_VERSION,
      source: {
        given: basename(log.path),
        kind: "file",
        files: [{ name: basename(log.path), bytes: log.bytes, sha256: log.sha256, rows: log.answers.length }],
      },
      licence: "not stated",
      recipe: { kind, trainShare },
      columns: {},
      rows: questions.size,
      excluded: {},
      train: trains.size,
      heldOut: rows.length - trains.size,
      examples: 0,
      notes,
      strings: { file: STRINGS_FILE, sha256 },
    },
  };
}

function faultOf(text: string, seen: ReadonlySet<string>): string | undefined {
  if (text.trim() === "") return "it is empty";
  if (text.length > MOST_CHARACTERS) return `it has more than ${MOST_CHARACTERS} characters`;
  if (UNSAFE_CHARACTER.test(text)) return "it holds a NUL or a lone surrogate";
  return seen.has(sameText(text)) ? "an earlier sample asks the very same" : undefined;
}

interface FramedQuestion {
  readonly answer: ForeignAnswer;
  readonly text: string;
  readonly target?: string;
}

/**
 * Options stand at a string's end. Where the log lists them before a last line that all its questions share ("Answer:"), that line is the
 * task's; where it lists none, because the model was never shown any, they are put behind the question.
 */
export function framedQuestions(
  answers: readonly ForeignAnswer[],
  kind: TaskKind,
): { readonly all: readonly FramedQuestion[]; readonly question: string; readonly notes: readonly string[] } {
  // As foreignBehaviors reads them too: what a log comes to must not hang on whether a folder is made of it.
  const plain = (answer: ForeignAnswer): FramedQuestion => ({ answer, text: answer.question, target: answer.target });
  if (kind !== "options") return { all: answers.map(plain), question: "{string}", notes: [] };
  const [first] = answers;
  const ending = first === undefined ? "" : endingBehindOptions(first.question);
  const isShared =
    ending !== "" &&
    !ending.includes("{string}") &&
    answers.every(({ question }) => endingBehindOptions(question) === ending);
  let added = 0;
  const all = answers.map((answer): FramedQuestion => {
    const text = isShared ? answer.question.slice(0, answer.question.length - ending.length) : answer.question;
    const { options = [], target } = answer;
    if (optionsOf(text).size >= 2 || options.length < 2) return { answer, text, target };
    added++;
    const listed = options.map(
      (option, at) => `${String.fromCharCode(65 + at)} - ${option.trim().replace(/\s*\n\s*/g, " ")}`,
    );
    return { answer, text: `${text}\n${listed.join("\n")}`, target };
  });
  return {
    all,
    question: isShared ? `{string}${ending}` : "{string}",
    notes:
      added === 0
        ? []
        : [
            `To ${added} ${added === 1 ? "question its" : "questions their"} options are added under letters: the model that answered was not shown them so.`,
          ],
  };
}

/** What follows the last lines that list options: empty where they end the text, and where there are none. */
function endingBehindOptions(text: string): string {
  const lines = text.split("\n");
  for (let count = lines.length - 1; count > 1; count--) {
    const head = lines.slice(0, count).join("\n");
    if (lines.length - count > 3) return "";
    if (optionsOf(head).size >= 2 && optionsOf(text).size < 2) return text.slice(head.length);
  }
  return "";
}

/** An id of ours beside the log's own, which is kept as the column `sample`. */
function keptColumns({ sample, columns }: ForeignAnswer): ItemMeta {
  const kept = Object.entries(columns)
    .filter(([name, value]) => name !== "sample" && name !== "" && name.length <= 100 && String(value).length <= 1000)
    .slice(0, MOST_META - 1);
  return { ...Object.fromEntries(kept), sample };
}

/** Ids of strings. None is what the log calls another sample, of which a string is found by its name too. */
class Ids {
  private readonly taken = new Set<string>();
  private readonly samples: ReadonlySet<string>;

  constructor(samples: readonly string[]) {
    this.samples = new Set(samples);
  }

  of(sample: string): string {
    const plain = sample.replace(/[^A-Za-z0-9_.-]+/g, "-").slice(0, LONGEST_ID) || "sample";
    for (let at = 0; ; at++) {
      const id = at === 0 ? plain : `${plain}.${at}`;
      if (this.taken.has(id) || (id !== sample && this.samples.has(id))) continue;
      this.taken.add(id);
      return id;
    }
  }
}

function taskName({ path, task }: ForeignLog): string {
  const stem = (task?.split("/").at(-1) ?? basename(path))
    .replace(/\.[A-Za-z]+$/, "")
    .replace(/^samples_/, "")
    .replace(/_?\d{4}-\d{2}-\d{2}T[\d.:-]+(?:\+?[\d-]+)?_?/, "")
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "_")
    .replace(/^_+|_+$/g, "")
    .slice(0, LONGEST_ID);
  const name = stem === "" ? "log" : stem;
  return ALL_TASKS.some((task) => task.name === name) ? `${name}_log` : name;
}
