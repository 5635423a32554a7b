/** The second turn of tasks that challenge: each first answer is doubted, and the model asked for its final one. */
import type { Answer, Reply } from "../records/answer.js";
import type { Plan } from "../records/plan.js";
import { challengedMessages } from "../tasks/object-level-messages.js";
import type { Question } from "./question.js";

/** @param key of a first answer: `<task>/<item>` */
export function challengedKey(key: string): string {
  return `${key}/challenged`;
}

export function hasChallenges(plan: Plan): boolean {
  return plan.tasks.some(({ definition }) => definition.challenge !== undefined);
}

/**
 * @param asked the first questions, of all tasks
 * @param answers to them; one that was set aside is not challenged
 * @returns in the order of the first questions
 */
export function challengeQuestions(plan: Plan, asked: readonly Question[], answers: readonly Answer[]): Question[] {
  const challenges = new Map(plan.tasks.map(({ definition }) => [definition.name, definition.challenge]));
  const replies = new Map<string, Reply>();
  for (const { state, key, reply } of answers) if (reply) replies.set(`${state}|${key}`, reply);
  return asked.flatMap((question) => {
    const challenge = challenges.get(question.task);
    const reply = replies.get(`${question.state}|${question.key}`);
    if (challenge === undefined || reply === undefined) return [];
    return [
      {
        ...question,
        key: challengedKey(question.key),
        messages: challengedMessages(question.messages, reply.text, challenge),
        ...(question.seed === undefined ? {} : { seed: challengedKey(question.seed) }),
      },
    ];
  });
}
