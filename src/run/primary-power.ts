/** The power of a plan's primary contrast: from a run as its pilot, or from a scatter that is stated. Asks no model. */

import { hashOf } from "../base/files.js";
import { InwardError } from "../errors.js";
import {
  assumedContrastPower,
  contrastPower,
  type ContrastPower,
  type ContrastPowerSettings,
} from "../score/contrast-power.js";
import { stringsInScope } from "../score/primary.js";
import type { Plan, PlannedPrimary } from "../study/plan.js";
import { RunFolder } from "./folder.js";
import { pilotComparisons, plannedParties } from "./pilot-comparisons.js";

/** What a reader must know of a number of strings. */
export interface PrimaryPower {
  readonly primary: PlannedPrimary;
  /** The run whose strings the scatter is that of; absent where the scatter is assumed. */
  readonly pilot?: { readonly study: string; readonly planHash: string; readonly tasks: readonly string[] };
  readonly power: ContrastPower;
  /** What the verdict takes besides, and this power does not count. */
  readonly notCounted?: string;
}

export interface PowerAsked {
  /** True differences to be seen, as shares; by default three, five and ten points above the smallest that counts. */
  readonly differences?: readonly number[];
  /** By default 0.8 and 0.9. */
  readonly powers?: readonly number[];
}

/** Share of trials in which just one of two that are compared is right: as of two that are right half the time, each on its own. */
export const ASSUMED_DISCORDANCE = 0.5;

const DEFAULT_POWERS = [0.8, 0.9];
const ABOVE_SMALLEST = [0.03, 0.05, 0.1];

/** Of it no string has a share of its own. */
const NOT_COUNTED: Readonly<Partial<Record<PlannedPrimary["experiment"], string>>> = {
  behavioral_change:
    "a yes also takes new minus old in equal numbers, and that nobody who never saw the change follows it: the power of a yes is at most this",
};

/** @throws STORE_*; STUDY_INVALID when the pilot has nothing of the contrast */
export async function powerFromPilot(
  plan: Plan & { readonly primary: PlannedPrimary },
  pilot: string | RunFolder,
  asked: PowerAsked = {},
): Promise<PrimaryPower> {
  return typeof pilot === "string"
    ? RunFolder.read(pilot, (run) => powerOfRun(plan, run, asked))
    : powerOfRun(plan, pilot, asked);
}

async function powerOfRun(
  plan: Plan & { readonly primary: PlannedPrimary },
  run: RunFolder,
  asked: PowerAsked,
): Promise<PrimaryPower> {
  const { primary } = plan;
  run.outputHash("behaviors");
  run.outputHash("hypothetical");
  const wanted = new Set(plan.tasks.map(({ definition }) => definition.name));
  const comparisons = await pilotComparisons(run, primary, wanted);
  const tasks = [...new Set(comparisons.flatMap(({ rows }) => rows.map(({ task }) => task)))].sort();
  if (tasks.length === 0) {
    throw new InwardError(
      "STUDY_INVALID",
      `${run.path} is no pilot of the primary contrast: it has no trial of it in scope ${primary.scope} on any of ${[...wanted].join(", ")}.`,
    );
  }
  const inScope = stringsInScope(run.plan, primary);
  const pilotStrings = tasks.reduce((sum, task) => sum + (inScope.get(task) ?? 0), 0);
  return {
    primary,
    pilot: { study: run.plan.study, planHash: hashOf(run.plan), tasks },
    power: contrastPower(comparisons, { ...settingsOf(plan, asked), pilotStrings }),
    notCounted: NOT_COUNTED[primary.experiment],
  };
}

/** @param discordance in (0, 1] */
export function powerAssumed(
  plan: Plan & { readonly primary: PlannedPrimary },
  discordance = ASSUMED_DISCORDANCE,
  asked: PowerAsked = {},
): PrimaryPower {
  const { primary } = plan;
  const scatter = { against: plannedParties(plan, primary), discordance, tasks: plan.tasks.length };
  return {
    primary,
    power: assumedContrastPower(scatter, settingsOf(plan, asked)),
    notCounted: NOT_COUNTED[primary.experiment],
  };
}

function settingsOf(
  { primary: { average, smallestDifference, strings }, score }: Plan & { readonly primary: PlannedPrimary },
  { differences, powers = DEFAULT_POWERS }: PowerAsked,
): ContrastPowerSettings {
  return {
    confidence: score.confidence,
    kind: average,
    smallestDifference,
    differences: differences ?? ABOVE_SMALLEST.map((more) => Number((smallestDifference + more).toFixed(6))),
    powers,
    strings,
  };
}
