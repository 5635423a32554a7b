/** Questions that were set aside, in the scores: neither right nor wrong, left out on either side with their reason. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { missing } from "../../src/properties/property.js";
import { type CellScore, type Scores, scoreTrials } from "../../src/score/scores.js";
import type { Estimate } from "../../src/score/interval.js";
import type { Trial } from "../../src/score/trial.js";
import { makeScopes } from "../fixtures/score/make-scopes.js";
import { makeTrial } from "../fixtures/score/make-trial.js";

const SETTINGS = { confidence: 0.95, bootstrapReplicates: 100, bootstrapSeed: 7, noiseFloorNats: 0.1 };
const CRASHED = missing("engine_crashed");
const noAnswer: Partial<Trial> = { behavior: CRASHED, objectCompliance: { ok: false, reason: "engine_crashed" } };
const noReply: Partial<Trial> = { prediction: CRASHED };
const score = (trials: readonly Trial[], more = {}): Scores => scoreTrials(trials, [], { ...SETTINGS, ...more });
const pointOf = (estimate: Estimate) => (estimate.ok ? [estimate.value, estimate.n, estimate.clusters] : "none");

const letter = fc.constantFrom("a", "b", undefined);
const trials = fc.array(
  fc.record({ did: letter, said: letter, crash: fc.constantFrom("none", "object", "hypothetical", "both") }),
  { minLength: 1, maxLength: 20 },
);

describe("a question that was set aside", () => {
  test("changes no estimate of the others, is no part of any share, and is counted once as excluded (law)", () => {
    fc.assert(
      fc.property(trials, (drawn) => {
        const all = drawn.map(({ did, said, crash }, at) =>
          makeTrial(`s${at}`, did, said, {
            ...(crash === "object" || crash === "both" ? noAnswer : {}),
            ...(crash === "hypothetical" || crash === "both" ? noReply : {}),
          }),
        );
        const whole = all.filter((_, at) => drawn[at]?.crash === "none");
        const [cell] = score(all).cells as [CellScore];
        const crashes = (side: string) => drawn.filter(({ crash }) => crash === side || crash === "both").length;
        expect(cell.objectCompliance.of).toBe(all.length - crashes("object"));
        expect(cell.hypotheticalCompliance.of).toBe(all.length - crashes("hypothetical"));
        const excluded = score(all).exclusions.filter(({ reason }) => reason === "engine_crashed");
        expect(excluded.every(({ treatment }) => treatment === "excluded")).toBe(true);
        // Without a reply, and without a behavior for a reason of its own: that one stands.
        const told = drawn.filter(
          ({ did, crash }) => crash !== "none" && (crash !== "hypothetical" || did !== undefined),
        );
        expect(excluded.reduce((sum, { count }) => sum + count, 0)).toBe(told.length);
        if (whole.length === 0) return;
        const [without] = score(whole).cells as [CellScore];
        for (const name of ["accuracy", "accuracyWhenCompliant", "modeBaselineOracle"] as const) {
          expect(pointOf(cell[name])).toEqual(pointOf(without[name]));
        }
        expect(cell.behaviors).toEqual(without.behaviors);
        expect(cell.predictions).toEqual(without.predictions);
      }),
    );
  });

  test.each([
    ["object-level question", noAnswer, "has a behavior to compare with", "crashed on every object-level question"],
    ["hypothetical question", noReply, "and a reply", "crashed on every hypothetical question"],
  ])("when every %s was: nothing is scored, and the words say why", (_, crash, reason, warning) => {
    const [cell] = score([makeTrial("s0", "a", "a", crash), makeTrial("s1", "b", "a", crash)]).cells as [CellScore];
    expect(cell.accuracy).toEqual({ ok: false, reason: expect.stringContaining(reason) });
    expect(cell.warnings).toEqual([expect.stringContaining(warning)]);
  });

  test("after training only: the pair is left out on both sides, and drift, which needs no reply, is not", () => {
    const pair = (item: string, before: string, after: string, crash: Partial<Trial> = {}) => [
      makeTrial(item, "a", before, { predictor: "m", target: "m" }),
      makeTrial(item, "a", after, { predictor: "m+", target: "m", ...crash }),
      makeTrial(item, "b", after, { predictor: "m+", target: "m+", ...crash }),
    ];
    const { changes, drift } = score(
      [...pair("1", "b", "a"), ...pair("2", "b", "b"), ...pair("3", "a", "a", noReply)],
      { training: { states: [{ before: "m", after: "m+", target: "m" }], scopes: makeScopes(["animals"]) } },
    );
    expect(changes?.find(({ scope, kind }) => scope === "all" && kind === "micro")).toMatchObject({
      accuracyBefore: { value: 0, n: 2 },
      accuracyAfter: { value: 1 / 2, n: 2 },
      change: { value: 1 / 2, n: 2 },
    });
    expect(drift?.[0]).toMatchObject({ differ: { value: 1, n: 3 }, both: 3 });
  });
});
