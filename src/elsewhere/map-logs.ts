/** The logs that a study names, read, and each of their samples mapped to what it is about. */

import { resolve } from "node:path";
import { shown } from "../base/untrusted.js";
import { InwardError } from "../errors.js";
import type { LogEntry, MappedLog, MappedLogs } from "../study/elsewhere.js";
import { placeholdersIn } from "../study/elsewhere-schema.js";
import type { Study, StudyElsewhere } from "../study/study.js";
import { type ForeignAnswer, type ForeignLog, unansweredReasons } from "./foreign-answers.js";
import { readForeignLog } from "./read-log.js";

type AnswersMapping = NonNullable<StudyElsewhere["answers"]>[number];
type PredictionsMapping = NonNullable<StudyElsewhere["predictions"]>[number];
type Mapping = Omit<PredictionsMapping, "choose"> & Partial<Pick<AnswersMapping, "choose">>;

/**
 * @param studyFolder where the paths of logs start
 * @throws IMPORT_SOURCE, IMPORT_INVALID, IMPORT_EMPTY of a log · STUDY_INVALID a sample that does not have what the mapping names
 */
export async function mapLogs(
  { elsewhere, engine: { alternatives } }: Pick<Study, "elsewhere" | "engine">,
  studyFolder: string,
): Promise<MappedLogs> {
  const read = new Map<string, ForeignLog>();
  const mapped = async (name: string, part: string, mapping: Mapping): Promise<MappedLog> => {
    const { file, choose } = mapping;
    const key = JSON.stringify([file, choose]);
    const log = read.get(key) ?? (await readForeignLog(resolve(studyFolder, file), choose, alternatives));
    read.set(key, log);
    return mapLog(log, mapping, `elsewhere.${name}.${part}`);
  };
  const all: Record<string, { answers?: MappedLog[]; predictions?: MappedLog[] }> = {};
  for (const [name, { answers, predictions }] of Object.entries(elsewhere)) {
    const own: (typeof all)[string] = {};
    for (const file of answers ?? []) own.answers = [...(own.answers ?? []), await mapped(name, "answers", file)];
    for (const file of predictions ?? []) {
      own.predictions = [...(own.predictions ?? []), await mapped(name, "predictions", file)];
    }
    all[name] = own;
  }
  return all;
}

function mapLog(log: ForeignLog, mapping: Mapping, place: string): MappedLog {
  const { file, task, item, property, wording, id, choose } = mapping;
  const isPrediction = place.endsWith(".predictions");
  if (isPrediction && property === undefined && !placeholdersIn(id).includes("property")) {
    throw invalid(
      place,
      file,
      'does not say which property a sample asks about: add property, or id: "{item}/{property}"',
    );
  }
  const read = idReader(id);
  const entries = log.answers.map((answer): LogEntry => {
    const { sample, epoch, question, turnsBefore, said, countedRight } = answer;
    const named = read(sample);
    if (named === undefined && item === undefined) {
      throw invalid(place, file, `the id of the sample ${shown(sample)} is not as ${shown(id)} has it`);
    }
    const inColumn = (column: string) => columnOf(answer, column, place, file);
    const part = (given: string | { readonly column: string } | undefined, inId: string | undefined) =>
      given === undefined ? inId : typeof given === "string" ? given : inColumn(given.column);
    return {
      sample,
      epoch,
      question,
      turnsBefore,
      item: part(item, named?.item) as string,
      ...(isPrediction ? { property: part(property, named?.property), wording: part(wording, named?.wording) } : {}),
      said: said.ok
        ? {
            text: said.text,
            stop: said.stop,
            madeElsewhere: {
              sample,
              epoch,
              ...(said.by ? { by: said.by } : {}),
              ...(countedRight === undefined ? {} : { countedRight }),
              ...(said.tokens ? { tokens: said.tokens } : {}),
            },
            tokenIds: [],
            logprobs: [],
            margins: [],
          }
        : "failed_elsewhere",
    };
  });
  const { bytes, sha256, format, version, model, temperatures, answers, notes } = log;
  const reported = reportedBy(log);
  return {
    ...(task === undefined ? {} : { task }),
    entries,
    record: {
      source: file,
      sha256,
      bytes,
      format,
      ...(version === undefined ? {} : { version }),
      ...(model === undefined ? {} : { model }),
      mapping: {
        ...(item === undefined ? { id } : { item }),
        ...(item !== undefined && placeholdersIn(id).length > 1 ? { id } : {}),
        ...(property === undefined ? {} : { property }),
        ...(wording === undefined ? {} : { wording }),
        ...(isPrediction ? {} : { choose }),
      },
      temperatures: [...temperatures],
      answers: answers.length,
      missing: unansweredReasons(log),
      ...(reported ? { reported } : {}),
      notes: [...notes],
    },
  };
}

/** How right the log's own program says that its answers are, over those that it says it of. */
function reportedBy({ answers, metric }: ForeignLog): MappedLog["record"]["reported"] {
  const counted = answers.flatMap(({ countedRight }) => (countedRight === undefined ? [] : [countedRight]));
  if (counted.length === 0 || metric === undefined) return undefined;
  return { metric, right: counted.filter(Boolean).length, of: counted.length };
}

function columnOf({ columns, sample }: ForeignAnswer, column: string, place: string, file: string): string {
  if (Object.hasOwn(columns, column)) return String(columns[column]);
  const known = Object.keys(columns);
  const has = known.length === 0 ? "none" : known.slice(0, 20).join(", ");
  throw invalid(place, file, `the sample ${shown(sample)} has no column ${shown(column)}; it has ${has}`);
}

/** @returns undefined for an id that is not of that form */
function idReader(pattern: string): (id: string) => Readonly<Record<string, string>> | undefined {
  const quoted = pattern
    .split(/(\{\w+\})/)
    .map((part) => {
      const [, name] = /^\{(\w+)\}$/.exec(part) ?? [];
      return name === undefined
        ? part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")
        : `(?<${name}>${name === "item" ? ".+" : "[a-z0-9_.-]+"})`;
    })
    .join("");
  const form = new RegExp(`^${quoted}$`, "su");
  return (id) => form.exec(id)?.groups;
}

function invalid(place: string, file: string, why: string): InwardError {
  return new InwardError("STUDY_INVALID", `${place}: ${file}: ${why}.`);
}
