/** How each model of a study is spoken to: settled from its file and what the study wishes, written in the plan, tried on its questions. */

import { createHash } from "node:crypto";
import { resolve } from "node:path";
import { labelQuestions } from "../ask/judge-questions.js";
import {
  adaptedObjectLevelQuestions,
  hypotheticalQuestions,
  objectLevelQuestions,
  thinkingOf,
} from "../ask/questions.js";
import { decodeUtf8, readPlainFile } from "../base/untrusted.js";
import { InwardError } from "../errors.js";
import { inspectGguf } from "../gguf/inspect-gguf.js";
import { type ChatFormat, formatOf, withSystem } from "../model/chat/format.js";
import { renderChat, type TemplateTokens } from "../model/chat/render.js";
import { type ChatFile, type ChatWish, formatFor, settleChat, type SettledChat } from "../model/chat/settled-chat.js";
import { openTokenizer, type Tokenizer } from "../model/engines/start-engine.js";
import { askedForm } from "../study/forms.js";
import type { ModelFile, Plan, PlannedChat } from "../study/plan.js";
import { OMIT_SYSTEM } from "../study/schema.js";
import { statesOf } from "../study/states.js";
import type { Study } from "../study/study.js";
import type { ChatMessage } from "../tasks/answer.js";
import { challengedMessages } from "../tasks/task.js";

/** As a study and the command line say it. */
export interface AuthoredChat {
  /** System message of conversations that have none; `omit`: none at all. Settled by the chat template when absent. */
  readonly system?: string;
  /** `template`: the file's own, the default; `plain`: no markup, for base models; else the path of a Jinja file. */
  readonly chat?: string;
}

/** Bytes; the longest template known has a hundredth of it. */
const MOST_TEMPLATE_BYTES = 4 * 1024 * 1024;

/**
 * @param folder where the path of a template starts
 * @throws MODEL_TEMPLATE the file cannot be read
 */
export function chatWish({ system, chat = "template" }: AuthoredChat, folder: string): ChatWish {
  const wished = system === OMIT_SYSTEM ? { kind: "omit" as const } : { kind: "text" as const, text: system ?? "" };
  const said = system === undefined ? {} : { system: wished };
  if (chat === "template") return said;
  return {
    ...said,
    format: chat === "plain" ? "plain" : { path: chat, template: readTemplate(resolve(folder, chat)) },
  };
}

function readTemplate(path: string): string {
  const refuse = (why: string) =>
    new InwardError("MODEL_TEMPLATE", `The chat template ${path} cannot be read (${why}).`);
  return decodeUtf8(readPlainFile(path, MOST_TEMPLATE_BYTES, refuse), { code: "MODEL_TEMPLATE", place: path });
}

/**
 * How one model is spoken to, outside of a study.
 * @throws as settleChat and chatWish
 */
export async function settleFile(modelPath: string, authored: AuthoredChat): Promise<SettledChat> {
  return settleChat(await inspectGguf(modelPath), chatWish(authored, "."));
}

/** @returns what stands in a plan */
export function plannedChat({
  kind,
  template,
  templatePath,
  system,
  variables,
  thinking,
  ...settled
}: SettledChat): PlannedChat {
  const { words, sample, dropsReasoning } = settled;
  const history =
    dropsReasoning.length === 0
      ? {}
      : { history: `what an earlier answer holds between ${dropsReasoning.join(", ")} and its end is taken out` };
  return {
    kind,
    ...(template === undefined ? {} : { templateSha256: createHash("sha256").update(template).digest("hex") }),
    ...(templatePath === undefined ? {} : { template, templatePath }),
    system,
    variables,
    ...(thinking === undefined ? {} : { thinking }),
    words: { ...words, ...history },
    sample,
  };
}

/**
 * @param files of those models that are here
 * @throws MODEL_NO_CHAT_TEMPLATE, MODEL_TEMPLATE, CHAT_SYSTEM; all name the model
 */
export async function planChats(
  { models, system, objectLevel }: Pick<Study, "models" | "system" | "objectLevel">,
  files: Readonly<Record<string, Pick<ModelFile, "path">>>,
  studyFolder: string,
): Promise<NonNullable<Plan["chats"]>> {
  const chats: Record<string, PlannedChat> = {};
  for (const [name, model] of Object.entries(models)) {
    const path = files[name]?.path ?? "";
    if (path === "" && model.chat !== "plain") continue;
    await ofModel(name, async () => {
      const thinking = objectLevel.reasoning !== "off";
      const wish = { ...chatWish({ chat: model.chat, system: model.system ?? system }, studyFolder), thinking };
      chats[name] = plannedChat(settleChat(path === "" ? { path: model.source } : await inspectGguf(path), wish));
    });
  }
  return chats;
}

async function ofModel(name: string, work: () => Promise<void>): Promise<void> {
  await work().catch((error) => {
    if (!(error instanceof InwardError)) throw error;
    throw new InwardError(error.code, `models.${name}: ${error.message}`, { cause: error });
  });
}

/** What plans did before they said how a model is spoken to. */
const BEFORE_CHATS: ChatFormat = { kind: "template", system: { kind: "text", text: "" }, variables: {} };

/** @returns what the model's engine and tokenizer are opened with; undefined for a model that was not here when the plan was made */
export function chatOf({ chats }: Pick<Plan, "chats">, model: string): ChatFormat | undefined {
  if (chats === undefined) return BEFORE_CHATS;
  const chat = chats[model];
  if (chat === undefined) return undefined;
  const { kind, template, system, variables, thinking } = chat;
  return { kind, template, system, variables, ...(thinking === undefined ? {} : { thinking }) };
}

/** @param path of the state's model @param work with its tokenizer, which is gone after that @throws MODEL_*, ENGINE_CRASHED */
export async function withTokenizer<Result>(
  plan: Plan,
  state: string,
  path: string,
  work: (tokenizer: Tokenizer) => Promise<Result>,
): Promise<Result> {
  const tokenizer = await openTokenizer(path, chatOf(plan, statesOf(plan).of(state).model));
  try {
    return await work(tokenizer);
  } finally {
    await tokenizer.dispose();
  }
}

// Every shape that the questions of a plan have, tried on the template before anything is asked: what it leaves out, changes or refuses
// is found now, and not in the middle of the run.

interface Shape {
  readonly model: string;
  readonly what: string;
  readonly messages: readonly ChatMessage[];
  /** A whole conversation, as training reads it: its last message is the answer. */
  readonly answered?: true;
  readonly thinking?: true;
}

/** Of each shape: those of a task differ by their strings alone. */
const TRIED = 2;
const ANSWER = "Seven";
const SHOWN: readonly ChatMessage[] = [
  { role: "user", content: "Which one?" },
  { role: "assistant", content: ANSWER },
];

/**
 * @param files of those models that are here
 * @throws MODEL_TEMPLATE, CHAT_SYSTEM with the model and the kind of question
 */
export async function requireFaithful(
  plan: Plan,
  files: Readonly<Record<string, Pick<ModelFile, "path">>>,
): Promise<void> {
  const tried = new Map<string, number>();
  const headers = new Map<string, ChatFile>();
  for (const shape of shapesOf(plan)) {
    const { model, what } = shape;
    const path = files[model]?.path ?? "";
    const format = chatOf(plan, model);
    const key = JSON.stringify([model, what]);
    const count = tried.get(key) ?? 0;
    if (path === "" || format === undefined || format.kind === "plain" || count >= TRIED) continue;
    tried.set(key, count + 1);
    const header = headers.get(path) ?? (await inspectGguf(path));
    headers.set(path, header);
    tryShape(shape, formatOf(formatFor(header, format), shape), {
      bosToken: header.bosToken ?? "",
      eosToken: header.eosToken ?? "",
    });
  }
}

function tryShape({ model, what, messages, answered }: Shape, format: ChatFormat, tokens: TemplateTokens): void {
  try {
    const parts = renderChat(format, withSystem(format, messages), tokens, { generationPrompt: answered !== true });
    const last = parts.findLast(({ content }) => content)?.text;
    if (answered && last !== messages.at(-1)?.content) {
      throw new InwardError("MODEL_TEMPLATE", "The chat template does not put the answer last.");
    }
  } catch (error) {
    if (!(error instanceof InwardError)) throw error;
    throw new InwardError(
      error.code,
      `models.${model}: ${what} cannot be put to it as they are: ${error.message} Nothing was asked.`,
      { cause: error },
    );
  }
}

function* shapesOf(plan: Plan): Generator<Shape> {
  const states = statesOf(plan);
  const tasks = new Map(plan.tasks.map((task) => [task.definition.name, task]));
  for (const question of [...objectLevelQuestions(plan), ...adaptedObjectLevelQuestions(plan)]) {
    const { model, system } = states.of(question.state);
    const task = tasks.get(question.task);
    const solved = task?.examples ? " after solved examples" : "";
    const thinking = thinkingOf(plan);
    const under = system === undefined ? "" : " under a system message of their own";
    yield { model, what: `questions of ${question.task}${solved}${under}`, messages: question.messages, ...thinking };
    const challenge = task && askedForm(plan, question.state).task(task).definition.challenge;
    if (challenge === undefined) continue;
    const doubted = challengedMessages(question.messages, ANSWER, challenge);
    yield { model, what: `doubts of first answers to ${question.task}`, messages: doubted, ...thinking };
    if (plan.objectLevel.reasoning !== "keep") continue;
    const reasoned = challengedMessages(question.messages, `<think>Because.</think>${ANSWER}`, challenge);
    yield {
      model,
      what: `doubts of first answers to ${question.task} that keep their reasoning`,
      messages: reasoned,
      ...thinking,
    };
  }
  const shown = (state: string) => (states.of(state).shown ? SHOWN : []);
  for (const { state, task, variant, messages } of hypotheticalQuestions(plan, shown)) {
    yield {
      model: states.of(state).model,
      what: `hypothetical questions about ${task}, wording ${variant},`,
      messages,
    };
  }
  for (const { state, property, options } of labelQuestions(plan)) {
    for (const { messages } of options?.orders ?? []) {
      yield { model: states.of(state).model, what: `labelled answers of ${property}`, messages };
    }
  }
  const learnt = states.trained.length > 0 ? hypotheticalQuestions(plan) : [];
  for (const { training } of states.trained) {
    const question = learnt.find(({ state }) => states.of(state).model === training.base);
    if (!question) continue;
    const messages: ChatMessage[] = [...question.messages, { role: "assistant", content: ANSWER }];
    yield { model: training.base, what: "examples to learn from", messages, answered: true };
  }
}
