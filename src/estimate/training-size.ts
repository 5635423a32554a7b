/** How much there is to learn: the finetune set as it is when every train string has a behavior, cut into steps as training does. */
import { buildSet, type SetCandidate } from "../finetune/build-sets.js";
import { splitValidation } from "../finetune/hold-back-prompts.js";
import { planTrainingWork } from "../finetune/plan-training-work.js";
import type { Behavior } from "../records/behavior.js";
import type { Plan, PlannedAdapter } from "../records/plan.js";
import type { EncodedExample, TrainingSettings } from "../records/training.js";
import { setInput } from "../stages/build-finetune-sets.js";
import type { TrainingSize } from "./plan-estimate.js";
import type { TokenCounter } from "./token-counter.js";

/** What an example is taken to end with: the answer, and the end of the turn. Answers are a word, a letter or a number. */
export const ANSWER_TOKENS = 3;
/** Prompts that are tokenized in one call. */
const AT_ONCE = 500;

export async function trainingSize(plan: Plan, adapter: PlannedAdapter, counter: TokenCounter): Promise<TrainingSize> {
  const input = setInput(plan, adapter, everyBehavior(plan, adapter));
  const candidates = input.candidates.map((candidate): SetCandidate => ({ ...candidate, readable: true }));
  const { examples } = buildSet({ ...input, candidates });
  const encoded: EncodedExample[] = [];
  for (let at = 0; at < examples.length; at += AT_ONCE) {
    const prompts = examples.slice(at, at + AT_ONCE).map(({ messages }) => messages.slice(0, -1));
    for (const ids of await counter.sequences(prompts)) encoded.push(toExample(ids));
  }
  const subjects = examples.map(({ metadata }) => `${metadata.task}/${metadata.item}`);
  return sizeOfSet(encoded, subjects, adapter.settings);
}

/** Validation is left out of the tokens: it takes a share of a step's work, and only now and then. */
export function sizeOfSet(
  encoded: readonly EncodedExample[],
  subjects: readonly string[],
  settings: TrainingSettings,
): TrainingSize {
  const { validationShare, seed } = settings;
  const work = planTrainingWork(splitValidation(encoded, validationShare, seed, subjects), settings);
  let [exampleTokens, evaluatedTokens] = [0, 0];
  for (let step = 1; step <= work.totalSteps; step++) {
    for (const microbatch of work.batch(step).microbatches) {
      exampleTokens += microbatch.exampleTokens;
      evaluatedTokens += microbatch.evaluatedTokens;
    }
  }
  return {
    examplesAtMost: encoded.length,
    steps: work.totalSteps,
    exampleTokens,
    evaluatedTokens,
    microbatchTokens: work.maxMicrobatchTokens,
    microbatchRows: work.maxLossRows,
  };
}

function toExample(prompt: readonly number[]): EncodedExample {
  return { tokenIds: [...prompt, ...new Array<number>(ANSWER_TOKENS).fill(0)], answerStart: prompt.length };
}

/** A value of its own for each string, so that no example is taken for a duplicate of another. */
function everyBehavior(plan: Plan, adapter: PlannedAdapter): Behavior[] {
  return plan.tasks.flatMap((task) =>
    task.trained === true
      ? task.train.flatMap((item) =>
          task.properties.map(
            (property): Behavior => ({
              state: adapter.target,
              task: task.definition.name,
              item: item.id,
              split: item.split,
              sample: 0,
              property,
              extraction: { ok: true, value: item.id },
              compliance: { ok: true },
            }),
          ),
        )
      : [],
  );
}
