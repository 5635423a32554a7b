/** One trial: both prompts and both texts to the token, what was read from them, and the same string asked otherwise. */

import type { ComponentChildren } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import type {
  AskedView,
  BesideTrial,
  PromptTokens,
  SaidTokens,
  Shown,
  TrialTable,
  TrialTokens,
  TrialView,
} from "../../src/run/trials/trial-shapes.js";
import { addressOf, go, isInField, nameTab } from "./address.js";
import { type Loaded, loadTrial, type LoadedTrial, useOnce } from "./data.js";
import { DistributionTree } from "./distribution-tree.js";
import { Inside } from "./inside-trial.js";
import { Facts, Lines, Missing, Of, SortedTable, Text, Value } from "./parts.js";
import { Said } from "./said-tokens.js";
import { Prompt } from "./tokens.js";
import { queryOf, type TrialQuery, valuesOf } from "./trial-query.js";
import { probabilityWords, trialAddress } from "./trial-grid.js";
import { viewOf } from "./trials-page.js";

interface TrialPageProps {
  readonly id: string;
  readonly line: number;
  readonly query: URLSearchParams;
}

export function TrialPage({ id, line, query }: TrialPageProps) {
  const table = useOnce<TrialTable>(`runs/${id}/trials.json`);
  return <Of of={table}>{(value) => <InList id={id} line={line} table={value} query={queryOf(query)} />}</Of>;
}

function InList({ id, line, table, query }: { id: string; line: number; table: TrialTable; query: TrialQuery }) {
  const row = table.columns.line.indexOf(line);
  const asked = JSON.stringify(valuesOf(query));
  const rows = useMemo(() => viewOf(table).rows(query), [table, asked]);
  const place = rows.indexOf(row);
  const lineAt = (at: number) =>
    rows[at] === undefined ? undefined : (table.columns.line[rows[at] as number] as number);
  const [before, after] = place < 0 ? [undefined, undefined] : [lineAt(place - 1), lineAt(place + 1)];
  const back = addressOf(["runs", id, "trials"], { ...valuesOf(query), at: String(line) });
  const [found, setFound] = useState<Loaded<LoadedTrial>>({ state: "loading" });
  useEffect(() => {
    nameTab(`Trial ${line + 1}`);
    let isCurrent = true;
    loadTrial(id, line, row).then(
      (value) => isCurrent && setFound({ state: "there", value }),
      (error) =>
        isCurrent && setFound({ state: "failed", code: String(error.code ?? "PAGE"), message: String(error.message) }),
    );
    return () => {
      isCurrent = false;
    };
  }, [id, line, row]);
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (isInField(event)) return;
      const to = { ArrowLeft: before, k: before, ArrowRight: after, j: after }[event.key];
      if (event.key === "Escape") go(back);
      else if (to !== undefined) go(trialAddress(id, to, query));
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  });
  const step = (to: number | undefined, words: string) =>
    to === undefined ? <span class="quiet">{words}</span> : <a href={trialAddress(id, to, query)}>{words}</a>;
  return (
    <>
      <p class="actions">
        <a href={back}>← the list</a> {step(before, "previous (←)")} {step(after, "next (→)")}{" "}
        <span class="quiet">
          {place < 0 ? "not among the trials that are filtered" : `${place + 1} of ${rows.length}`}
        </span>
      </p>
      <Of of={found}>
        {({ view, tokens }) => <Trial key={line} id={id} view={view} readTokens={tokens} table={table} query={query} />}
      </Of>
    </>
  );
}

interface TrialProps {
  readonly id: string;
  readonly view: TrialView;
  readonly readTokens: () => Promise<TrialTokens>;
  readonly table: TrialTable;
  readonly query: TrialQuery;
}

const READING = { ok: false, reason: "being cut into tokens …" } as const;

function Trial({ id, view, readTokens, table, query }: TrialProps) {
  const { row, item, property } = view;
  const [tokens, setTokens] = useState<TrialTokens>({
    answerPrompt: READING,
    replyPrompt: READING,
    answer: READING,
    reply: READING,
  });
  useEffect(() => {
    readTokens().then(setTokens, (error) => {
      const none = { ok: false, reason: String(error.message) } as const;
      setTokens({ answerPrompt: none, replyPrompt: none, answer: none, reply: none });
    });
  }, []);
  return (
    <>
      <h1 class={`outcome-title outcome-${{ right: 0, wrong: 1, excluded: 2 }[row.outcome]}`}>
        {row.outcome} <small>{view.because}</small>
      </h1>
      <p class="sentence">
        <b>
          <Text text={row.predictor} />
        </b>{" "}
        about{" "}
        <b>
          <Text text={row.target} />
        </b>
        , <Text text={row.task} />,{" "}
        {item.ok ? (
          <q>
            <Text text={item.value.text} cut={300} />
          </q>
        ) : (
          <Missing reason={item.reason} />
        )}
      </p>
      <div class="two">
        <Side
          title="What the target did"
          asked={view.answer}
          prompt={tokens.answerPrompt}
          said={tokens.answer}
          result={
            <>
              <ResultLine label={`its ${property.name.replaceAll("_", " ")}`}>
                <Value of={row.behavior} />
              </ResultLine>
              <ResultLine label="read by">
                <Text text={`${property.summary}; ${property.rule}`} />
              </ResultLine>
              <ResultLine label="complies with the task">
                {row.objectCompliance.ok ? (
                  "yes"
                ) : (
                  <Missing reason={row.objectCompliance.reason.replaceAll("_", " ")} />
                )}
              </ResultLine>
              {view.option ? (
                <ResultLine label="option">{`by ${view.option.by}: counted ${view.option.counted ?? "none"}, written ${view.option.generated ?? "none"}`}</ResultLine>
              ) : null}
              {view.judged.ok ? (
                <ResultLine label="judged">{`${(100 * view.judged.value.probability).toFixed(1)} %, ${view.judged.value.lead.toFixed(2)} nats ahead`}</ResultLine>
              ) : null}
              <ResultLine label="smallest margin">{marginWords(row.answerMargin)}</ResultLine>
            </>
          }
        />
        <Side
          title="What the predictor said"
          asked={view.reply}
          prompt={tokens.replyPrompt}
          said={tokens.reply}
          result={
            <>
              <ResultLine label="its prediction">
                <Value of={row.prediction} />
              </ResultLine>
              <ResultLine label="asked">
                <Text text={property.question} />
              </ResultLine>
              <ResultLine label="smallest margin">{marginWords(row.replyMargin)}</ResultLine>
              <ResultLine label="above the noise floor">
                {row.aboveNoiseFloor === undefined ? (
                  <Missing reason="not known: sampled, or not there" />
                ) : row.aboveNoiseFloor ? (
                  "yes"
                ) : (
                  "no: asking again in another batch may turn it"
                )}
              </ResultLine>
            </>
          }
        />
      </div>
      {view.challenged ? (
        <Side
          title="The final answer, after a doubt"
          asked={view.challenged}
          prompt={{ ok: false, reason: "cut into tokens for first answers alone" }}
          said={{ ok: false, reason: "as above" }}
          result={null}
        />
      ) : null}
      <Beside id={id} view={view} query={query} />
      <section>
        <h2>Distributions at temperature 1</h2>
        <div class="two">
          <DistributionTree title="What the target would do" of={view.distributions.behavior} />
          <DistributionTree title="What the predictor would say" of={view.distributions.prediction} />
        </div>
      </section>
      <Inside run={id} line={view.line} of={view.inside} />
      <section>
        <h2>What needs no self</h2>
        <SortedTable
          title="Rules on the string, and the classifier of strings"
          rows={Object.entries(row.heuristics)}
          empty="No rule means anything for this task."
          columns={[
            { title: "rule", isHead: true, sort: ([name]) => name, cell: ([name]) => name.replaceAll("_", " ") },
            {
              title: "says",
              sort: ([, found]) => (found.ok ? found.value : undefined),
              cell: ([, found]) => <Value of={found} />,
            },
            {
              title: "right",
              sort: ([, found]) => String(isRight(found, row.behavior)),
              cell: ([, found]) => (isRight(found, row.behavior) ? "yes" : "no"),
            },
          ]}
        />
      </section>
      {item.ok && Object.keys(item.value.meta ?? {}).length > 0 ? (
        <section>
          <h2>The string's columns</h2>
          <Facts
            facts={Object.entries(item.value.meta ?? {}).map(([name, value]) => ({ name, value: String(value) }))}
          />
        </section>
      ) : null}
      <section>
        <h2>Where it stands</h2>
        <Facts
          facts={[
            { name: "trial", value: `08-trials.jsonl, line ${view.line + 1}` },
            { name: "answer", value: `${row.answerFile}, key ${row.answerKey}, state ${row.target}` },
            { name: "behavior", value: row.behaviorFile },
            { name: "reply", value: `07-hypothetical.jsonl, key ${row.replyKey}, state ${row.predictor}` },
            {
              name: "string",
              value: `${row.item}${row.cluster === undefined ? "" : `, of the cluster ${row.cluster}`}`,
            },
            ...(item.ok && item.value.target !== undefined
              ? [{ name: "target of the string", value: item.value.target }]
              : []),
            { name: "probabilities", value: tableProbabilities(table, view.line) },
          ]}
        />
      </section>
    </>
  );
}

function tableProbabilities({ columns }: TrialTable, line: number): string {
  const row = columns.line.indexOf(line);
  const [answer, reply] = [columns.answerLogprob[row], columns.replyLogprob[row]];
  const words = (logprob: number | null | undefined) =>
    logprob === null || logprob === undefined ? "not known" : probabilityWords(logprob);
  return `of the whole answer ${words(answer)}, of the whole reply ${words(reply)}`;
}

function isRight(found: TrialView["row"]["behavior"], behavior: TrialView["row"]["behavior"]): boolean {
  return found.ok && behavior.ok && found.value === behavior.value;
}

function marginWords(margin: number | undefined) {
  return margin === undefined ? <Missing reason="sampled, or not there" /> : `${margin.toFixed(4)} nats`;
}

function ResultLine({ label, children }: { label: string; children: ComponentChildren }) {
  return (
    <div>
      <dt>{label}</dt>
      <dd>{children}</dd>
    </div>
  );
}

interface SideProps {
  readonly title: string;
  readonly asked: AskedView;
  readonly prompt: Shown<PromptTokens>;
  readonly said: Shown<SaidTokens>;
  readonly result: ComponentChildren;
}

function Side({ title, asked, prompt, said, result }: SideProps) {
  return (
    <section class="side">
      <h2>
        {title}{" "}
        <small>
          <Text text={asked.stateWords} />
        </small>
      </h2>
      <h3>Prompt</h3>
      {prompt.ok ? (
        <Prompt of={prompt.value} />
      ) : (
        <>
          <Messages of={asked} />
          <p class="quiet">
            Without token borders: <Missing reason={prompt.reason} />
          </p>
        </>
      )}
      <h3>{title === "What the predictor said" ? "Reply" : "Answer"}</h3>
      {asked.reply === undefined ? (
        <p>
          <Missing
            reason={
              asked.setAside === undefined
                ? (asked.missing ?? "there is none")
                : `set aside: ${asked.setAside.replaceAll("_", " ")}`
            }
          />
        </p>
      ) : (
        <>
          {!asked.reply.madeElsewhere && asked.reply.reasoning !== undefined ? (
            <details>
              <summary>Reasoning that was taken out before it was read</summary>
              <div class="text">
                <Lines text={asked.reply.reasoning} />
              </div>
            </details>
          ) : null}
          <Said reply={asked.reply} tokens={said} label={title} />
        </>
      )}
      {result === null ? null : <dl class="result">{result}</dl>}
    </section>
  );
}

function Messages({ of: { messages } }: { of: AskedView }) {
  if (!messages.ok)
    return (
      <p>
        <Missing reason={messages.reason} />
      </p>
    );
  return (
    <div class="messages">
      {messages.value.map(({ role, content }) => (
        <div class={`message message-${role}`}>
          <b>{role}</b>
          <div class="text">{content === "" ? <span class="quiet">(empty)</span> : <Lines text={content} />}</div>
        </div>
      ))}
    </div>
  );
}

function Beside({ id, view, query }: { id: string; view: TrialView; query: TrialQuery }) {
  return (
    <section>
      <h2>The same string and property, asked otherwise</h2>
      <SortedTable<BesideTrial>
        title="Before and after training, self and cross, other wordings and samples"
        rows={view.beside}
        empty="It was asked once."
        columns={[
          {
            title: "predictor → target",
            isHead: true,
            sort: ({ predictor, target }) => `${predictor} → ${target}`,
            cell: ({ line, predictor, target }) => (
              <a href={trialAddress(id, line, query)}>
                <Text text={`${predictor} → ${target}`} />
              </a>
            ),
          },
          { title: "that is", sort: ({ relation }) => relation, cell: ({ relation }) => relation },
          { title: "outcome", sort: ({ outcome }) => outcome, cell: ({ outcome }) => outcome },
          {
            title: "behavior",
            sort: ({ behavior }) => (behavior.ok ? behavior.value : undefined),
            cell: ({ behavior }) => <Value of={behavior} />,
          },
          {
            title: "prediction",
            sort: ({ prediction }) => (prediction.ok ? prediction.value : undefined),
            cell: ({ prediction }) => <Value of={prediction} />,
          },
          { title: "answer", sort: ({ answer }) => answer, cell: ({ answer }) => <Text text={answer} cut={140} /> },
          { title: "reply", sort: ({ reply }) => reply, cell: ({ reply }) => <Text text={reply} cut={140} /> },
          {
            title: "wording",
            sort: ({ variant, sample }) => `${variant} ${sample}`,
            cell: ({ variant, sample }) => `${variant}${sample > 0 ? ` #${sample}` : ""}`,
          },
        ]}
      />
    </section>
  );
}
