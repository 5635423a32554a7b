/** Who is patched, about what, and with which other states as donors: a function of the plan. */

import { InwardError } from "../errors.js";
import { didYouMean } from "../base/untrusted.js";
import { propertyNamed } from "../properties/all-properties.js";
import type { Plan, PlannedPatching, PlannedTask } from "./plan.js";
import { type State, statesOf } from "./states.js";

/** One state about itself, one task and property. */
export interface PatchedAbout {
  readonly state: string;
  readonly task: PlannedTask;
  readonly property: string;
}

/** Whom a section of a plan is about: states that predict themselves, and properties; all where none are named. */
interface Chosen {
  readonly predictors?: readonly string[];
  readonly properties?: readonly string[];
}

/** Who predicts itself, is asked here, and in the plan's way; of these the named ones, where any are named. */
export function patchedStates(plan: Plan): State[] {
  return chosenStates(plan, plan.patching);
}

/** The same of those whose answers are taken apart. */
export function insideStates(plan: Plan): State[] {
  return chosenStates(plan, plan.inside);
}

function chosenStates(plan: Plan, chosen: Chosen | undefined): State[] {
  if (!chosen) return [];
  return selvesHere(plan).filter(({ name }) => chosen.predictors?.includes(name) ?? true);
}

function selvesHere(plan: Plan): State[] {
  const states = statesOf(plan);
  const selves = plan.predictions.filter(({ predictor, target }) => predictor === target);
  return [...new Set(selves.map(({ predictor }) => predictor))]
    .map((name) => states.of(name))
    .filter((state) => state.isPlain && !state.elsewhere);
}

/** In the plan's order: states outside, then tasks, then properties. */
export function patchedAbout(plan: Plan): PatchedAbout[] {
  return chosenAbout(plan, plan.patching);
}

export function insideAbout(plan: Plan): PatchedAbout[] {
  return chosenAbout(plan, plan.inside);
}

function chosenAbout(plan: Plan, chosen: Chosen | undefined): PatchedAbout[] {
  return chosenStates(plan, chosen).flatMap(({ name: state }) =>
    plan.tasks.flatMap((task) =>
      task.properties
        .filter((property) => chosen?.properties?.includes(property) ?? true)
        .map((property): PatchedAbout => ({ state, task, property })),
    ),
  );
}

/** States whose object-level prompts are looked into: those that are patched, and donors. */
export function donorStates(plan: Plan): State[] {
  const named = plan.patching?.states ?? [];
  const states = statesOf(plan);
  const all = [...patchedStates(plan).map(({ name }) => name), ...named];
  return [...new Set(all)].map((name) => states.of(name));
}

/** @throws STUDY_INVALID, STUDY_UNKNOWN_PROPERTY what is to be patched is not there, or could not be */
export function checkPatching(plan: Plan): void {
  if (!plan.patching) return;
  checkChosen(plan, "patching", plan.patching);
  checkDonorStates(plan, plan.patching);
}

/** @throws as checkPatching */
export function checkInside(plan: Plan): void {
  if (plan.inside) checkChosen(plan, "inside", plan.inside);
}

function checkChosen(plan: Plan, section: string, chosen: Chosen): void {
  const { engine, objectLevel, tasks } = plan;
  const refuse = (why: string) => new InwardError("STUDY_INVALID", `${section} ${why}`);
  if (engine.engine !== "native") {
    throw refuse(`writes into a model, which the engine ${engine.engine} cannot: engine.engine must be native.`);
  }
  if (objectLevel.reasoning !== undefined) {
    throw refuse(
      "writes where an answer begins, and with reasoning none begins there: set objectLevel.reasoning to off.",
    );
  }
  const selves = selvesHere(plan).map(({ name }) => name);
  for (const name of chosen.predictors ?? []) {
    if (selves.includes(name)) continue;
    throw refuse(
      `names the predictor ${name}, which is no state that predicts itself and is asked here: ${selves.join(", ")}.${didYouMean(name, selves)}`,
    );
  }
  if (selves.length === 0) {
    throw refuse("takes a state that predicts itself and is asked here: the study has none (predictions).");
  }
  const asked = new Set(tasks.flatMap(({ properties }) => properties));
  for (const name of chosen.properties ?? []) {
    if (asked.has(name)) continue;
    throw refuse(`names the property ${name}, which no task of the study asks about.${didYouMean(name, [...asked])}`);
  }
  for (const { property } of chosenAbout(plan, chosen)) {
    const { needs } = propertyNamed(property, plan.ownProperties);
    if (needs !== "challenge" && needs !== "probabilities" && needs !== "judge") continue;
    throw refuse(
      `has the property ${property}, whose value takes more than what one answer says (${needs}): name others under ${section}.properties.`,
    );
  }
}

function checkDonorStates(plan: Plan, { states: named }: PlannedPatching): void {
  const known = statesOf(plan).all;
  for (const name of named) {
    const state = known.find((one) => one.name === name);
    if (!state) {
      const names = known.map((one) => one.name);
      throw new InwardError(
        "STUDY_INVALID",
        `patching.states names "${name}", which is no state of the plan: ${names.join(", ")}.${didYouMean(name, names)}`,
      );
    }
    if (state.isPlain && !state.elsewhere) continue;
    throw new InwardError(
      "STUDY_INVALID",
      `patching.states names ${name}, which is asked ${state.elsewhere ? "elsewhere" : "in other words than the others"}: nothing of it can be written.`,
    );
  }
}
