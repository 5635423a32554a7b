/** Stage 07, patches: distributions of predictions, and of behaviors, while something is written inside. */

import {
  behaviorAtTemperatureOne,
  type CalibrationQuestion,
  predictionAtTemperatureOne,
} from "../ask/measure-distribution.js";
import type { PatchedPlace, PatchKind, PatchQuestion } from "../ask/patched-distributions.js";
import type { Intervention } from "../model/interventions.js";
import { type Site, siteName } from "../model/sites.js";
import { lengthOfVector, meanOfRows, randomVector, scaledToLength, vectorDifference } from "../base/vectors.js";
import {
  type ChosenDonors,
  chooseDonors,
  type DonorString,
  shiftedToken,
  type SteeringGroups,
} from "../probe/donors.js";
import { propertyNamed } from "../properties/all-properties.js";
import { countedReply } from "../properties/option-answers.js";
import { extractBehavior, readReply, replyText } from "../properties/reading.js";
import { donorStates, type PatchedAbout, patchedAbout, patchedStates } from "../study/patched-states.js";
import type { Plan, PlannedPatching } from "../study/plan.js";
import type { TaskItem } from "../tasks/task.js";
import { askedItems, readAnswers, readBehaviors } from "./behaviors.js";
import type { RunFolder } from "./folder.js";
import { donorItems, donorSpan, locatePatched, patchedSites } from "./patch-states.js";
import { withTokenizer } from "./planned-chats.js";
import type { LocatedStatesPrompt } from "./probe-prompts.js";
import { type CapturedPrompt, CapturedStates } from "./probe-states.js";
import { readLines } from "./records.js";
import { clusterOf } from "./score-stages.js";

// What the model does by itself: behaviors, first words of answers, and predictions.

/** Strings of a question with what a state does and says there. */
export interface DonorStrings {
  of(about: PatchedAbout): DonorString[];
  /** @returns undefined where it shows no value */
  valueOf(state: string, task: string, item: string, property: string): string | undefined;
}

/** What stands in the files of a run. */
class RunStrings implements DonorStrings {
  private constructor(
    private readonly plan: Plan,
    private readonly words: ReadonlyMap<string, string>,
    private readonly values: ReadonlyMap<string, string>,
    private readonly says: ReadonlyMap<string, string>,
  ) {}

  static async read(run: RunFolder): Promise<RunStrings> {
    const { plan } = run;
    const tasks = new Map(plan.tasks.map(({ definition }) => [definition.name, definition]));
    const items = askedItems(plan);
    const firstWord = propertyNamed("first_word");
    const words = new Map<string, string>();
    for (const { state, task, item, sample, reply } of await readAnswers(run)) {
      const [definition, string] = [tasks.get(task), items.get(`${task}/${item}`)];
      if (sample !== 0 || !reply || !definition || !string) continue;
      const said = countedReply(reply, definition, string);
      const word = extractBehavior(firstWord, replyText(said), string, said.stop);
      words.set(placeOf(state, task, item), word.ok ? word.value : replyText(said));
    }
    const values = new Map<string, string>();
    for (const { state, task, item, sample, property, extraction, compliance } of await readBehaviors(run)) {
      if (sample === 0 && compliance.ok && extraction.ok) {
        values.set(placeOf(state, task, item, property), extraction.value);
      }
    }
    const says = new Map<string, string>();
    for (const { state, task, item, sample, property, variant, reply } of await readLines(run, "hypothetical")) {
      if (sample !== 0 || property === undefined || variant !== plan.hypothetical.variants[0] || !reply) continue;
      const said = readReply(propertyNamed(property, plan.ownProperties), replyText(reply), reply.stop);
      if (said.ok) says.set(placeOf(state, task, item, property), said.value);
    }
    return new RunStrings(plan, words, values, says);
  }

  valueOf(state: string, task: string, item: string, property: string): string | undefined {
    return this.values.get(placeOf(state, task, item, property));
  }

  of({ state, task: { definition, ...split }, property }: PatchedAbout): DonorString[] {
    const patching = this.plan.patching as PlannedPatching;
    const clusters = clusterOf(this.plan);
    const { train, heldOut } = donorItems({ definition, ...split }, patching);
    return [...heldOut, ...train].flatMap((item): DonorString[] => {
      const value = this.valueOf(state, definition.name, item.id, property);
      if (value === undefined) return [];
      const says = this.says.get(placeOf(state, definition.name, item.id, property));
      return [
        {
          item: item.id,
          cluster: clusters(definition.name, item.id) ?? item.id,
          split: item.split,
          answer: this.words.get(placeOf(state, definition.name, item.id)) ?? "",
          value,
          ...(says === undefined ? {} : { says }),
        },
      ];
    });
  }
}

export function readDonorStrings(run: RunFolder): Promise<DonorStrings> {
  return RunStrings.read(run);
}

function placeOf(...parts: readonly string[]): string {
  return JSON.stringify(parts);
}

// What is written.

/** States of donors by site and span. */
export class DonorVectors {
  private readonly prompts = new Map<string, ReadonlyMap<string, CapturedPrompt>>();
  private readonly means = new Map<string, Float64Array>();

  constructor(private readonly captured: ReadonlyMap<string, Pick<CapturedStates, "prompts" | "matrix">>) {
    for (const [state, { prompts }] of captured) {
      this.prompts.set(state, new Map(prompts.map((prompt) => [`${prompt.task}/${prompt.item}`, prompt])));
    }
  }

  prompt(state: string, task: string, item: string): CapturedPrompt | undefined {
    return this.prompts.get(state)?.get(`${task}/${item}`);
  }

  /** @returns undefined where the span has no tokens */
  of(state: string, task: string, item: string, site: string, span: string): Float32Array | undefined {
    const prompt = this.prompt(state, task, item);
    // One on which the engine crashed has no states.
    if (prompt?.spans[span] === undefined || prompt.setAside !== undefined) return undefined;
    return this.captured.get(state)?.matrix([prompt], site, span).values as Float32Array | undefined;
  }

  mean(
    state: string,
    task: string,
    strings: readonly DonorString[],
    site: string,
    span: string,
  ): Float64Array | undefined {
    const key = placeOf(state, task, site, span, ...strings.map(({ item }) => item));
    const known = this.means.get(key);
    if (known) return known;
    const rows = strings.flatMap(({ item }) => this.of(state, task, item, site, span) ?? []);
    if (rows.length < strings.length) return undefined;
    const mean = meanOfRows(rows);
    this.means.set(key, mean);
    return mean;
  }
}

/** Questions of a run in the order in which they are asked, and what could not be asked. */
export interface PatchPlan {
  readonly groups: readonly (readonly PatchQuestion[])[];
  /** State, task and property, as JSON -> reason -> strings. */
  readonly leftOut: ReadonlyMap<string, Readonly<Record<string, number>>>;
}

/** Rows that are asked together: as many prompts stay evaluated side by side. */
const MOST_TOGETHER = 32;

function inGroups(rows: readonly PatchQuestion[]): PatchQuestion[][] {
  return Array.from({ length: Math.ceil(rows.length / MOST_TOGETHER) }, (_, at) =>
    rows.slice(at * MOST_TOGETHER, (at + 1) * MOST_TOGETHER),
  );
}

/** What the file of a state's patches is made of. */
export interface PatchSources {
  readonly strings: DonorStrings;
  readonly vectors: DonorVectors;
  /** By state: hypothetical prompts with their places. */
  readonly recipients: ReadonlyMap<string, readonly LocatedStatesPrompt[]>;
  readonly sites: ReadonlyMap<string, { readonly declared: readonly Site[]; readonly last: Site }>;
}

export async function readPatchSources(run: RunFolder, modelPath: (model: string) => string): Promise<PatchSources> {
  const { plan } = run;
  const captured = new Map<string, CapturedStates>();
  for (const { name } of donorStates(plan)) captured.set(name, await CapturedStates.read(run, name, "donorStates"));
  const recipients = new Map<string, readonly LocatedStatesPrompt[]>();
  const sites = new Map<string, { declared: readonly Site[]; last: Site }>();
  for (const { name, model } of patchedStates(plan)) {
    const located = await withTokenizer(plan, name, modelPath(model), (tokenizer) =>
      locatePatched(plan, name, "hypothetical", tokenizer),
    );
    recipients.set(name, located);
    sites.set(name, await patchedSites(plan.patching as PlannedPatching, modelPath(model)));
  }
  return { strings: await readDonorStrings(run), vectors: new DonorVectors(captured), recipients, sites };
}

export function planPatches(plan: Plan, sources: PatchSources): PatchPlan {
  const leftOut = new Map<string, Readonly<Record<string, number>>>();
  const groups = patchedAbout(plan).flatMap((about) => {
    const question = new QuestionPatches(plan, about, sources);
    const made = question.groups();
    leftOut.set(aboutKey(about.state, about.task.definition.name, about.property), question.leftOut);
    return made;
  });
  return { groups, leftOut };
}

export function aboutKey(state: string, task: string, property: string): string {
  return placeOf(state, task, property);
}

type AskedSide = PatchedPlace["side"];

/** Where of one string something is written, on either side. */
interface WrittenAt {
  readonly site: Site;
  readonly span: string;
  /** Places of its tokens. */
  readonly tokens: Readonly<Record<AskedSide, readonly number[]>>;
}

/** The patches of one state about one task and property. */
class QuestionPatches {
  readonly leftOut: Record<string, number> = {};
  private readonly patching: PlannedPatching;
  private readonly strings: readonly DonorString[];
  private readonly task: string;
  private readonly others: readonly { readonly task: string; readonly item: string }[];

  constructor(
    private readonly plan: Plan,
    private readonly about: PatchedAbout,
    private readonly sources: PatchSources,
  ) {
    this.patching = plan.patching as PlannedPatching;
    this.strings = sources.strings.of(about);
    this.task = about.task.definition.name;
    this.others = plan.tasks
      .filter(({ definition }) => definition.name !== this.task)
      .flatMap((other) =>
        donorItems(other, this.patching).heldOut.map(({ id }) => ({ task: other.definition.name, item: id })),
      );
  }

  groups(): PatchQuestion[][] {
    const { heldOut } = donorItems(this.about.task, this.patching);
    return heldOut.flatMap((item) => {
      const own = this.strings.find((one) => one.item === item.id);
      if (!own) {
        this.leave("it shows no value by itself");
        return [];
      }
      return this.ofString(item, own);
    });
  }

  private leave(reason: string): void {
    this.leftOut[reason] = (this.leftOut[reason] ?? 0) + 1;
  }

  private ofString(item: TaskItem, own: DonorString): PatchQuestion[][] {
    const { state, property } = this.about;
    const { vectors, recipients, sites } = this.sources;
    const asked = {
      object_level: behaviorAtTemperatureOne(this.plan, state, this.about.task, item, property),
      hypothetical: predictionAtTemperatureOne(this.plan, state, this.about.task, item, property),
    };
    const recipient = recipients
      .get(state)
      ?.find(({ meta }) => meta.task === this.task && meta.item === item.id && meta.property === property);
    const donor = vectors.prompt(state, this.task, item.id);
    const { declared = [], last } = sites.get(state) ?? {};
    if (!recipient || !donor || !last) {
      this.leave("its prompts were not found");
      return [];
    }
    const lengths = { object_level: donor.tokenIds.length, hypothetical: recipient.meta.tokenIds.length };
    const row = (side: AskedSide, kind: PatchKind, at: WrittenAt | undefined, more: Written): PatchQuestion => {
      const {
        key,
        side: _,
        state: __,
        task: ___,
        item: ____,
        property: _____,
        ...rest
      } = asked[side] as CalibrationQuestion;
      const { write, ...named } = more;
      const place = [side, state, this.task, item.id, property, kind];
      const where = at ? [`${siteName(at.site)}@${at.span}`, String(named.number ?? 0)] : [];
      const own_ = { side, state, task: this.task, item: item.id, property, kind, own: own.value };
      return {
        key: [...place, ...where].join("/"),
        ...own_,
        ...(at ? { site: siteName(at.site), span: at.span } : {}),
        ...named,
        asked: rest,
        seedKey: at ? [...place, ...where].join("/") : key,
        promptTokens: lengths[side],
        ...(write ? { write } : {}),
      };
    };
    const none = (["object_level", "hypothetical"] as const).map((side) => row(side, "none", undefined, {}));
    const name = `patching/${this.plan.seed}/${state}/${this.task}/${property}`;
    const chosen = chooseDonors(own, this.strings, { count: this.patching.donors, name });
    for (const why of Object.values(chosen.lacking)) this.leave(why);
    const places = [
      ...this.patching.spans.flatMap((span) => declared.map((site) => ({ site, span }))),
      // What stands beside all of them.
      { site: last, span: "last_prompt_token" },
    ].filter(
      ({ site, span }, at, all) =>
        at === all.findIndex((one) => siteName(one.site) === siteName(site) && one.span === span),
    );
    const written = places.map(({ site, span }): PatchQuestion[] => {
      const tokens = {
        object_level: donor.spans[donorSpan(span)] ?? (span === "last_prompt_token" ? [lengths.object_level - 1] : []),
        hypothetical: recipient.meta.spans[span] ?? (span === "last_prompt_token" ? [lengths.hypothetical - 1] : []),
      };
      if (tokens.object_level.length === 0 || tokens.hypothetical.length === 0) {
        this.leave(`the span ${span} has no tokens in its prompts`);
        return [];
      }
      return this.at({ site, span, tokens }, own, chosen, name).map(({ side, kind, ...more }) =>
        row(side, kind, { site, span, tokens }, more),
      );
    });
    return inGroups([...none, ...written.flat()]);
  }

  /** All that is written at one place of a string. */
  private at(at: WrittenAt, own: DonorString, chosen: ChosenDonors, name: string): WrittenAtSide[] {
    const rows: WrittenAtSide[] = [];
    rows.push(...this.donorsAt(at, own, chosen));
    for (const [index, groups] of chosen.steered.entries()) {
      rows.push(...this.steeredAt(at, own, groups, chosen.counter[index], { number: index, name }));
    }
    for (const state of this.patching.states) rows.push(...this.changedAt(at, own, state));
    return rows;
  }

  private stateOf(item: string, { site, span }: WrittenAt, state = this.about.state, task = this.task) {
    return this.sources.vectors.of(state, task, item, siteName(site), donorSpan(span));
  }

  private donorsAt(at: WrittenAt, own: DonorString, { other, same }: ChosenDonors): WrittenAtSide[] {
    const side = "hypothetical" as const;
    const write = (task: string, item: string) => (): Intervention[] => {
      const [theirs, ours] = [this.stateOf(item, at, this.about.state, task), this.stateOf(own.item, at)];
      if (!theirs || !ours) return [];
      const isState = this.patching.write === "state";
      return [added(at, side, isState ? theirs : vectorDifference(theirs, ours), isState ? "replace" : "add")];
    };
    const has = (task: string, item: string) => this.stateOf(item, at, this.about.state, task) !== undefined;
    const named = (donors: readonly DonorString[]) => donors.filter(({ item }) => has(this.task, item));
    const elsewhere = this.others.filter(({ task, item }) => has(task, item));
    const first = elsewhere[(this.strings.indexOf(own) * 7) % Math.max(1, elsewhere.length)];
    return [
      ...named(other).map(
        (donor, number): WrittenAtSide => ({
          side,
          kind: "other",
          number,
          donor: donor.item,
          toward: donor.value,
          ...(donor.says === undefined ? {} : { donorSays: donor.says }),
          write: write(this.task, donor.item),
        }),
      ),
      ...named(same).map(
        (donor, number): WrittenAtSide => ({
          side,
          kind: "same",
          number,
          donor: donor.item,
          toward: donor.value,
          write: write(this.task, donor.item),
        }),
      ),
      ...(first && other[0]
        ? [
            {
              side,
              kind: "other_task" as const,
              number: 0,
              donor: `${first.task}/${first.item}`,
              toward: other[0].value,
              write: write(first.task, first.item),
            },
          ]
        : []),
    ];
  }

  private steeredAt(
    at: WrittenAt,
    own: DonorString,
    groups: SteeringGroups,
    elsewhere: SteeringGroups | undefined,
    { number, name }: { readonly number: number; readonly name: string },
  ): WrittenAtSide[] {
    const made = ({ toward, from }: SteeringGroups) => {
      const [one, other] = [toward, from].map((strings) =>
        this.sources.vectors.mean(this.about.state, this.task, strings, siteName(at.site), donorSpan(at.span)),
      );
      return one && other ? vectorDifference(one, other) : undefined;
    };
    const steering = made(groups);
    const counter = elsewhere && made(elsewhere);
    if (!steering) return [];
    const strength = this.patching.strength;
    const length = lengthOfVector(steering) * strength;
    const vector = scaledToLength(steering, length);
    const about = { number, toward: groups.value };
    const both = (kind: PatchKind, make: () => Float32Array): WrittenAtSide[] =>
      (["object_level", "hypothetical"] as const).map((side) => ({
        side,
        kind,
        ...about,
        write: () => [added(at, side, make())],
      }));
    const [place] = at.tokens.hypothetical.slice(-1);
    const shifted = shiftedToken(at.tokens.hypothetical, `${name}/shifted/${own.item}/${number}`);
    return [
      ...both("steered", () => vector),
      ...(counter ? both("counter", () => scaledToLength(counter, length)) : []),
      {
        side: "hypothetical",
        kind: "random",
        ...about,
        write: () => [
          added(
            at,
            "hypothetical",
            randomVector(vector.length, length, `${name}/random/${own.item}/${siteName(at.site)}/${at.span}/${number}`),
          ),
        ],
      },
      ...(shifted === undefined || place === undefined
        ? []
        : [
            {
              side: "hypothetical" as const,
              kind: "shifted" as const,
              ...about,
              write: () => [
                added({ ...at, tokens: { ...at.tokens, hypothetical: [shifted] } }, "hypothetical", vector),
              ],
            },
          ]),
    ];
  }

  /** What another state has there on the same string, less what this one has; beside it the same of a string that it changes otherwise. */
  private changedAt(at: WrittenAt, own: DonorString, state: string): WrittenAtSide[] {
    const { property } = this.about;
    const valueThere = (item: string) => this.sources.strings.valueOf(state, this.task, item, property);
    const toward = valueThere(own.item);
    if (toward === undefined || toward === own.value) return [];
    const changeOf = (item: string) => {
      const [theirs, ours] = [this.stateOf(item, at, state), this.stateOf(item, at)];
      return theirs && ours ? vectorDifference(theirs, ours) : undefined;
    };
    const change = changeOf(own.item);
    if (!change) return [];
    const length = lengthOfVector(change);
    const elsewhere = this.strings.find(({ item, cluster }) => {
      const there = valueThere(item);
      return cluster !== own.cluster && there !== undefined && there !== toward && changeOf(item) !== undefined;
    });
    const other = elsewhere && changeOf(elsewhere.item);
    const both = (kind: PatchKind, donor: string, vector: Float32Array): WrittenAtSide[] =>
      (["object_level", "hypothetical"] as const).map((side) => ({
        side,
        kind,
        number: this.patching.states.indexOf(state),
        donor,
        toward,
        write: () => [added(at, side, vector)],
      }));
    return [
      ...both("changed", own.item, change),
      ...(other && elsewhere ? both("changed_counter", elsewhere.item, scaledToLength(other, length)) : []),
    ];
  }
}

type Written = Pick<PatchedPlace, "number" | "donor" | "toward" | "donorSays"> & Pick<PatchQuestion, "write">;
type WrittenAtSide = Written & { readonly side: AskedSide; readonly kind: PatchKind };

function added(
  { site, tokens }: WrittenAt,
  side: AskedSide,
  values: Float32Array,
  operation: "add" | "replace" = "add",
): Intervention {
  return { site, tokens: tokens[side], operation, values };
}
