/**
 * Answers that were given before are not asked again, where asking would give the very same: what a number can depend on is in the key.
 * Only what a study or a file asks goes through here. What measures the machine (the noise floor, `verify`) is really asked.
 */

import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { hashOf } from "../base/files.js";
import { INWARD_VERSION } from "../base/version.js";
import type { ChatFormat } from "../model/chat/format.js";
import { hashTokens } from "../model/engines/engine.js";
import { type Intervened, interventionKey } from "../model/interventions.js";
import type {
  AskCost,
  AskOptions,
  AskRequest,
  ContinuationScore,
  LanguageModel,
  RenderedPrompt,
  ScoreOptions,
  ScoreRequest,
} from "../model/language-model.js";
import { findAddon } from "../model/native/addon.js";
import { builtScript } from "../model/worker-process.js";
import type { EngineManifest } from "../study/plan.js";
import type { Reply } from "../tasks/answer.js";
import { answerFolder, AnswerStore, type StoreFaults } from "./answer-store.js";

/** What a model is, beside what its engine says of itself. */
export interface AskedModel {
  /** sha256 of the file that is evaluated, of all its parts. */
  readonly sha256: string;
  /** Absent: the file's own. */
  readonly chat?: ChatFormat;
}

// What a number depends on: one way of evaluating, and one prompt with its settings.

/** Of records and of what a key is made of. Another number makes every older answer another's. */
const FORMAT = 1;

/** Variables that the libraries underneath read: what they change is in no manifest. */
const READ_BY_LIBRARIES = /^(GGML|LLAMA|OPENBLAS|GOTO|MKL|BLIS|OMP|KMP|GOMP|VECLIB)_/;

/** What all answers of one store depend on: whole objects, so that what they gain later is in the key without anybody's help. */
export function evaluationOf(
  { manifest, facts }: Pick<LanguageModel, "manifest" | "facts">,
  model: AskedModel,
  code: string,
  env: NodeJS.ProcessEnv = process.env,
): unknown {
  const { vocabularySize, contextTokens } = facts;
  const read = Object.entries(env).filter(([name]) => READ_BY_LIBRARIES.test(name));
  return {
    format: FORMAT,
    inward: INWARD_VERSION,
    code,
    model,
    manifest,
    facts: { vocabularySize, contextTokens },
    environment: Object.fromEntries(read),
  };
}

/**
 * Whether a reply is a function of its own prompt and settings, whoever is asked beside it. Elsewhere it is one of its whole group,
 * in its order: sums are cut as the group's batches are.
 */
export function answersAlone({ engine, forward, strict, invariant }: EngineManifest): boolean {
  return engine === "native" && (forward === "own" || strict || invariant === true);
}

/** Drivers of GPUs bring kernels of their own, and no manifest names their release. */
function isKept({ device }: EngineManifest): boolean {
  return device === "cpu";
}

/** The request itself, its prompt as the model reads it. `shares` only says who is asked one after the other. */
export function askKey(
  { messages: _, thinking: __, shares: ___, ...settings }: AskRequest,
  prompt: RenderedPrompt,
): string {
  return hashOf({ ask: withKeyOf(settings), ...promptKey(prompt) });
}

/** What stands before a `written` continuation is found with the conversation: the messages are in the key beside their tokens. */
export function scoreKey(request: ScoreRequest, prompt: RenderedPrompt): string {
  return hashOf({ score: withKeyOf(request), ...promptKey(prompt) });
}

function withKeyOf<Request extends Intervened>({ interventions, ...rest }: Request): unknown {
  return interventions === undefined ? rest : { ...rest, interventions: interventionKey(interventions) };
}

/** llama.cpp evaluates a group with interventions in pieces, and such a group's other answers too: on some processors other bits. */
function isInPieces(requests: readonly Intervened[], { forward }: EngineManifest): boolean {
  return forward !== "own" && requests.some(({ interventions = [] }) => interventions.length > 0);
}

function promptKey({ tokenIds, opened }: RenderedPrompt): Record<string, unknown> {
  return { tokenIds, opened: opened ?? null };
}

/** A group's own key makes every member's: the group in its order, and which neighbours share a beginning. */
function inGroup(keys: readonly string[], shares: readonly (string | undefined)[]): string[] {
  const joined = shares.map((one, at) => at > 0 && one !== undefined && one === shares[at - 1]);
  const group = hashOf({ group: keys, joined });
  return keys.map((key, at) => hashOf({ group, at, key }));
}

/** sha256 of the programs that make a reply of a prompt: our own scripts, and the addon where it evaluates. */
async function programsOf({ engine }: Pick<EngineManifest, "engine">): Promise<string> {
  const root = dirname(builtScript("../errors.js", import.meta.url));
  const hash = createHash("sha256");
  for (const room of ROOMS) {
    const names = readdirSync(join(root, room), { recursive: true, encoding: "utf8" });
    for (const name of names.filter((one) => one.endsWith(".js")).sort())
      hash.update(`${room}/${name}\n`).update(readFileSync(join(root, room, name)));
  }
  if (engine === "native") hash.update(readFileSync((await findAddon()).path));
  return hash.digest("hex");
}

/** Whose scripts make tokens of a prompt, and a reply of tokens. */
const ROOMS = ["base", "gguf", "tasks", "model"] as const;

// Whether what was kept is what its key asks for: more than its checksum says.

function isReplyTo(value: unknown, request: AskRequest, { tokenIds, opened }: RenderedPrompt): value is Reply {
  const reply = value as Partial<Reply> | null;
  if (reply === null || typeof reply !== "object" || typeof reply.text !== "string") return false;
  const { logprobs, margins, first, positions } = reply;
  const made = reply.tokenIds?.length ?? 0;
  return (
    reply.promptSha256 === hashTokens(tokenIds) &&
    reply.promptTokens === tokenIds.length &&
    reply.opened === opened &&
    made > 0 &&
    made <= request.maxTokens + 1 &&
    logprobs?.length === made &&
    logprobs.every(Number.isFinite) &&
    margins?.length === (request.temperature === 0 ? made : 0) &&
    first !== undefined &&
    first.tokenIds.length === Math.min(request.topTokens, first.vocabularySize) &&
    positions?.length === (request.positions === undefined ? undefined : made) &&
    (positions ?? []).every(
      (one) =>
        one.tokenIds?.length === Math.min(request.positions as number, first.vocabularySize) &&
        one.logprobs?.length === one.tokenIds.length &&
        one.texts?.length === one.tokenIds.length,
    )
  );
}

function areScoresOf(value: unknown, { continuations }: ScoreRequest): value is ContinuationScore[] {
  return (
    Array.isArray(value) &&
    value.length === continuations.length &&
    (value as Partial<ContinuationScore>[]).every(
      (one) =>
        typeof one?.endOfTurnLogprob === "number" &&
        one.logprobs !== undefined &&
        one.logprobs.length === one.tokenIds?.length,
    )
  );
}

// What came from there, for manifests and reports.

/** Answers that were not asked: replies, and prompts whose continuations were scored. */
export interface FromCache {
  readonly answers: number;
  /** When the oldest and the newest of them were asked, ISO 8601. The inward that asked them is this one: its release is in the key. */
  readonly oldest: string;
  readonly newest: string;
}

/** @returns undefined where nothing came from there */
export function together(parts: readonly (FromCache | undefined)[]): FromCache | undefined {
  const some = parts.filter((one) => one !== undefined);
  if (some.length === 0) return undefined;
  const sorted = (times: readonly string[]) => times.toSorted();
  return {
    answers: some.reduce((sum, { answers }) => sum + answers, 0),
    oldest: sorted(some.map(({ oldest }) => oldest))[0] as string,
    newest: sorted(some.map(({ newest }) => newest)).at(-1) as string,
  };
}

/** Which answers of the group that is being asked were not asked. A group that is asked again takes the place of its first attempt. */
class Ledger {
  private readonly served = new Map<string, FromCache>();

  /** @param known [keys] those that are there */
  add(keys: readonly string[], known: readonly (Pick<Known<unknown>, "asked"> | undefined)[]): void {
    for (const key of new Set(keys)) {
      const times = known.flatMap((one, at) => (one !== undefined && keys[at] === key ? [one.asked] : [])).sort();
      const [oldest, newest] = [times[0], times.at(-1)];
      if (oldest === undefined || newest === undefined) this.served.delete(key);
      else this.served.set(key, { answers: times.length, oldest, newest });
    }
  }

  take(): FromCache | undefined {
    const all = together([...this.served.values()]);
    this.served.clear();
    return all;
  }
}

/** The cache of one process. */
export class AnswerCache {
  private readonly stores = new Map<string, Promise<AnswerStore>>();
  private readonly codes = new Map<string, Promise<string>>();
  private readonly ledger = new Ledger();
  private last: { readonly store: AnswerStore; readonly alone: boolean } | undefined;

  private constructor(private readonly folder: string) {}

  /** @param wanted what a study or an option says @returns undefined where nothing is to be kept */
  static open(wanted = true, env: NodeJS.ProcessEnv = process.env): AnswerCache | undefined {
    const folder = answerFolder(env);
    return wanted && folder !== undefined ? new AnswerCache(folder) : undefined;
  }

  /** The same model, asked only what nobody has asked it before. One that cannot be kept is given back as it is. */
  async before(model: LanguageModel, asked: AskedModel): Promise<LanguageModel> {
    this.last = undefined;
    if (!isKept(model.manifest)) return model;
    const { engine } = model.manifest;
    const code = this.codes.get(engine) ?? programsOf(model.manifest);
    this.codes.set(engine, code);
    const evaluation = evaluationOf(model, asked, await code);
    const key = hashOf(evaluation);
    const store = this.stores.get(key) ?? AnswerStore.open(this.folder, evaluation);
    this.stores.set(key, store);
    this.last = { store: await store, alone: answersAlone(model.manifest) };
    return withStore(model, this.last.store, this.ledger);
  }

  /** Whether each reply of the model that is asked is kept as soon as it is there, and not only with its whole group. */
  get keepsEachReply(): boolean {
    return this.last?.alone === true && this.last.store.faults.unwritable === undefined;
  }

  /** What was not asked since this was last called. */
  takeServed(): FromCache | undefined {
    return this.ledger.take();
  }

  /** What was met so far that cannot be believed, or written; nothing where all is well. */
  async faults(): Promise<StoreFaults | undefined> {
    const all = (await Promise.all(this.stores.values())).map(({ faults }) => faults);
    const sum = { torn: 0, refused: 0 };
    for (const { torn, refused } of all) {
      sum.torn += torn;
      sum.refused += refused;
    }
    const unwritable = all.find((one) => one.unwritable !== undefined)?.unwritable;
    if (sum.torn === 0 && sum.refused === 0 && unwritable === undefined) return undefined;
    return { ...sum, ...(unwritable === undefined ? {} : { unwritable }) };
  }
}

function withStore(model: LanguageModel, store: AnswerStore, ledger: Ledger): LanguageModel {
  const alone = answersAlone(model.manifest);
  const ask = async (requests: readonly AskRequest[], options: AskOptions = {}): Promise<Reply[]> => {
    // Another batch composition than the engine's own is another evaluation.
    if (options.sequences !== undefined || isInPieces(requests, model.manifest)) return model.ask(requests, options);
    const prompts = await Promise.all(requests.map(({ messages, thinking }) => model.render(messages, { thinking })));
    const own = requests.map((request, at) => askKey(request, prompts[at] as RenderedPrompt));
    const shares = requests.map((request) => request.shares);
    const group = new KeptGroup<Reply>(store, alone ? own : inGroup(own, shares), alone, (value, at) =>
      isReplyTo(value, requests[at] as AskRequest, prompts[at] as RenderedPrompt),
    );
    ledger.add(group.keys, group.known);
    group.known.forEach((one, at) => {
      if (one) options.onReply?.(at, one.value);
    });
    if (group.missing.length === 0) return group.with([]);
    let cost: AskCost | undefined;
    const fresh = await model.ask(ofGroup(requests, group), {
      ...options,
      onReply: (place, reply) => {
        // One that depends on nobody else is worth keeping at once: the rest of its group may never come.
        if (alone) group.keep(place, reply);
        options.onReply?.(group.missing[place] as number, reply);
      },
      onCost: (counted) => {
        cost = counted;
        options.onCost?.(counted);
      },
    });
    // With fewer cells than it wanted, for want of memory, the group was cut otherwise than it will be with more.
    if (!alone && (cost === undefined || cost.cells >= cost.wantedCells)) group.keepAll(fresh);
    return group.with(fresh);
  };
  const score = async (requests: readonly ScoreRequest[], options?: ScoreOptions): Promise<ContinuationScore[][]> => {
    // Nothing says how many cells a group of scores had: those that depend on their company are not kept.
    if (!alone || isInPieces(requests, model.manifest)) return model.score(requests, options);
    const prompts = await Promise.all(requests.map(({ messages }) => model.render(messages)));
    const keys = requests.map((request, at) => scoreKey(request, prompts[at] as RenderedPrompt));
    const group = new KeptGroup<ContinuationScore[]>(store, keys, alone, (value, at) =>
      areScoresOf(value, requests[at] as ScoreRequest),
    );
    ledger.add(group.keys, group.known);
    if (group.missing.length === 0) return group.with([]);
    const fresh = await model.score(ofGroup(requests, group), options);
    group.keepAll(fresh);
    return group.with(fresh);
  };
  return { ...model, ask, score };
}

function ofGroup<Request>(requests: readonly Request[], { missing }: Pick<KeptGroup<unknown>, "missing">): Request[] {
  return missing.map((at) => requests[at] as Request);
}

interface Known<Value> {
  readonly value: Value;
  /** ISO 8601. */
  readonly asked: string;
}

/** What of one group is there already, and what is not. */
class KeptGroup<Value> {
  /** [keys] Of answers that depend on each other all are there, or none. */
  readonly known: readonly (Known<Value> | undefined)[];
  /** Places in the group that have to be asked. */
  readonly missing: readonly number[];
  private readonly asked = new Date().toISOString();

  constructor(
    private readonly store: AnswerStore,
    readonly keys: readonly string[],
    alone: boolean,
    private readonly accept: (value: unknown, at: number) => boolean,
  ) {
    store.look();
    const found = keys.map((key, at) => store.get(key, (value) => accept(value, at)) as Known<Value> | undefined);
    this.known = alone || found.every((one) => one !== undefined) ? found : keys.map(() => undefined);
    this.missing = this.known.flatMap((one, at) => (one === undefined ? [at] : []));
  }

  /** @param place among those that were missing */
  keep(place: number, value: Value): void {
    const at = this.missing[place] as number;
    // What would be refused when it is read is no use to anybody.
    if (this.accept(value, at)) this.store.put(this.keys[at] as string, value, this.asked);
  }

  keepAll(fresh: readonly Value[]): void {
    for (const [place, value] of fresh.entries()) this.keep(place, value);
  }

  /** @param fresh answers of those that were missing @returns of the whole group */
  with(fresh: readonly Value[]): Value[] {
    let next = 0;
    return this.known.map((one) => one?.value ?? (fresh[next++] as Value));
  }
}
