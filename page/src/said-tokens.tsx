/** What was said, token by token: coloured by how likely each token was, with what else could have stood there. */

import { useMemo, useState } from "preact/hooks";
import type { SaidTokens, Shown } from "../../src/run/trials/trial-shapes.js";
import { formatCount } from "../../src/report/document.js";
import type { RecordedReply } from "../../src/tasks/answer.js";
import { listedToken, type MarkedToken } from "../../src/tasks/answer-tokens.js";
import { Lines, Missing } from "./parts.js";
import { natsWords, shareWords, spokenToken, TokenWords, useShown } from "./tokens.js";

interface SaidProps {
  readonly reply: RecordedReply;
  readonly tokens: Shown<SaidTokens>;
  readonly label: string;
}

/** One token of what was said. */
interface SaidToken {
  readonly token: MarkedToken;
  readonly id?: number;
  readonly logprob: Shown<number>;
  readonly margin: Shown<number>;
  readonly isEnd: boolean;
  readonly others: Shown<Others>;
}

/** The likeliest tokens at its place. */
interface Others {
  readonly listed: readonly {
    readonly token: MarkedToken;
    readonly id?: number;
    readonly logprob: number;
    readonly isSaid: boolean;
  }[];
  /** Tokens of the vocabulary that are not listed, where its size is known. */
  readonly left?: number;
}

const none = (reason: string) => ({ ok: false, reason }) as const;

function saidToken(reply: RecordedReply, tokens: Shown<SaidTokens>, at: number): SaidToken {
  if (reply.madeElsewhere) return loggedToken(reply.madeElsewhere.tokens ?? [], at);
  const { tokenIds, logprobs, margins, positions, first, stop } = reply;
  const id = tokenIds[at] as number;
  const margin = margins[at];
  const { vocabularySize } = first;
  const firstMarks = first.marks ?? (tokens.ok ? tokens.value.firstMarks : undefined);
  const list = positions?.[at] ?? (at === 0 ? { ...first, ...(firstMarks ? { marks: firstMarks } : {}) } : undefined);
  return {
    token: positions?.[at] ?? (tokens.ok ? tokens.value.tokens[at] : undefined) ?? { text: `#${id}` },
    id,
    logprob: { ok: true, value: logprobs[at] as number },
    margin: margin === undefined ? none("sampled: no margin") : { ok: true, value: margin },
    isEnd: stop !== "max_tokens" && at === tokenIds.length - 1,
    others:
      list === undefined
        ? none("the run stored alternatives of the first token alone: engine.alternatives stores them of every one")
        : {
            ok: true,
            value: {
              listed: list.tokenIds.map((one, place) => ({
                token: listedToken(list, place),
                id: one,
                logprob: list.logprobs[place] as number,
                isSaid: one === id,
              })),
              left: vocabularySize - list.tokenIds.length,
            },
          },
  };
}

function loggedToken(tokens: NonNullable<Logged>, at: number): SaidToken {
  const { logprob, alternatives, ...token } = tokens[at] as NonNullable<Logged>[number];
  return {
    token,
    logprob: logprob === undefined ? none("its log says only that others are likelier") : { ok: true, value: logprob },
    margin: none("no margin in its log"),
    isEnd: false,
    others: alternatives
      ? {
          ok: true,
          value: {
            listed: alternatives.map(({ logprob: own, ...one }) => ({
              token: one,
              logprob: own,
              isSaid: one.text === token.text && one.bytes === token.bytes,
            })),
          },
        }
      : none("its log has no alternatives here"),
  };
}

type Logged = NonNullable<RecordedReply["madeElsewhere"]>["tokens"];

export function Said({ reply, tokens, label }: SaidProps) {
  const [pointed, setPointed] = useState<number>();
  const [focused, setFocused] = useState<number>();
  const [asTable, setAsTable] = useState(false);
  const logged = reply.madeElsewhere?.tokens;
  const total = logged?.length ?? reply.tokenIds.length;
  const [most, more] = useShown(total, "it");
  const shown = useMemo(
    () => Array.from({ length: Math.min(most, total) }, (_, place) => saidToken(reply, tokens, place)),
    [reply, tokens, most, total],
  );
  if (reply.madeElsewhere && logged === undefined) {
    return (
      <>
        <div class="text">
          <Lines text={reply.text} />
        </div>
        <p class="quiet">Asked by another program: tokens and probabilities are not known.</p>
      </>
    );
  }
  const hasTexts = logged !== undefined || (!reply.madeElsewhere && reply.positions !== undefined) || tokens.ok;
  const at = pointed ?? focused;
  return (
    <>
      {hasTexts && more === null ? null : (
        <div class="text">
          <Lines text={reply.text} />
        </div>
      )}
      {reply.madeElsewhere ? (
        <p class="quiet">Asked by another program: tokens and probabilities are those of its log.</p>
      ) : null}
      {/* biome-ignore lint/a11y/useSemanticElements: tokens are no list to a reader */}
      <div
        class="text tokens"
        role="group"
        aria-label={`${label}, token by token`}
        onMouseLeave={() => setPointed(undefined)}
      >
        {shown.map(({ token, logprob, isEnd }, place) => (
          <button
            type="button"
            class={`token said ${logprob.ok ? `said-${bucketOf(logprob.value)}` : ""}${at === place ? " at" : ""}`}
            onMouseEnter={() => setPointed(place)}
            onFocus={() => setFocused(place)}
            onClick={() => setFocused(place)}
            aria-label={`${spokenToken(token)}${isEnd ? ", which ends it" : ""}, ${logprob.ok ? shareWords(logprob.value) : logprob.reason}`}
          >
            <TokenWords of={token} />
          </button>
        ))}
      </div>
      {more}
      <Legend />
      <div
        class={`inspector${shown.some(({ others }, place) => place > 0 && others.ok) ? " tall" : ""}`}
        aria-live="polite"
      >
        {at === undefined ? (
          <p>{totalWords(reply, total)} Point at a token, or go to it with the tab key.</p>
        ) : (
          <TokenFacts at={at} of={total} said={shown[at] as SaidToken} />
        )}
      </div>
      {hasTexts ? null : (
        <p class="quiet">
          Texts of the tokens: <Missing reason={tokens.ok ? "" : tokens.reason} />
        </p>
      )}
      <button type="button" class="plain" onClick={() => setAsTable(!asTable)} aria-expanded={asTable}>
        {asTable ? "Hide the table" : "As a table"}
      </button>
      {asTable ? <TokenTable shown={shown} label={label} /> : null}
    </>
  );
}

function totalWords(reply: RecordedReply, tokens: number): string {
  const count = `${formatCount(tokens)} ${tokens === 1 ? "token" : "tokens"}`;
  if (reply.madeElsewhere) return `${count}.`;
  const total = reply.logprobs.reduce((sum, one) => sum + one, 0);
  return `${count}, together ${shareWords(total)} (${natsWords(total)}); it ended by ${reply.stop.replaceAll("_", " ")}.`;
}

/** Least probability of each shade but the last; what was nearly certain is to look calm. */
const SHADES = [0.95, 0.8, 0.5, 0.2, 0.05, 0.005] as const;

/** 0 likely … 6 hardly. */
export function bucketOf(logprob: number): number {
  const found = SHADES.findIndex((least) => logprob >= Math.log(least));
  return found < 0 ? SHADES.length : found;
}

function Legend() {
  const percent = (share: number) => `${+(100 * share).toFixed(1)} %`;
  const words = [
    ...SHADES.map((least) => `${percent(least)} and more`),
    `less than ${percent(SHADES.at(-1) as number)}`,
  ];
  return (
    <ul class="shades" aria-label="Shades of tokens, by their probability">
      {words.map((range, shade) => (
        <li class={`said-${shade}`}>{range}</li>
      ))}
    </ul>
  );
}

/** Listed beside a token; the table has all. */
const MOST_LISTED = 10;

function TokenFacts({ at, of, said }: { at: number; of: number; said: SaidToken }) {
  const { token, id, logprob, margin, isEnd, others } = said;
  return (
    <>
      <p>
        token {at + 1} of {formatCount(of)} ·{" "}
        <code>
          <TokenWords of={token} />
        </code>
        {token.control ? " · a control token" : ""}
        {token.bytes === undefined ? "" : " · a part of a character, by its bytes"}
        {isEnd ? " · ends it" : ""}
        {id === undefined ? "" : ` · id ${id}`} ·{" "}
        {logprob.ok ? `${shareWords(logprob.value)} (${natsWords(logprob.value)})` : logprob.reason} ·{" "}
        {margin.ok ? `margin ${natsWords(margin.value)}` : margin.reason}
      </p>
      {others.ok ? <OthersHere of={others.value} /> : <p>{others.reason}.</p>}
    </>
  );
}

function OthersHere({ of: { listed, left } }: { of: Others }) {
  const open = -Math.expm1(Math.log(listed.reduce((sum, { logprob }) => sum + Math.exp(logprob), 0)));
  const hidden = listed.length - MOST_LISTED;
  const isThere = listed.some(({ isSaid }) => isSaid);
  return (
    <>
      <ol class="others" aria-label="The likeliest tokens here">
        {listed.slice(0, MOST_LISTED).map(({ token, id, logprob, isSaid }) => (
          <li class={isSaid ? "own" : ""} title={id === undefined ? "" : `id ${id}, ${natsWords(logprob)}`}>
            <meter min={0} max={1} value={Math.exp(logprob)} aria-hidden="true" />
            <code>
              <TokenWords of={token} />
            </code>{" "}
            {shareWords(logprob)}
            {isSaid ? " (said)" : ""}
          </li>
        ))}
      </ol>
      <p>
        {hidden > 0 ? `${hidden} more in the table. ` : ""}
        {isThere ? "" : `The token that was said is not among the ${listed.length} likeliest. `}
        {left === 0
          ? "These are all tokens there are."
          : `All other tokens${left === undefined ? "" : `, ${formatCount(left)},`} together: ${open <= 0 ? "less than rounding tells" : shareWords(Math.log(open))}.`}
      </p>
    </>
  );
}

function TokenTable({ shown, label }: { shown: readonly SaidToken[]; label: string }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls is reached by keyboard
    <section class="scroll" tabIndex={0} aria-label={`${label}, tokens as a table`}>
      <table>
        <thead>
          <tr>
            {["token", "id", "logprob", "probability", "margin", "likeliest here"].map((name) => (
              <th scope="col">{name}</th>
            ))}
          </tr>
        </thead>
        <tbody>
          {shown.map(({ token, id, logprob, margin, others }) => (
            <tr>
              <th scope="row">
                <TokenWords of={token} />
              </th>
              <td class="right">{id ?? <Missing reason="not in its log" />}</td>
              <td class="right">{logprob.ok ? natsWords(logprob.value) : <Missing reason={logprob.reason} />}</td>
              <td class="right">{logprob.ok ? shareWords(logprob.value) : <Missing reason={logprob.reason} />}</td>
              <td class="right">{margin.ok ? natsWords(margin.value) : <Missing reason={margin.reason} />}</td>
              <td>{others.ok ? <OthersInLine of={others.value} /> : <Missing reason={others.reason} />}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

function OthersInLine({ of: { listed } }: { of: Others }) {
  return (
    <>
      {listed.map(({ token, logprob, isSaid }, place) => (
        <>
          {place > 0 ? ", " : ""}
          <code>
            <TokenWords of={token} />
          </code>{" "}
          {shareWords(logprob)}
          {isSaid ? " (said)" : ""}
        </>
      ))}
    </>
  );
}
