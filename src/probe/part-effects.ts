/** What components write for the answer that is a prompt's own, beside what they write there for the answers of other prompts. */

import { type FamilyTest, permutedFamily } from "../score/comparison/family-tests.js";
import type { Estimate } from "../score/interval.js";
import type { ResamplingSettings } from "../score/resampling.js";
import { scoreLens } from "./lens-scores.js";
import { PROBE_SETTINGS } from "./linear-probe-score.js";
import type { LogitPart } from "./logit-attribution.js";
import { estimateOverStrings, sumsByString } from "./string-estimates.js";

/** One prompt with what each component writes there. */
export interface PartsOfPrompt {
  readonly string: string;
  /** Which of the choices is its own. */
  readonly own: number;
  /** The same components in all prompts. */
  readonly parts: readonly LogitPart[];
}

/** Logits, over the prompts. The test permutes own choices among the prompts, of all components at once. */
export interface PartEffect extends FamilyTest {
  readonly component: string;
  /** Values of the two estimates; those have none where no draw of prompts changes anything. The gain's: absent where prompts cannot be compared. */
  readonly meanLead: number;
  readonly meanGain?: number;
  /** Of the own choice less the mean of the other choices: a liking for one of them, whatever the prompt, is in it. */
  readonly lead: Estimate;
  /** Of the own choice less what the same component gives, in the same prompt, to the own choices of other prompts. */
  readonly gain: Estimate;
}

/** @param choices their number */
export function partEffects(
  prompts: readonly PartsOfPrompt[],
  choices: number,
  settings: ResamplingSettings & { readonly permutations: number } = PROBE_SETTINGS,
): PartEffect[] {
  const components = prompts[0]?.parts.map(({ component }) => component) ?? [];
  const logitsOf = (place: number) => prompts.map(({ parts }) => (parts[place] as LogitPart).logits);
  const tests = permutedFamily(
    components.map((_, place) => logitsOf(place)),
    prompts.map(({ own }) => own),
    { draws: settings.permutations, seed: settings.bootstrapSeed },
  );
  return components.map((component, place): PartEffect => {
    const rows = logitsOf(place).map((logits, at) => ({ ...(prompts[at] as PartsOfPrompt), logits }));
    const leads = rows.map(({ string, own, logits }) => {
      const others = logits.filter((_, choice) => choice !== own);
      return { string, value: (logits[own] as number) - others.reduce((sum, one) => sum + one, 0) / others.length };
    });
    const scored = scoreLens(
      rows.map(({ string, own, logits }) => {
        return { string, own, logprobs: logits, ranks: logits.map(() => 0), entropyNats: 0 };
      }),
      choices,
      { ...settings, permutations: 0, leastNats: 0 },
    );
    const mean = (values: readonly number[]) => values.reduce((sum, one) => sum + one, 0) / values.length;
    return {
      component,
      meanLead: mean(leads.map(({ value }) => value)),
      ...(scored.ok ? { meanGain: mean(scored.gains.map(({ sum, rows: count }) => sum / count)) } : {}),
      lead: estimateOverStrings(sumsByString(leads), undefined, settings),
      gain: scored.ok ? scored.gainNats : scored,
      ...(tests[place] as FamilyTest),
    };
  });
}
