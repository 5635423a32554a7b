/** The trials of a run as the columns that a page sorts and filters, and where the lines that each is made of stand. */

import { z } from "zod";
import { type DistributionRow, distributionRowSchema } from "../../ask/measure-distribution.js";
import { InwardError } from "../../errors.js";
import type { Behavior, Extraction } from "../../properties/property.js";
import { ANSWERS_OF_ROUND, BEHAVIORS_OF_ROUND, CHALLENGED_OF_ROUND } from "../behaviors.js";
import { RUN_FILES, type RunFile } from "../folder.js";
import { compareDistributions } from "../../score/calibration/predictors.js";
import { totalVariation } from "../../score/calibration/measures.js";
import { cutText } from "../../report/document.js";
import { reasonWords } from "../../report/terms.js";
import { planScopes, type Scope } from "../../score/scope.js";
import { BECAUSE, outcomeOfTrial, type TrialRow, trialRowSchema } from "../../score/trial-rows.js";
import type { Plan } from "../../study/plan.js";
import { type Answer, answerSchema } from "../../tasks/answer.js";
import { LineIndex, type PassedOver, readViewLines } from "./read-lines.js";
import type { LookedAt } from "./plain-files.js";
import type { RunProblem, TrialItem, TrialTable } from "./trial-shapes.js";

/** Characters of a text in the table; a trial that is opened has all. */
const CUT_AT = 1000;

export interface ReadTrials {
  readonly table: TrialTable;
  /** By name of the file: answers and replies by `<state>|<key>`, behaviors and distributions by keys of their own, trials by line. */
  readonly lines: ReadonlyMap<string, LineIndex>;
}

/** Where a trial's line stands in its index. */
export const trialKey = (line: number) => String(line);
export const answerKeyOf = (state: string, key: string) => `${state}|${key}`;
export function behaviorLineKey({
  state,
  task,
  item,
  property,
  sample,
}: Pick<Behavior, "state" | "task" | "item" | "property" | "sample">): string {
  return JSON.stringify([state, task, item, property, sample]);
}

/** A list in which each value stands once. */
class Places<Value> {
  readonly values: Value[] = [];
  readonly #places = new Map<string, number>();

  of(key: string, value: () => Value): number {
    const known = this.#places.get(key);
    if (known !== undefined) return known;
    this.#places.set(key, this.values.length);
    this.values.push(value());
    return this.values.length - 1;
  }

  /** @returns −1 where there is none */
  find(key: string): number {
    return this.#places.get(key) ?? -1;
  }
}

interface Said {
  readonly textOf: number;
  readonly logprob: number | null;
}

const looseBehavior = z.looseObject({
  state: z.string(),
  task: z.string(),
  item: z.string(),
  property: z.string(),
  sample: z.number(),
});

/**
 * Reads 08-trials.jsonl and what its lines point to, streaming: a run of any size that memory holds as columns.
 * @param isWritten whether a run of this plan has a file
 * @throws STORE_INCOMPLETE, STORE_CORRUPT where 08-trials.jsonl is no plain file; what is wrong in other files is said in `problems`
 */
export async function readTrialTable(
  run: LookedAt,
  plan: Plan,
  isWritten: (file: RunFile) => boolean,
): Promise<ReadTrials> {
  const problems: RunProblem[] = [];
  const lines = new Map<string, LineIndex>();
  const index = (name: string) => {
    const made = new LineIndex(run, name);
    lines.set(name, made);
    return made;
  };
  const texts = new Places<string>();
  let longer = 0;
  const textOf = (text: string): number => {
    if (text.length > CUT_AT) longer++;
    const cut = cutText(text, CUT_AT);
    return texts.of(cut, () => cut);
  };
  const readOther = async (name: string, read: () => Promise<PassedOver>) => {
    try {
      const { count, first } = await read();
      if (count > 0) problems.push({ file: name, what: passedOverText(count, first) });
    } catch (error) {
      if (!(error instanceof InwardError)) throw error;
      problems.push({ file: name, what: error.message });
    }
  };

  // What was said, by file, state and key.
  const said = new Map<string, Map<string, Said>>();
  const readAnswers = async (name: string) => {
    const places = index(name);
    const own = new Map<string, Said>();
    said.set(name, own);
    await readOther(name, () =>
      readViewLines<Answer>(run, name, answerSchema, ({ state, key, reply }, place) => {
        const at = answerKeyOf(state, key);
        places.add(at, place);
        if (own.has(at)) return;
        own.set(at, {
          textOf: reply === undefined ? -1 : textOf(reply.text),
          logprob: reply === undefined || reply.madeElsewhere ? null : sumOf(reply.logprobs),
        });
      }),
    );
  };
  for (const file of [...ANSWERS_OF_ROUND, ...CHALLENGED_OF_ROUND, "hypothetical"] as const) {
    if (isWritten(file)) await readAnswers(RUN_FILES[file]);
  }
  for (const file of BEHAVIORS_OF_ROUND) {
    if (!isWritten(file)) continue;
    const name = RUN_FILES[file];
    const places = index(name);
    await readOther(name, () =>
      readViewLines<Behavior>(run, name, looseBehavior, (row, place) => places.add(behaviorLineKey(row), place)),
    );
  }
  const distances = isWritten("distributions") ? await readDistances(run, index, readOther) : () => undefined;

  const states = new Places<string>();
  const properties = new Places<string>();
  const variants = new Places<string>();
  const scopes = new Places<Scope>();
  const scopeIn = planScopes(plan).of;
  const words = new Places<string>();
  const items = new Places<TrialItem>();
  const extractions = new Places<Extraction>();
  const split = new Map(
    plan.tasks.flatMap(({ definition: { name }, train, heldOut }) =>
      [...train, ...heldOut].map((item) => [`${name}/${item.id}`, item] as const),
    ),
  );
  const columns = emptyColumns();
  const trials = index(RUN_FILES.trials);
  let contradicting = 0;
  const extractionOf = (found: Extraction) =>
    extractions.of(JSON.stringify(found.ok ? [found.value] : { reason: found.reason }), () => found);
  const passedOver = await readViewLines<TrialRow>(run, RUN_FILES.trials, trialRowSchema, (row, place) => {
    trials.add(trialKey(place.line), place);
    const outcome = outcomeOfTrial(row);
    if (outcome.outcome !== row.outcome || outcome.because !== row.because) contradicting++;
    const answer = said.get(row.answerFile)?.get(answerKeyOf(row.target, row.answerKey));
    const reply = said.get(RUN_FILES.hypothetical)?.get(answerKeyOf(row.predictor, row.replyKey));
    const missing = [row.objectCompliance, row.behavior, row.prediction].find(({ ok }) => !ok) as
      | { readonly reason: string }
      | undefined;
    const word = (text: string) => words.of(text, () => text);
    const name = (list: Places<string>, text: string) => list.of(text, () => text);
    const columnsOfRow: Readonly<Record<keyof TrialTable["columns"], number | null>> = {
      line: place.line,
      targetOf: name(states, row.target),
      predictorOf: name(states, row.predictor),
      itemOf: items.of(`${row.task}/${row.item}`, () => {
        const item = split.get(`${row.task}/${row.item}`);
        return {
          task: row.task,
          id: row.item,
          text: cutText(item?.text ?? "", CUT_AT),
          ...(item?.target === undefined ? {} : { target: item.target }),
          ...(row.cluster === undefined ? {} : { cluster: row.cluster }),
          ...(item?.meta === undefined ? {} : { meta: item.meta }),
        };
      }),
      propertyOf: name(properties, row.property),
      variantOf: name(variants, row.variant),
      scopeOf: scopes.of(scopeIn(row), () => scopeIn(row)),
      sample: row.sample,
      outcome: OUTCOME_PLACES.indexOf(row.outcome),
      becauseOf: word(row.because),
      reasonOf: missing === undefined ? -1 : word(missing.reason),
      behaviorOf: extractionOf(row.behavior),
      predictionOf: extractionOf(row.prediction),
      answerAsked: answer?.textOf ?? -1,
      replyOf: row.reply === undefined ? -1 : textOf(row.reply),
      minMargin: row.minMargin ?? null,
      aboveNoiseFloor: row.aboveNoiseFloor === undefined ? -1 : Number(row.aboveNoiseFloor),
      answerLogprob: answer?.logprob ?? null,
      replyLogprob: reply?.logprob ?? null,
      disagreement: distances(row) ?? null,
    };
    for (const [column, value] of Object.entries(columnsOfRow)) {
      (columns[column as keyof typeof columns] as (number | null)[]).push(value === null ? null : value);
    }
  });
  if (contradicting > 0) {
    const what = `${contradicting} lines say another outcome than their own fields do; they are shown as they stand.`;
    problems.push({ file: RUN_FILES.trials, what });
  }
  if (passedOver.count > 0) {
    problems.push({ file: RUN_FILES.trials, what: passedOverText(passedOver.count, passedOver.first) });
  }
  return {
    lines,
    table: {
      rows: columns.line.length,
      passedOver,
      problems,
      cut: { at: CUT_AT, texts: longer },
      states: states.values,
      properties: properties.values,
      variants: variants.values,
      scopes: scopes.values,
      items: items.values,
      texts: texts.values,
      words: words.values,
      says: words.values.map((word) => (BECAUSE as Readonly<Record<string, string>>)[word] ?? reasonWords(word)),
      extractions: extractions.values,
      columns,
      why: {
        minMargin: "not known: the answer or the reply was sampled, or is not there",
        probability: "not known: the text was made elsewhere, or is not there",
        disagreement:
          plan.calibration === undefined
            ? "not measured: the study names no calibration"
            : "not measured on this string and property, or one side shows no value",
      },
    },
  };
}

const OUTCOME_PLACES = ["right", "wrong", "excluded"];

type Columns = { [Name in keyof TrialTable["columns"]]: TrialTable["columns"][Name][number][] };

function emptyColumns(): Columns {
  return {
    line: [],
    targetOf: [],
    predictorOf: [],
    itemOf: [],
    propertyOf: [],
    variantOf: [],
    scopeOf: [],
    sample: [],
    outcome: [],
    becauseOf: [],
    reasonOf: [],
    behaviorOf: [],
    predictionOf: [],
    answerAsked: [],
    replyOf: [],
    minMargin: [],
    aboveNoiseFloor: [],
    answerLogprob: [],
    replyLogprob: [],
    disagreement: [],
  };
}

function sumOf(logprobs: readonly number[]): number {
  return logprobs.reduce((sum, one) => sum + one, 0);
}

function passedOverText(count: number, first: readonly string[]): string {
  const lines = count === 1 ? "1 line was passed over" : `${count} lines were passed over`;
  return `${lines}: ${first.join("; ")}${count > first.length ? "; …" : ""}.`;
}

type DistanceOf = (
  row: Pick<TrialRow, "target" | "predictor" | "task" | "item" | "property" | "variant">,
) => number | undefined;

/** Between what the target does and what the predictor says, where both were measured. Each pair is computed once. */
async function readDistances(
  run: LookedAt,
  index: (name: string) => LineIndex,
  readOther: (name: string, read: () => Promise<PassedOver>) => Promise<void>,
): Promise<DistanceOf> {
  const name = RUN_FILES.distributions;
  const places = index(name);
  const rows = new Map<string, DistributionRow>();
  await readOther(name, () =>
    readViewLines<DistributionRow>(run, name, distributionRowSchema, (row, place) => {
      places.add(row.key, place);
      if (!rows.has(row.key)) rows.set(row.key, row);
    }),
  );
  const known = new Map<string, number | undefined>();
  return ({ target, predictor, task, item, property, variant }) => {
    const [one, other] = distributionKeys({ target, predictor, task, item, property, variant });
    const key = `${one}|${other}`;
    if (known.has(key)) return known.get(key);
    const [behavior, prediction] = [rows.get(one)?.distribution, rows.get(other)?.distribution];
    const compared =
      behavior && prediction && compareDistributions({ task, item, property, variant }, behavior, prediction);
    const distance = compared && totalVariation(compared);
    known.set(key, distance);
    return distance;
  };
}

/** Keys of 07-distributions.jsonl: of what the target does, and of what the predictor says. */
export function distributionKeys({
  target,
  predictor,
  task,
  item,
  property,
  variant,
}: Pick<TrialRow, "target" | "predictor" | "task" | "item" | "property" | "variant">): [string, string] {
  return [
    `object_level/${target}/${task}/${item}/${property}`,
    `hypothetical/${predictor}/${task}/${item}/${property}/${variant}`,
  ];
}
