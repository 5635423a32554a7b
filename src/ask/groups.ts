/** Asks the questions of one stage, group by group, and keeps what is finished whatever happens to the rest. Measuring is asking too. */

import type { z } from "zod";
import { readJsonLines } from "../base/files.js";
import { GrownFile } from "../base/grown-file.js";
import { medianOf } from "../base/median.js";
import { InwardError } from "../errors.js";
import type { AskCost, AskRequest, LanguageModel } from "../model/language-model.js";
import { type Answer, answerSchema, type RecordedReply, type Reply, type SetAsideReason } from "../tasks/answer.js";
import { longestOption, scoreOptions } from "./option-scores.js";
import { plainMessages } from "./plain-question.js";
import { type Question, type StoredTokens, toAnswer, toRequest } from "./questions.js";

// The append-only file of a stage that asks: answers, or distributions of them. Work is in groups that the plan fixes; a group's lines are appended in one write
// when all its replies are there, so that what an interruption leaves is a whole number of groups and perhaps a torn line.

/** A line's place in the plan. */
export interface Placed {
  readonly state: string;
  readonly key: string;
}

export class AnswerShard<Row extends Placed = Answer> {
  private constructor(
    private readonly file: GrownFile,
    /** Groups that are finished, the first ones of the plan's order. */
    readonly groupsDone: number,
  ) {}

  /**
   * Opens the shard and cuts off what does not make up whole groups.
   * @param groups state and key of each line, by group, in the plan's order
   * @param schema what each line must be
   * @throws STORE_CORRUPT when a complete line is no record, or not the one that the plan has at its place
   */
  static async open<Row extends Placed = Answer>(
    path: string,
    groups: readonly (readonly Placed[])[],
    schema?: z.ZodType,
  ): Promise<AnswerShard<Row>> {
    // Of a line its place alone is held in memory.
    const place = ({ state, key }: Placed): Placed => ({ state, key });
    const { rows, ends } = await readJsonLines<Placed>(path, schema, undefined, place);
    const expected = groups.flat();
    const strayAt = rows.findIndex((row, at) => row.key !== expected[at]?.key || row.state !== expected[at]?.state);
    if (strayAt >= 0) {
      throw new InwardError(
        "STORE_CORRUPT",
        `${path}, line ${strayAt + 1}: the plan has ${expected[strayAt]?.key ?? "nothing"} there, the file ${rows[strayAt]?.key}.`,
      );
    }
    let groupsDone = 0;
    let lines = 0;
    for (const group of groups) {
      if (lines + group.length > rows.length) break;
      lines += group.length;
      groupsDone++;
    }
    return new AnswerShard<Row>(await GrownFile.open(path, ends.slice(0, lines)), groupsDone);
  }

  /** @throws STORE_DISK_FULL, STORE_UNWRITABLE; the torn end is cut off at the next opening · STORE_CORRUPT somebody else has written to it */
  append(answers: readonly Row[]): Promise<void> {
    return this.file.append(answers.map((answer) => `${JSON.stringify(answer)}\n`).join(""), { synced: true });
  }

  /** @throws STORE_CORRUPT somebody else has written to it */
  close(): Promise<void> {
    return this.file.close();
  }
}

// Cuts the questions of a stage into the groups that are asked as one unit. A function of the plan alone.

/**
 * One state per group; questions about one string are never parted unless they alone exceed the limit.
 * @param most questions in a group
 */
export function cutGroups(questions: readonly Question[], most: number): Question[][] {
  const groups: Question[][] = [];
  let group: Question[] = [];
  for (let start = 0; start < questions.length; ) {
    const first = questions[start] as Question;
    let end = start;
    while (end < questions.length && end - start < most && isSameString(questions[end] as Question, first)) end++;
    const fits = group.length + (end - start) <= most && (group.length === 0 || group[0]?.state === first.state);
    if (!fits) {
      groups.push(group);
      group = [];
    }
    group.push(...questions.slice(start, end));
    start = end;
  }
  if (group.length > 0) groups.push(group);
  return groups;
}

export function isSameString(a: Question, b: Question): boolean {
  return a.state === b.state && a.task === b.task && a.item === b.item && a.variant === b.variant;
}

// How a stage goes through its groups: what stands in its file is kept, what is left is checked whole before any of it is asked.

/** A group that is finished. */
export interface FinishedGroup<Asked, Row> {
  readonly questions: readonly Asked[];
  readonly rows: readonly Row[];
  readonly wallSeconds: number;
  /** Absent when the engine does not count, or after crashes. */
  readonly cost?: AskCost;
  /** What scoring its options took beside; absent as `cost` is, and where it has none. */
  readonly scoringCost?: AskCost;
}

interface AskGroupsOptions<Asked extends Placed, Row extends Placed> {
  readonly path: string;
  readonly asker: GroupAsker<Asked, Row>;
  /** Number of the first group where these are a part of a stage's; 0 when absent. */
  readonly from?: number;
  /** Aborting it ends the work when the group under way is finished. */
  readonly soon?: AbortSignal;
  /** Before the first question that is not answered yet; not called when all are. */
  readonly onBegin?: () => Promise<void>;
  readonly onProgress?: (done: number, total: number) => void;
  /** A group has its rows, which are not written yet. @param at number of the group in its stage, from 0 */
  readonly onRows?: (at: number, group: readonly Asked[]) => Promise<void>;
  /** For the event log. */
  readonly onGroup?: (group: FinishedGroup<Asked, Row>) => void;
  /** Whether the answers of a group that was interrupted are kept elsewhere, so that none is asked again. */
  readonly keepsEach?: () => boolean;
}

/**
 * @param groups each for one state, at least one question
 * @throws ENGINE_*, CHAT_*, STORE_*, INTERRUPTED
 */
export async function askGroups<Asked extends Placed, Row extends Placed>(
  groups: readonly (readonly Asked[])[],
  { path, asker, from = 0, soon, onBegin, onProgress, onRows, onGroup, keepsEach }: AskGroupsOptions<Asked, Row>,
): Promise<void> {
  const total = groups.flat().length;
  const shard = await AnswerShard.open<Row>(path, groups, asker.rowSchema);
  let done = groups.slice(0, shard.groupsDone).flat().length;
  let underWay = 0;
  onProgress?.(done, total);
  try {
    const waiting = groups.slice(shard.groupsDone);
    if (waiting.length > 0) await onBegin?.();
    // A question that cannot be asked must be known before hours are spent on the others.
    for (const group of waiting) await asker.check(group);
    for (const [at, group] of waiting.entries()) {
      if (soon?.aborted) throw new InwardError("INTERRUPTED", "Asking was stopped between two groups.");
      const begun = performance.now();
      let [cost, scoringCost]: (AskCost | undefined)[] = [];
      const rows = await asker.ask(group, {
        onAnswered: (count) => {
          underWay = count;
          onProgress?.(done + count, total);
        },
        onCost: (counted) => {
          cost = counted;
        },
        onScoringCost: (counted) => {
          scoringCost = counted;
        },
      });
      await onRows?.(from + shard.groupsDone + at, group);
      await shard.append(rows);
      done += group.length;
      underWay = 0;
      const wallSeconds = (performance.now() - begun) / 1000;
      onGroup?.({ questions: group, rows, wallSeconds, cost, ...(scoringCost ? { scoringCost } : {}) });
    }
  } catch (error) {
    throw sayWhatIsKept(error, { kept: done, underWay, total, keepsEach: keepsEach?.() === true });
  } finally {
    await shard.close();
  }
}

interface Interrupted {
  readonly kept: number;
  readonly underWay: number;
  readonly total: number;
  readonly keepsEach: boolean;
}

/** A stage's file holds whole groups: of the one that was under way, answers are kept in the answer cache or not at all. */
function sayWhatIsKept(error: unknown, { kept, underWay, total, keepsEach }: Interrupted): unknown {
  if (!(error instanceof InwardError) || error.code !== "INTERRUPTED") return error;
  const fate = keepsEach ? "are in the answer cache" : "will be asked again";
  const rest = underWay === 0 ? "" : `; the ${underWay} answered in the group under way ${fate}`;
  return new InwardError("INTERRUPTED", `${error.message} ${kept} of ${total} questions are kept${rest}.`, {
    cause: error,
  });
}

// How long an engine may say nothing. One that hangs would be waited for for ever.

/** Far beyond the slowest reply that is still worth waiting for. */
const DEFAULT_SECONDS = 1800;
/** Silence is counted in parts of the limit: after a machine's or a process's sleep one part is over, not all of them. */
const PARTS = 10;
/** A longer timer would fire at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** @returns seconds without a reply after which an engine is ended; 0: never @throws USAGE */
export function stallLimitSeconds(env: NodeJS.ProcessEnv = process.env): number {
  const given = env.INWARD_STALL_SECONDS;
  const seconds = given === undefined || given.trim() === "" ? DEFAULT_SECONDS : Number(given);
  if (Number.isFinite(seconds) && seconds >= 0) return seconds;
  throw new InwardError("USAGE", `INWARD_STALL_SECONDS is "${given}"; it must be a number of seconds, 0 for no limit.`);
}

/**
 * @param work calls `heard` whenever the engine says something
 * @throws ENGINE_CRASHED after the limit without a word; the work itself goes on until its engine is ended
 */
async function unlessSilent<Result>(
  limitSeconds: number,
  work: (heard: () => void) => Promise<Result>,
): Promise<Result> {
  if (limitSeconds === 0) return work(() => {});
  let silentParts = 0;
  let timer: NodeJS.Timeout | undefined;
  const silence = new Promise<never>((_, reject) => {
    const partMs = Math.min((1000 * limitSeconds) / PARTS, LONGEST_TIMER_MS);
    timer = setInterval(() => {
      if (++silentParts === PARTS) reject(new InwardError("ENGINE_CRASHED", stalled(limitSeconds)));
    }, partMs);
  });
  try {
    const working = work(() => {
      silentParts = 0;
    });
    return await Promise.race([working, silence]);
  } finally {
    clearInterval(timer);
  }
}

function stalled(limitSeconds: number): string {
  return `The engine gave no reply for ${limitSeconds} s and was ended (INWARD_STALL_SECONDS sets another limit, 0 none).`;
}

// Asks groups and outlives the engine's crashes. A group that crashed is asked again whole in a new worker: after a crash that
// was none of its own (such as the system's killer of processes) it gives the bytes of an undisturbed run. One that crashes again
// is asked question by question, each alone; the question that crashes even so is set aside, and the others have their replies.

/** A group is asked so often as a whole; its questions once more, alone. */
const WHOLE_ATTEMPTS = 2;

/** What is there to be heard while a group is asked. */
export interface AskingHooks {
  /** The engine has said something. */
  readonly heard: () => void;
  /** One more of the group has its row. */
  readonly onAnswered: () => void;
  readonly onCost?: (cost: AskCost) => void;
  /** Of the options that are scored beside. */
  readonly onScoringCost?: (cost: AskCost) => void;
  readonly signal?: AbortSignal;
}

/** All that the kinds of questions do differently: those that are answered, and those that are measured. */
export interface QuestionKind<Asked extends Placed, Row extends Placed> {
  /** Of the lines that they become. */
  readonly rowSchema: z.ZodType;
  /** Each has one reply, and that is its row. */
  readonly isReplies?: true;
  /** Throws before anything is asked when a question cannot be. */
  readonly check: (model: LanguageModel, group: readonly Asked[]) => Promise<unknown>;
  /** @returns a row for each question, in their order */
  readonly ask: (model: LanguageModel, group: readonly Asked[], hooks: AskingHooks) => Promise<readonly Row[]>;
  /** The row of a question that has none of its own. */
  readonly setAside: (question: Asked, reason: SetAsideReason) => Row;
  /** The row of a question that others were answered; absent where nobody else can have. */
  readonly recorded?: (question: Asked, said: RecordedReply | SetAsideReason) => Row;
  /** The same work on next to nothing, in the place of this question: an engine that crashes even so is broken. */
  readonly askPlain: (model: LanguageModel, question: Asked, hooks: AskingHooks) => Promise<unknown>;
}

/**
 * Questions that are answered.
 * @param sequences at once, instead of the engine's own number
 */
export function answeredQuestions(stored: StoredTokens, sequences?: number): QuestionKind<Question, Answer> {
  const ask: QuestionKind<Question, Answer>["ask"] = async (model, group, hooks) => {
    const { heard, onAnswered, onCost, onScoringCost, signal } = hooks;
    const onReply = () => {
      heard();
      onAnswered();
    };
    const requests = group.map((question) => toRequest(question, stored));
    const replies = await model.ask(requests, { onReply, onCost, sequences, signal });
    const scored = await scoreOptions(
      model,
      group.flatMap(({ options }) => options ?? []),
      { onScored: heard, onCost: onScoringCost, signal },
    );
    let next = 0;
    return group.map((question, index) => {
      const reply = replies[index] as Reply;
      return toAnswer(question, question.options === undefined ? reply : { ...reply, options: scored[next++] });
    });
  };
  return {
    rowSchema: answerSchema,
    isReplies: true,
    check: (model, group) =>
      model.check([...group.map((question) => toRequest(question, stored)), ...optionChecks(group)]),
    ask,
    setAside: toAnswer,
    recorded: toAnswer,
    askPlain: (model, question, hooks) => {
      const messages = plainMessages(question.messages);
      const plain = {
        ...question,
        messages,
        maxTokens: 1,
        temperature: 0,
        seed: undefined,
        options: undefined,
      } as const;
      return ask(model, [plain], hooks);
    },
  };
}

/** Whether the longest option fits after each order of its string. */
function optionChecks(group: readonly Question[]): AskRequest[] {
  return group.flatMap(({ options }) =>
    options === undefined
      ? []
      : options.orders.map(
          ({ messages }): AskRequest => ({ messages, maxTokens: longestOption(options), temperature: 0, topTokens: 1 }),
        ),
  );
}

export interface GroupAskerOptions {
  /** Opens a state's model, closing the one before: one model in memory at a time. */
  readonly modelFor: (state: string) => Promise<LanguageModel>;
  /** Opens it anew after a crash; when it cannot, its error is the caller's. */
  readonly reopenModel: (state: string) => Promise<LanguageModel>;
  /** Seconds without a word after which an engine counts as crashed; 0: never. Default: INWARD_STALL_SECONDS, else 1800. */
  readonly stallSeconds?: number;
  readonly onCrash?: (crash: EngineCrash) => void;
  readonly onSetAside?: (question: Placed) => void;
  /** What others were answered to a question, so that no model is; undefined for one that is asked here. */
  readonly given?: (question: Placed) => RecordedReply | SetAsideReason | undefined;
  readonly signal?: AbortSignal;
}

/** For the event log. */
export interface EngineCrash {
  readonly state: string;
  /** From 1: the first two ask the group whole, the third its questions one by one. */
  readonly attempt: number;
  /** Questions that were being asked. */
  readonly questions: number;
  /** The only one that was. */
  readonly key?: string;
  /** With the last lines that the engine wrote. */
  readonly message: string;
}

interface GroupHooks {
  /** Rows there are so far; fewer than before when a crash made the group begin again. */
  readonly onAnswered?: (count: number) => void;
  /** Of a group that was asked whole, by an engine that counts. */
  readonly onCost?: (cost: AskCost) => void;
  readonly onScoringCost?: (cost: AskCost) => void;
}

export class GroupAsker<Asked extends Placed, Row extends Placed> {
  private readonly stallSeconds: number;
  /** Those that the engine crashed on before anything was asked, such as texts that its tokenizer cannot take. */
  private readonly unasked = new Set<Asked>();

  constructor(
    private readonly kind: QuestionKind<Asked, Row>,
    private readonly options: GroupAskerOptions,
  ) {
    this.stallSeconds = options.stallSeconds ?? stallLimitSeconds();
  }

  get rowSchema(): z.ZodType {
    return this.kind.rowSchema;
  }

  /**
   * Throws before anything is asked when a question cannot be. One that crashes the engine already here is set aside as one that
   * crashes it while it is answered: asking this very group again does not ask it.
   * @throws ENGINE_*, CHAT_*; ENGINE_CRASHED when the engine cannot be opened again or crashes on anything
   */
  async check(group: readonly Asked[]): Promise<void> {
    if (this.givenTo(group)) return;
    for (let attempt = 1; attempt <= WHOLE_ATTEMPTS; attempt++) {
      if (await this.unlessCrashed(group, attempt, (model) => this.checkWhole(model, group))) return;
    }
    for (const question of group) {
      const alone = [question];
      if (await this.unlessCrashed(alone, WHOLE_ATTEMPTS + 1, (model) => this.checkWhole(model, alone))) continue;
      await this.requireSoundEngine(question);
      this.options.onSetAside?.(question);
      this.unasked.add(question);
    }
  }

  private async checkWhole(model: LanguageModel, group: readonly Asked[]): Promise<true> {
    await unlessSilent(this.stallSeconds, () => this.kind.check(model, group));
    return true;
  }

  /**
   * @param group questions for one state, at least one
   * @returns rows in the group's order
   * @throws ENGINE_*, CHAT_*, INTERRUPTED; ENGINE_CRASHED when the engine cannot be opened again or crashes on anything
   */
  async ask(group: readonly Asked[], hooks: GroupHooks = {}): Promise<Row[]> {
    const given = this.givenTo(group);
    if (given) return given;
    const rows = await this.askSound(
      group.filter((question) => !this.unasked.has(question)),
      hooks,
    );
    let next = 0;
    return group.map((question) =>
      this.unasked.has(question) ? this.kind.setAside(question, "engine_crashed") : (rows[next++] as Row),
    );
  }

  /** A group is one state's, so that all of it is given or nothing. */
  private givenTo(group: readonly Asked[]): Row[] | undefined {
    const { given } = this.options;
    const { recorded } = this.kind;
    const [first] = group;
    if (!given || !recorded || !first || given(first) === undefined) return undefined;
    return group.map((question) => recorded(question, given(question) ?? "not_in_log"));
  }

  private async askSound(group: readonly Asked[], hooks: GroupHooks): Promise<Row[]> {
    if (group.length === 0) return [];
    for (let attempt = 1; attempt <= WHOLE_ATTEMPTS; attempt++) {
      const rows = await this.unlessCrashed(group, attempt, (model) => this.askWhole(model, group, hooks));
      if (rows) return [...rows];
    }
    const rows: Row[] = [];
    for (const question of group) {
      const alone = [question];
      const own = await this.unlessCrashed(alone, WHOLE_ATTEMPTS + 1, (model) => this.askWhole(model, alone));
      if (own) rows.push(...own);
      else {
        await this.requireSoundEngine(question);
        this.options.onSetAside?.(question);
        rows.push(this.kind.setAside(question, "engine_crashed"));
      }
      hooks.onAnswered?.(rows.length);
    }
    return rows;
  }

  private async askWhole(
    model: LanguageModel,
    group: readonly Asked[],
    { onAnswered, onCost, onScoringCost }: GroupHooks = {},
  ): Promise<readonly Row[]> {
    let answered = 0;
    onAnswered?.(0);
    const { signal } = this.options;
    return unlessSilent(this.stallSeconds, (heard) =>
      this.kind.ask(model, group, { heard, onAnswered: () => onAnswered?.(++answered), onCost, onScoringCost, signal }),
    );
  }

  /** @returns undefined after a crash, with a new engine open */
  private async unlessCrashed<Result>(
    group: readonly Asked[],
    attempt: number,
    work: (model: LanguageModel) => Promise<Result>,
  ): Promise<Result | undefined> {
    const state = stateOf(group);
    // An engine that cannot even be opened has crashed on nothing that was asked: that error is the caller's.
    const model = await this.options.modelFor(state);
    try {
      return await work(model);
    } catch (error) {
      if (!isCrash(error)) throw error;
      // What ends a whole process group ends the worker too.
      if (this.options.signal?.aborted)
        throw new InwardError("INTERRUPTED", "Asking was interrupted.", { cause: error });
      this.options.onCrash?.({
        state,
        attempt,
        questions: group.length,
        ...(group.length === 1 ? { key: (group[0] as Asked).key } : {}),
        message: error.message,
      });
      await this.options.reopenModel(state);
      return undefined;
    }
  }

  /** An engine that crashes on anything would set aside every question that is left. */
  private async requireSoundEngine(crashed: Asked): Promise<void> {
    const model = await this.options.modelFor(crashed.state);
    const { signal } = this.options;
    try {
      await unlessSilent(this.stallSeconds, (heard) =>
        this.kind.askPlain(model, crashed, { heard, onAnswered: () => {}, signal }),
      );
    } catch (error) {
      if (!isCrash(error)) throw error;
      const what = `The engine crashes on a plain question as well as on ${crashed.key}. ${error.message}`;
      throw new InwardError("ENGINE_CRASHED", what, { cause: error });
    }
  }
}

function isCrash(error: unknown): error is InwardError {
  return error instanceof InwardError && error.code === "ENGINE_CRASHED";
}

function stateOf(group: readonly Placed[]): string {
  return (group[0] as Placed).state;
}

// Watches how fast groups are evaluated: another busy process on the same cores shows here, worst of all with a BLAS.

/** A group this much slower per token than the run's median is no accident of what it holds. */
const SLOW = 3;
/** Below this many groups a median says little. */
const FEWEST_GROUPS = 3;

interface SlowGroup {
  readonly tokensPerSecond: number;
  /** Median over the groups before it. */
  readonly usualTokensPerSecond: number;
}

export class RateWatch {
  private readonly rates: number[] = [];

  /** @returns what is wrong with this group's rate, if anything */
  add({ evaluatedTokens, decodeSeconds }: AskCost): SlowGroup | undefined {
    if (evaluatedTokens === 0 || decodeSeconds <= 0) return undefined;
    const tokensPerSecond = evaluatedTokens / decodeSeconds;
    const usual = this.rates.length < FEWEST_GROUPS ? undefined : medianOf(this.rates);
    this.rates.push(tokensPerSecond);
    if (usual === undefined || tokensPerSecond * SLOW >= usual) return undefined;
    return { tokensPerSecond, usualTokensPerSecond: usual };
  }
}
