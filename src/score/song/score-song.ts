/** From measured logprobs to Song et al.'s regression: the items of a run as its states' differences, in one order. */
import type { MeasuredLogprobDifference } from "../../records/logprob-difference.js";
import type { Plan } from "../../records/plan.js";
import type { SongScores } from "../matrix/matrix-scores.js";
import { type Relation, relationOf } from "../matrix/relation.js";
import type { ResamplingSettings } from "../resampling-settings.js";
import { directDifference, metaDifference } from "./logprob-differences.js";
import { type SongModel, songRegression } from "./song-regression.js";

/** From the least to the most alike: the first that a study has is what the others are compared with. */
const TYPES: readonly Relation[] = ["other", "derived_weights", "same_weights"];

/**
 * @param rows all items of one state after those of another, in one order
 * @throws InwardError STORE_INCOMPLETE when states have different items
 */
export function scoreSong(
  plan: Pick<Plan, "models" | "states" | "adapters">,
  rows: readonly MeasuredLogprobDifference[],
  { bootstrapReplicates, bootstrapSeed, confidence }: ResamplingSettings,
): SongScores {
  const states = [...new Set(rows.map(({ state }) => state))];
  if (states.length < 2) {
    const asked = states.length === 0 ? "no state" : `only ${states[0]}`;
    return { ok: false, reason: `${asked} was asked: two states are compared at the least` };
  }
  const models = states.map((state) => modelOf(rows, state));
  const types = new Set(states.flatMap((a) => states.map((b) => relationOf(plan, a, b))));
  const baseline = TYPES.find((type) => types.has(type)) as Relation;
  const regression = songRegression(models, {
    matchType: (judged, judge) => relationOf(plan, judged, judge),
    baseline,
    replicates: bootstrapReplicates,
    seed: bootstrapSeed,
    confidence,
  });
  return {
    ok: true,
    states,
    wordings: (rows[0]?.meta ?? []).map(({ wording }) => wording),
    baseline,
    intervalMethod: `percentiles of ${bootstrapReplicates} bootstrap replicates that draw items, one draw for all states, wordings and correlations; seed ${bootstrapSeed}`,
    ...regression,
  };
}

function modelOf(rows: readonly MeasuredLogprobDifference[], state: string): SongModel {
  const own = rows.filter((row) => row.state === state);
  const wordings = (own[0]?.meta ?? []).map((_, index) => index);
  return {
    name: state,
    direct: own.map(({ direct }) => directDifference({ first: direct.first.logprob, second: direct.second.logprob })),
    meta: wordings.map((index) =>
      own.map(({ meta }) => {
        const asked = meta[index];
        return asked ? metaDifference(asked.inOrder, asked.swapped) : Number.NaN;
      }),
    ),
  };
}
