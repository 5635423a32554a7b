/** Stages 07 and 08 of a study that takes answers apart: states of its prompts, what is asked with something written, what it comes to. */

import { dirname } from "node:path";
import { writeJson } from "../base/files.js";
import { InwardError } from "../errors.js";
import { readGguf } from "../gguf/read-gguf.js";
import { parseSites, type Site, siteName, stateShapeOf } from "../model/sites.js";
import { INSIDE_VERSION, insideResults } from "../probe/inside-results.js";
import { attributionSites, LogitAttribution } from "../probe/logit-attribution.js";
import type { Capture } from "../probe/states-shard.js";
import type { PlannedInside } from "../study/inside-schema.js";
import { insideAbout, insideStates } from "../study/patched-states.js";
import type { Plan } from "../study/plan.js";
import { statesOf } from "../study/states.js";
import { askStage } from "./ask-stages.js";
import { type InsideAsked, insideQuestions } from "./inside-answers.js";
import { insidePrompts, type InsideSites, planInside, readInsideStrings } from "./inside-questions.js";
import { headLayers } from "./knock-out-heads.js";
import { engineOf, type StageContext, type StageWork } from "./open-models.js";
import { withTokenizer } from "./planned-chats.js";
import { pairsOfSites } from "./patchscope.js";
import { requireAskedPrompts } from "./probe-labels.js";
import { locatePrompts } from "./probe-prompts.js";
import { CapturedStates } from "./probe-states.js";
import { captureIntoRun, modelToCapture, statesJobOf } from "./probe-states-stage.js";
import { readLines } from "./records.js";
import { clusterOf } from "./score-stages.js";
import type { Reads, StageRow } from "./stages.js";
import { sizedStates } from "./states-file.js";

/** A file of this size is what a killed process loses at most. */
const SHARD_BYTES = 2 ** 24;

/** @param done what strings are told apart by, and adapters: behaviors, answers, predictions */
export function insideRows(
  plan: Plan,
  done: Reads,
): { readonly measured: readonly StageRow[]; readonly scored: readonly StageRow[] } {
  if (!plan.inside) return { measured: [], scored: [] };
  const states = insideStates(plan);
  const captured = Object.fromEntries(states.map(({ name }) => [name, `insideStates/${name}` as const]));
  return {
    measured: [
      ...states.map(
        ({ name, adapter }): StageRow => ({
          name: `inside states of ${name}`,
          kind: "measured",
          writes: [`insideStates/${name}`],
          reads: adapter === undefined ? {} : { adapter: `adapter/${adapter}` },
          ready: (context) => requireInside(context, name),
          run: (context, work) => captureInside(context, work, name),
        }),
      ),
      {
        name: "inside",
        kind: "asked",
        writes: ["inside"],
        reads: { states: captured, ...done },
        parts: stringsLookedAt,
        run: askInside,
      },
    ],
    scored: [
      {
        name: "inside results",
        kind: "scored",
        writes: ["insideResults"],
        reads: { inside: "inside" },
        besides: async () => ({ insideVersion: INSIDE_VERSION }),
        run: scoreInside,
      },
    ],
  };
}

/** A string for each question that it is about: how many heads and sites there are only a model's file tells. */
function stringsLookedAt(plan: Plan): { readonly state: string }[] {
  const { strings } = plan.inside as PlannedInside;
  const about = insideAbout(plan);
  return insideStates(plan).flatMap(({ name: state }) => {
    const own = about.filter((one) => one.state === state);
    const tasks = [...new Set(own.map(({ task }) => task))];
    return [...tasks, ...own.map(({ task }) => task)].flatMap((task) =>
      task.heldOut.slice(0, strings).map(() => ({ state })),
    );
  });
}

/** @param path of a model @throws PROBE_SITE, MODEL_* */
export async function insideSites(inside: PlannedInside, path: string): Promise<InsideSites> {
  const shape = stateShapeOf(await readGguf(path), path);
  const { heads, subspace, patchscope } = inside;
  const written = subspace === undefined ? [] : parseSites(subspace.sites, shape);
  if (written.some(({ part }) => part === "attention_weights"))
    throw new InwardError("PROBE_SITE", "inside.subspace.sites has attention_weights, which cannot be written.");
  return {
    shape,
    heads: heads === undefined ? [] : headLayers(heads.sites, shape),
    subspace: written,
    scopes:
      patchscope === undefined
        ? []
        : pairsOfSites(shape, { sites: patchscope.sites, into: patchscope.into, what: "patchscope" }),
  };
}

/** All that is taken of each prompt. */
export function insideCapture(inside: PlannedInside, { shape, heads, subspace, scopes }: InsideSites): Capture {
  const wanted: Site[] = [
    ...(inside.attribution === undefined ? [] : attributionSites(shape)),
    ...heads.flatMap((layer): Site[] => [
      { part: "head_values", layer },
      { part: "attention_weights", layer },
    ]),
    ...subspace,
    ...scopes.map(({ from }) => from),
  ];
  return { shape, dtype: "f32", sites: parseSites([...new Set(wanted.map(siteName))].join(","), shape) };
}

/** Throws what would stop the stages, before anything is asked. */
async function requireInside({ run, modelPath }: StageContext, state: string): Promise<void> {
  const { plan } = run;
  const path = modelPath(statesOf(plan).of(state).model);
  const inside = plan.inside as PlannedInside;
  await insideSites(inside, path);
  if (inside.attribution !== undefined) await (await LogitAttribution.open(path)).close();
}

async function captureInside(context: StageContext, { stage }: StageWork, state: string): Promise<void> {
  const { run, modelPath } = context;
  const { plan } = run;
  const { model } = statesOf(plan).of(state);
  const found = modelToCapture(context, state);
  const path = modelPath(model);
  const inside = plan.inside as PlannedInside;
  const prompts = await withTokenizer(plan, state, path, (tokenizer) =>
    locatePrompts(insidePrompts(plan, state), tokenizer, "last"),
  );
  const capture = insideCapture(inside, await insideSites(inside, path));
  const job = statesJobOf(plan, model, found, capture, prompts, { inside }, engineFor(plan, model, capture));
  await captureIntoRun(context, stage, state, dirname(run.file(`insideStates/${state}`)), job, prompts);
}

/** Only where one text is evaluated after the other llama.cpp's cache tells whose keys lie where. */
function engineFor(plan: Plan, model: string, { sites }: Capture) {
  const engine = engineOf(plan, model);
  const oneByOne = sites.some(({ part }) => part === "attention_weights") && engine.forward !== "own";
  return oneByOne ? { ...engine, strict: true, flashAttention: false } : engine;
}

async function askInside(context: StageContext, work: StageWork): Promise<void> {
  const { run, modelPath, events } = context;
  const { plan } = run;
  const inside = plan.inside as PlannedInside;
  // Places are found, and donors chosen, before a model is opened.
  await context.closeModel();
  const strings = await readInsideStrings(run);
  const groups: InsideAsked[][] = [];
  for (const { name: state, model } of insideStates(plan)) {
    const captured = await CapturedStates.read(run, state, "insideStates");
    await requireAskedPrompts(run, new Map([[state, captured]]));
    const sites = await insideSites(inside, modelPath(model));
    groups.push(
      ...(await withTokenizer(plan, state, modelPath(model), (tokenizer) =>
        planInside(plan, state, { strings, sites, captured, tokenizer }),
      )),
    );
  }
  const open = new OpenAttribution(context);
  try {
    const kind = insideQuestions((state) => open.of(state));
    await askStage(context, work, "inside", kind, groups, ({ questions, rows, wallSeconds }) => {
      const { state, task, prompt, property, reading } = questions[0] as InsideAsked;
      const about = {
        stage: work.stage,
        state,
        task,
        prompt,
        ...(property === undefined ? {} : { property }),
        reading,
      };
      events.add("group_measured", { ...about, rows: rows.length, wallSeconds });
    });
  } finally {
    await open.close();
  }
}

/** At most one, of the state whose logits were taken apart last. */
class OpenAttribution {
  private open?: { readonly state: string; readonly attribution: LogitAttribution };

  constructor(private readonly context: StageContext) {}

  async of(state: string): Promise<LogitAttribution> {
    if (this.open?.state === state) return this.open.attribution;
    await this.close();
    const { file, adapter } = modelToCapture(this.context, state);
    const attribution = await LogitAttribution.open(file.path, adapter && { path: adapter.path, scale: adapter.scale });
    this.open = { state, attribution };
    return attribution;
  }

  async close(): Promise<void> {
    const { open } = this;
    this.open = undefined;
    await open?.attribution.close();
  }
}

/** Needs no model. */
async function scoreInside({ run }: Pick<StageContext, "run">): Promise<void> {
  const { plan } = run;
  const { confidence, bootstrapReplicates } = plan.score;
  const settings = { confidence, bootstrapReplicates, bootstrapSeed: plan.seed };
  await writeJson(run.file("insideResults"), insideResults(await readLines(run, "inside"), clusterOf(plan), settings));
}

/** What stages 07 come to, by state. */
export interface InsideEstimate {
  readonly state: string;
  /** Prompts whose states are taken, and bytes of these. */
  readonly prompts: number;
  readonly bytes: number;
  /** Lines, where every string is looked at, and of their prompts the tokens, each once. */
  readonly rows: number;
  readonly promptTokens: number;
}

/** @param pathOf the file of a model, where it is here @returns of one whose model is not here why nothing is known @throws PROBE_SITE */
export async function estimateInside(
  plan: Plan,
  pathOf: (model: string) => string | undefined,
): Promise<
  (({ readonly ok: true } & InsideEstimate) | { readonly ok: false; readonly state: string; readonly reason: string })[]
> {
  const all: Awaited<ReturnType<typeof estimateInside>> = [];
  for (const { name: state, model } of insideStates(plan)) {
    const path = pathOf(model);
    if (path === undefined) {
      all.push({ ok: false, state, reason: `the file of ${model} is not here` });
      continue;
    }
    const inside = plan.inside as PlannedInside;
    const sites = await insideSites(inside, path);
    const prompts = await withTokenizer(plan, state, path, (tokenizer) =>
      locatePrompts(insidePrompts(plan, state), tokenizer, "last"),
    );
    const { estimate } = sizedStates(
      insideCapture(inside, sites),
      prompts.map(({ meta }) => meta.tokenIds.length),
      prompts.map(({ captured }) => captured),
      SHARD_BYTES,
    );
    let [rows, promptTokens] = [0, 0];
    for (const { meta } of prompts.filter((one) => one.meta.split === "held_out")) {
      const own = rowsOfPrompt(inside, sites, meta.kind === "hypothetical");
      rows += own;
      promptTokens += own * meta.tokenIds.length;
    }
    all.push({ ok: true, state, prompts: estimate.prompts, bytes: estimate.bytes, rows, promptTokens });
  }
  return all;
}

function rowsOfPrompt(
  { attribution, heads, subspace, patchscope }: PlannedInside,
  { shape, heads: layers, subspace: written, scopes }: InsideSites,
  isHypothetical: boolean,
): number {
  const allHeads = layers.reduce((sum, layer) => sum + (shape.heads[layer] ?? 0), 0);
  // The subspace, what lies outside, the whole state and a donor with the same value, beside draws by chance.
  const arms = 4 + (subspace?.randomSeeds ?? 0);
  return (
    (attribution === undefined ? 0 : isHypothetical ? 2 : 1) +
    (heads === undefined ? 0 : 1 + 4 * allHeads) +
    (subspace === undefined || !isHypothetical ? 0 : 1 + subspace.of.length * written.length * arms) +
    (patchscope === undefined ? 0 : 1 + 2 * scopes.length)
  );
}
