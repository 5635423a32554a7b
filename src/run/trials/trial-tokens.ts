/** Prompts and texts as tokens, by the vocabulary of the model that was asked, where its file is on this machine. */

import { existsSync, readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { InwardError } from "../../errors.js";
import { locateModel } from "../../model/locate-model.js";
import { openTokenizer, type Tokenizer } from "../../model/engines/start-engine.js";
import { hashTokens } from "../../model/engines/engine.js";
import { identifyModel } from "../../model/model-file.js";
import { loadRegistry } from "../../model/registry.js";
import { thinkingOf } from "../../ask/questions.js";
import { chatOf } from "../planned-chats.js";
import { statesOf } from "../../study/states.js";
import type { Plan } from "../../study/plan.js";
import type { MarkedToken, TokenText } from "../../tasks/answer-tokens.js";
import type { AskedView, PromptTokens, SaidTokens, Shown, ShownToken, TrialTokens, TrialView } from "./trial-shapes.js";

/** How long a vocabulary stays open after it was last asked, milliseconds. */
const IDLE = 120_000;

/** One prompt and what was said to it. */
interface TokenizedSide {
  readonly prompt: Shown<PromptTokens>;
  readonly said: Shown<SaidTokens>;
}

/** Sides that several trials share, by where their answer stands: of a run that no process writes to. */
export type RememberedSides = Map<string, Promise<TokenizedSide>>;

const absent = (reason: string) => ({ ok: false, reason }) as const;

/**
 * One vocabulary at a time. A plan's own paths are not followed: a model that it names by path is looked for, by its file's name, in
 * folders that the person has named; one of the registry or a hub in the model folder.
 */
export class PromptTokenizer {
  #open?: { readonly key: string; readonly tokenizer: Promise<Tokenizer> };
  #idle?: NodeJS.Timeout;
  /** Of models that were found, by their source. */
  readonly #paths = new Map<string, string>();
  /** One after the other. */
  #last: Promise<unknown> = Promise.resolve();

  /** @param folders where GGUF files may lie that plans name by path */
  constructor(private readonly folders: readonly string[] = []) {}

  /** @param remembered sides of this plan that are taken from it and put into it; without, each is tokenized anew */
  tokensOf(
    plan: Plan,
    view: Pick<TrialView, "answer" | "reply">,
    remembered: RememberedSides = new Map(),
  ): Promise<TrialTokens> {
    const sideOf = (asked: AskedView, isObjectLevel: boolean): Promise<TokenizedSide> => {
      const place = JSON.stringify([isObjectLevel, asked.state, asked.file, asked.key]);
      const known = remembered.get(place) ?? this.#side(plan, asked, isObjectLevel);
      remembered.set(place, known);
      return known;
    };
    const work = this.#last.then(async (): Promise<TrialTokens> => {
      const [answer, reply] = [await sideOf(view.answer, true), await sideOf(view.reply, false)];
      return { answerPrompt: answer.prompt, answer: answer.said, replyPrompt: reply.prompt, reply: reply.said };
    });
    this.#last = work.catch(() => {});
    return work;
  }

  async close(): Promise<void> {
    clearTimeout(this.#idle);
    const open = this.#open;
    this.#open = undefined;
    await (await open?.tokenizer.catch(() => undefined))?.dispose();
  }

  async #side(plan: Plan, asked: AskedView, isObjectLevel: boolean): Promise<TokenizedSide> {
    try {
      const opened = await this.#vocabularyOf(plan, asked.state);
      if (!opened.ok) return { prompt: opened, said: opened };
      const { value: tokenizer } = opened;
      const [prompt, said] = await Promise.all([
        promptOf(tokenizer, asked, isObjectLevel && thinkingOf(plan).thinking === true),
        tokensSaid(tokenizer, asked),
      ]);
      return { prompt, said };
    } catch (error) {
      if (!(error instanceof InwardError)) throw error;
      if (error.code === "ENGINE_CRASHED") await this.close();
      return { prompt: absent(error.message), said: absent(error.message) };
    }
  }

  async #vocabularyOf(plan: Plan, state: string): Promise<Shown<Tokenizer>> {
    const { model, elsewhere } = statesOf(plan).of(state);
    if (elsewhere) return absent(`${state} was asked by another program: its tokens are not known`);
    const planned = plan.models[model];
    const chat = chatOf(plan, model);
    if (planned === undefined || chat === undefined) return absent(`the plan does not say how ${model} is spoken to`);
    const known = this.#paths.get(planned.source);
    const path = known === undefined ? await this.#pathOf(planned.source) : ({ ok: true, value: known } as const);
    if (!path.ok) return path;
    this.#paths.set(planned.source, path.value);
    const key = JSON.stringify([path.value, chat]);
    clearTimeout(this.#idle);
    if (this.#open?.key !== key) {
      await this.close();
      this.#open = { key, tokenizer: openTokenizer(path.value, chat) };
    }
    this.#idle = setTimeout(() => void this.close(), IDLE);
    this.#idle.unref();
    const open = this.#open;
    const tokenizer = await open.tokenizer.catch((error) => {
      if (this.#open === open) this.#open = undefined;
      this.#paths.delete(planned.source);
      throw error;
    });
    return { ok: true, value: tokenizer };
  }

  async #pathOf(source: string): Promise<Shown<string>> {
    const registry = loadRegistry();
    const isManaged = registry.models.some(({ name }) => name === source) || source.startsWith("hf:");
    if (isManaged && identifyModel(source, registry).kind === "managed") {
      const { basePath, missing } = await locateModel({ source, encoding: "as_shipped" }, { registry });
      return basePath === undefined
        ? absent(`${missing}: npx inward models pull ${source}`)
        : { ok: true, value: basePath };
    }
    const name = basename(source.replaceAll("\\", "/"));
    const folder = this.folders.find((one) => /\.gguf$/i.test(name) && existsSync(join(one, name)));
    if (folder !== undefined && readdirSync(folder).includes(name)) return { ok: true, value: join(folder, name) };
    return absent(
      `the plan names its model by a path, ${name}: npx inward view --models <folder> says where that file is`,
    );
  }
}

async function promptOf(tokenizer: Tokenizer, asked: AskedView, thinking: boolean): Promise<Shown<PromptTokens>> {
  const { messages, reply } = asked;
  if (!messages.ok) return messages;
  const [located] = await tokenizer.locate([messages.value], [thinking]);
  if (located === undefined) return absent("it was not tokenized");
  const { tokenIds, starts, ends, contents } = located;
  const { texts, control } = await tokenizer.tokenTexts(tokenIds);
  const tokens = tokenIds.map((id, at): ShownToken => {
    const [start, end] = [starts[at] as number, ends[at] as number];
    // A token on the border holds words of both; it is shown as content, since a message's words are in it.
    const content = contents.find((one) => start < one.end && end > one.start);
    const role = content === undefined ? undefined : (messages.value[content.message]?.role ?? "system");
    const text = texts[at] as TokenText;
    if (content !== undefined) return { id, ...text, kind: "content", role };
    return { id, ...text, kind: control[at] ? "control" : "template" };
  });
  const recorded = reply && !reply.madeElsewhere ? reply.promptSha256 : undefined;
  const isRecorded = recorded === undefined ? {} : { isRecorded: recorded === hashTokens(tokenIds) };
  return { ok: true, value: { tokens, ...isRecorded } };
}

async function tokensSaid(tokenizer: Tokenizer, { reply, setAside, missing }: AskedView): Promise<Shown<SaidTokens>> {
  if (reply === undefined) return absent(setAside ?? missing ?? "there is none");
  if (reply.madeElsewhere) return absent("made elsewhere: its tokens are not known");
  const marked = async (ids: readonly number[]): Promise<MarkedToken[]> => {
    const { texts, control } = await tokenizer.tokenTexts(ids);
    return texts.map((text, at) => ({ ...text, ...(control[at] ? { control: true } : {}) }));
  };
  const [tokens, first] = await Promise.all([marked(reply.tokenIds), marked(reply.first.tokenIds)]);
  const firstMarks = first.flatMap(({ text: _, ...mark }, at) =>
    Object.keys(mark).length > 0 ? [{ at, ...mark }] : [],
  );
  return { ok: true, value: { tokens, firstMarks } };
}
