/** Stage 07, donor states: what object-level prompts leave in a model at the sites that are written to. */

import { dirname } from "node:path";
import { InwardError } from "../errors.js";
import { readGguf } from "../gguf/read-gguf.js";
import type { Tokenizer } from "../model/engines/start-engine.js";
import { parseSites, type Site, siteName, siteNumbers, type StateShape, stateShapeOf } from "../model/sites.js";
import { markHypothetical, markObjectLevel } from "../probe/spans.js";
import type { Capture } from "../probe/states-shard.js";
import { propertyNamed } from "../properties/all-properties.js";
import { askedForm } from "../study/forms.js";
import { donorStates, type PatchedAbout, patchedAbout } from "../study/patched-states.js";
import type { Plan, PlannedPatching, PlannedTask } from "../study/plan.js";
import { statesOf } from "../study/states.js";
import type { StageContext, StageWork } from "./open-models.js";
import { withTokenizer } from "./planned-chats.js";
import { locatePrompts, type LocatedStatesPrompt, probedVariant, type PromptToLocate } from "./probe-prompts.js";
import { captureIntoRun, modelToCapture, statesJobOf } from "./probe-states-stage.js";

/** Spans that object-level questions have by the same names; of the others the donor is read where its reply begins. */
const IN_BOTH = /^(string|item_\d+|question|instruction|last_prompt_token)$/;

/** Where a donor is read for what is written at a span of the hypothetical question. */
export function donorSpan(span: string): string {
  return IN_BOTH.test(span) ? span : "last_prompt_token";
}

/** Sites that are written to. */
export interface PatchedSites {
  readonly shape: StateShape;
  readonly declared: readonly Site[];
  /** The end of the last layer, where nothing but the unembedding reads: what every declared site stands beside. */
  readonly last: Site;
}

/** @throws PROBE_SITE, MODEL_* */
export async function patchedSites({ sites }: PlannedPatching, path: string): Promise<PatchedSites> {
  const shape = stateShapeOf(await readGguf(path), path);
  const declared = parseSites(sites, shape);
  if (declared.some(({ part }) => part === "attention_weights")) {
    throw new InwardError("PROBE_SITE", "patching.sites has attention_weights, which cannot be written.");
  }
  return { shape, declared, last: { part: "residual_after", layer: shape.layers - 1 } };
}

/** Throws what would stop the stages, before anything is asked. */
export async function requirePatchedSites({ run, modelPath }: StageContext): Promise<void> {
  const { plan } = run;
  const patching = plan.patching as PlannedPatching;
  const shapes = new Map<string, { readonly state: string; readonly sites: PatchedSites }>();
  for (const { name: state, model } of donorStates(plan)) {
    shapes.set(state, { state, sites: await patchedSites(patching, modelPath(model)) });
  }
  const [first, ...others] = shapes.values();
  for (const { state, sites } of others) {
    const of = ({ shape }: PatchedSites) =>
      `${shape.layers} layers of width ${siteNumbers({ part: "residual_after", layer: 0 }, shape, 1)}`;
    if (first && of(first.sites) === of(sites)) continue;
    throw new InwardError(
      "PROBE_SITE",
      `${state} has ${of(sites)}, and ${first?.state} ${first && of(first.sites)}: what one has cannot be written into the other (patching.states).`,
    );
  }
}

/** How many strings of each task, of each split the first. */
type FirstStrings = Pick<PlannedPatching, "trainStrings" | "strings">;

/** Strings of a task that donors come from: train strings, and those that are patched. */
export function donorItems({ train, heldOut }: PlannedTask, { trainStrings, strings }: FirstStrings) {
  return { train: train.slice(0, trainStrings), heldOut: heldOut.slice(0, strings) };
}

/** Object-level prompts of a state. @param wanted spans at whose tokens it is read */
export function objectLevelPrompts(
  plan: Plan,
  state: string,
  strings: FirstStrings,
  wanted: readonly string[],
): PromptToLocate[] {
  const form = askedForm(plan, state);
  return plan.tasks.flatMap((task) => {
    const { definition } = form.task(task);
    const { train, heldOut } = donorItems(task, strings);
    return [...train, ...heldOut].map((item): PromptToLocate => {
      const about = { kind: "object_level" as const, task: definition.name, item: item.id, split: item.split };
      return {
        id: `object_level/${definition.name}/${item.id}`,
        about,
        marked: markObjectLevel(definition, item, { examples: task.examples, system: form.system }),
        wanted,
      };
    });
  });
}

/** Hypothetical prompts of a state. @param about others' are left out */
export function hypotheticalPrompts(
  plan: Plan,
  state: string,
  about: readonly PatchedAbout[],
  strings: FirstStrings,
  wanted: readonly string[],
): PromptToLocate[] {
  const form = askedForm(plan, state);
  const variant = probedVariant(plan);
  return about
    .filter((one) => one.state === state)
    .flatMap(({ task, property }) => {
      const { definition } = form.task(task);
      return donorItems(task, strings).heldOut.map((item): PromptToLocate => {
        const about = { kind: "hypothetical" as const, task: definition.name, item: item.id, split: item.split };
        return {
          id: `hypothetical/${definition.name}/${item.id}/${property}/${variant}`,
          about: { ...about, property, variant },
          marked: markHypothetical(definition, item, propertyNamed(property, plan.ownProperties), {
            examples: task.examples,
            system: form.system,
            template: form.variant(variant),
            question: form.question(property),
          }),
          wanted,
        };
      });
    });
}

/** Prompts of a state with the places of the declared spans. @throws CHAT_* */
export function locatePatched(
  plan: Plan,
  state: string,
  side: "object_level" | "hypothetical",
  tokenizer: Pick<Tokenizer, "locate">,
): Promise<LocatedStatesPrompt[]> {
  const patching = plan.patching as PlannedPatching;
  const prompts =
    side === "object_level"
      ? objectLevelPrompts(plan, state, patching, [...new Set(patching.spans.map(donorSpan))])
      : hypotheticalPrompts(plan, state, patchedAbout(plan), patching, patching.spans);
  return locatePrompts(prompts, tokenizer, "last");
}

export async function captureDonors(context: StageContext, { stage }: StageWork, state: string): Promise<void> {
  const { run, modelPath } = context;
  const { plan } = run;
  const { model } = statesOf(plan).of(state);
  const found = modelToCapture(context, state);
  const prompts = await withTokenizer(plan, state, modelPath(model), (tokenizer) =>
    locatePatched(plan, state, "object_level", tokenizer),
  );
  const capture = await donorCapture(plan.patching as PlannedPatching, modelPath(model));
  const { sites, spans, strings, trainStrings } = plan.patching as PlannedPatching;
  const job = statesJobOf(plan, model, found, capture, prompts, { patching: { sites, spans, strings, trainStrings } });
  await captureIntoRun(context, stage, state, dirname(run.file(`donorStates/${state}`)), job, prompts);
}

async function donorCapture(patching: PlannedPatching, path: string): Promise<Capture> {
  const { shape, declared, last } = await patchedSites(patching, path);
  const names = new Set(declared.map(siteName));
  return { sites: names.has(siteName(last)) ? declared : [...declared, last], shape, dtype: "f32" };
}
