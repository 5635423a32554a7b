/** A run: what it asked, what it found and which comparison decided, and every number with the way to its trials. */

import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { CellScore } from "../../src/score/scores.js";
import type { ExperimentCard, RunView, VerdictCard } from "../../src/view/view-api.js";
import { addressOf, nameTab, type QueryValues, replaceAddress, scopeChoice, trialsAddress } from "./address.js";
import { forget, useData } from "./data.js";
import { DotFigure } from "./figures.js";
import { Following } from "./following.js";
import {
  estimated,
  Facts,
  Missing,
  Of,
  OfShown,
  Problems,
  scopeText,
  SortedTable,
  StateMark,
  type TableColumn,
  Text,
} from "./parts.js";
import { More } from "./run-parts.js";

interface RunPageProps {
  readonly id: string;
  readonly query: URLSearchParams;
}

export function RunPage({ id, query }: RunPageProps) {
  const [finished, setFinished] = useState(0);
  const run = useData<RunView>(`runs/${id}/run.json`, finished);
  useEffect(() => {
    if (run.state === "there") nameTab(run.value.summary.study);
  }, [run]);
  return (
    <Of of={run}>
      {(view) => (
        <Run id={id} view={view} query={query}>
          {view.summary.state === "running" || view.summary.state === "stopped" ? (
            <Following
              id={id}
              follows={view.summary.state === "running"}
              onFinished={(files) => {
                forget(`runs/${id}/trials.json`);
                setFinished(files);
              }}
            />
          ) : null}
        </Run>
      )}
    </Of>
  );
}

const LENSES = ["target", "predictor", "task", "property"] as const;

/** @param children what stands above what was found: of a run that goes on, how far it is */
function Run({ id, view, query, children }: RunPageProps & { view: RunView; children: ComponentChildren }) {
  const { summary, scores } = view;
  const words = new Map(view.states.map((state) => [state.name, state.words]));
  const lens = Object.fromEntries(LENSES.map((name) => [name, query.get(name) ?? ""]));
  const passes = (row: Partial<Record<(typeof LENSES)[number], string>>) =>
    LENSES.every((name) => lens[name] === "" || row[name] === undefined || row[name] === lens[name]);
  const cells = scores.ok ? scores.value.cells : [];
  // What all cells share says nothing beside each.
  const telling = (["property", "task", "predictor", "target", "variant"] as const).filter(
    (name) => name === "property" || new Set(cells.map((cell) => cell[name])).size > 1,
  );
  const labelOf = (cell: CellScore) => telling.map((name) => cell[name]).join(" · ");
  return (
    <>
      <h1>
        <Text text={summary.study} /> <StateMark state={summary.state} />
      </h1>
      <p class="actions">
        {view.trials.ok ? (
          <a class="action" href={trialsAddress(id)}>
            All trials
          </a>
        ) : (
          <span class="quiet">
            Trials: <Missing reason={view.trials.reason} />
          </span>
        )}
        {view.report.ok ? (
          <a class="action" href={`data/runs/${id}/report.html`} target="_blank" rel="noreferrer">
            The report
          </a>
        ) : null}
      </p>
      <Problems problems={summary.problems} />
      {children}
      <h2 id="verdicts">What was found</h2>
      <p class="quiet">
        {view.standing.ok ? <Text text={view.standing.value} /> : <Missing reason={view.standing.reason} />}
      </p>
      {view.experiments.ok
        ? view.experiments.value.map((experiment) => <Experiment id={id} experiment={experiment} />)
        : null}
      <h2>Accuracy</h2>
      <OfShown of={scores}>
        {(value) => (
          <>
            <Lenses id={id} cells={value.cells} lens={lens} />
            <DotFigure
              title="Right predictions, averaged over trials"
              note={`${100 * value.confidence} % intervals; the tick is the most common answer of the train strings. Click a row for its trials.`}
              rows={value.averages
                .filter((row) => row.kind === "micro" && passes(row))
                .map((row) => ({
                  label: `${words.get(row.predictor) ?? row.predictor} → ${words.get(row.target) ?? row.target}${scopeText(row.scope)}`,
                  estimate: row.accuracy,
                  marks: [{ name: "mode of the train strings", value: row.modeBaselineTrain }],
                  href: trialsAddress(id, { predictor: row.predictor, target: row.target, ...scopeChoice(row.scope) }),
                }))}
            />
            <NotAveraged id={id} cells={value.notAveraged} />
            <DotFigure
              title="By task and property"
              note="Ticks: the most common answer, and the best rule on the string."
              rows={value.cells.filter(passes).map((cell) => ({
                label: labelOf(cell),
                estimate: cell.accuracy,
                marks: [
                  { name: "mode of the train strings", value: cell.modeBaselineTrain },
                  { name: "best rule on the string", value: cell.heuristics.best_on_train },
                ],
                href: trialsAddress(id, cellChoice(cell)),
              }))}
            />
            <SortedTable
              title="Cells: one predictor about one target, task, property and wording"
              rows={value.cells.filter(passes)}
              columns={cellColumns(id)}
            />
            <p class="quiet">
              <Text text={value.intervalMethod} /> Noise floor {value.noiseFloorNats.toPrecision(3)} nats.
            </p>
            <Exclusions view={value} id={id} />
          </>
        )}
      </OfShown>
      <More id={id} view={view} passes={passes} />
      {cells.length === 0 && !view.trials.ok ? <p class="quiet">Nothing of this run is scored yet.</p> : null}
      <h2>How it was made</h2>
      <Facts facts={view.facts} />
      <SortedTable
        title="Stages and their files"
        rows={view.stages}
        columns={[
          { title: "stage", isHead: true, sort: ({ name }) => name, cell: ({ name }) => <Text text={name} /> },
          { title: "kind", sort: ({ kind }) => kind, cell: ({ kind }) => kind },
          {
            title: "state",
            sort: ({ state }) => state,
            cell: ({ state }) =>
              state === "done" ? (
                "done"
              ) : state === "changed" ? (
                <span class="bad">changed since</span>
              ) : (
                <span class="quiet">not finished</span>
              ),
          },
          {
            title: "files",
            sort: ({ files }) => files.join(" "),
            cell: ({ files }) => (
              <code>
                <Text text={files.join(", ")} />
              </code>
            ),
          },
        ]}
      />
    </>
  );
}

function cellChoice({ predictor, target, task, property, variant }: CellScore): QueryValues {
  return { predictor, target, task, property, variant };
}

function cellColumns(id: string): TableColumn<CellScore>[] {
  const text = (title: string, of: (cell: CellScore) => string): TableColumn<CellScore> => ({
    title,
    sort: of,
    cell: (cell) => <Text text={of(cell)} />,
  });
  return [
    {
      title: "property",
      isHead: true,
      sort: ({ property }) => property,
      cell: (cell) => (
        <a href={trialsAddress(id, cellChoice(cell))}>
          <Text text={cell.property} />
        </a>
      ),
    },
    text("task", ({ task }) => task),
    text("predictor", ({ predictor }) => predictor),
    text("target", ({ target }) => target),
    text("wording", ({ variant }) => variant),
    estimated("right", ({ accuracy }) => accuracy),
    estimated("mode", ({ modeBaselineTrain }) => modeBaselineTrain, { n: false }),
    estimated("less mode, points", ({ aboveModeTrain }) => aboveModeTrain, { unit: "difference", n: false }),
    {
      title: "warnings",
      sort: ({ warnings }) => (warnings.length > 0 ? warnings.join(" ") : undefined),
      cell: ({ warnings }) =>
        warnings.map((warning) => (
          <div class="quiet">
            <Text text={warning} />
          </div>
        )),
    },
  ];
}

function Lenses({
  id,
  cells,
  lens,
}: {
  id: string;
  cells: readonly CellScore[];
  lens: Readonly<Record<string, string>>;
}) {
  return (
    <form class="lenses" aria-label="Show only" onSubmit={(event) => event.preventDefault()}>
      {LENSES.map((name) => {
        const values = [...new Set(cells.map((cell) => cell[name]))].sort();
        if (values.length < 2) return null;
        return (
          <label>
            {name}{" "}
            <select
              value={lens[name]}
              onChange={(event) =>
                replaceAddress(
                  addressOf(["runs", id], { ...withoutEmpty({ ...lens, [name]: event.currentTarget.value }) }),
                )
              }
            >
              <option value="">all</option>
              {values.map((value) => (
                <option value={value}>{value}</option>
              ))}
            </select>
          </label>
        );
      })}
    </form>
  );
}

function withoutEmpty(values: Readonly<Record<string, string>>): QueryValues {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== ""));
}

/** Behaviors that hardly vary are in no average: whoever names the one value is right, and knows nothing. */
function NotAveraged({ id, cells }: { id: string; cells: ScoresShown["notAveraged"] }) {
  if (cells.length === 0) return null;
  return (
    <p class="quiet">
      In no average and no verdict, because these behaviors hardly vary:{" "}
      {cells.map(({ target, task, property }, at) => (
        <>
          {at > 0 ? "; " : ""}
          <a href={trialsAddress(id, { target, task, property })}>
            <Text text={`${property} of ${target} on ${task}`} />
          </a>
        </>
      ))}
      .
    </p>
  );
}

type ScoresShown = Extract<RunView["scores"], { ok: true }>["value"];

function Exclusions({ view, id }: { view: ScoresShown; id: string }) {
  return (
    <SortedTable
      title="Excluded, or counted as wrong"
      rows={view.exclusions}
      empty="Nothing was excluded."
      columns={[
        {
          title: "reason",
          isHead: true,
          sort: ({ reason }) => reason,
          cell: ({ reason, predictor, target, task, property }) => (
            <a href={trialsAddress(id, { reason, predictor, target, task, property })}>
              <Text text={reason.replaceAll("_", " ")} />
            </a>
          ),
        },
        {
          title: "predictor → target",
          sort: ({ predictor, target }) => `${predictor} → ${target}`,
          cell: ({ predictor, target }) => <Text text={`${predictor} → ${target}`} />,
        },
        { title: "task", sort: ({ task }) => task, cell: ({ task }) => <Text text={task} /> },
        { title: "property", sort: ({ property }) => property, cell: ({ property }) => <Text text={property} /> },
        { title: "side", sort: ({ side }) => side, cell: ({ side }) => side.replaceAll("_", " ") },
        {
          title: "treatment",
          sort: ({ treatment }) => treatment,
          cell: ({ treatment }) => treatment.replaceAll("_", " "),
        },
        { title: "trials", align: "right", sort: ({ count }) => count, cell: ({ count }) => count },
      ]}
    />
  );
}

function Experiment({ id, experiment }: { id: string; experiment: ExperimentCard }) {
  return (
    <section class="experiment">
      <h3>
        {experiment.title}{" "}
        <small>
          <Text text={experiment.question} />
        </small>
      </h3>
      {experiment.missing === undefined ? null : (
        <p>
          <Missing reason={experiment.missing} />
        </p>
      )}
      <div class="cards">
        {experiment.verdicts.map((verdict) => (
          <Verdict id={id} verdict={verdict} />
        ))}
      </div>
    </section>
  );
}

function Verdict({ id, verdict }: { id: string; verdict: VerdictCard }) {
  const { answer, finding, about, lead, more, numbers, intervalMethod, trials } = verdict;
  return (
    <article class={`verdict verdict-${finding}`}>
      <h4>
        <Text text={answer} />
        <small>
          <Text text={about} />
        </small>
      </h4>
      <p>
        <strong>Decided by:</strong> <Text text={lead} />
      </p>
      <ul class="numbers">
        {numbers.map(({ label, text, estimate, baselines, decides }) => (
          <li class={decides ? "decides" : ""}>
            <span>
              <Text text={label} />
            </span>
            <span class="estimate">
              {estimate.ok ? (
                <>
                  <Text text={text} />{" "}
                  <small>
                    n {estimate.n}, {estimate.clusters} strings
                  </small>
                </>
              ) : (
                <Missing reason={estimate.reason} />
              )}
              {baselines.map((one) => (
                <small>
                  {" "}
                  · <Text text={`${one.name} ${one.text}`} />
                </small>
              ))}
            </span>
          </li>
        ))}
      </ul>
      {more.length > 0 || intervalMethod !== "" ? (
        <details>
          <summary>What else was compared, and what weakens it</summary>
          <ul>
            {more.map((text) => (
              <li>
                <Text text={text} />
              </li>
            ))}
          </ul>
          <p class="quiet">
            <Text text={intervalMethod} />
          </p>
        </details>
      ) : null}
      <a href={trialsAddress(id, trials)}>The trials behind it</a>
    </article>
  );
}
