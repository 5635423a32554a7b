/** Asks a model some strings of a task and says whether its behavior there is worth measuring. */

import { optionQuestion, scoreOptions } from "../ask/option-scores.js";
import { toRequest } from "../ask/questions.js";
import type { LanguageModel } from "../model/language-model.js";
import { propertyNamed } from "../properties/all-properties.js";
import type { OwnProperties } from "../properties/own-property.js";
import { replyCompliance, extractChallengedBehavior } from "../properties/reading.js";
import { countedReply, namedOption } from "../properties/option-answers.js";
import { letterWarnings, LOW_COMPLIANCE, lowVariationWarning, variationOf, warningText } from "../score/cell.js";
import { type LetterUse, letterUseOf } from "../score/letter-use.js";
import type { Share, ValueCount } from "../score/scores.js";
import { countValues } from "../score/tally.js";
import { DEFAULT_ENGINE } from "../study/load-study.js";
import type { ChatMessage } from "../tasks/answer.js";
import { type CountedTwins, countNearTwins, NEAR_TWINS_ARE } from "../tasks/near-twins.js";
import { type ChatKind, inFormOf, plainAnswer } from "../tasks/plain-form.js";
import { challengedMessages, objectLevelMessages, type Task } from "../tasks/task.js";

interface PropertyCheck {
  readonly property: string;
  /** Compliant answers that have the property, of all asked. */
  readonly found: Share;
  readonly entropyBits: number;
  readonly modeShare: number;
  readonly values: readonly ValueCount[];
  readonly warning?: string;
}

export interface TaskCheck {
  readonly task: string;
  readonly examples: boolean;
  /** Compliant answers, of all asked. */
  readonly compliance: Share;
  readonly reasons: readonly ValueCount[];
  readonly properties: readonly PropertyCheck[];
  /** Options tasks: the letters said, and whether both orders of a scenario led to the same option. */
  readonly letterUse?: LetterUse;
  /** Train strings that are near twins of a held-out one, and held-out strings that have one. */
  readonly nearTwins: CountedTwins;
  readonly warnings: readonly string[];
  readonly answers: readonly { readonly text: string; readonly answer: string; readonly finalAnswer?: string }[];
}

/** Train strings are asked: looking at held-out ones to choose a task would be choosing by the result. */
export async function checkTask(
  task: Task & { readonly ownProperties?: OwnProperties },
  model: LanguageModel,
  options: {
    strings: number;
    examples: boolean;
    /** How the model is spoken to; by its chat template when absent. */
    kind?: ChatKind;
    signal?: AbortSignal;
    onProgress?: (done: number, total: number) => void;
  },
): Promise<TaskCheck> {
  const definition = inFormOf(options.kind ?? "template", task.definition);
  const said = (answer: string) => (options.kind === "plain" ? plainAnswer(answer) : answer);
  const items = (task.train.length > 0 ? task.train : task.heldOut).slice(0, options.strings);
  const { challenge } = definition;
  const total = items.length * (challenge === undefined ? 1 : 2);
  let done = 0;
  const ask = (asked: readonly (readonly ChatMessage[])[]) =>
    model.ask(
      items.map((item, at) =>
        toRequest(
          {
            key: item.id,
            state: "check",
            task: definition.name,
            item: item.id,
            split: item.split,
            sample: 0,
            messages: asked[at] ?? [],
            maxTokens: definition.maxTokens,
            temperature: 0,
          },
          DEFAULT_ENGINE,
        ),
      ),
      {
        onReply: () => options.onProgress?.(++done, total),
        ...(options.signal ? { signal: options.signal } : {}),
      },
    );
  const messages = items.map((item) =>
    objectLevelMessages(definition, item, { examples: options.examples, system: "" }),
  );
  const replies = await ask(messages);
  const scored = await scoreOptions(
    model,
    items.flatMap(
      (item) => optionQuestion({ definition, examples: options.examples }, item, { system: "", said }) ?? [],
    ),
    options.signal ? { signal: options.signal } : {},
  );
  const finalReplies =
    challenge === undefined
      ? []
      : await ask(messages.map((first, at) => challengedMessages(first, replies[at]?.text ?? "", challenge)));
  const answered = items.flatMap((item, at) => {
    const written = replies[at];
    if (!written) return [];
    const reply = scored[at] === undefined ? written : { ...written, options: scored[at] };
    const counted = countedReply(reply, definition, item);
    const final = finalReplies[at];
    const compliance = replyCompliance(counted, definition.answerForm);
    return [{ item, reply, counted, final, countedAfter: final && countedReply(final, definition, item), compliance }];
  });
  const compliant = answered.filter(({ compliance }) => compliance.ok);
  const properties = definition.properties.map((name): PropertyCheck => {
    const property = propertyNamed(name, task.ownProperties);
    const values = countValues(
      compliant.flatMap(({ item, reply, counted, countedAfter }) => {
        const found = extractChallengedBehavior(
          property,
          counted,
          countedAfter,
          { ...item, reply },
          definition.answerForm,
        );
        return found.ok ? [found.value] : [];
      }),
    );
    const warning =
      property.needs === "judge"
        ? "a judge reads it, and none is asked here: npx inward properties check says how far one agrees with its labels."
        : lowVariationWarning(values);
    return {
      property: name,
      found: { count: values.reduce((sum, { count }) => sum + count, 0), of: answered.length },
      ...variationOf(values),
      values,
      ...(warning === undefined ? {} : { warning }),
    };
  });
  const letterUse =
    definition.kind === "options"
      ? letterUseOf(
          items,
          answered.map(({ item, reply }) => ({ item: item.id, sample: 0, ...namedOption(reply, definition, item) })),
          definition,
        )
      : undefined;
  const nearTwins = countNearTwins(task);
  const compliance = { count: compliant.length, of: answered.length };
  return {
    task: definition.name,
    examples: options.examples,
    compliance,
    reasons: countValues(answered.flatMap(({ compliance: one }) => (one.ok ? [] : [one.reason]))),
    properties,
    letterUse,
    nearTwins,
    warnings: [
      ...twinsWarning(task, nearTwins),
      ...(compliance.count < compliance.of * LOW_COMPLIANCE
        ? [`Only ${compliance.count} of ${compliance.of} answers comply with the task.`]
        : []),
      ...letterWarnings(letterUse).map(warningText),
      ...properties.flatMap(({ property, warning }) => (warning ? [`${property}: ${warning}`] : [])),
    ],
    answers: answered.slice(0, 5).map(({ item, reply, final }) => ({
      text: item.text,
      answer: reply.text,
      ...(final ? { finalAnswer: final.text } : {}),
    })),
  };
}

function twinsWarning({ definition, train, heldOut }: Task, twins: CountedTwins): string[] {
  if (!twins.example) return [];
  const [one, other] = twins.example.map((text) => JSON.stringify(text));
  return [
    `${twins.train} of ${train.length} train strings are near twins of a held-out one (${NEAR_TWINS_ARE[definition.kind]}), as ${one} of ${other}; ${twins.heldOut} of ${heldOut.length} held-out strings have one. A study leaves out those of the held-out strings that it chooses.`,
  ];
}
