/** What every stage of a plan asks which model state, counted. Prompts that two states have in common are counted once. */
import { calibrationGroups, calibrationQuestions } from "../ask/calibration-questions.js";
import { cutGroups } from "../ask/cut-groups.js";
import { hypotheticalQuestions } from "../ask/hypothetical-questions.js";
import { noiseFloorSample } from "../ask/measure-noise-floor.js";
import { adaptedObjectLevelQuestions, objectLevelQuestions } from "../ask/object-level-questions.js";
import type { Question } from "../ask/question.js";
import type { Plan } from "../records/plan.js";
import { hashOf } from "../store/canonical-json.js";
import { askedSize, type CountedQuestion } from "./asked-size.js";
import type { AskedSize, StageEstimate } from "./plan-estimate.js";
import type { TokenCounter } from "./token-counter.js";

export type SizedStage = Omit<StageEstimate, "time">;

/** The model that a state stands on. */
export function modelOf({ states }: Plan, state: string): string {
  return states?.[state]?.model ?? state;
}

/** @param counters by the plan's name of a model; models with one tokenizer share a counter */
export async function sizeStages(plan: Plan, counters: ReadonlyMap<string, TokenCounter>): Promise<SizedStage[]> {
  const shares = plan.engine.engine === "native" && !plan.engine.strict;
  const known = new Map<TokenCounter, Map<string, AskedSize>>();
  const size = async (
    stage: SizedStage["stage"],
    state: string,
    groups: readonly (readonly CountedQuestion[])[],
  ): Promise<SizedStage> => {
    const counter = counters.get(modelOf(plan, state)) as TokenCounter;
    const sizes = known.get(counter) ?? new Map<string, AskedSize>();
    known.set(counter, sizes);
    const key = hashOf(groups.map((group) => group.map(({ messages, maxTokens }) => [messages, maxTokens])));
    const asked = sizes.get(key) ?? (await askedSize(groups, counter, shares));
    sizes.set(key, asked);
    return { stage, state, tokens: counter.basis, ...asked };
  };

  const lists = [
    ["object_level", objectLevelQuestions(plan)],
    ["object_level_adapted", adaptedObjectLevelQuestions(plan)],
    ["hypothetical", hypotheticalQuestions(plan)],
  ] as const;
  const sized: SizedStage[] = [];
  for (const [stage, questions] of lists) {
    for (const [state, own] of byState(questions)) {
      sized.push(await size(stage, state, cutGroups(own, plan.engine.groupQuestions)));
    }
  }
  for (const [state, own] of byState<Question>(lists.flatMap(([, questions]) => questions))) {
    const sample = noiseFloorSample(own, plan.noiseFloor.questions, plan.seed);
    if (sample.length > 0) sized.push(await size("noise_floor", state, [sample]));
  }
  for (const [state, own] of byState(calibrationQuestions(plan))) {
    const groups = calibrationGroups(own);
    const asked = await size("distributions", state, groups);
    sized.push({ ...asked, generatedTokensAtMost: distributionTokensAtMost(plan, own) });
  }
  return sized;
}

/** A tree is expanded up to its budget; then, or at once where only samples tell, answers are drawn. */
function distributionTokensAtMost({ calibration }: Plan, questions: ReturnType<typeof calibrationQuestions>): number {
  if (!calibration) return 0;
  const { tokenBudget, samples } = calibration;
  return questions.reduce(
    (sum, { decidedLate, maxTokens }) => sum + (decidedLate ? 0 : tokenBudget) + samples * maxTokens,
    0,
  );
}

function byState<Asked extends { readonly state: string }>(questions: readonly Asked[]): Map<string, Asked[]> {
  const states = new Map<string, Asked[]>();
  for (const question of questions) {
    const own = states.get(question.state);
    if (own) own.push(question);
    else states.set(question.state, [question]);
  }
  return states;
}
