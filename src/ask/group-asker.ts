/**
 * Asks groups and outlives the engine's crashes. A group that crashed is asked again whole in a new worker: after a crash that
 * was none of its own (such as the system's killer of processes) it gives the bytes of an undisturbed run. One that crashes again
 * is asked question by question, each alone; the question that crashes even so is set aside, and the others have their replies.
 */
import { InwardError } from "../errors.js";
import type { AskCost, LanguageModel } from "../model/language-model.js";
import type { Answer, Reply } from "../records/answer.js";
import type { Question } from "./question.js";
import { stallLimitSeconds, unlessSilent } from "./stall-limit.js";
import { toAnswer, toRequest } from "./to-request.js";

/** A group is asked so often as a whole; its questions once more, alone. */
const WHOLE_ATTEMPTS = 2;

export interface GroupAskerOptions {
  readonly topTokens: number;
  /** Opens a state's model, closing the one before: one model in memory at a time. */
  readonly modelFor: (state: string) => Promise<LanguageModel>;
  /** Opens it anew after a crash; when it cannot, its error is the caller's. */
  readonly reopenModel: (state: string) => Promise<LanguageModel>;
  /** Sequences at once, instead of the engine's own number. */
  readonly sequences?: number;
  /** Seconds without a reply after which an engine counts as crashed; 0: never. Default: INWARD_STALL_SECONDS, else 1800. */
  readonly stallSeconds?: number;
  readonly onCrash?: (crash: EngineCrash) => void;
  readonly onSetAside?: (question: Question) => void;
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

export interface GroupHooks {
  /** Answers there are so far; fewer than before when a crash made the group begin again. */
  readonly onAnswered?: (count: number) => void;
  /** Of a group that was asked whole, by an engine that counts. */
  readonly onCost?: (cost: AskCost) => void;
}

export class GroupAsker {
  private readonly stallSeconds: number;

  constructor(private readonly options: GroupAskerOptions) {
    this.stallSeconds = options.stallSeconds ?? stallLimitSeconds();
  }

  /**
   * Throws before anything is asked when a question cannot be. Nothing is set aside here.
   * @throws ENGINE_*, CHAT_*; ENGINE_CRASHED when it crashes a second time
   */
  async check(group: readonly Question[]): Promise<void> {
    const requests = group.map((question) => toRequest(question, this.options.topTokens));
    const checked = await this.unlessCrashed(group, 1, (model) => model.check(requests));
    if (!checked) await (await this.options.modelFor(stateOf(group))).check(requests);
  }

  /**
   * @param group questions for one state, at least one
   * @returns answers in the group's order
   * @throws ENGINE_*, CHAT_*, INTERRUPTED; ENGINE_CRASHED when the engine cannot be opened again or crashes on anything
   */
  async ask(group: readonly Question[], hooks: GroupHooks = {}): Promise<Answer[]> {
    for (let attempt = 1; attempt <= WHOLE_ATTEMPTS; attempt++) {
      const replies = await this.unlessCrashed(group, attempt, (model) => this.askWhole(model, group, hooks));
      if (replies) return group.map((question, index) => toAnswer(question, replies[index] as Reply));
    }
    const answers: Answer[] = [];
    for (const question of group) {
      const alone = [question];
      const replies = await this.unlessCrashed(alone, WHOLE_ATTEMPTS + 1, (model) => this.askWhole(model, alone));
      if (replies) answers.push(toAnswer(question, replies[0] as Reply));
      else {
        await this.requireSoundEngine(question);
        this.options.onSetAside?.(question);
        answers.push(toAnswer(question, "engine_crashed"));
      }
      hooks.onAnswered?.(answers.length);
    }
    return answers;
  }

  private async askWhole(
    model: LanguageModel,
    group: readonly Question[],
    { onAnswered, onCost }: GroupHooks = {},
  ): Promise<Reply[]> {
    const { topTokens, sequences, signal } = this.options;
    const requests = group.map((question) => toRequest(question, topTokens));
    let answered = 0;
    onAnswered?.(0);
    return unlessSilent(this.stallSeconds, (heard) => {
      const onReply = () => {
        heard();
        onAnswered?.(++answered);
      };
      return model.ask(requests, {
        onReply,
        ...(onCost ? { onCost } : {}),
        ...(sequences === undefined ? {} : { sequences }),
        ...(signal ? { signal } : {}),
      });
    });
  }

  /** @returns undefined after a crash, with a new engine open */
  private async unlessCrashed<Result>(
    group: readonly Question[],
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
        ...(group.length === 1 ? { key: (group[0] as Question).key } : {}),
        message: error.message,
      });
      await this.options.reopenModel(state);
      return undefined;
    }
  }

  /** An engine that crashes on anything would set aside every question that is left. */
  private async requireSoundEngine(crashed: Question): Promise<void> {
    const system = crashed.messages.filter(({ role }) => role === "system");
    const plain: Question = {
      ...crashed,
      messages: [...system, { role: "user", content: "Say yes." }],
      maxTokens: 1,
      temperature: 0,
    };
    const model = await this.options.modelFor(crashed.state);
    try {
      await this.askWhole(model, [plain]);
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

function stateOf(group: readonly Question[]): string {
  return (group[0] as Question).state;
}
