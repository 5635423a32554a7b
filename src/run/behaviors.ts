/** Where the answers and behaviors of a run stand: models as they came, then what each round of training made. */

import { hasChallenges, isAskedAgain, type Question } from "../ask/questions.js";
import { writeJsonLines } from "../base/files.js";
import { propertyNamed } from "../properties/all-properties.js";
import { type Behavior, missing } from "../properties/property.js";
import { extractChallengedBehavior, readReply, replyCompliance, replyText } from "../properties/reading.js";
import { behaviorOption, countedReply } from "../properties/option-answers.js";
import type { Prediction } from "../score/trial.js";
import type { Plan } from "../study/plan.js";
import type { Answer, RecordedReply } from "../tasks/answer.js";
import type { TaskItem } from "../tasks/task.js";
import type { RunFolder } from "./folder.js";
import { questionShown, type JudgeVerdict, JudgeVerdicts } from "./judging.js";
import type { StageContext } from "./open-models.js";
import { readLines } from "./records.js";

export const ANSWERS_OF_ROUND = ["objectLevel", "objectLevelAdapted", "objectLevelReadapted"] as const;
/** Final answers, where a task doubts first ones; not there where none does. */
export const CHALLENGED_OF_ROUND = ["challenged", "challengedAdapted", "challengedReadapted"] as const;
export const BEHAVIORS_OF_ROUND = ["behaviors", "behaviorsAdapted", "behaviorsReadapted"] as const;

export type Round = 0 | 1 | 2;

/** Rounds of training after which somebody is asked what it does; 0, for the models as they came, first. */
export function roundsOf(plan: Plan): Round[] {
  return [0, ...([1, 2] as const).filter((round) => isAskedAgain(plan, round))];
}

/** Object-level answers of all rounds up to one. */
export async function readAnswers(run: RunFolder, last: Round = 2): Promise<Answer[]> {
  return readRounds(run, last, (round) => readLines(run, ANSWERS_OF_ROUND[round]));
}

/** Behaviors of all rounds up to one. */
export async function readBehaviors(run: RunFolder, last: Round = 2): Promise<Behavior[]> {
  return readRounds(run, last, (round) => readLines(run, BEHAVIORS_OF_ROUND[round]));
}

/** Never as the arguments of a call: a large study has more lines than one takes. */
async function readRounds<Row>(run: RunFolder, last: Round, read: (round: Round) => Promise<Row[]>): Promise<Row[]> {
  const all: Row[][] = [];
  for (const round of roundsOf(run.plan)) if (round <= last) all.push(await read(round));
  return all.flat();
}

/** By `<task>/<item>`. */
export function askedItems({ tasks }: Plan): Map<string, TaskItem> {
  return new Map(
    tasks.flatMap(({ definition, train, heldOut }) =>
      [...train, ...heldOut].map((item) => [`${definition.name}/${item.id}`, item] as const),
    ),
  );
}

// Stages 03 and 06: takes the behavior properties of every object-level answer, final answers after challenges included. Needs no model.

/** @param round of the training that made the states; 0 for models as they came */
export async function extractBehaviors({ run }: Pick<StageContext, "run">, round: Round): Promise<void> {
  const answers = await readLines(run, ANSWERS_OF_ROUND[round]);
  const final = hasChallenges(run.plan) ? await readLines(run, CHALLENGED_OF_ROUND[round]) : [];
  const verdicts = await JudgeVerdicts.read(run, roundsUpTo(run.plan, round));
  await writeJsonLines(run.file(BEHAVIORS_OF_ROUND[round]), takeBehaviors(run.plan, answers, final, verdicts));
}

/**
 * What is left to be asked of judges about the answers of a round: taking behaviors tells which texts need a verdict, and each is asked
 * about once, in whichever round it came first.
 */
export async function judgeQuestions(run: RunFolder, round: Round): Promise<Question[]> {
  const answers = await readLines(run, ANSWERS_OF_ROUND[round]);
  const final = hasChallenges(run.plan) ? await readLines(run, CHALLENGED_OF_ROUND[round]) : [];
  const earlier = await JudgeVerdicts.read(run, roundsUpTo(run.plan, round).slice(0, -1));
  const wanted = new Map<string, Question>();
  takeBehaviors(run.plan, answers, final, {
    of(property, text) {
      const question = earlier.question(property, text);
      if (question) wanted.set(question.key, question);
      return { extraction: missing("not_judged") };
    },
  });
  // Judges outside, so that each model is opened once.
  const states = [...new Set([...wanted.values()].map(({ state }) => state))].sort();
  return states.flatMap((state) => [...wanted.values()].filter((question) => question.state === state));
}

function roundsUpTo(plan: Plan, last: Round): Round[] {
  return roundsOf(plan).filter((round) => round <= last);
}

/** @param challenged the final answers, where first ones were challenged */
export function takeBehaviors(
  plan: Plan,
  answers: readonly Answer[],
  challenged: readonly Answer[],
  verdicts: Pick<JudgeVerdicts, "of">,
): Behavior[] {
  const placeOf = ({ state, task, item, sample }: Answer) => JSON.stringify([state, task, item, sample]);
  const final = new Map(challenged.map((answer) => [placeOf(answer), answer]));
  const tasks = new Map(plan.tasks.map((task) => [task.definition.name, task]));
  const items = askedItems(plan);
  return answers.flatMap((answer) => {
    const task = tasks.get(answer.task);
    const item = items.get(`${answer.task}/${answer.item}`);
    if (!task || !item) return [];
    const { state, split, sample } = answer;
    const about = { state, task: answer.task, item: answer.item, split, sample };
    if (answer.setAside) {
      const none = missing(answer.setAside);
      return task.properties.map((property): Behavior => ({ ...about, property, extraction: none, compliance: none }));
    }
    const { reasoning } = plan.objectLevel;
    const form = task.definition.answerForm;
    const counted = (reply: RecordedReply) => countedReply(reply, task.definition, item, reasoning);
    const said = counted(answer.reply);
    const compliance = replyCompliance(said, form, reasoning);
    const finalAnswer = final.get(placeOf(answer));
    const option = behaviorOption(answer.reply, task.definition, item, reasoning);
    return task.properties.map((name): Behavior => {
      const property = propertyNamed(name, plan.ownProperties);
      const after = property.needs === "challenge" ? finalAnswer : undefined;
      let verdict: JudgeVerdict | undefined;
      const judged = (property: string, text: string) => {
        // What is no answer to the task counts as none, and no judge need read it.
        if (!compliance.ok) return compliance;
        verdict = verdicts.of(property, { answer: text, question: questionShown(plan, state, task, item) });
        return verdict.extraction;
      };
      const extraction = after?.setAside
        ? missing(after.setAside)
        : extractChallengedBehavior(
            property,
            said,
            after?.reply && counted(after.reply),
            // Nobody here knows how likely what was said elsewhere was.
            { ...item, reply: answer.reply.madeElsewhere ? undefined : answer.reply, judged },
            form,
            reasoning,
          );
      const verdictOn = extraction.ok ? (verdict as JudgeVerdict | undefined)?.judged : undefined;
      const own =
        option?.lead === undefined ? [...answer.reply.margins, ...(after?.reply?.margins ?? [])] : [option.lead];
      // A draw has no margins, and what is said of it is no surer than the draw.
      const margins = own.length === 0 || verdictOn === undefined ? own : [...own, verdictOn.lead];
      return {
        ...about,
        property: name,
        extraction,
        compliance,
        ...(verdictOn === undefined ? {} : { judged: verdictOn }),
        ...(margins.length === 0 ? {} : { minMargin: Math.min(...margins) }),
        ...(option === undefined ? {} : { option: option.record }),
      };
    });
  });
}

/** What a hypothetical reply says beforehand. */
export function toPrediction(
  { ownProperties }: Plan,
  { key, state, task, item, property, variant, sample, reply, setAside }: Answer,
): Prediction {
  const about = { predictor: state, task, item, property: property as string, variant: variant as string, sample };
  if (setAside) return { ...about, prediction: missing(setAside), reply: { key } };
  return {
    ...about,
    reply: { key, text: reply.text },
    prediction: readReply(propertyNamed(about.property, ownProperties), replyText(reply), reply.stop),
    ...(reply.margins.length === 0 ? {} : { minMargin: Math.min(...reply.margins) }),
  };
}
