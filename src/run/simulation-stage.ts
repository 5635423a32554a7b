/** Stages 07 and 08 of a study that writes inside: patches, and what they say about simulation and lookup. */

import { patchedDistributions, type PatchQuestion } from "../ask/patched-distributions.js";
import { writeJson } from "../base/files.js";
import type { ResamplingSettings } from "../score/resampling.js";
import {
  scoreSimulation,
  SIMULATION_VERSION,
  type SimulationInput,
  type SimulationResults,
  type SiteRole,
} from "../score/simulation/simulation.js";
import { donorStates, patchedAbout } from "../study/patched-states.js";
import type { Plan, PlannedPatching } from "../study/plan.js";
import { statesOf } from "../study/states.js";
import { askStage } from "./ask-stages.js";
import type { RunFolder } from "./folder.js";
import type { StageContext, StageWork } from "./open-models.js";
import { type DonorStrings, planPatches, readDonorStrings, readPatchSources } from "./patch-stage.js";
import { captureDonors, requirePatchedSites } from "./patch-states.js";
import { readLines } from "./records.js";
import { clusterOf } from "./score-stages.js";
import type { Reads, StageRow } from "./stages.js";

/**
 * States of donors, then what is written with them.
 * @param done what donors are chosen by, and adapters: behaviors, answers, predictions
 */
export function patchRows(plan: Plan, done: Reads): StageRow[] {
  if (!plan.patching) return [];
  const donors = donorStates(plan);
  return [
    ...donors.map(
      ({ name, adapter }): StageRow => ({
        name: `donor states of ${name}`,
        kind: "measured",
        writes: [`donorStates/${name}`],
        reads: adapter === undefined ? {} : { adapter: `adapter/${adapter}` },
        ready: requirePatchedSites,
        run: (context, work) => captureDonors(context, work, name),
      }),
    ),
    {
      name: "patches",
      kind: "asked",
      writes: ["patches"],
      reads: { donors: Object.fromEntries(donors.map(({ name }) => [name, `donorStates/${name}` as const])), ...done },
      parts: patchedAtMost,
      run: askPatches,
    },
  ];
}

export function simulationRows({ patching }: Plan, done: Reads): StageRow[] {
  if (!patching) return [];
  return [
    {
      name: "simulation",
      kind: "scored",
      writes: ["simulation"],
      reads: { patches: "patches", ...done },
      besides: async () => ({ simulationVersion: SIMULATION_VERSION }),
      run: scorePatches,
    },
  ];
}

/** A string for each question that it is about: how many places are written to only a model's file tells. */
function patchedAtMost(plan: Plan): { readonly state: string }[] {
  const { strings } = plan.patching as PlannedPatching;
  return patchedAbout(plan).flatMap(({ state, task }) => task.heldOut.slice(0, strings).map(() => ({ state })));
}

/** Stage 07. */
async function askPatches(context: StageContext, work: StageWork): Promise<void> {
  const { run, modelPath } = context;
  const { plan } = run;
  // Places are found, and donors chosen, before a model is opened.
  await context.closeModel();
  const { groups, leftOut } = planPatches(plan, await readPatchSources(run, modelPath));
  const kind = patchedDistributions(plan.seed, plan.patching as PlannedPatching);
  for (const [about, reasons] of leftOut) {
    if (Object.keys(reasons).length > 0) context.events.add("patches_left_out", { about: JSON.parse(about), reasons });
  }
  await askStage(context, work, "patches", kind, groups, ({ questions, rows, wallSeconds }) => {
    const { state, task, item, site } = questions[0] as PatchQuestion;
    const evaluatedTokens = rows.reduce((sum, { distribution }) => sum + (distribution?.evaluatedTokens ?? 0), 0);
    const about = { stage: work.stage, state, task, item, ...(site === undefined ? {} : { site }) };
    context.events.add("group_measured", { ...about, rows: rows.length, evaluatedTokens, wallSeconds });
  });
}

/** Stage 08. Needs no model. */
async function scorePatches({ run }: Pick<StageContext, "run">): Promise<void> {
  const { plan } = run;
  const settings: ResamplingSettings = {
    confidence: plan.score.confidence,
    bootstrapReplicates: plan.score.bootstrapReplicates,
    bootstrapSeed: plan.seed,
  };
  const rows = await readLines(run, "patches");
  const strings = await readDonorStrings(run);
  const questions = patchedAbout(plan).map(({ state, task, property }) => {
    const { name } = task.definition;
    const own = rows.filter((row) => row.state === state && row.task === name && row.property === property);
    const moved = movedItems(run, strings, { state, task: name, property });
    const input: SimulationInput = {
      state,
      task: name,
      property,
      variant: plan.hypothetical.variants[0] as string,
      leftOut: leftOutOf(plan, own, name),
      rows: own,
      clusterOf: clusterOf(plan),
      sites: sitesOfPatches(own),
      ...(moved ? { moved } : {}),
    };
    return scoreSimulation(input, settings);
  });
  const results: SimulationResults = { simulationVersion: SIMULATION_VERSION, settings, questions };
  await writeJson(run.file("simulation"), results);
}

/** Words of the string itself: what is written there is another text. */
const TEXT = /^(string|item_\d+|question|instruction)$/;

/** In the order in which they stand. */
export function sitesOfPatches(
  rows: readonly { readonly site?: string; readonly span?: string }[],
): SimulationInput["sites"] {
  const seen = new Map<string, { site: string; span: string }>();
  for (const { site, span } of rows) {
    if (site !== undefined && span !== undefined) seen.set(`${site}@${span}`, { site, span });
  }
  const layerOf = (site: string) => Number(site.split(".")[1]);
  const places = [...seen.values()];
  const lastLayer = Math.max(-1, ...places.map(({ site }) => layerOf(site)));
  return places.map((place) => {
    const isEnd = place.site === `residual_after.${lastLayer}` && place.span === "last_prompt_token";
    const role: SiteRole = isEnd ? "after_last_read" : TEXT.test(place.span) ? "text" : "declared";
    return { ...place, role };
  });
}

/** Strings of the plan that have no rows at all; why stands in the run's events. */
function leftOutOf(plan: Plan, rows: readonly { readonly item: string }[], name: string): Record<string, number> {
  const { strings } = plan.patching as PlannedPatching;
  const task = plan.tasks.find(({ definition }) => definition.name === name);
  const wanted = task?.heldOut.slice(0, strings).length ?? 0;
  const lacking = wanted - new Set(rows.map(({ item }) => item)).size;
  return lacking > 0 ? { "it shows no value by itself": lacking } : {};
}

/** Of a state that was trained here: strings whose behavior is not what it was before. */
function movedItems(
  { plan }: RunFolder,
  strings: DonorStrings,
  { state, task, property }: { readonly state: string; readonly task: string; readonly property: string },
): ReadonlySet<string> | undefined {
  const { isTrained, origin } = statesOf(plan).of(state);
  if (!isTrained) return undefined;
  const { heldOut } = plan.tasks.find(({ definition }) => definition.name === task) ?? { heldOut: [] };
  const known = heldOut.flatMap(({ id }) => {
    const [before, after] = [origin, state].map((one) => strings.valueOf(one, task, id, property));
    return before === undefined || after === undefined ? [] : [{ id, isMoved: before !== after }];
  });
  // Where the base was not asked, nobody can tell.
  if (known.length === 0) return undefined;
  return new Set(known.flatMap(({ id, isMoved }) => (isMoved ? [id] : [])));
}
