/** Tokens of an answer with their logprobs, as inspect_ai's logs and the APIs behind them have them, made ours or left out with a reason. */

import { z } from "zod";
import { UNSAFE_CHARACTER } from "../base/untrusted.js";
import type { TokenOfLog, TokenText } from "../tasks/answer-tokens.js";

/** What stands where an API says of a token only that it is none of the likeliest. */
const UNLIKELY = -9999;
/** Logprobs are rounded in logs; single-precision sums of likely ones may come out so much above 1. */
const MOST_PROBABILITY = 1.001;
/** A probability of 1 may be written a hair above it. */
const MOST_LOGPROB = 1e-3;

const listed = z.object({
  token: z.string(),
  logprob: z.number().max(MOST_LOGPROB),
  bytes: z.array(z.int().min(0).max(255)).nullish(),
});
const logprobsSchema = z.object({
  content: z.array(listed.extend({ top_logprobs: z.array(listed).nullish() })).min(1),
});

/** `spelled`: whether the tokens, one after the other, are the answer's text. */
export type TokensOfLog =
  | { readonly ok: true; readonly tokens: readonly TokenOfLog[]; readonly spelled: boolean }
  | { readonly ok: false; readonly why: "absent" | "invalid" };

/**
 * @param logprobs of one answer, as the log has them
 * @param text the answer's
 * @param most likely tokens that are taken of each position
 */
export function tokensOfLog(logprobs: unknown, text: string, most: number): TokensOfLog {
  if (logprobs === undefined || logprobs === null) return { ok: false, why: "absent" };
  const parsed = logprobsSchema.safeParse(logprobs);
  if (!parsed.success) return { ok: false, why: "invalid" };
  const tokens: TokenOfLog[] = [];
  for (const { top_logprobs: top, ...said } of parsed.data.content) {
    const alternatives = (top ?? []).filter(({ logprob }) => logprob > UNLIKELY).sort((a, b) => b.logprob - a.logprob);
    const together = alternatives.reduce((sum, { logprob }) => sum + Math.exp(logprob), 0);
    if (together > MOST_PROBABILITY || [said, ...alternatives].some(({ token }) => UNSAFE_CHARACTER.test(token))) {
      return { ok: false, why: "invalid" };
    }
    tokens.push({
      ...tokenText(said),
      ...(said.logprob > UNLIKELY ? { logprob: atMostZero(said.logprob) } : {}),
      ...(top && top.length > 0
        ? {
            alternatives: alternatives
              .slice(0, most)
              .map((one) => ({ ...tokenText(one), logprob: atMostZero(one.logprob) })),
          }
        : {}),
    });
  }
  const bytes = tokens.map(({ text, bytes }) => (bytes === undefined ? Buffer.from(text) : Buffer.from(bytes, "hex")));
  return { ok: true, tokens, spelled: Buffer.concat(bytes).toString("utf8") === text };
}

/** By its bytes, where the log has them: of a part of a character an API writes some stand-in. */
function tokenText({ token, bytes }: z.infer<typeof listed>): TokenText {
  if (!bytes || bytes.length === 0) return { text: token };
  const own = Buffer.from(bytes);
  const text = own.toString("utf8");
  return Buffer.from(text).equals(own) ? { text } : { text, bytes: own.toString("hex") };
}

function atMostZero(logprob: number): number {
  return Math.min(0, logprob);
}
