/** Tokens: a prompt as the model read it, and what was said, token by token, coloured by how likely each was. */

import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { decimals, formatCount, visibleText } from "../../src/report/document.js";
import type { AnswerPosition, RecordedReply, TokenText } from "../../src/tasks/answer.js";
import type { PromptTokens, Shown, ShownToken } from "../../src/run/trials/trial-shapes.js";
import { Lines, Missing, Text } from "./parts.js";

const KIND_WORDS = { content: "of a message", template: "of the chat template", control: "a control token" } as const;

/** Tokens that are shown at once: an element each, of which a browser can hold so many and still answer. */
const AT_ONCE = 1000;

/** How many tokens are shown, and the button that shows more. */
function useShown(total: number, what: string): [number, ComponentChildren] {
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

function PromptToken({ token: { id, text, bytes, kind, role } }: { token: ShownToken }) {
  const title = `id ${id}, ${role === undefined ? KIND_WORDS[kind] : `${role}'s message`}${bytes === undefined ? "" : `, bytes ${bytes}`}`;
  return (
    <>
      <span class={`token token-${kind}`} title={title}>
        {tokenWords(text)}
      </span>
      {text.endsWith("\n") ? <br /> : null}
    </>
  );
}

/** Spaces are seen by the borders; line feeds by their mark. */
function tokenWords(text: string): string {
  return text === "" ? "∅" : visibleText(text, "mark");
}

interface SaidProps {
  readonly reply: RecordedReply;
  readonly tokens: Shown<readonly TokenText[]>;
  readonly label: string;
}

export function Said({ reply, tokens, label }: SaidProps) {
  const [at, setAt] = useState<number>();
  const [asTable, setAsTable] = useState(false);
  const [most, more] = useShown(reply.tokenIds.length, "it");
  if (reply.madeElsewhere) {
    return (
      <>
        <div class="text">
          <Lines text={reply.text} />
        </div>
        <p class="quiet">Asked by another program: tokens and probabilities are not known.</p>
      </>
    );
  }
  const { tokenIds, logprobs, margins, positions, stop } = reply;
  const total = logprobs.reduce((sum, one) => sum + one, 0);
  const textOf = (place: number) =>
    positions?.[place]?.text ?? (tokens.ok ? tokens.value[place]?.text : undefined) ?? `#${tokenIds[place]}`;
  const hasTexts = positions !== undefined || tokens.ok;
  return (
    <>
      {hasTexts && more === null ? null : (
        <div class="text">
          <Lines text={reply.text} />
        </div>
      )}
      {/* biome-ignore lint/a11y/useSemanticElements: tokens are no list to a reader */}
      <div
        class="text tokens"
        role="group"
        aria-label={`${label}, token by token`}
        onMouseLeave={() => setAt(undefined)}
      >
        {tokenIds.slice(0, most).map((_, place) => (
          <button
            type="button"
            class={`token said said-${bucketOf(logprobs[place] as number)}${at === place ? " at" : ""}`}
            onMouseEnter={() => setAt(place)}
            onFocus={() => setAt(place)}
            aria-label={`${tokenWords(textOf(place))}, ${shareWords(logprobs[place] as number)}`}
          >
            {tokenWords(textOf(place))}
          </button>
        ))}
      </div>
      {more}
      <p class="inspector" aria-live="polite">
        {at === undefined ? (
          `${tokenIds.length} ${tokenIds.length === 1 ? "token" : "tokens"}, together ${shareWords(total)} (${decimals(total, 2)} nats); it ended by ${stop.replaceAll("_", " ")}. Point at a token.`
        ) : (
          <TokenFacts at={at} reply={reply} text={textOf(at)} />
        )}
      </p>
      {hasTexts ? null : (
        <p class="quiet">
          Texts of the tokens: <Missing reason={tokens.ok ? "" : tokens.reason} />
        </p>
      )}
      <button type="button" class="plain" onClick={() => setAsTable(!asTable)} aria-expanded={asTable}>
        {asTable ? "Hide the table" : "As a table"}
      </button>
      {asTable ? (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls is reached by keyboard
        <section class="scroll" tabIndex={0} aria-label={`${label}, tokens as a table`}>
          <table>
            <thead>
              <tr>
                {["token", "id", "logprob, nats", "probability", "margin, nats", "instead"].map((name) => (
                  <th scope="col">{name}</th>
                ))}
              </tr>
            </thead>
            <tbody>
              {tokenIds.slice(0, most).map((id, place) => (
                <tr>
                  <th scope="row">
                    <Text text={textOf(place)} />
                  </th>
                  <td class="right">{id}</td>
                  <td class="right">{decimals(logprobs[place] as number, 3)}</td>
                  <td class="right">{shareWords(logprobs[place] as number)}</td>
                  <td class="right">
                    {margins[place] === undefined ? <Missing reason="sampled" /> : margins[place]?.toFixed(3)}
                  </td>
                  <td>{insteadOf(reply, place)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </section>
      ) : null}
    </>
  );
}

type Asked = Extract<RecordedReply, { madeElsewhere?: undefined }>;

function TokenFacts({ at, reply, text }: { at: number; reply: Asked; text: string }) {
  const { tokenIds, logprobs, margins } = reply;
  const margin = margins[at];
  return (
    <>
      token {at + 1} of {tokenIds.length} ·{" "}
      <b>
        <Text text={text} />
      </b>{" "}
      · id {tokenIds[at]} · {shareWords(logprobs[at] as number)} ({decimals(logprobs[at] as number, 3)} nats)
      {margin === undefined ? " · sampled: no margin" : ` · margin ${decimals(margin, 3)} nats`} ·{" "}
      {insteadOf(reply, at)}
    </>
  );
}

/** What else could have stood there: known at the first place always, elsewhere where the run kept it. */
function insteadOf({ first, positions }: Asked, at: number) {
  const found: Pick<AnswerPosition, "texts" | "logprobs"> | undefined =
    positions?.[at] ?? (at === 0 ? first : undefined);
  if (found === undefined) return <span class="quiet">alternatives were not kept here</span>;
  return (
    <span>
      {found.texts.slice(0, 8).map((text, place) => (
        <>
          {place > 0 ? ", " : ""}
          <code>
            <Text text={text === "" ? "∅" : text} />
          </code>{" "}
          {shareWords(found.logprobs[place] as number)}
        </>
      ))}
    </span>
  );
}

/** 0 likely … 6 hardly. By halves of a nat at first: what was nearly certain is to look calm. */
export function bucketOf(logprob: number): number {
  const steps = [0.05, 0.2, 0.7, 1.5, 3, 6];
  const found = steps.findIndex((step) => -logprob <= step);
  return found < 0 ? 6 : found;
}

function shareWords(logprob: number): string {
  const share = Math.exp(logprob);
  if (share >= 0.001) return `${(100 * share).toFixed(1)} %`;
  return `10^${(logprob / Math.LN10).toFixed(1).replace("-", "−")}`;
}
