/** Stages 07 and 08, injection: the concepts' vectors, what is answered while they are added, and what may be concluded. */

import { rm } from "node:fs/promises";
import { z } from "zod";
import { INJECTED_QUESTIONS, type InjectedQuestion } from "../ask/injected-answers.js";
import { readJson, writeJson } from "../base/files.js";
import { lengthOfVector, randomVector } from "../base/vectors.js";
import { InwardError } from "../errors.js";
import { readSafetensors, readSafetensorsMetadata, writeSafetensors } from "../finetune/adapter/safetensors.js";
import { readGguf } from "../gguf/read-gguf.js";
import type { Intervention } from "../model/interventions.js";
import { parseSites, type Site, siteName, siteNumbers, stateShapeOf } from "../model/sites.js";
import { tokensByName } from "../probe/chosen-turns.js";
import { CONTRAST_SETTINGS, type StateContrast, contrastOf } from "../probe/state-contrast.js";
import type { Capture } from "../probe/states-shard.js";
import { INJECTION_VERSION, injectionResults } from "../score/injection/injection-scores.js";
import type { PlannedInjection } from "../study/injection-schema.js";
import type { Plan } from "../study/plan.js";
import { statesOf } from "../study/states.js";
import { whatIsAsked } from "./answers-file.js";
import { askStage } from "./ask-stages.js";
import { capturedRows, meansOfTokens, refuseSetAside } from "./captured-states.js";
import type { RunFolder } from "./folder.js";
import { injectedDirections } from "./injection-files.js";
import {
  armKey,
  injectedStates,
  type InjectionArm,
  injectionArms,
  injectionCount,
  type InjectionPrompt,
  injectionPrompts,
  injectionTokens,
} from "./injection-prompts.js";
import { turns } from "./open-model.js";
import { engineOf, type StageContext, type StageWork } from "./open-models.js";
import { chatOf, withTokenizer } from "./planned-chats.js";
import { modelToCapture } from "./probe-states-stage.js";
import { readLines } from "./records.js";
import {
  sizedStates,
  type StatesManifest,
  statesManifestSchema,
  type StatesPrompt,
  writeStates,
} from "./states-file.js";
import type { StageRow } from "./stages.js";

/** A file of this size is what a killed process loses at most. */
const SHARD_BYTES = 2 ** 24;

/** Rows of the table of stages. */
export function injectionRows(plan: Plan): StageRow[] {
  const states = injectedStates(plan);
  if (states.length === 0) return [];
  return [
    ...states.map(
      ({ name, adapter }): StageRow => ({
        name: `injection vectors of ${name}`,
        kind: "measured",
        writes: [`injectionVectors/${name}`],
        reads: adapter === undefined ? {} : { adapter: `adapter/${adapter}` },
        ready: (context) => requireInjectable(context, name),
        run: (context, work) => captureVectors(context, work, name),
      }),
    ),
    {
      name: "injections",
      kind: "asked",
      writes: ["injections"],
      reads: {
        vectors: states.map(({ name }) => `injectionVectors/${name}` as const),
        adapters: states.flatMap(({ adapter }) => (adapter === undefined ? [] : [`adapter/${adapter}` as const])),
      },
      asks: (of) => countedInjections(of),
      run: askInjections,
    },
    {
      name: "injection",
      kind: "scored",
      writes: ["injection"],
      reads: { injections: "injections" },
      besides: async () => ({ injectionVersion: INJECTION_VERSION }),
      run: scoreInjections,
    },
  ];
}

/** One a prompt: sites by how many the study names, since no model's file is read here. */
function countedInjections(plan: Plan): { readonly state: string }[] {
  const sites = (plan.injection as PlannedInjection).sites.split(",").length;
  const each = injectionCount(plan.injection as PlannedInjection, sites);
  return injectedStates(plan).flatMap(({ name: state }) => new Array(each).fill({ state }));
}

async function sitesIn({ sites }: PlannedInjection, path: string): Promise<Pick<Capture, "sites" | "shape">> {
  const shape = stateShapeOf(await readGguf(path), path);
  const all: Site[] = parseSites(sites, shape);
  if (all.every(({ part }) => part !== "attention_weights")) return { sites: all, shape };
  throw new InwardError("PROBE_SITE", "injection.sites has attention_weights, to which nothing can be added.");
}

/** Throws what would stop the stages, before anything is asked. */
async function requireInjectable(context: StageContext, state: string): Promise<void> {
  const { run, modelPath } = context;
  const { plan } = run;
  const { model } = statesOf(plan).of(state);
  const chat = chatOf(plan, model);
  if (chat?.kind === "plain") {
    throw new InwardError("STUDY_INVALID", `injection asks in a chat, and ${model} is asked in plain text.`);
  }
  await givenDirections(context, model, await sitesIn(plan.injection as PlannedInjection, modelPath(model)));
  const prompts = await withTokenizer(plan, state, modelPath(model), (tokenizer) =>
    injectionPrompts(plan.injection as PlannedInjection, tokenizer),
  );
  for (const { tokens } of prompts.values()) tokens("all");
}

/** Directions of files, by concept and site; undefined where templates give them. */
async function givenDirections(
  { run: { plan }, vectorPath }: Pick<StageContext, "run" | "vectorPath">,
  model: string,
  { sites, shape }: Pick<Capture, "sites" | "shape">,
): Promise<ReadonlyMap<string, ReadonlyMap<string, Float32Array>> | undefined> {
  const { vectors } = plan.injection as PlannedInjection;
  if (vectors === undefined) return undefined;
  if (vectorPath === undefined)
    throw new InwardError("INTERNAL", "Nobody says where the files of injection.vectors are.");
  const { sha256 } = plan.models[model] as Plan["models"][string];
  const given = new Map<string, ReadonlyMap<string, Float32Array>>();
  for (const [concept, planned] of Object.entries(vectors)) {
    const file = { concept, planned, path: vectorPath(concept) };
    given.set(concept, await injectedDirections(file, { sites, shape, sha256 }));
  }
  return given;
}

// Vectors: of each concept and site one, of its file, or its states less the mean of the other concepts'.

const META = "inward";
const aboutSchema = z.object({
  what: z.literal("injection vectors"),
  /** By site: median length of the states that they were made of. */
  stateNorms: z.record(z.string(), z.number()),
  /** By concept and site; how well templates tell them apart, where those gave them. */
  vectors: z.record(z.string(), z.object({ norm: z.number(), separation: z.unknown().optional() })),
});
type VectorsAbout = z.infer<typeof aboutSchema>;

const vectorName = (concept: string, site: string) => `${concept}@${site}`;

async function captureVectors(context: StageContext, { stage }: StageWork, state: string): Promise<void> {
  const { run, events, onProgress, signal } = context;
  const injection = run.plan.injection as PlannedInjection;
  const found = modelToCapture(context, state);
  const { path } = found.file;
  const { sites, shape } = await sitesIn(injection, path);
  const capture: Capture = { sites, shape, dtype: "f32" };
  const prompts = await vectorPrompts(injection, path, run.plan, state);
  const lengths = prompts.map(({ length }) => length);
  const rows = prompts.map(({ prompt }) => prompt.tokens as readonly number[]);
  const asked = prompts.map(({ prompt }) => prompt);
  const job = {
    found,
    positions: rows.map((places) => ({ prompt: places, reply: false })),
    capture,
    requests: asked.map(({ messages }) => ({ messages, maxTokens: 0, temperature: 0, topTokens: 0 })),
    ...sizedStates(capture, lengths, rows, SHARD_BYTES),
    asked: whatIsAsked(found, engineOf(run.plan, statesOf(run.plan).of(state).model), { injection }, asked),
  };
  const out = run.file(`injectionVectors/${state}`);
  const folder = `${out}.states`;
  // One model in memory at a time.
  await context.closeModel();
  const write = () =>
    writeStates(job, asked, folder, { signal, onProgress: ({ done, total = 0 }) => onProgress(stage, done, total) });
  const captured = await write().catch(async (error) => {
    // Those of an adapter that was since trained anew, or of another set-up of the engine.
    if (!(error instanceof InwardError) || error.code !== "ANSWERS_OTHER") throw error;
    await rm(folder, { recursive: true });
    return await write();
  });
  refuseSetAside(captured.setAside);
  const manifest = await readJson<StatesManifest>(`${folder}/states.json`, statesManifestSchema);
  const means = meansOfTokens(await capturedRows(folder, manifest));
  const given = await givenDirections(context, statesOf(run.plan).of(state).model, { sites, shape });
  const tensors = new Map<string, { shape: number[]; values: Float32Array }>();
  const about: VectorsAbout = { what: "injection vectors", stateNorms: {}, vectors: {} };
  for (const site of sites) {
    const name = siteName(site);
    for (const concept of injection.concepts) {
      const made = conceptVector(injection, concept, (which, template) => {
        return means.get(name)?.get(promptId(which, template)) as Float32Array;
      });
      const direction = given?.get(concept)?.get(name);
      about.stateNorms[name] = made.stateNorm;
      if (direction) {
        tensors.set(vectorName(concept, name), { shape: [direction.length], values: direction });
        about.vectors[vectorName(concept, name)] = { norm: lengthOfVector(direction) };
        continue;
      }
      if (made.norm === 0) {
        throw new InwardError(
          "PROBE_INVALID",
          `At ${name} the states of ${concept} are those of the other concepts: there is no vector.`,
        );
      }
      tensors.set(vectorName(concept, name), { shape: [made.direction.length], values: made.direction });
      about.vectors[vectorName(concept, name)] = { norm: made.norm, separation: made.separation };
    }
  }
  await writeSafetensors(out, tensors, { [META]: JSON.stringify(about) });
  await rm(folder, { recursive: true, force: true });
  events.add("injection_vectors", { stage, state, vectors: tensors.size, stateNorms: about.stateNorms });
}

const promptId = (concept: string, template: number) => `${concept}/${template}`;

/** Each template with the concept, beside the same with each other one; a template is held out whole. */
function conceptVector(
  { concepts, templates }: PlannedInjection,
  concept: string,
  stateOf: (concept: string, template: number) => Float32Array,
): StateContrast {
  const pairs = templates.flatMap((_, template) =>
    concepts.filter((other) => other !== concept).map((other) => ({ template, other })),
  );
  const side = (rows: readonly Float32Array[]) => {
    const width = rows[0]?.length ?? 0;
    const values = new Float32Array(rows.length * width);
    rows.forEach((row, at) => {
      values.set(row, at * width);
    });
    return { values, width };
  };
  const groups = pairs.map(({ template }) => template);
  return contrastOf(
    side(pairs.map(({ template }) => stateOf(concept, template))),
    side(pairs.map(({ template, other }) => stateOf(other, template))),
    groups,
    // Few templates give few draws; what is told is a first look at whether the vector is the concept's.
    { ...CONTRAST_SETTINGS, bootstrapReplicates: 500, flips: 99 },
  );
}

async function vectorPrompts(
  { concepts, templates, vectorSpan }: PlannedInjection,
  path: string,
  plan: Plan,
  state: string,
): Promise<{ readonly prompt: StatesPrompt; readonly length: number }[]> {
  const asked = concepts.flatMap((concept) =>
    templates.map((template, at) => ({
      id: promptId(concept, at),
      messages: turns(
        "",
        template.replace("{concept}", () => concept),
      ),
    })),
  );
  const located = await withTokenizer(plan, state, path, (tokenizer) =>
    tokenizer.locate(asked.map(({ messages }) => messages)),
  );
  return asked.map(({ id, messages }, at) => {
    const one = located[at] as (typeof located)[number];
    const tokens = tokensByName(vectorSpan, one, messages, { which: `The prompt of ${id}` }) as readonly number[];
    return { prompt: { id, messages, tokens }, length: one.tokenIds.length };
  });
}

interface StateVectors {
  readonly sites: readonly string[];
  /** As long as a state usually is at the site. */
  readonly unit: (arm: InjectionArm) => Float32Array;
}

async function readVectors(
  run: RunFolder,
  state: string,
  sites: readonly Site[],
  width: (site: Site) => number,
): Promise<StateVectors> {
  await run.requireUnchanged(`injectionVectors/${state}`);
  const path = run.file(`injectionVectors/${state}`);
  const [tensors, metadata] = await Promise.all([readSafetensors(path), readSafetensorsMetadata(path)]);
  const about = aboutSchema.parse(JSON.parse(metadata[META] ?? "{}"));
  const made = new Map<string, Float32Array>();
  const unit = ({ vector, concept, site, draw }: InjectionArm): Float32Array => {
    const key = [vector, concept, site, draw].join("/");
    const known = made.get(key);
    if (known) return known;
    const place = sites.find((one) => siteName(one) === site) as Site;
    const length = about.stateNorms[site as string] as number;
    const values = (() => {
      if (vector === "random")
        return randomVector(
          width(place),
          length,
          `random direction/injection/${run.plan.seed}/${concept}/${site}/${draw}`,
        );
      const name = vectorName(concept as string, site as string);
      const own = tensors.get(name)?.values as Float32Array;
      const norm = about.vectors[name]?.norm as number;
      return Float32Array.from(own, (value) => (value / norm) * length);
    })();
    made.set(key, values);
    return values;
  };
  return { sites: sites.map(siteName), unit };
}

// Asking.

async function askInjections(context: StageContext, work: StageWork): Promise<void> {
  const { run, modelPath } = context;
  const { plan } = run;
  const injection = plan.injection as PlannedInjection;
  const groups: InjectedQuestion[][] = [];
  for (const { name: state, model } of injectedStates(plan)) {
    const path = modelPath(model);
    const { sites, shape } = await sitesIn(injection, path);
    const vectors = await readVectors(run, state, sites, (site) => siteNumbers(site, shape, 1));
    const prompts = await withTokenizer(plan, state, path, (tokenizer) => injectionPrompts(injection, tokenizer));
    groups.push(...injectionGroups(injection, { state, sites, vectors, prompts, most: plan.engine.groupQuestions }));
  }
  await askStage(context, work, "injections", INJECTED_QUESTIONS, groups, ({ questions, wallSeconds }) => {
    const { state } = questions[0] as InjectedQuestion;
    context.events.add("group_measured", { stage: work.stage, state, questions: questions.length, wallSeconds });
  });
}

/** Whole arms, as many as fill a group: what is read under one injection is evaluated once. */
function injectionGroups(
  injection: PlannedInjection,
  {
    state,
    sites,
    vectors,
    prompts,
    most,
  }: {
    readonly state: string;
    readonly sites: readonly Site[];
    readonly vectors: StateVectors;
    readonly prompts: ReadonlyMap<string, InjectionPrompt>;
    readonly most: number;
  },
): InjectedQuestion[][] {
  const groups: InjectedQuestion[][] = [];
  for (const { arm, questions } of injectionArms(injection, vectors.sites)) {
    const asked = questions.map(({ name, choices }): InjectedQuestion => {
      const { messages, tokens } = prompts.get(name) as InjectionPrompt;
      const interventions: Intervention[] =
        arm.vector === "none"
          ? []
          : [
              {
                site: sites.find((one) => siteName(one) === arm.site) as Site,
                tokens: tokens(arm.where),
                operation: "add",
                values: vectors.unit(arm),
                factor: arm.strength as number,
              },
            ];
      return {
        key: `${armKey(arm)}/${name}`,
        state,
        ...arm,
        question: name,
        choices,
        request: { messages, interventions },
      };
    });
    const group = groups.at(-1);
    if (group && group.length + asked.length <= most) group.push(...asked);
    else groups.push(asked);
  }
  return groups;
}

async function scoreInjections({ run }: Pick<StageContext, "run">): Promise<void> {
  const { plan } = run;
  const rows = await readLines(run, "injections");
  const settings = { ...plan.score, bootstrapSeed: plan.seed };
  await writeJson(run.file("injection"), injectionResults(plan.injection as PlannedInjection, rows, settings));
}

/** What stages 07 come to, by state. */
export interface InjectionEstimate {
  readonly state: string;
  readonly sites: number;
  readonly prompts: number;
  /** Evaluated, at most. */
  readonly tokens: number;
}

/** @param pathOf the file of a model, where it is here @returns of one whose model is not here why nothing is known @throws PROBE_SITE */
export async function estimateInjections(
  plan: Plan,
  pathOf: (model: string) => string | undefined,
): Promise<
  (
    | ({ readonly ok: true } & InjectionEstimate)
    | { readonly ok: false; readonly state: string; readonly reason: string }
  )[]
> {
  const all: Awaited<ReturnType<typeof estimateInjections>> = [];
  const { injection } = plan;
  for (const { name: state, model } of injection ? injectedStates(plan) : []) {
    const path = pathOf(model);
    if (path === undefined) {
      all.push({ ok: false, state, reason: `the file of ${model} is not here` });
      continue;
    }
    const { sites } = await sitesIn(injection as PlannedInjection, path);
    const vectors = await vectorPrompts(injection as PlannedInjection, path, plan, state);
    const prompts = await withTokenizer(plan, state, path, (tokenizer) =>
      injectionPrompts(injection as PlannedInjection, tokenizer),
    );
    const captured = vectors.reduce((sum, { length }) => sum + length, 0);
    all.push({
      ok: true,
      state,
      sites: sites.length,
      prompts: vectors.length + injectionCount(injection as PlannedInjection, sites.length),
      tokens: captured + injectionTokens(injection as PlannedInjection, sites.length, prompts),
    });
  }
  return all;
}
