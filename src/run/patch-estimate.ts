/** What a study's patches come to, before anything is asked. */

import { siteName } from "../model/sites.js";
import { patchedStates } from "../study/patched-states.js";
import type { Plan, PlannedPatching } from "../study/plan.js";
import { locatePatched, patchedSites } from "./patch-states.js";
import { withTokenizer } from "./planned-chats.js";

/** What stages 07 come to, by state that is patched. */
export interface PatchedEstimate {
  readonly state: string;
  readonly sites: number;
  /** Object-level prompts whose states are taken, of donors too. */
  readonly donorPrompts: number;
  /** Distributions that are measured, where every string has its donors. */
  readonly rows: number;
  /** Of their prompts, each once: what is said to them, and prompts that are evaluated again, are beside it. */
  readonly promptTokens: number;
}

/** @param pathOf the file of a model, where it is here @throws PROBE_SITE */
export async function estimatePatched(
  plan: Plan,
  pathOf: (model: string) => string | undefined,
): Promise<
  (
    | ({ readonly ok: true } & PatchedEstimate)
    | { readonly ok: false; readonly state: string; readonly reason: string }
  )[]
> {
  const { patching } = plan;
  if (!patching) return [];
  const all: Awaited<ReturnType<typeof estimatePatched>> = [];
  for (const { name: state, model } of patchedStates(plan)) {
    const path = pathOf(model);
    if (path === undefined) {
      all.push({ ok: false, state, reason: `the file of ${model} is not here` });
      continue;
    }
    const { declared, last } = await patchedSites(patching, path);
    const places = new Set([
      ...patching.spans.flatMap((span) => declared.map((site) => `${siteName(site)}@${span}`)),
      `${siteName(last)}@last_prompt_token`,
    ]).size;
    const [donors, recipients] = await withTokenizer(plan, state, path, async (tokenizer) => [
      await locatePatched(plan, state, "object_level", tokenizer),
      await locatePatched(plan, state, "hypothetical", tokenizer),
    ]);
    const lengthOf = new Map(donors.map(({ meta }) => [`${meta.task}/${meta.item}`, meta.tokenIds.length]));
    const { hypothetical, objectLevel } = rowsAtOnePlace(plan);
    let [rows, promptTokens] = [0, 0];
    for (const { meta } of recipients) {
      const object = lengthOf.get(`${meta.task}/${meta.item}`) ?? 0;
      rows += 2 + places * (hypothetical + objectLevel);
      promptTokens += (1 + places * hypothetical) * meta.tokenIds.length + (1 + places * objectLevel) * object;
    }
    const donorPrompts = donors.length * (1 + patching.states.length);
    all.push({ ok: true, state, sites: places, donorPrompts, rows, promptTokens });
  }
  return all;
}

/** Of one string at one place, where it has all its donors. */
function rowsAtOnePlace({ patching, tasks }: Plan): { readonly hypothetical: number; readonly objectLevel: number } {
  const { donors, states } = patching as PlannedPatching;
  // Both sides of each vector and of its counter; donors with another behavior and with the same, and two nulls of each vector.
  const both = 2 * donors + 2 * states.length;
  return { objectLevel: both, hypothetical: both + 4 * donors + (tasks.length > 1 ? 1 : 0) };
}
