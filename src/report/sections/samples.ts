/** Trials one can read: what was asked, what was said, what was made of it. */

import { inSeededOrder } from "../../base/random.js";
import { likeliestOption } from "../../properties/option-answers.js";
import type { BehaviorOption, Extraction } from "../../properties/property.js";
import { hasBehavior, isRight, isScored, wasAnswered } from "../../score/tally.js";
import type { Trial } from "../../score/trial.js";
import type { OptionScores } from "../../tasks/answer.js";
import { optionsOf } from "../../tasks/option-lines.js";
import type { OptionScore } from "../../tasks/task.js";
import { type Block, type Card, aside, formatCount, formatNats, type Section } from "../document.js";
import { ANSWER_TAKEN, type PropertyNames, readableName } from "../terms.js";

// Which trials a reader gets to see: few, spread over cells and outcomes, chosen by a rule and not by hand.

/** What was said in a trial, as it was said. */
interface TrialTexts {
  readonly objectQuestion: string;
  readonly objectAnswer: string;
  /** Where another option counts than the one that is written, or than one that is: which, and why. */
  readonly countedOption?: string;
  readonly hypotheticalQuestion: string;
  readonly hypotheticalReply: string;
}

export interface SampleTrial extends TrialTexts {
  readonly trial: Trial;
  /** `excluded`: the object-level answer has no such behavior, or the engine crashed, so there are no two sides to compare. */
  readonly correct: boolean | "excluded";
}

/** How a trial ended. */
type Outcome = "right" | "wrong" | "not_compliant" | "excluded";

/** Order in which outcomes take turns. */
const OUTCOMES: readonly Outcome[] = ["right", "wrong", "not_compliant", "excluded"];

export function sampleOutcome(trial: Trial): Outcome {
  if (!isScored(trial)) return "excluded";
  if (!trial.prediction.ok) return "not_compliant";
  return isRight(trial, trial.prediction) ? "right" : "wrong";
}

/**
 * Outcomes take turns; each takes a trial of the cell and the string shown least so far, and among those the one whose name
 * hashes lowest. So the choice depends on neither order nor content.
 * @param most trials to show
 * @returns by outcome, then in the order chosen
 */
export function chooseSamples<Some extends Trial>(
  trials: readonly Some[],
  textsOf: (trial: Some) => TrialTexts,
  most = 16,
): SampleTrial[] {
  const waiting = new Map(OUTCOMES.map((outcome): [Outcome, Some[]] => [outcome, []]));
  for (const trial of inSeededOrder(trials, (one) => `sample/${sampleCell(one)}/${one.item}`)) {
    waiting.get(sampleOutcome(trial))?.push(trial);
  }
  const shown = new Map<string, number>();
  const chosen: Some[] = [];
  for (let turn = 0; chosen.length < Math.min(most, trials.length); turn++) {
    const left = waiting.get(OUTCOMES[turn % OUTCOMES.length] as Outcome) as Some[];
    const next = leastShown(left, shown);
    if (next === undefined) continue;
    const [trial] = left.splice(next, 1) as [Some];
    for (const name of [sampleCell(trial), stringOf(trial)]) shown.set(name, (shown.get(name) ?? 0) + 1);
    chosen.push(trial);
  }
  return OUTCOMES.flatMap((outcome) =>
    chosen
      .filter((trial) => sampleOutcome(trial) === outcome)
      .map((trial) => ({
        trial,
        ...textsOf(trial),
        correct: outcome === "excluded" ? ("excluded" as const) : outcome === "right",
      })),
  );
}

function leastShown(left: readonly Trial[], shown: ReadonlyMap<string, number>): number | undefined {
  let best: number | undefined;
  let fewest = Number.POSITIVE_INFINITY;
  for (const [index, trial] of left.entries()) {
    // A string shown twice tires a reader less than a cell shown twice.
    const times = 1000 * (shown.get(sampleCell(trial)) ?? 0) + (shown.get(stringOf(trial)) ?? 0);
    if (times < fewest) {
      fewest = times;
      best = index;
    }
  }
  return best;
}

/**
 * Of an answer to an options task that counts otherwise than as it is written.
 * @param string that was asked
 * @param scored its options' scores, and what makes one the likeliest, where the task is answered by logprob
 * @returns nothing where what is written counts
 */
export function countedOption(
  { by, counted, generated }: BehaviorOption,
  string: string,
  scored: { readonly scores?: OptionScores; readonly by?: OptionScore },
): string | undefined {
  if (by === "written") return undefined;
  const text = counted === undefined ? undefined : optionsOf(string).get(counted);
  const named = counted === undefined ? "None" : [counted, ...(text === undefined ? [] : [text])].join(" - ");
  if (by === "lenient") return `${named} (named in more words than its letter)`;
  const { scores } = scored;
  const how = ANSWER_TAKEN[scored.by ?? "letter"].toLowerCase();
  const lead = scores ? `, ${formatNats(likeliestOption(scores, scored.by).margin)} nats ahead` : "";
  const orders = scores && scores.orders.length > 1 ? `, mean of ${formatCount(scores.orders.length)} orders` : "";
  return `${named} (${how}${lead}${orders}; the text names ${generated ?? "no option"})`;
}

function sampleCell({ target, predictor, task, property, variant }: Trial): string {
  return JSON.stringify([target, predictor, task, property, variant]);
}

function stringOf({ task, item }: Trial): string {
  return JSON.stringify([task, item]);
}

export function samplesSection(samples: readonly SampleTrial[], property: PropertyNames = readableName): Section {
  const several = new Set(samples.map(({ trial }) => `${trial.predictor}/${trial.target}`)).size > 1;
  const cards = samples.map((sample): Block => sampleCard(sample, several, property));
  return {
    id: "samples",
    title: "Some trials to read",
    blocks: [
      aside(
        "Chosen by a fixed rule, from the predictors that are shown in full: outcomes take turns, cells and strings shown least come first.",
      ),
      ...(cards.length > 0 ? cards : [aside("There is no trial to show.")]),
    ],
  };
}

function sampleCard(sample: SampleTrial, several: boolean, property: PropertyNames): Card {
  const { trial } = sample;
  const who = several ? `${trial.predictor} about ${trial.target}: ` : "";
  return {
    kind: "card",
    title: [`${who}${readableName(trial.task)}, ${property(trial.property)} `, { code: trial.item }],
    tone: sample.correct === "excluded" ? "quiet" : sample.correct ? "good" : "bad",
    verdict: verdictOf(sample),
    texts: [
      { label: "Object-level question", text: sample.objectQuestion },
      { label: "Answer", text: sample.objectAnswer },
      ...(sample.countedOption === undefined ? [] : [{ label: "Option that counts", text: sample.countedOption }]),
      { label: "Hypothetical question", text: sample.hypotheticalQuestion },
      { label: "Reply", text: sample.hypotheticalReply },
    ],
  };
}

function verdictOf({ trial }: SampleTrial): string {
  const { behavior, prediction, objectCompliance } = trial;
  const did = readValue(behavior);
  const said = readValue(prediction);
  switch (sampleOutcome(trial)) {
    case "right":
      return `Right: behavior ${did}, prediction ${said}.`;
    case "wrong":
      return `Wrong: behavior ${did}, prediction ${said}.`;
    case "not_compliant":
      return `Counted as wrong: behavior ${did}; the reply gives no prediction (${said}).`;
    case "excluded":
      if (!wasAnswered(trial))
        return `Excluded: ${noWords(objectCompliance, "object-level question")}, so there is no answer.`;
      if (hasBehavior(trial)) return `Excluded: ${noWords(prediction, "hypothetical question")}, so there is no reply.`;
      return objectCompliance.ok
        ? `Excluded: the answer has no such behavior (${did}).`
        : `Excluded: the answer does not comply (${readableName(objectCompliance.reason)}).`;
  }
}

function noWords(missing: Trial["objectCompliance"] | Extraction, question: string): string {
  const isCrash = missing.ok || missing.reason === "engine_crashed";
  return isCrash ? `the engine crashed on the ${question}` : `the log has no answer to the ${question}`;
}

function readValue(extraction: Extraction): string {
  return extraction.ok ? `“${extraction.value}”` : readableName(extraction.reason);
}
