/** What is read off the prompts of a study that looks inside: which questions, and what the target did on each string. */

import { InwardError } from "../errors.js";
import type { ProbedQuestion } from "../probe/probe-results.js";
import { propertyNamed } from "../properties/all-properties.js";
import { countedReply } from "../properties/option-answers.js";
import type { Extraction } from "../properties/property.js";
import { extractBehavior, replyText } from "../properties/reading.js";
import type { Plan, PlannedProbe } from "../study/plan.js";
import type { ProbeLabel } from "../study/probe-schema.js";
import { askedItems, readAnswers, readBehaviors } from "./behaviors.js";
import type { RunFolder } from "./folder.js";
import { probedStates } from "./probe-prompts.js";
import type { CapturedStates } from "./probe-states.js";
import { readLines } from "./records.js";
import { clusterOf } from "./score-stages.js";

export type QuestionToRead = Pick<ProbedQuestion, "predictor" | "target" | "task" | "prompt" | "property" | "label">;

export function wantedQuestions(plan: Plan): QuestionToRead[] {
  const probe = plan.probe as PlannedProbe;
  const states = new Set(probedStates(plan).map(({ name }) => name));
  const kinds = (["hypothetical", "object_level"] as const).filter(
    (kind) => kind === "hypothetical" || probe.spans.objectLevel.length > 0,
  );
  return plan.predictions
    .filter(({ predictor }) => states.has(predictor))
    .flatMap((pair) =>
      plan.tasks.flatMap(({ definition: { name: task }, properties }) =>
        kinds.flatMap((prompt) =>
          probe.labels.flatMap((label): QuestionToRead[] => {
            const about = { ...pair, task, prompt, label };
            // There the question is the same whatever is asked about it.
            if (label === "behavior" && prompt === "object_level") return [about];
            return properties.map((property) => ({ ...about, property }));
          }),
        ),
      ),
    );
}

/** What a target did on each string: its first answer, where several were drawn. */
export class StringLabels {
  private constructor(
    private readonly words: ReadonlyMap<string, Extraction>,
    private readonly values: ReadonlyMap<string, Extraction>,
    readonly clusters: (task: string, item: string) => string,
  ) {}

  static async read(run: RunFolder): Promise<StringLabels> {
    const { plan } = run;
    const tasks = new Map(plan.tasks.map(({ definition }) => [definition.name, definition]));
    const items = askedItems(plan);
    const firstWord = propertyNamed("first_word");
    const words = new Map<string, Extraction>();
    for (const { state, task, item, sample, reply } of await readAnswers(run)) {
      const [definition, string] = [tasks.get(task), items.get(`${task}/${item}`)];
      if (sample !== 0 || !reply || !definition || !string) continue;
      const said = countedReply(reply, definition, string);
      const word = extractBehavior(firstWord, replyText(said), string, said.stop);
      words.set(JSON.stringify([state, task, item]), word);
    }
    const values = new Map<string, Extraction>();
    for (const { state, task, item, sample, property, extraction, compliance } of await readBehaviors(run)) {
      if (sample !== 0) continue;
      values.set(JSON.stringify([state, task, item, property]), compliance.ok ? extraction : compliance);
    }
    const clusters = clusterOf(plan);
    return new StringLabels(words, values, (task, item) => clusters(task, item) ?? `${task}/${item}`);
  }

  /** Values that a target shows on any string of a task: first words of answers, or a property. */
  seen(target: string, task: string, property?: string): string[] {
    const all = property === undefined ? this.words : this.values;
    const values = new Set<string>();
    for (const [key, extraction] of all) {
      const [state, ofTask, , of] = JSON.parse(key) as [string, string, string, string?];
      if (extraction.ok && state === target && ofTask === task && of === property) values.add(extraction.value);
    }
    return [...values];
  }

  of(
    { target, task, property, label }: QuestionToRead,
    item: string,
  ): { label: string; given?: string } | { reason: string } {
    const word = this.words.get(JSON.stringify([target, task, item]));
    const value = this.values.get(JSON.stringify([target, task, item, property]));
    const needed = label === "behavior" ? [word] : label === "property" ? [value] : [word, value];
    for (const one of needed) if (!one?.ok) return { reason: one?.reason ?? "the target was not asked about it" };
    const [behavior, shown] = [word?.ok ? word.value : "", value?.ok ? value.value : ""];
    const ways: Readonly<Record<ProbeLabel, { label: string; given?: string }>> = {
      behavior: { label: behavior },
      property: { label: shown },
      both: { label: JSON.stringify([behavior, shown]) },
      behavior_given_property: { label: behavior, given: shown },
      property_given_behavior: { label: shown, given: behavior },
    };
    return ways[label];
  }
}

/** What was looked into is what was asked, token by token. @throws INTERNAL */
export async function requireAskedPrompts(
  run: RunFolder,
  captured: ReadonlyMap<string, CapturedStates>,
): Promise<void> {
  const asked = new Map<string, string>();
  for (const { state, task, item, property, variant, reply } of [
    ...(await readAnswers(run)),
    ...(await readLines(run, "hypothetical")),
  ]) {
    if (!reply || reply.madeElsewhere) continue;
    const kind = property === undefined ? "object_level" : "hypothetical";
    asked.set(JSON.stringify([state, kind, task, item, property, variant]), reply.promptSha256);
  }
  for (const [state, { prompts }] of captured) {
    for (const { id, kind, task, item, property, variant, promptSha256 } of prompts) {
      const known = asked.get(JSON.stringify([state, kind, task, item, property, variant]));
      if (known === undefined || promptSha256 === undefined || known === promptSha256) continue;
      throw new InwardError("INTERNAL", `${id} of ${state} was looked into with other tokens than it was asked with.`);
    }
  }
}
