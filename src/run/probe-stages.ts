/** The stages of a study that looks inside: states of whoever predicts, what lenses read of them, and what probes do. */

import { LENS_VERSION } from "../probe/lens-results.js";
import { PROBES_VERSION } from "../probe/probe-results.js";
import type { Plan } from "../study/plan.js";
import { scoreLenses } from "./lens-scores-stage.js";
import { readLenses } from "./lens-stage.js";
import { probedStates, randomTwin, randomTwins } from "./probe-prompts.js";
import { scoreProbes } from "./probe-scores-stage.js";
import { captureProbed, captureRandomTwin, requireSites } from "./probe-states-stage.js";
import type { Reads, StageRow } from "./stages.js";

/** @param said what the targets did and said: behaviors, answers, replies */
export function lookingInsideRows(
  plan: Plan,
  said: Reads,
): { readonly measured: readonly StageRow[]; readonly scored: readonly StageRow[] } {
  const { probe } = plan;
  if (!probe) return { measured: [], scored: [] };
  const states = Object.fromEntries(probedStates(plan).map(({ name }) => [name, `states/${name}` as const]));
  const twins = randomTwins(plan);
  const random = Object.fromEntries(twins.map(({ model }) => [model, `states/${randomTwin(model)}` as const]));
  const when = () => (probe.lenses ?? []).length > 0;
  return {
    measured: [
      // Before and after training, each has its own.
      ...probedStates(plan).map(
        ({ name, adapter }): StageRow => ({
          name: `states of ${name}`,
          kind: "measured",
          writes: [`states/${name}`],
          reads: adapter === undefined ? {} : { adapter: `adapter/${adapter}` },
          ready: (context) => requireSites(context, name),
          run: (context, work) => captureProbed(context, work, name),
        }),
      ),
      ...twins.map(
        (twin): StageRow => ({
          name: `states of ${twin.model} with random weights`,
          kind: "measured",
          writes: [`states/${randomTwin(twin.model)}`],
          run: (context, work) => captureRandomTwin(context, work, twin),
        }),
      ),
      {
        name: "lenses",
        kind: "measured",
        when,
        writes: probe.wholePrompts === undefined ? ["lens"] : ["lens", "lensTokens"],
        reads: { states, ...said },
        besides: async () => ({ lensVersion: LENS_VERSION }),
        run: readLenses,
      },
    ],
    scored: [
      {
        name: "probes",
        kind: "scored",
        writes: ["probes"],
        reads: { states, ...said, random },
        besides: async () => ({ probesVersion: PROBES_VERSION }),
        run: scoreProbes,
      },
      {
        name: "lens scores",
        kind: "scored",
        when,
        writes: ["lensScores"],
        reads: { lens: "lens", states, ...said },
        besides: async () => ({ lensVersion: LENS_VERSION }),
        run: scoreLenses,
      },
    ],
  };
}
