/** Tokens: a prompt as the model read it, and how any token is written and its probability said. */

import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { formatCount, visibleText } from "../../src/report/document.js";
import type { MarkedToken, TokenText } from "../../src/tasks/answer-tokens.js";
import type { PromptTokens, ShownToken } from "../../src/run/trials/trial-shapes.js";

const KIND_WORDS = { content: "of a message", template: "of the chat template", control: "a control token" } as const;

/** Tokens that are shown at once: an element each, of which a browser can hold so many and still answer. */
const AT_ONCE = 1000;

/** How many tokens are shown, and the button that shows more. */
export function useShown(total: number, what: string): [number, ComponentChildren] {
  const [most, setMost] = useState(AT_ONCE);
  const left = total - most;
  const more =
    left > 0 ? (
      <p class="quiet">
        {formatCount(most)} of {formatCount(total)} tokens of {what} are shown.{" "}
        <button type="button" onClick={() => setMost(most + AT_ONCE)}>
          Show {formatCount(Math.min(left, AT_ONCE))} more
        </button>
      </p>
    ) : null;
  return [most, more];
}

export function Prompt({ of: { tokens, isRecorded } }: { of: PromptTokens }) {
  const [most, more] = useShown(tokens.length, "the prompt");
  return (
    <>
      <p class={isRecorded === false ? "bad" : "quiet"}>
        {tokens.length} tokens.{" "}
        {isRecorded === true
          ? "Their hash is the one that was recorded when it was asked: these are the tokens that the model read."
          : isRecorded === false
            ? "Their hash is not the one that was recorded when it was asked: the model read other tokens, by another file or version."
            : "No hash was recorded to hold them against."}
      </p>
      <div class="text tokens">
        {tokens.slice(0, most).map((token) => (
          <PromptToken token={token} />
        ))}
      </div>
      {more}
    </>
  );
}

function PromptToken({ token }: { token: ShownToken }) {
  const { id, text, kind, role } = token;
  const title = `id ${id}, ${role === undefined ? KIND_WORDS[kind] : `${role}'s message`}${bytesOf(token)}`;
  return (
    <>
      <span class={`token token-${kind}`} title={title}>
        <TokenWords of={token} />
      </span>
      {text.endsWith("\n") ? <br /> : null}
    </>
  );
}

/** @returns nothing of a token that is text by itself */
function bytesOf({ bytes }: TokenText): string {
  return bytes === undefined ? "" : `, a part of a character: bytes ${spaced(bytes)}`;
}

function spaced(bytes: string): string {
  return bytes.replace(/..(?=.)/g, "$& ");
}

/** A token in a line: spaces are seen by the borders, line feeds by their mark, bytes that are no text as such. */
export function tokenWords({ text, bytes }: TokenText): string {
  if (bytes !== undefined) return `⟨${spaced(bytes)}⟩`;
  return text === "" ? "∅" : visibleText(text, "mark");
}

/** The same for who hears it. */
export function spokenToken(token: MarkedToken): string {
  const words = token.bytes === undefined ? tokenWords(token) : `a part of a character, bytes ${spaced(token.bytes)}`;
  return token.control ? `${words}, a control token` : words;
}

/** Bytes, and control tokens, look like what no text is: a text that spells their names does not. */
export function TokenWords({ of }: { of: MarkedToken }) {
  const words = tokenWords(of);
  if (of.bytes !== undefined) return <i class="bytes">{words}</i>;
  // A word that is written from right to left turns nothing around it.
  return of.control ? <b class="control">{words}</b> : <bdi>{words}</bdi>;
}

/** Where a share is so near to 1 that a percentage would hide the rest. */
const NEARLY_ONE = 5e-4;

/** A probability by its logarithm: as a percentage that never says 0 or 100 of what is neither. */
export function shareWords(logprob: number): string {
  if (logprob === 0) return "100 %";
  const rest = -Math.expm1(logprob);
  if (rest < 1e-8) return "over 99.999999 %";
  if (rest < NEARLY_ONE) return `${(100 * (1 - rest)).toFixed(Math.ceil(-Math.log10(rest)) - 2)} %`;
  if (rest <= 0.999) return `${(100 * (1 - rest)).toFixed(1)} %`;
  return `10^${(logprob / Math.LN10).toFixed(1).replace("-", "−")}`;
}

/** Nats, with three decimals or as many as it takes to be none of zero. */
export function natsWords(logprob: number): string {
  const size = Math.abs(logprob);
  const digits = size === 0 || size >= 5e-4 ? size.toFixed(3) : size.toPrecision(2);
  return `${logprob < 0 ? "−" : ""}${digits} nats`;
}
