/** Trials one can read: what was asked, what was said, what was made of it. */
import type { Extraction } from "../records/extraction.js";
import { hasBehavior, wasAnswered } from "../score/accuracy.js";
import { type Block, type Card, note, type Section } from "./document.js";
import { readableName } from "./readable-name.js";
import { outcomeOf, type SampleTrial } from "./sample-trial.js";

export function samplesSection(samples: readonly SampleTrial[]): Section {
  const several = new Set(samples.map(({ trial }) => `${trial.predictor}/${trial.target}`)).size > 1;
  const cards = samples.map((sample): Block => sampleCard(sample, several));
  return {
    id: "samples",
    title: "Some trials to read",
    blocks: [
      note(
        "Chosen by a fixed rule, from the predictors that are shown in full: outcomes take turns, cells and strings shown least come first.",
      ),
      ...(cards.length > 0 ? cards : [note("There is no trial to show.")]),
    ],
  };
}

function sampleCard(sample: SampleTrial, several: boolean): Card {
  const { trial } = sample;
  const who = several ? `${trial.predictor} about ${trial.target}: ` : "";
  return {
    kind: "card",
    title: [`${who}${readableName(trial.task)}, ${readableName(trial.property)} `, { code: trial.item }],
    tone: sample.correct === "excluded" ? "quiet" : sample.correct ? "good" : "bad",
    verdict: verdictOf(sample),
    texts: [
      { label: "Object-level question", text: sample.objectQuestion },
      { label: "Answer", text: sample.objectAnswer },
      { label: "Hypothetical question", text: sample.hypotheticalQuestion },
      { label: "Reply", text: sample.hypotheticalReply },
    ],
  };
}

function verdictOf({ trial }: SampleTrial): string {
  const { behavior, prediction, objectCompliance } = trial;
  const did = readValue(behavior);
  const said = readValue(prediction);
  switch (outcomeOf(trial)) {
    case "right":
      return `Right: behavior ${did}, prediction ${said}.`;
    case "wrong":
      return `Wrong: behavior ${did}, prediction ${said}.`;
    case "not_compliant":
      return `Counted as wrong: behavior ${did}; the reply gives no prediction (${said}).`;
    case "excluded":
      if (!wasAnswered(trial))
        return "Excluded: the engine crashed on the object-level question, so there is no answer.";
      if (hasBehavior(trial)) return "Excluded: the engine crashed on the hypothetical question, so there is no reply.";
      return objectCompliance.ok
        ? `Excluded: the answer has no such behavior (${did}).`
        : `Excluded: the answer does not comply (${readableName(objectCompliance.reason)}).`;
  }
}

function readValue(extraction: Extraction): string {
  return extraction.ok ? `“${extraction.value}”` : readableName(extraction.reason);
}
