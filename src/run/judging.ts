/** Judged properties of a run: labelled answers and the models' answers go to the judges; what they said becomes values. */

import { judgedBy, judgedKey, judgeQuestion, judgesOf } from "../ask/judge-questions.js";
import type { Question } from "../ask/questions.js";
import { writeJson } from "../base/files.js";
import { type JudgeRule, judgedValues } from "../properties/own-property.js";
import type { LabelledAnswer } from "../properties/judge-labels.js";
import { type Extraction, type JudgedValue, missing, value as given } from "../properties/property.js";
import { quoteTurns } from "../properties/wordings.js";
import {
  judgeAgreement,
  judgeBehind,
  type JudgeAgreement,
  judgedAs,
  type JudgedLabel,
  judgedScores,
  JUDGES_VERSION,
  type JudgeStanding,
  type PropertyJudge,
} from "../score/judge-agreement.js";
import type { ResamplingSettings } from "../score/resampling.js";
import { askedForm } from "../study/forms.js";
import type { Plan, PlannedTask } from "../study/plan.js";
import { statesOf } from "../study/states.js";
import type { Answer, OptionScores } from "../tasks/answer.js";
import { objectLevelPrompt, type TaskItem } from "../tasks/task.js";
import type { RunFolder } from "./folder.js";
import type { StageContext } from "./open-models.js";
import { readContent, readLines } from "./records.js";

/** What judges said of the answers of each round. */
export const JUDGED_OF_ROUND = ["judged", "judgedAdapted", "judgedReadapted"] as const;

export function hasJudges(plan: Plan): boolean {
  return judgesOf(plan).length > 0;
}

/** Stage 02, first of all: what is wrong with a judge is known before hours are spent on answers. */
export async function writeJudges({ run }: Pick<StageContext, "run">): Promise<void> {
  const { plan } = run;
  const settings = { ...plan.score, bootstrapSeed: plan.seed };
  const judges = judgesFrom(plan, await readLines(run, "judgedLabels"), settings);
  await writeJson(run.file("judges"), { judgesVersion: JUDGES_VERSION, confidence: plan.score.confidence, judges });
}

export function judgesFrom(plan: Plan, labels: readonly Answer[], settings: ResamplingSettings): PropertyJudge[] {
  const said = scoresOfKeys(labels);
  const states = statesOf(plan);
  const judged = new Set(plan.predictions.map(({ target }) => states.of(target).model));
  return judgesOf(plan).map(({ property, rule, labels: own }) => {
    const model = rule.model as string;
    const by = judgedBy(rule);
    const agreement = againstLabels(
      property,
      rule,
      own,
      (label) => said.get(judgedKey(property, rule, label)),
      settings,
    );
    return {
      property,
      model,
      judgesItself: [...judged].some((one) => states.isSameNetwork(one, model)),
      by,
      ...agreement,
    };
  });
}

/** @param scoresOf what the judge said of a labelled answer; undefined where the engine crashed on it */
export function againstLabels(
  property: string,
  rule: JudgeRule,
  labels: readonly LabelledAnswer[],
  scoresOf: (label: LabelledAnswer, at: number) => OptionScores | undefined,
  settings: ResamplingSettings,
): JudgeAgreement {
  const values = judgedValues(rule).map(([one]) => one);
  const rows = labels.flatMap((label, at): (JudgedLabel & { readonly orders: number })[] => {
    const scores = scoresOf(label, at);
    if (!scores) return [];
    const orders = scores.orders.length;
    return [{ ...judgedScores(scores, judgedBy(rule)), label: values.indexOf(label.value), orders }];
  });
  const told = { orders: rows[0]?.orders ?? 0, setAside: labels.length - rows.length };
  return judgeAgreement(property, values, rows, told, settings);
}

function scoresOfKeys(answers: readonly Answer[]): Map<string, OptionScores> {
  return new Map(answers.flatMap(({ key, reply }) => (reply?.options ? [[key, reply.options] as const] : [])));
}

/** The judges of a run, and who stands behind a property: one that is judged, or that reads one. */
export async function readJudges(run: RunFolder): Promise<{
  readonly judges: readonly PropertyJudge[];
  readonly judgeOf: (property: string) => JudgeStanding | undefined;
}> {
  const judges = hasJudges(run.plan) ? (await readContent(run, "judges")).judges : [];
  return {
    judges,
    judgeOf: (property) => judgeBehind(property, run.plan.ownProperties ?? {}, judges),
  };
}

/** @returns what a judge that is shown the question is shown */
export function questionShown(plan: Plan, state: string, task: PlannedTask, item: TaskItem): string {
  const { before, question } = objectLevelPrompt(askedForm(plan, state).task(task).definition, item, {
    examples: false,
  });
  return before.length === 0 ? question : quoteTurns([...before, { role: "user", content: question }]);
}

/** What a judge says of one text. */
export interface JudgeVerdict {
  readonly extraction: Extraction;
  readonly judged?: JudgedValue;
}

/** What is judged: an answer, and the prompt that it was given to. */
export interface AnsweredText {
  readonly answer: string;
  readonly question: string;
}

/** JudgeVerdicts on answers of a run, from what its judges said. */
export class JudgeVerdicts {
  private readonly rules: ReadonlyMap<string, JudgeRule>;

  private constructor(
    private readonly plan: Plan,
    private readonly judges: ReadonlyMap<string, PropertyJudge>,
    private readonly said: ReadonlyMap<string, Answer>,
  ) {
    this.rules = new Map(judgesOf(plan).map(({ property, rule }) => [property, rule]));
  }

  /** @param rounds whose answers were judged */
  static async read(run: RunFolder, rounds: readonly (0 | 1 | 2)[]): Promise<JudgeVerdicts> {
    if (!hasJudges(run.plan)) return new JudgeVerdicts(run.plan, new Map(), new Map());
    const { judges } = await readContent(run, "judges");
    const said = new Map<string, Answer>();
    for (const round of rounds) {
      for (const one of await readLines(run, JUDGED_OF_ROUND[round])) said.set(one.key, one);
    }
    return new JudgeVerdicts(run.plan, new Map(judges.map((one) => [one.property, one])), said);
  }

  isFit(property: string): boolean {
    return this.judges.get(property)?.fit === true;
  }

  /** An unfit judge's values would pass for the property, and are none of it. */
  of(property: string, text: AnsweredText): JudgeVerdict {
    const [rule, judge] = [this.rules.get(property), this.judges.get(property)];
    if (!rule || !judge) return { extraction: missing("not_judged") };
    if (!judge.fit) return { extraction: missing("unfit_judge") };
    const key = judgedKey(property, rule, text);
    const said = this.said.get(key);
    if (said?.setAside) return { extraction: missing(said.setAside) };
    const options = said?.reply?.options;
    if (!options) return { extraction: missing("not_judged") };
    const { value, probability, lead } = judgedAs(judgedScores(options, judge.by).logShares, judge.calibration);
    return { extraction: given(judge.values[value] as string), judged: { key, probability, lead } };
  }

  /** What is to be asked about a text; nothing where its judge is unfit, or was asked already. */
  question(property: string, text: AnsweredText): Question | undefined {
    const rule = this.rules.get(property);
    if (!rule || !this.isFit(property) || this.said.has(judgedKey(property, rule, text))) return undefined;
    return judgeQuestion(this.plan, property, rule, text);
  }
}
