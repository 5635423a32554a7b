/** Parts of a run's page that only some studies have: training, calibration, everybody about everybody, series, probes. */

import type { RunView } from "../../src/view/view-api.js";
import { scopeChoice, trialsAddress } from "./address.js";
import { HeatFigure } from "./figures.js";
import { estimated, Missing, scopeText, SortedTable, Text } from "./parts.js";
import { Legend, LinesFigure } from "./plots.js";
import { Injection, LensMaps, Simulation } from "./inside-maps.js";
import { ProbeMaps } from "./probe-maps.js";
import { TakenApart } from "./taken-apart.js";

/** Parts that only some studies have. */
export function More({
  id,
  view,
  passes,
}: {
  id: string;
  view: RunView;
  passes: (row: { predictor?: string; target?: string; property?: string }) => boolean;
}) {
  const { calibration, matrix, series, probes, lenses, simulation, injection, inside, losses } = view;
  return (
    <>
      {losses.length > 0 ? <Losses losses={losses} title="Loss of training" /> : null}
      {calibration.ok ? (
        <>
          <h2>Calibration</h2>
          {calibration.value
            .filter(
              (row) =>
                row.property === undefined &&
                row.bins.length > 0 &&
                passes({ predictor: row.predictor, target: row.target }),
            )
            .map((row) => (
              <LinesFigure
                title={`Reliability: ${row.predictor} about ${row.target}${scopeText(row.scope)}`}
                note={`${row.bins.length} bins of equal frequency, ${row.points} points of ${row.strings} strings; the diagonal is a predictor that knows.`}
                lines={[
                  {
                    name: row.predictor,
                    href: calibratedTrials(id, row),
                    points: row.bins.map((bin) => ({ x: bin.meanObject, y: bin.meanHypothetical })),
                  },
                ]}
                xTitle="what it does"
                yTitle="what it says"
                unit="share"
                from={[0, 1]}
                diagonal
              />
            ))}
          <SortedTable<CalibratedRow>
            title="Distances of distributions, beside a constant predictor's"
            rows={calibration.value.filter((row) =>
              passes({
                predictor: row.predictor,
                target: row.target,
                ...(row.property === undefined ? {} : { property: row.property }),
              }),
            )}
            columns={[
              {
                title: "predictor → target",
                isHead: true,
                sort: ({ predictor, target, scope }) => `${predictor} → ${target}${scopeText(scope)}`,
                cell: (row) => (
                  <a href={calibratedTrials(id, row)}>
                    <Text text={`${row.predictor} → ${row.target}${scopeText(row.scope)}`} />
                  </a>
                ),
              },
              {
                title: "property",
                sort: ({ property }) => property ?? "all",
                cell: ({ property }) => property ?? "all",
              },
              estimated("Brier", ({ metrics }) => metrics.brier, { unit: "plain" }),
              estimated("constant's Brier", ({ constant }) => constant.brier, { unit: "plain", n: false }),
              estimated("skill", ({ skill }) => skill, { unit: "plain", n: false }),
              estimated("total variation", ({ metrics }) => metrics.totalVariation, { n: false }),
            ]}
          />
        </>
      ) : null}
      {matrix.ok ? <Matrix id={id} squares={matrix.value.filter(passes)} asked={askedPairs(view)} /> : null}
      {series.ok && series.value.length > 0 ? (
        <>
          <h2>Series</h2>
          {series.value.filter(passes).map((one) => (
            <Series id={id} of={one} />
          ))}
        </>
      ) : null}
      {probes.ok ? <ProbeMaps probes={probes.value} /> : null}
      {lenses.ok ? <LensMaps lenses={lenses.value} /> : null}
      {simulation.ok ? <Simulation id={id} simulation={simulation.value} /> : null}
      {inside.ok ? <TakenApart id={id} /> : null}
      {injection.ok ? <Injection injection={injection.value} /> : null}
      {[
        ["Calibration", calibration],
        ["Matrix", matrix],
        ["Probes", probes],
        ["Lenses", lenses],
        ["Self-simulation", simulation],
        ["Answers taken apart", inside],
        ["Concept injection", injection],
      ].map(([name, part]) =>
        typeof part !== "string" && part !== undefined && !part.ok ? (
          <p class="quiet">
            {name as string}: <Missing reason={part.reason} />
          </p>
        ) : null,
      )}
    </>
  );
}

type SeriesOf = Extract<RunView["series"], { ok: true }>["value"][number];

function Series({ id, of: { scope, kind, model, target, points } }: { id: string; of: SeriesOf }) {
  const [what, unit] =
    kind === "learnt" ? ["learnt from", "strings a property"] : ["was shown", "behaviors in the prompt"];
  const found = points.flatMap(({ size, accuracy }) =>
    accuracy.ok ? [{ x: size, y: accuracy.value, low: accuracy.low, high: accuracy.high }] : [],
  );
  return (
    <>
      {found.length > 0 ? (
        <LinesFigure
          title={`${model} about ${target}, by what it ${what}${scopeText(scope)}`}
          note="Each size against the one before it, on the trials of both. A point leads to the trials about this target."
          lines={[{ name: model, href: trialsAddress(id, { target, ...scopeChoice(scope) }), points: found }]}
          xTitle={unit as string}
          yTitle="right"
          unit="share"
          from={[0, 1]}
        />
      ) : null}
      {points.map(({ size, accuracy }) =>
        accuracy.ok ? null : (
          <p class="quiet">
            {model} about {target}, {size} {unit}: <Missing reason={accuracy.reason} />
          </p>
        ),
      )}
    </>
  );
}

type CalibratedRow = Extract<RunView["calibration"], { ok: true }>["value"][number];
type Squares = Extract<RunView["matrix"], { ok: true }>["value"];

/** To the trials that a row of calibration is about, the most different first. */
function calibratedTrials(id: string, { predictor, target, property, scope }: CalibratedRow): string {
  return trialsAddress(id, {
    ...{ predictor, target, ...(property === undefined ? {} : { property }), ...scopeChoice(scope) },
    ...{ sort: "disagreement", order: "desc" },
  });
}

/** Predictor and target of what has trials of its own. */
function askedPairs({ scores }: RunView): ReadonlySet<string> {
  return new Set((scores.ok ? scores.value.averages : []).map(({ predictor, target }) => `${predictor} → ${target}`));
}

interface MatrixProps {
  readonly id: string;
  readonly squares: Squares;
  readonly asked: ReadonlySet<string>;
}

function Matrix({ id, squares, asked }: MatrixProps) {
  const addressOfPair = ({ predictor, target, scope }: Pick<Squares[number], "predictor" | "target" | "scope">) =>
    asked.has(`${predictor} → ${target}`) ? trialsAddress(id, { predictor, target, ...scopeChoice(scope) }) : undefined;
  return (
    <>
      <h2>Everybody about everybody</h2>
      {[...new Set(squares.map(({ scope }) => scope))].map((scope) => (
        <MatrixOfScope scope={scope} squares={squares.filter((one) => one.scope === scope)} href={addressOfPair} />
      ))}
      <SortedTable<Squares[number]>
        title="Squares: right, beside what needs no self"
        rows={squares}
        columns={[
          {
            title: "predictor → target",
            isHead: true,
            sort: ({ predictor, target, scope }) => `${predictor} → ${target}${scopeText(scope)}`,
            cell: (square) => {
              const name = <Text text={`${square.predictor} → ${square.target}${scopeText(square.scope)}`} />;
              const address = addressOfPair(square);
              return address === undefined ? name : <a href={address}>{name}</a>;
            },
          },
          estimated("right", ({ accuracy }) => accuracy),
          estimated("mode of the train strings", ({ modeBaselineTrain }) => modeBaselineTrain, { n: false }),
          estimated("behaviors in common", ({ similarity }) => similarity),
        ]}
      />
    </>
  );
}

interface SquaresProps {
  readonly scope: Squares[number]["scope"];
  readonly squares: Squares;
  readonly href: (square: Pick<Squares[number], "predictor" | "target" | "scope">) => string | undefined;
}

function MatrixOfScope({ scope, squares, href }: SquaresProps) {
  const predictors = [...new Set(squares.map(({ predictor }) => predictor))];
  const targets = [...new Set(squares.map(({ target }) => target))];
  const at = (row: number, column: number) =>
    squares.find(({ predictor, target }) => predictor === predictors[row] && target === targets[column])?.accuracy ?? {
      ok: false as const,
      reason: "not asked",
    };
  return (
    <HeatFigure
      title={`Right, percent: predictors in rows, targets in columns${scopeText(scope)}`}
      note="Pairs that the plan does not name have no trials of their own."
      rows={predictors}
      columns={targets}
      at={at}
      href={(row, column) => href({ predictor: predictors[row] as string, target: targets[column] as string, scope })}
    />
  );
}

export function Losses({ losses, title }: { losses: RunView["losses"]; title: string }) {
  const shown = losses.filter(({ steps }) => steps.length > 1);
  if (shown.length === 0) return null;
  const lines = shown.flatMap(({ adapter, steps, validation }) => [
    { name: adapter, points: steps.map(({ step, nats }) => ({ x: step, y: nats })) },
    ...(validation.length > 1
      ? [{ name: `${adapter}, validation`, points: validation.map(({ step, nats }) => ({ x: step, y: nats })) }]
      : []),
  ]);
  return (
    <>
      <h2>Training</h2>
      <LinesFigure
        title={title}
        lines={lines}
        xTitle="step"
        yTitle="nats a token"
        unit="nats"
        dots={lines.every(({ points }) => points.length < 60)}
      />
      <Legend names={lines.map(({ name }) => name)} />
    </>
  );
}
