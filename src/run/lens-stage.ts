/** Stage 07, lenses: what the end of each model says of the captured states of held-out strings, a line a lens and site. */

import { InwardError } from "../errors.js";
import { openTokenizer, type Tokenizer } from "../model/engines/start-engine.js";
import { type LensProcess, startLensProcess } from "../probe/lens-process.js";
import {
  type LensReading,
  type LensTarget,
  type LensTargets,
  lensTargets,
  type TargetReading,
} from "../probe/lens-readings.js";
import {
  type LensedSite,
  type LensedState,
  type LensLine,
  type LensTokenLine,
  LENS_VERSION,
  lensLineSchema,
  type PromptReading,
} from "../probe/lens-results.js";
import { lensHeldOut, type LensRow, TUNED_LENS_SETTINGS, type TunedLensSettings } from "../probe/lens-tuned.js";
import type { RowMatrix } from "../probe/linear-probe.js";
import { propertyNamed } from "../properties/all-properties.js";
import { mapFor } from "../study/lens-facts.js";
import type { Plan, PlannedProbe } from "../study/plan.js";
import { lensNames, type PlannedLens } from "../study/probe-schema.js";
import { statesOf } from "../study/states.js";
import { readAnswers } from "./behaviors.js";
import type { StatesBySite } from "./captured-states.js";
import { FinishedLines } from "./finished-lines.js";
import type { RunFolder } from "./folder.js";
import { type OpenPlannedLens, openPlannedLens } from "./lens-files.js";
import type { StageContext, StageWork } from "./open-models.js";
import {
  besideSpans,
  captureWhole,
  cellsLine,
  dropWhole,
  promptLine,
  SaidValues,
  type SoughtTargets,
  TokenLines,
  type TokensPlace,
} from "./lens-tokens.js";
import { chatOf, withTokenizer } from "./planned-chats.js";
import { requireAskedPrompts, StringLabels } from "./probe-labels.js";
import { probedStates, wholePrompts } from "./probe-prompts.js";
import { type CapturedPrompt, CapturedStates } from "./probe-states.js";
import { readLines } from "./records.js";

const RIDGES = [1e-3, 1e-2, 0.1, 1];
/** The work of finding a map grows with their square. */
const MOST_TRAIN_ROWS = 1000;

export async function readLenses(context: StageContext, { stage, reads }: StageWork): Promise<void> {
  const { run, onProgress, signal } = context;
  const { plan } = run;
  const states = probedStates(plan);
  const labels = await StringLabels.read(run);
  const captured = new Map<string, CapturedStates>();
  for (const { name } of states) captured.set(name, await CapturedStates.read(run, name));
  await requireAskedPrompts(run, captured);
  // One model in memory at a time.
  await context.closeModel();
  const madeFrom = {
    lensVersion: LENS_VERSION,
    plan,
    reads: Object.fromEntries([...reads].map((file) => [file, run.outputHash(file)])),
  };
  const file = await FinishedLines.open<LensLine>(run.file("lens"), madeFrom, lensLineSchema);
  const whole = plan.probe?.wholePrompts === undefined ? undefined : await TokenLines.open(run, madeFrom);
  const sought = whole && (await SaidValues.read(run));
  try {
    const work = states.flatMap(({ name }) => piecesOf(plan, name, captured.get(name) as CapturedStates));
    const said = await firstTokens(run);
    let open: OpenLens | undefined;
    try {
      for (const [at, piece] of work.entries()) {
        onProgress(stage, at, work.length);
        const before = file.before[at];
        if (
          before &&
          (before.state !== piece.state ||
            (before.what === "site" && (before.site !== piece.site || before.lens !== piece.lens)))
        ) {
          throw new InwardError("STORE_CORRUPT", `${run.file("lens")}, line ${at + 2}: it is of ${before.state}.`);
        }
        const states = captured.get(piece.state) as CapturedStates;
        const left = whole?.left(wholePrompts(plan, states.prompts).map(({ id }) => ({ ...piece, prompt: id }))) ?? [];
        if (before && left.length === 0) continue;
        if (open?.state !== piece.state) {
          await open?.close();
          open = await OpenLens.of(context, piece.state, states, labels);
        }
        // Of a line that is there its map may be gone with the process.
        const line = await open.line(piece, said, signal);
        const about = { stage, onProgress: (detail: string) => onProgress(stage, at, work.length, detail) };
        for (const place of left)
          await whole?.append(await open.tokens(place, line, sought as SaidValues, about, signal));
        if (!before) await file.append(line);
      }
    } finally {
      await open?.close();
    }
    onProgress(stage, work.length, work.length);
    if (whole) await dropWhole(run);
  } finally {
    await whole?.close();
    await file.close();
  }
}

/** The first of a state is what is looked for, and its end; then a piece for each lens at each site. */
interface Piece {
  readonly state: string;
  readonly site?: string;
  readonly lens?: string;
}

function piecesOf(plan: Plan, state: string, states: CapturedStates): Piece[] {
  const { lenses = [] } = plan.probe as PlannedProbe;
  const end = endOf(states);
  const { model } = statesOf(plan).of(state);
  const sites = states.sites.map(({ name }) => name).filter((name) => name.startsWith("residual_"));
  // A lens of a file is of one model, before training and after it.
  const own = lenses.filter((lens) => typeof lens === "string" || lens.model === model);
  return [
    { state },
    ...sites.flatMap((site) =>
      // At the end there is nothing between.
      lensNames(own.filter((lens) => lens === "logit" || site !== end)).map((lens) => ({ state, site, lens })),
    ),
  ];
}

function plannedLens(plan: Plan, name: string): PlannedLens {
  const found = (plan.probe?.lenses ?? []).find((one) => typeof one !== "string" && one.name === name);
  if (!found || typeof found === "string") throw new InwardError("INTERNAL", `The plan has no lens ${name}.`);
  return found;
}

function endOf({ sites }: CapturedStates): string {
  const layers = sites.flatMap(({ name }) => (name.startsWith("residual_after.") ? [Number(name.split(".")[1])] : []));
  return `residual_after.${Math.max(...layers)}`;
}

/** What was asked of a state, and the first token that it said. */
type SaidFirst = ReadonlyMap<string, { readonly tokenId: number; readonly logprob: number; readonly greedy: boolean }>;

const askedKey = (state: string, { kind, task, item, property, variant }: Omit<CapturedPrompt, "id">) =>
  JSON.stringify([state, kind, task, item, property, variant]);

async function firstTokens(run: RunFolder): Promise<SaidFirst> {
  const said = new Map<string, { tokenId: number; logprob: number; greedy: boolean }>();
  const { temperature } = run.plan.objectLevel;
  for (const { state, task, item, sample, property, variant, reply } of [
    ...(await readAnswers(run)),
    ...(await readLines(run, "hypothetical")),
  ]) {
    const [tokenId, logprob] = [reply?.tokenIds[0], reply?.logprobs[0]];
    if (!reply || reply.madeElsewhere || sample !== 0 || tokenId === undefined || logprob === undefined) continue;
    const kind = property === undefined ? "object_level" : "hypothetical";
    const key = JSON.stringify([state, kind, task, item, property, variant]);
    said.set(key, { tokenId, logprob, greedy: kind === "hypothetical" || temperature === 0 });
  }
  return said;
}

class OpenLens {
  private readonly process: LensProcess;
  private unread?: string;
  /** By name, files of lenses that were begun to be read. */
  private readonly files = new Map<string, OpenPlannedLens>();
  private whole?: StatesBySite;
  private tokenizer?: Tokenizer;
  private vocabulary = 0;

  private constructor(
    private readonly context: StageContext,
    private readonly plan: Plan,
    private readonly lensPath: NonNullable<StageContext["lensPath"]>,
    readonly state: string,
    private readonly states: CapturedStates,
    private readonly labels: StringLabels,
    private readonly targets: ReadonlyMap<string, LensTargets>,
  ) {
    this.process = startLensProcess();
  }

  static async of(
    context: StageContext,
    state: string,
    states: CapturedStates,
    labels: StringLabels,
  ): Promise<OpenLens> {
    const { run, modelPath, lensPath } = context;
    const { plan } = run;
    const path = modelPath(statesOf(plan).of(state).model);
    const targets = await targetsOf(plan, state, path, labels);
    const noPath = (lens: string): never => {
      throw new InwardError("INTERNAL", `Nobody says where the lens ${lens} is.`);
    };
    const open = new OpenLens(context, plan, lensPath ?? noPath, state, states, labels, targets);
    try {
      open.vocabulary = (await open.process.remote.open(path)).vocabulary;
    } catch (error) {
      if (!(error instanceof InwardError) || error.code !== "PROBE_INVALID") {
        await open.close();
        throw error;
      }
      open.unread = error.message;
    }
    return open;
  }

  async close(): Promise<void> {
    for (const file of this.files.values()) await file.close();
    await this.tokenizer?.dispose();
    await this.process.end();
  }

  async line({ site, lens }: Piece, said: SaidFirst, signal: AbortSignal | undefined): Promise<LensLine> {
    const { state, unread } = this;
    if (unread !== undefined) return { what: "unread", state, reason: unread };
    if (site === undefined || lens === undefined) {
      const groups = Object.fromEntries(this.targets);
      return { what: "state", state, groups, end: await this.atTheEnd(said, signal) };
    }
    if (lens === "logit") {
      return { what: "site", state, site, lens, readings: await this.read(site, undefined, signal) };
    }
    const map =
      lens === "tuned" ? { tuned: await this.tune(site, signal) } : { given: await this.take(lens, site, signal) };
    const isThere = !("ok" in (map.tuned ?? map.given));
    return { what: "site", state, site, lens, ...map, readings: isThere ? await this.read(site, lens, signal) : [] };
  }

  /** What a prompt's tokens are, or what the lens of the line that was made last reads at every one of them. */
  async tokens(
    place: TokensPlace,
    line: LensLine,
    sought: SaidValues,
    about: { readonly stage: string; readonly onProgress: (detail: string) => void },
    signal: AbortSignal | undefined,
  ): Promise<LensTokenLine> {
    const missing = (reason: string): LensTokenLine => ({ what: "missing", ...place, reason });
    const prompt = this.states.prompts.find(({ id }) => id === place.prompt) as CapturedPrompt;
    if (this.unread !== undefined) return missing(this.unread);
    const targets = this.soughtIn(prompt, sought);
    this.tokenizer ??= await openTokenizer(
      this.context.modelPath(statesOf(this.plan).of(this.state).model),
      chatOf(this.plan, statesOf(this.plan).of(this.state).model),
    );
    if (line.what !== "site" || place.site === undefined) {
      return promptLine(place, prompt, { values: targets.values, vocabulary: this.vocabulary }, this.tokenizer);
    }
    const map = line.tuned ?? line.given;
    if (map && "ok" in map) return missing(map.reason);
    this.whole ??= await captureWhole(
      {
        ...this.context,
        onProgress: (_, done, total) => about.onProgress(`whole prompts, ${done} of ${total}`),
      },
      about.stage,
      this.state,
      this.states.sites.map(({ name }) => name).filter((name) => name.startsWith("residual_")),
      wholePrompts(this.plan, this.states.prompts),
    );
    const states = this.whole.get(place.site)?.get(prompt.id);
    if (states === undefined) return missing("the engine crashed on it each time");
    const through = line.lens === "logit" ? undefined : line.lens;
    const { values, width } = states;
    const read = await this.process.call("read", [{ values, width }, targets.targets, through], { signal });
    const own = line.readings.filter((one) => one.prompt === prompt.id);
    return cellsLine(place, read, targets, besideSpans(prompt.spans, read, targets, own), this.tokenizer);
  }

  private soughtIn(prompt: CapturedPrompt, sought: SaidValues): SoughtTargets {
    const found = sought.of(this.state, prompt).flatMap((value) => {
      const group = `${prompt.task}/${value.property}`;
      const targets = this.targets.get(group)?.targets ?? [];
      const at = targets.findIndex(({ name }) => name === value.value);
      return at < 0 ? [] : [{ value, target: targets[at] as LensTarget, place: { group, at } }];
    });
    return {
      values: found.map(({ value }) => value),
      targets: found.map(({ target }) => target),
      places: found.map(({ place }) => place),
    };
  }

  /** The map of a file for a site, in the place of the one before, and what it says beside the model. */
  private async take(
    name: string,
    site: string,
    signal: AbortSignal | undefined,
  ): Promise<NonNullable<LensedSite["given"]>> {
    const planned = plannedLens(this.plan, name);
    const found = mapFor(planned, site);
    if (!found.ok) return found;
    const file = this.files.get(name) ?? (await openPlannedLens(planned, this.lensPath(name)));
    this.files.set(name, file);
    await this.process.call("take", [name, await file.map(found.layer)], { signal });
    const { about, matrix } = this.rows(({ split }) => split === "held_out");
    if (about.length === 0) return { layer: found.layer, heldOut: lensHeldOut([], [], [], this.settings()) };
    const [states, ends] = [matrix(site), matrix(endOf(this.states))];
    const through = await this.process.call("divergences", [ends, states, name], { signal });
    const plain = await this.process.call("divergences", [ends, states], { signal });
    return { layer: found.layer, heldOut: lensHeldOut(about, through, plain, this.settings()) };
  }

  private settings(): TunedLensSettings {
    const { score, seed } = this.plan;
    return {
      ...TUNED_LENS_SETTINGS,
      ridges: RIDGES,
      mostTrainRows: MOST_TRAIN_ROWS,
      confidence: score.confidence,
      bootstrapReplicates: score.bootstrapReplicates,
      bootstrapSeed: seed,
    };
  }

  /** Rows of all spans, one span after the other: of which string each is, and their states at a site. */
  private rows(wanted: (prompt: CapturedPrompt) => boolean) {
    const parts = this.spans(this.states.prompts.filter((one) => one.setAside === undefined && wanted(one)));
    return {
      about: parts.flatMap(({ prompts }) =>
        prompts.map(({ task, item, split }): LensRow => ({ string: this.labels.clusters(task, item), split })),
      ),
      matrix: (site: string) =>
        rowsBelowEachOther(parts.map(({ prompts, span }) => this.states.matrix(prompts, site, span))),
    };
  }

  private async tune(site: string, signal: AbortSignal | undefined): Promise<NonNullable<LensedSite["tuned"]>> {
    const { about, matrix } = this.rows(() => true);
    try {
      const work = [matrix(site), matrix(endOf(this.states)), about, this.settings()] as const;
      return await this.process.call("tune", ["tuned", ...work], { signal });
    } catch (error) {
      if (error instanceof InwardError && error.code === "PROBE_INVALID") return { ok: false, reason: error.message };
      throw error;
    }
  }

  /** Prompts that have a span, span by span. */
  private spans(prompts: readonly CapturedPrompt[]): { span: string; prompts: CapturedPrompt[] }[] {
    const { spans } = this.plan.probe as PlannedProbe;
    return [...new Set([...spans.hypothetical, ...spans.objectLevel])].flatMap((span) => {
      const own = prompts.filter((one) => one.spans[span] !== undefined);
      return own.length > 0 ? [{ span, prompts: own }] : [];
    });
  }

  private heldOut(): CapturedPrompt[] {
    return this.states.prompts.filter(({ split, setAside }) => split === "held_out" && setAside === undefined);
  }

  private async read(
    site: string,
    through: string | undefined,
    signal: AbortSignal | undefined,
  ): Promise<PromptReading[]> {
    const alike = new Map<string, CapturedPrompt[]>();
    for (const prompt of this.heldOut()) {
      const key = JSON.stringify(this.groupsOf(prompt));
      alike.set(key, [...(alike.get(key) ?? []), prompt]);
    }
    const readings: PromptReading[] = [];
    for (const prompts of alike.values()) {
      const names = this.groupsOf(prompts[0] as CapturedPrompt);
      const groups = names.map((name) => ({ name, targets: (this.targets.get(name) as LensTargets).targets }));
      const targets = groups.flatMap((group) => group.targets);
      for (const { span, prompts: own } of this.spans(prompts)) {
        const states = this.states.matrix(own, site, span);
        const read = await this.process.call("read", [states, targets, through], { signal });
        for (const [at, { entropyNats, topToken, targets: found }] of read.entries()) {
          let next = 0;
          const valued = groups.map(({ name, targets: { length } }) => {
            const own = found.slice(next, next + length);
            next += length;
            return [
              name,
              {
                logprobs: own.map(({ logprob }) => Number(logprob.toFixed(6))),
                ranks: own.map(({ rank }) => rank),
                tied: own.map(({ tied }) => tied),
              },
            ] as const;
          });
          const { id } = own[at] as CapturedPrompt;
          readings.push({ prompt: id, span, entropyNats, topToken, groups: Object.fromEntries(valued) });
        }
      }
    }
    return readings;
  }

  /** Names of the groups of values that are looked for in a prompt; those that have any. */
  private groupsOf({ task, property }: CapturedPrompt): string[] {
    const properties = this.plan.tasks.find(({ definition }) => definition.name === task)?.properties ?? [];
    const names = [task, ...(property === undefined ? properties : [property]).map((one) => `${task}/${one}`)];
    return names.filter((name) => (this.targets.get(name)?.targets.length ?? 0) > 0);
  }

  private async atTheEnd(said: SaidFirst, signal: AbortSignal | undefined): Promise<LensedState["end"]> {
    const prompts = this.heldOut().flatMap((prompt) => {
      const first = said.get(askedKey(this.state, prompt));
      return first ? [{ prompt, first }] : [];
    });
    if (prompts.length === 0) return { ok: false, reason: "none of its prompts was answered" };
    const tokens = [...new Set(prompts.map(({ first }) => first.tokenId))];
    const states = this.states.ends(
      prompts.map(({ prompt }) => prompt),
      endOf(this.states),
    );
    const targets = tokens.map((tokenId) => ({ name: String(tokenId), tokenIds: [tokenId] }));
    const read = await this.process.call("read", [states, targets], { signal });
    const differences = prompts.map(({ first }, at) => {
      const found = (read[at] as LensReading).targets[tokens.indexOf(first.tokenId)] as TargetReading;
      return Math.abs(found.logprob - first.logprob);
    });
    return {
      ok: true,
      prompts: prompts.length,
      greatestNats: Math.max(...differences),
      otherToken: prompts.filter(
        ({ first }, at) => first.greedy && (read[at] as LensReading).topToken !== first.tokenId,
      ).length,
    };
  }
}

function rowsBelowEachOther(all: readonly RowMatrix[]): RowMatrix {
  const width = (all[0] as RowMatrix).width;
  const values = new Float32Array(all.reduce((sum, one) => sum + one.values.length, 0));
  let next = 0;
  for (const one of all) {
    values.set(one.values, next);
    next += one.values.length;
  }
  return { values, width };
}

/** What a state's prompts are searched for: first words of the answers of whoever it predicts, and their properties. */
async function targetsOf(
  plan: Plan,
  state: string,
  path: string,
  labels: StringLabels,
): Promise<ReadonlyMap<string, LensTargets>> {
  const targets = plan.predictions.filter(({ predictor }) => predictor === state).map(({ target }) => target);
  const seen = (task: string, property?: string) => [
    ...new Set(targets.flatMap((target) => labels.seen(target, task, property))),
  ];
  const valued = plan.tasks.flatMap(({ definition: { name }, properties }) => [
    { group: name, values: seen(name) },
    ...properties.map((property) => {
      const { values } = propertyNamed(property, plan.ownProperties);
      return {
        group: `${name}/${property}`,
        values: [...new Set([...(values === "open" ? [] : values), ...seen(name, property)])],
      };
    }),
  ]);
  const texts = [...new Set(valued.flatMap(({ values }) => values.flatMap(waysToWrite)))];
  const found = await withTokenizer(plan, state, path, (tokenizer) => tokenizer.plainIds(texts));
  const ids = new Map(texts.map((text, at) => [text, found[at] ?? []]));
  return new Map(
    valued.map(({ group, values }) => {
      const forms = values.toSorted().map((value) => [value, waysToWrite(value).map((way) => ids.get(way) ?? [])]);
      return [group, lensTargets(Object.fromEntries(forms))] as const;
    }),
  );
}

/** As an answer may begin with it: in three cases, with a blank before it and without. */
function waysToWrite(value: string): string[] {
  const [first = "", ...rest] = value;
  const cases = [value, value.toLowerCase(), value.toUpperCase(), first.toUpperCase() + rest.join("")];
  return [...new Set(cases.flatMap((one) => [one, ` ${one}`]))];
}
