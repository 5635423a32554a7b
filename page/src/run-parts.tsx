/** Parts of a run's page that only some studies have: training, calibration, everybody about everybody, series, probes. */

import type { RunView } from "../../src/view/view-api.js";
import { trialsAddress } from "./address.js";
import { HeatFigure, Legend, LinesFigure } from "./figures.js";
import { Missing, Number_, SortedTable, sortValue, Text } from "./parts.js";
import { Injection, LensMaps, Simulation } from "./inside-maps.js";
import { ProbeMaps } from "./probe-maps.js";

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
  const { calibration, matrix, series, probes, lenses, simulation, injection, losses } = view;
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
                title={`Reliability: ${row.predictor} about ${row.target}`}
                note={`${row.bins.length} bins of equal frequency, ${row.points} points of ${row.strings} strings; the diagonal is a predictor that knows.`}
                lines={[
                  {
                    name: row.predictor,
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
          <SortedTable
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
                sort: ({ predictor, target }) => `${predictor} → ${target}`,
                cell: ({ predictor, target, property }) => (
                  <a
                    href={trialsAddress(id, {
                      predictor,
                      target,
                      ...(property === undefined ? {} : { property }),
                      sort: "disagreement",
                      order: "desc",
                    })}
                  >
                    <Text text={`${predictor} → ${target}`} />
                  </a>
                ),
              },
              {
                title: "property",
                sort: ({ property }) => property ?? "all",
                cell: ({ property }) => property ?? "all",
              },
              {
                title: "Brier",
                align: "right",
                sort: ({ metrics }) => sortValue(metrics.brier),
                cell: ({ metrics }) => <Number_ of={metrics.brier} unit="plain" />,
              },
              {
                title: "constant's Brier",
                align: "right",
                sort: ({ constant }) => sortValue(constant.brier),
                cell: ({ constant }) => <Number_ of={constant.brier} unit="plain" n={false} />,
              },
              {
                title: "skill",
                align: "right",
                sort: ({ skill }) => sortValue(skill),
                cell: ({ skill }) => <Number_ of={skill} unit="plain" n={false} />,
              },
              {
                title: "total variation",
                align: "right",
                sort: ({ metrics }) => sortValue(metrics.totalVariation),
                cell: ({ metrics }) => <Number_ of={metrics.totalVariation} unit="share" n={false} />,
              },
            ]}
          />
        </>
      ) : null}
      {matrix.ok ? <Matrix id={id} squares={matrix.value} /> : null}
      {series.ok && series.value.length > 0 ? (
        <>
          <h2>Series</h2>
          {series.value.map(({ kind, model, target, points }) => (
            <LinesFigure
              title={`${model} about ${target}, by what it ${kind === "learnt" ? "learnt from" : "was shown"}`}
              note="Each size against the one before it, on the trials of both."
              lines={[
                {
                  name: model,
                  points: points.flatMap(({ size, accuracy }) =>
                    accuracy.ok ? [{ x: size, y: accuracy.value, low: accuracy.low, high: accuracy.high }] : [],
                  ),
                },
              ]}
              xTitle={kind === "learnt" ? "strings a property" : "behaviors in the prompt"}
              yTitle="right"
              unit="share"
              from={[0, 1]}
            />
          ))}
        </>
      ) : null}
      {probes.ok ? <ProbeMaps probes={probes.value} /> : null}
      {lenses.ok ? <LensMaps lenses={lenses.value} /> : null}
      {simulation.ok ? <Simulation id={id} simulation={simulation.value} /> : null}
      {injection.ok ? <Injection injection={injection.value} /> : null}
      {[
        ["Calibration", calibration],
        ["Matrix", matrix],
        ["Probes", probes],
        ["Lenses", lenses],
        ["Self-simulation", simulation],
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

function Matrix({ id, squares }: { id: string; squares: Extract<RunView["matrix"], { ok: true }>["value"] }) {
  const predictors = [...new Set(squares.map(({ predictor }) => predictor))];
  const targets = [...new Set(squares.map(({ target }) => target))];
  const at = (row: number, column: number) =>
    squares.find(({ predictor, target }) => predictor === predictors[row] && target === targets[column])?.accuracy ?? {
      ok: false as const,
      reason: "not asked",
    };
  return (
    <>
      <h2>Everybody about everybody</h2>
      <HeatFigure
        title="Right, percent: predictors in rows, targets in columns"
        note="Pairs that the plan does not name have no trials of their own."
        rows={predictors}
        columns={targets}
        at={at}
        href={(row, column) =>
          trialsAddress(id, { predictor: predictors[row] as string, target: targets[column] as string })
        }
      />
    </>
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
