import type { AskRequest } from "../model/language-model.js";
import type { Answer, Reply, SetAsideReason } from "../records/answer.js";
import type { Question } from "./question.js";

/** A question as an engine takes it. */
export function toRequest(question: Question, topTokens: number): AskRequest {
  return {
    messages: question.messages,
    maxTokens: question.maxTokens,
    temperature: question.temperature,
    topTokens,
    shares: `${question.state}/${question.task}/${question.item}/${question.variant ?? ""}`,
    ...(question.seed === undefined ? {} : { seed: question.seed }),
  };
}

/** A question and its reply, or why it has none, as a line of the run. */
export function toAnswer(question: Question, said: Reply | SetAsideReason): Answer {
  const { key, state, task, item, split, property, variant, sample } = question;
  const asked = {
    key,
    state,
    task,
    item,
    split,
    ...(property === undefined ? {} : { property }),
    ...(variant === undefined ? {} : { variant }),
    sample,
  };
  return typeof said === "string" ? { ...asked, setAside: said } : { ...asked, reply: said };
}
