/** How the lines of 07-inside are made: taken apart from states that are there, scored, or replied, each under what is written; or why not. */

import type { QuestionKind } from "../ask/groups.js";
import { askPlainly } from "../ask/plain-question.js";
import { InwardError } from "../errors.js";
import type { Intervention } from "../model/interventions.js";
import type { AskRequest, ScoreRequest } from "../model/language-model.js";
import { type InsidePlace, type InsideRow, insideRowSchema } from "../probe/inside-results.js";
import type { AttributedToken, LogitAttribution } from "../probe/logit-attribution.js";
import type { Reply } from "../tasks/answer.js";

/** What is to be done for a line. */
export type InsideWork =
  | { readonly kind: "missing"; readonly reason: string }
  | { readonly kind: "attribute"; readonly token: () => AttributedToken }
  | {
      readonly kind: "score" | "reply";
      readonly request: Pick<AskRequest, "messages" | "maxTokens">;
      /** Texts whose probabilities are told; none of a reply. */
      readonly written: readonly string[];
      /** Of the prompt in which places were found. */
      readonly promptTokens: number;
      /** Made when it is asked, so that only one group's vectors are in memory. */
      readonly write?: () => readonly Intervention[];
    };

export interface InsideAsked extends InsidePlace {
  readonly work: InsideWork;
}

/** @param attributionOf what takes the logits of a state apart */
export function insideQuestions(
  attributionOf: (state: string) => Promise<Pick<LogitAttribution, "attribute">>,
): QuestionKind<InsideAsked, InsideRow> {
  return {
    rowSchema: insideRowSchema,
    check: async (model, group) => {
      const asked = group.flatMap(({ key, work }) => (isAsked(work) ? [{ key, work }] : []));
      const lengths = await model.check(
        asked.map(({ work: { request } }) => ({ ...request, temperature: 0, topTokens: 0 })),
      );
      const at = asked.findIndex(({ work }, place) => work.promptTokens !== lengths[place]);
      if (at < 0) return;
      const { key, work } = asked[at] as (typeof asked)[number];
      const found = `${lengths[at]} tokens, and its places were found in ${work.promptTokens}`;
      throw new InwardError("INTERNAL", `${key} is asked with ${found}.`);
    },
    ask: async (model, group, { heard, onAnswered, onCost, signal }) => {
      const rows = new Map<InsideAsked, Omit<InsideRow, keyof InsidePlace>>();
      const taken = group.flatMap((one) => (one.work.kind === "attribute" ? [{ one, token: one.work.token() }] : []));
      if (taken.length > 0) {
        const attribution = await attributionOf((taken[0] as (typeof taken)[number]).one.state);
        const found = await attribution.attribute(taken.map(({ token }) => token));
        for (const [at, { one }] of taken.entries()) {
          const { parts, heads, logits, uncapped } = found[at] as (typeof found)[number];
          const named = (all: typeof parts) => Object.fromEntries(all.map((part) => [part.component, part.logits]));
          rows.set(one, { parts: named(parts), heads: named(heads), logits, uncapped });
        }
        heard();
      }
      const scores = requestsOf(group, "score");
      const asScored = scores.map(({ messages, written, more }): ScoreRequest => {
        return { messages, ...more, continuations: written.map((text) => ({ written: text })) };
      });
      const scored = asScored.length === 0 ? [] : await model.score(asScored, { onScored: heard, onCost, signal });
      for (const [at, { one }] of scores.entries()) {
        const own = scored[at] as (typeof scored)[number];
        rows.set(one, { choices: own.map(({ logprobs }) => logprobs.reduce((sum, each) => sum + each, 0)) });
      }
      const replies = requestsOf(group, "reply");
      const asAsked = replies.map(({ messages, maxTokens, more }): AskRequest => {
        return { messages, maxTokens, temperature: 0, topTokens: 0, ...more };
      });
      const said = asAsked.length === 0 ? [] : await model.ask(asAsked, { onReply: heard, onCost, signal });
      for (const [at, { one }] of replies.entries()) {
        const { text, stop } = said[at] as Reply;
        rows.set(one, { text, stop });
      }
      return group.map((question): InsideRow => {
        onAnswered();
        const { work } = question;
        const found = work.kind === "missing" ? { missing: work.reason } : rows.get(question);
        return { ...placeOf(question), ...found };
      });
    },
    setAside: (question, setAside) => ({ ...placeOf(question), setAside }),
    askPlain: (model, { work }, hooks) => askPlainly(model, isAsked(work) ? work.request.messages : [], hooks),
  };
}

function placeOf({ work: _, ...place }: InsideAsked): InsidePlace {
  return place;
}

type AskedWork = Extract<InsideWork, { readonly kind: "score" | "reply" }>;

function isAsked(work: InsideWork): work is AskedWork {
  return work.kind === "score" || work.kind === "reply";
}

function requestsOf(group: readonly InsideAsked[], kind: AskedWork["kind"]) {
  return group.flatMap((one) => {
    const { work } = one;
    if (!isAsked(work) || work.kind !== kind) return [];
    const interventions = work.write?.();
    return [{ one, ...work.request, written: work.written, more: interventions ? { interventions } : {} }];
  });
}
