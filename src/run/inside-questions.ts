/** Stage 07, inside: which strings of a study are looked at, by which values, and what each is asked with what written where. */

import { InwardError } from "../errors.js";
import type { Tokenizer } from "../model/engines/start-engine.js";
import type { Intervention } from "../model/interventions.js";
import { type Site, siteName, siteNumbers, type StateShape } from "../model/sites.js";
import { attentionShares } from "../probe/attention-spans.js";
import { lengthOfVector, meanOfRows, randomVector } from "../base/vectors.js";
import { type ChosenDonors, chooseDonors, type DonorString } from "../probe/donors.js";
import type { InsidePlace, InsidePrompt } from "../probe/inside-results.js";
import type { AttributedToken } from "../probe/logit-attribution.js";
import { findSpans, type MarkedQuestion } from "../probe/spans.js";
import { type Subspace, subspaceOf, subspacePatch } from "../probe/subspace.js";
import { readReply, replyText } from "../properties/reading.js";
import { propertyNamed } from "../properties/all-properties.js";
import { askedForm } from "../study/forms.js";
import type { InsideLabel, InsideReading, PlannedInside } from "../study/inside-schema.js";
import { insideAbout } from "../study/patched-states.js";
import type { Plan, PlannedTask } from "../study/plan.js";
import type { ChatMessage } from "../tasks/answer.js";
import { objectLevelMessages, type TaskItem } from "../tasks/task.js";
import { askedItems, readAnswers } from "./behaviors.js";
import type { CapturedRows, StatesBySite } from "./captured-states.js";
import type { RunFolder } from "./folder.js";
import type { InsideAsked, InsideWork } from "./inside-answers.js";
import { type HeadArm, KnockOuts } from "./knock-out-heads.js";
import { turns } from "./open-model.js";
import { donorItems, hypotheticalPrompts, objectLevelPrompts } from "./patch-states.js";
import type { SitePair } from "./patchscope.js";
import { StringLabels } from "./probe-labels.js";
import type { PromptToLocate } from "./probe-prompts.js";
import type { CapturedPrompt, CapturedStates } from "./probe-states.js";
import { readLines } from "./records.js";

// What is known of the strings before.

/** What a state's strings are told apart by, and how it writes that. */
export interface InsideStrings {
  readonly labels: Pick<StringLabels, "of" | "clusters">;
  /** As the state itself begins an answer with a value, most often; the value where it never does. */
  written(state: string, task: string, property: string | undefined, value: string): string;
}

export async function readInsideStrings(run: RunFolder): Promise<InsideStrings> {
  const { plan } = run;
  const labels = await StringLabels.read(run);
  const counts = new Map<string, Map<string, number>>();
  const placeOf = (...parts: readonly (string | undefined)[]) => JSON.stringify(parts.map((one) => one ?? null));
  const count = (place: string, value: string, text: string) => {
    const begun = text.trimStart().slice(0, value.length);
    if (begun.toLowerCase() !== value.toLowerCase()) return;
    const own = counts.get(place) ?? new Map<string, number>();
    own.set(begun, (own.get(begun) ?? 0) + 1);
    counts.set(place, own);
  };
  const known = askedItems(plan);
  for (const { state, task, item, sample, reply } of await readAnswers(run)) {
    if (sample !== 0 || !reply || !known.has(`${task}/${item}`)) continue;
    const about = { predictor: state, target: state, task, prompt: "object_level" as const };
    const word = labels.of({ ...about, label: "behavior" }, item);
    if ("label" in word) count(placeOf(state, task, undefined, word.label), word.label, replyText(reply));
  }
  for (const { state, task, sample, property, reply } of await readLines(run, "hypothetical")) {
    if (sample !== 0 || property === undefined || !reply) continue;
    const said = readReply(propertyNamed(property, plan.ownProperties), replyText(reply), reply.stop);
    if (said.ok) count(placeOf(state, task, property, said.value), said.value, replyText(reply));
  }
  return {
    labels,
    written: (state, task, property, value) => {
      const ways = [...(counts.get(placeOf(state, task, property, value)) ?? [])];
      const [most] = ways.sort(([a, times], [b, others]) => others - times || (a < b ? -1 : 1));
      return most?.[0] ?? value;
    },
  };
}

/** Prompts of a state that are looked into: object-level ones of train strings too where directions are found on them. */
export function insidePrompts(plan: Plan, state: string): PromptToLocate[] {
  const { strings, trainStrings, subspace } = plan.inside as PlannedInside;
  const limits = { strings, trainStrings: subspace === undefined ? 0 : trainStrings };
  return [
    ...objectLevelPrompts(plan, state, limits, []),
    ...hypotheticalPrompts(plan, state, insideAbout(plan), limits, []),
  ];
}

// What is asked.

/** Places of a model that the plan's names come to. */
export interface InsideSites {
  readonly shape: StateShape;
  /** Layers whose heads are knocked out. */
  readonly heads: readonly number[];
  readonly subspace: readonly Site[];
  readonly scopes: readonly SitePair[];
}

export interface InsideSources {
  readonly strings: InsideStrings;
  readonly sites: InsideSites;
  readonly captured: Pick<CapturedStates, "prompts" | "end">;
  readonly tokenizer: Pick<Tokenizer, "locate" | "scored" | "tokenize">;
}

/** All that a state is asked, in the order of its lines. */
export async function planInside(plan: Plan, state: string, sources: InsideSources): Promise<InsideAsked[][]> {
  const about = insideAbout(plan).filter((one) => one.state === state);
  const tasks = [...new Set(about.map(({ task }) => task))];
  const questions = tasks.flatMap((task): AskedAbout[] => [
    { state, task, prompt: "object_level" },
    ...about
      .filter((one) => one.task === task)
      .map(({ property }): AskedAbout => ({ state, task, prompt: "hypothetical", property })),
  ]);
  const groups: InsideAsked[][] = [];
  for (const question of questions) {
    const own = await QuestionInside.of(plan, question, sources);
    for (const rows of [own.attribution(), own.heads(), own.subspaces(), await own.patchscopes()])
      groups.push(...inGroups(rows, plan.engine.groupQuestions));
  }
  return groups;
}

function inGroups(rows: readonly InsideAsked[], most: number): InsideAsked[][] {
  return Array.from({ length: Math.ceil(rows.length / most) }, (_, at) => rows.slice(at * most, (at + 1) * most));
}

interface AskedAbout {
  readonly state: string;
  readonly task: PlannedTask;
  readonly prompt: InsidePrompt;
  /** Of hypothetical ones. */
  readonly property?: string;
}

interface LookedAtString {
  readonly item: TaskItem;
  readonly asked: MarkedQuestion;
  readonly tokenIds: readonly number[];
  readonly spans: ReadonlyMap<string, readonly number[]>;
  readonly captured?: CapturedPrompt;
}

/** Values that probabilities are told of. */
interface ToldValues {
  readonly values: readonly string[];
  /** As they are scored. */
  readonly written: readonly string[];
  /** By string [values] */
  readonly firstIds: ReadonlyMap<string, readonly number[]>;
  /** By string, why it is not looked at; undefined where it is. */
  readonly whyNot: (item: string) => string | undefined;
}

class QuestionInside {
  private readonly inside: PlannedInside;
  private readonly told = new Map<InsideLabel, ToldValues>();

  private constructor(
    private readonly plan: Plan,
    private readonly question: AskedAbout,
    private readonly sources: InsideSources,
    private readonly strings: readonly LookedAtString[],
  ) {
    this.inside = plan.inside as PlannedInside;
  }

  static async of(plan: Plan, question: AskedAbout, sources: InsideSources): Promise<QuestionInside> {
    const { state, task, prompt, property } = question;
    const { name } = task.definition;
    const wanted = insidePrompts(plan, state).filter(
      ({ about }) =>
        about.kind === prompt && about.task === name && about.split === "held_out" && about.property === property,
    );
    const located = await sources.tokenizer.locate(wanted.map(({ marked }) => marked.messages));
    const captured = new Map(sources.captured.prompts.map((one) => [one.id, one]));
    const items = new Map(task.heldOut.map((item) => [item.id, item]));
    const strings = wanted.map(({ id, about, marked }, at): LookedAtString => {
      const place = located[at] as (typeof located)[number];
      const spans = findSpans(place, marked).flatMap((span) => (span.ok ? [[span.name, span.tokens] as const] : []));
      const known = captured.get(id);
      return {
        item: items.get(about.item) as TaskItem,
        asked: marked,
        tokenIds: place.tokenIds,
        spans: new Map(spans),
        // One on which the engine crashed has no states.
        ...(known && known.setAside === undefined ? { captured: known } : {}),
      };
    });
    const made = new QuestionInside(plan, question, sources, strings);
    for (const label of made.labels()) made.told.set(label, await made.toldValues(label));
    return made;
  }

  /** What its prompts may be answered with, or go through. */
  private labels(): InsideLabel[] {
    return this.question.prompt === "object_level" ? ["behavior"] : ["behavior", "property"];
  }

  private labelOf(label: InsideLabel, item: string) {
    const { state, task, prompt, property } = this.question;
    const about = { predictor: state, target: state, task: task.definition.name, prompt, label };
    return this.sources.strings.labels.of(property === undefined ? about : { ...about, property }, item);
  }

  private ownOf(item: string): Readonly<Partial<Record<InsideLabel, string>>> {
    const known = this.labels().map((label) => [label, this.labelOf(label, item)] as const);
    return Object.fromEntries(known.flatMap(([label, one]) => ("label" in one ? [[label, one.label]] : [])));
  }

  /** Most common first; of two that begin with one token the second tells nothing at that token. */
  private async toldValues(label: InsideLabel): Promise<ToldValues> {
    const { state, task, property } = this.question;
    const counts = new Map<string, number>();
    const { train, heldOut } = donorItems(task, this.inside);
    for (const { id } of [...train, ...heldOut]) {
      const own = this.labelOf(label, id);
      if ("label" in own) counts.set(own.label, (counts.get(own.label) ?? 0) + 1);
    }
    const { values: most } = this.inside;
    const candidates = [...counts]
      .sort(([a, times], [b, others]) => others - times || (a < b ? -1 : 1))
      .slice(0, 3 * most)
      .map(([value]) => value);
    const asProperty = label === "property" ? property : undefined;
    const written = candidates.map((value) =>
      this.sources.strings.written(state, task.definition.name, asProperty, value),
    );
    const asked = candidates.length === 0 ? [] : this.strings;
    const scored = await this.sources.tokenizer.scored(
      asked.map(({ asked: { messages } }) => ({
        messages,
        continuations: written.map((text) => ({ written: text })),
      })),
    );
    const firstIds = scored.map(({ answers }) => answers.map(([first]) => first ?? -1));
    const chosen: number[] = [];
    const twins = new Set<string>();
    for (const [at, value] of candidates.entries()) {
      const isTwin = firstIds.some((ids) => ids[at] === -1 || chosen.some((one) => ids[one] === ids[at]));
      if (isTwin) twins.add(value);
      else if (chosen.length < most) chosen.push(at);
    }
    const values = chosen.map((at) => candidates[at] as string);
    const places = new Map(this.strings.map(({ item }, at) => [item.id, at]));
    return {
      values,
      written: chosen.map((at) => written[at] as string),
      firstIds: new Map(
        this.strings.map(({ item }, at) => [item.id, chosen.map((one) => firstIds[at]?.[one] as number)]),
      ),
      whyNot: (item) => {
        const at = places.get(item) as number;
        const { captured, tokenIds } = this.strings[at] as LookedAtString;
        if (captured === undefined) return "the engine crashed on its prompt";
        const own = this.labelOf(label, item);
        if ("reason" in own) return `it shows no value (${own.reason})`;
        if (values.length < 2) return "fewer than two values are shown, or begin with different tokens";
        if (twins.has(own.label)) return "its value begins with the same token as a more common one";
        if (!values.includes(own.label)) return `its value is none of the ${values.length} most common`;
        // The last token's states are of the prompt alone.
        return String(scored[at]?.promptIds) === String(tokenIds)
          ? undefined
          : "before an answer it has other tokens than by itself";
      },
    };
  }

  // Rows.

  private place(
    reading: InsideReading,
    { item }: LookedAtString,
    arm: string,
    place?: Readonly<Record<string, string | number>>,
  ): InsidePlace {
    const { state, task, prompt, property } = this.question;
    const { name } = task.definition;
    const where = place === undefined ? [] : Object.values(place).map(String);
    const parts = [reading, state, name, item.id, prompt, ...(property === undefined ? [] : [property]), arm, ...where];
    return {
      key: parts.join("/"),
      ...{ reading, state, task: name, item: item.id, prompt },
      ...(property === undefined ? {} : { property }),
      arm,
      ...(place === undefined ? {} : { place }),
      // Of each string once.
      ...(place === undefined ? { own: this.ownOf(item.id) } : {}),
    };
  }

  /** A string that is looked at, or why it is not. */
  private lookedAt(
    reading: InsideReading,
    label: InsideLabel,
    arm: string,
    make: (string: LookedAtString, told: ToldValues) => readonly InsideAsked[],
  ): InsideAsked[] {
    const told = this.told.get(label) as ToldValues;
    return this.strings.flatMap((string): readonly InsideAsked[] => {
      const reason = told.whyNot(string.item.id);
      if (reason === undefined) return make(string, told);
      return [{ ...this.place(reading, string, arm), work: { kind: "missing", reason } }];
    });
  }

  private scored(
    { asked, tokenIds }: LookedAtString,
    { written }: ToldValues,
    write?: () => readonly Intervention[],
  ): InsideWork {
    const request = { messages: asked.messages, maxTokens: 1 };
    return { kind: "score", request, written, promptTokens: tokenIds.length, ...(write ? { write } : {}) };
  }

  private endOf({ captured }: LookedAtString, site: string): CapturedRows {
    return this.sources.captured.end(captured as CapturedPrompt, site);
  }

  attribution(): InsideAsked[] {
    if (this.inside.attribution === undefined) return [];
    return this.labels().flatMap((label) =>
      this.lookedAt("attribution", label, label, (string, { values, firstIds }) => {
        const tokenIds = firstIds.get(string.item.id) as readonly number[];
        const place = this.place("attribution", string, label);
        const token = (): AttributedToken => ({
          name: place.key,
          states: (site) => this.endOf(string, site).values,
          tokenIds,
        });
        return [{ ...place, values, work: { kind: "attribute", token } }];
      }),
    );
  }

  /** What its prompts are answered with. */
  private get answered(): InsideLabel {
    return this.question.prompt === "object_level" ? "behavior" : "property";
  }

  heads(): InsideAsked[] {
    if (this.inside.heads === undefined) return [];
    const { heads: layers, shape } = this.sources.sites;
    const { whyNot } = this.told.get(this.answered) as ToldValues;
    const looked = this.strings.filter(({ item }) => whyNot(item.id) === undefined);
    const states: StatesBySite = new Map(
      layers.map((layer) => {
        const site = siteName({ part: "head_values", layer });
        return [site, new Map(looked.map((string) => [string.item.id, this.endOf(string, site)]))] as const;
      }),
    );
    const knockOuts = looked.length === 0 ? undefined : new KnockOuts(shape, states, looked);
    const headsOf = (layer: number) => shape.heads[layer] as number;
    return this.lookedAt("heads", this.answered, "none", (string, told) => {
      const { values } = told;
      const last = string.tokenIds.length - 1;
      const attended = {
        ...{ string: string.item.id, from: [last], spans: string.spans },
        weights: (layer: number) => this.endOf(string, `attention_weights.${layer}`),
      };
      const attention = attentionShares(
        attended,
        layers.map((layer) => ({ layer, heads: headsOf(layer) })),
      );
      const none = { ...this.place("heads", string, "none"), values, attention, work: this.scored(string, told) };
      const changed = layers.flatMap((layer) =>
        Array.from({ length: headsOf(layer) }, (_, head) =>
          (knockOuts?.arms ?? []).map((arm: HeadArm): InsideAsked => {
            const write = () => [(knockOuts as KnockOuts).intervention(string.item.id, [last], { arm, layer, head })];
            const place = this.place("heads", string, arm, { layer, head });
            return { ...place, values, work: this.scored(string, told, write) };
          }),
        ).flat(),
      );
      return [none, ...changed];
    });
  }

  // What of another string's hypothetical run lies in the directions of behavior.

  subspaces(): InsideAsked[] {
    const { subspace } = this.inside;
    if (subspace === undefined || this.question.prompt === "object_level") return [];
    const { whyNot } = this.told.get("property") as ToldValues;
    const pool = this.strings.filter(({ item }) => whyNot(item.id) === undefined);
    const donors = new Map(pool.map((string) => [string.item.id, this.donorsOf(string, pool)]));
    const found = subspace.of.flatMap((of) =>
      this.sources.sites.subspace.map((site) => ({ of, site, space: this.directions(of, site) })),
    );
    return this.lookedAt("subspace", "property", "none", (string, told) => {
      const { values } = told;
      const none = { ...this.place("subspace", string, "none"), values, work: this.scored(string, told) };
      const { other: [other] = [], same: [same] = [] } = donors.get(string.item.id) ?? {};
      const stringOf = (donor: DonorString | undefined) => pool.find(({ item }) => item.id === donor?.item);
      const [donor, alike] = [stringOf(other), stringOf(same)];
      const missing = (reason: string, place?: Readonly<Record<string, string>>): InsideAsked => ({
        ...this.place("subspace", string, "subspace", place),
        work: { kind: "missing", reason },
      });
      const written = found.flatMap(({ of, site, space }): InsideAsked[] => {
        const place = { of, site: siteName(site) };
        if (donor === undefined) return [missing("no other string that is looked at has another value", place)];
        if ("reason" in space) return [missing(space.reason, place)];
        return this.writtenAt(space, string, donor, alike).map(({ arm, from, write, ...more }) => ({
          ...this.place("subspace", string, arm, place),
          ...more,
          ...{ donor: from.item.id, values },
          work: this.scored(string, told, write),
        }));
      });
      return [none, ...written];
    });
  }

  private donorsOf({ item }: LookedAtString, pool: readonly LookedAtString[]): Partial<ChosenDonors> {
    const { state, task, property } = this.question;
    const strings = pool.map(({ item: { id, split } }): DonorString => {
      const own = this.ownOf(id);
      const cluster = this.sources.strings.labels.clusters(task.definition.name, id);
      return { item: id, cluster, split, answer: own.behavior ?? "", value: own.property ?? "" };
    });
    const name = `inside/${this.plan.seed}/${state}/${task.definition.name}/${property}`;
    const own = strings.find((one) => one.item === item.id);
    return own === undefined ? {} : chooseDonors(own, strings, { count: 1, name });
  }

  private writtenAt(space: Subspace, string: LookedAtString, donor: LookedAtString, alike: LookedAtString | undefined) {
    const site = siteName(space.site);
    const token = string.tokenIds.length - 1;
    const patchOf = (from: LookedAtString) =>
      subspacePatch(space, {
        token,
        own: this.endOf(string, site).values,
        donor: this.endOf(from, site).values,
        name: `inside/${this.plan.seed}/${string.item.id}/${site}`,
      });
    const made = patchOf(donor);
    const { displacement, wholeDisplacement } = made;
    const draws = Array.from({ length: this.inside.subspace?.randomSeeds ?? 0 }, (_, draw) => draw + 1);
    const arm = (name: string, write: () => readonly Intervention[], from = donor) => ({ arm: name, from, write });
    return [
      {
        ...arm("subspace", () => patchOf(donor).patch),
        directions: space.basis.length,
        displacement,
        wholeDisplacement,
      },
      ...(made.outside === undefined ? [] : [arm("outside", () => [patchOf(donor).outside as Intervention])]),
      ...draws.map((draw) => arm(`random_${draw}`, () => [patchOf(donor).random(draw)])),
      arm("whole", () => [patchOf(donor).whole]),
      ...(alike === undefined ? [] : [arm("same", () => patchOf(alike).patch, alike)]),
    ];
  }

  /** Those in which the mean object-level states of train strings with one label differ from those with another. */
  private directions(of: InsideLabel, site: Site): Subspace | { readonly reason: string } {
    const { task } = this.question;
    const { captured, sites } = this.sources;
    const prompts = new Map(
      captured.prompts
        .filter(({ kind, task: name, setAside }) => {
          return kind === "object_level" && name === task.definition.name && setAside === undefined;
        })
        .map((one) => [one.item, one]),
    );
    const groups = new Map<string, CapturedPrompt[]>();
    for (const { id } of donorItems(task, this.inside).train) {
      const [own, prompt] = [this.labelOf(of, id), prompts.get(id)];
      if ("label" in own && prompt) groups.set(own.label, [...(groups.get(own.label) ?? []), prompt]);
    }
    const told = [...groups]
      .filter(([, { length }]) => length >= FEWEST_IN_GROUP)
      .sort(([a, { length: few }], [b, { length: many }]) => many - few || (a < b ? -1 : 1))
      .slice(0, this.inside.values);
    if (told.length < 2) {
      const what = of === "behavior" ? "behaviors" : "values";
      return { reason: `fewer than two ${what} are shown by ${FEWEST_IN_GROUP} train strings each` };
    }
    const means = told.map(([, own]) => meanOfRows(own.map((prompt) => captured.end(prompt, siteName(site)).values)));
    const [first, ...others] = means as [Float64Array, ...Float64Array[]];
    const rows = others.flatMap((mean) => Array.from(mean, (one, at) => one - (first[at] as number)));
    try {
      return subspaceOf(site, Float32Array.from(rows), siteNumbers(site, sites.shape, 1));
    } catch (error) {
      // Means that are the same have no directions.
      if (error instanceof InwardError && error.code === "PROBE_INVALID") return { reason: error.message };
      throw error;
    }
  }

  // What the model makes of a state in another prompt.

  async patchscopes(): Promise<InsideAsked[]> {
    const { patchscope } = this.inside;
    if (patchscope === undefined) return [];
    const { maxTokens } = patchscope;
    const target = this.target(patchscope.target);
    const [ids = []] = await this.sources.tokenizer.tokenize([target.messages]);
    const at = ids.length - 1;
    return this.strings.flatMap((string): InsideAsked[] => {
      const { item, captured } = string;
      const whyNot = (() => {
        if (captured === undefined) return "the engine crashed on its prompt";
        if (item.id === target.item) return "it is the string of the prompt that is written into";
        return Object.keys(this.ownOf(item.id)).length < this.labels().length ? "it shows no value" : undefined;
      })();
      const work = (write?: () => readonly Intervention[]): InsideWork => {
        const request = { messages: target.messages, maxTokens };
        return { kind: "reply", request, written: [], promptTokens: ids.length, ...(write ? { write } : {}) };
      };
      const none = this.place("patchscope", string, "none");
      if (whyNot !== undefined) return [{ ...none, work: { kind: "missing", reason: whyNot } }];
      const written = this.sources.sites.scopes.flatMap(({ from, into }) => {
        const place = { from: siteName(from), into: siteName(into) };
        const valuesOf = () => this.endOf(string, place.from).values;
        const name = `patchscope/${this.plan.seed}/${item.id}/${place.from}`;
        const byChance = () => {
          const values = valuesOf();
          return randomVector(values.length, lengthOfVector(values), name);
        };
        return [["state", valuesOf] as const, ["random", byChance] as const].map(
          ([arm, values]): InsideAsked => ({
            ...this.place("patchscope", string, arm, place),
            work: work(() => [{ site: into, tokens: [at], operation: "replace", values: values() }]),
          }),
        );
      });
      return [{ ...none, work: work() }, ...written];
    });
  }

  private target(text: string | undefined): { readonly messages: readonly ChatMessage[]; readonly item?: string } {
    const { state, task } = this.question;
    const form = askedForm(this.plan, state);
    if (text !== undefined) return { messages: turns(form.system, text) };
    const item = (task.train[0] ?? task.heldOut[0]) as TaskItem;
    const words = { examples: task.examples, system: form.system };
    return { messages: objectLevelMessages(form.task(task).definition, item, words), item: item.id };
  }
}

/** Fewer strings make no mean: one string's state would bring its words along. */
const FEWEST_IN_GROUP = 2;
