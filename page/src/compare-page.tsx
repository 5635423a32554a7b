/** Two runs: where their plans differ first, then the paired differences, then the trials that changed. */

import { useEffect, useMemo } from "preact/hooks";
import { formatCount } from "../../src/report/document.js";
import type { TrialTable } from "../../src/run/trials/trial-shapes.js";
import type { CompareView } from "../../src/view/view-api.js";
import { addressOf, nameTab } from "./address.js";
import { type ChangedTrial, changedTrials } from "./changed-trials.js";
import { useData, useOnce } from "./data.js";
import { DotFigure } from "./figures.js";
import { Number_, Of, OfShown, SortedTable, sortValue, Text, Value } from "./parts.js";

interface ComparePageProps {
  readonly first: string;
  readonly second: string;
}

/** Rows of the list; the CSV of a filtered list of trials has all of a run. */
const MOST = 1000;

export function ComparePage({ first, second }: ComparePageProps) {
  const compared = useData<CompareView>(`compare/${first}/${second}.json`);
  useEffect(() => {
    nameTab("Two runs");
  }, []);
  return (
    <>
      <h1>Two runs</h1>
      <p class="quiet">
        First <a href={addressOf(["runs", first])}>{first}</a>, second{" "}
        <a href={addressOf(["runs", second])}>{second}</a>.{" "}
        <a href={addressOf(["compare", second, first])}>The other way round</a>
      </p>
      <Of of={compared}>{(view) => <Compared view={view} />}</Of>
      <h2>Trials that changed</h2>
      <Changes first={first} second={second} />
    </>
  );
}

function Compared({ view }: { view: CompareView }) {
  return (
    <OfShown of={view.compared}>
      {({ samePlan, differences, strings, pairs, notes }) => (
        <>
          <h2>Where the plans differ</h2>
          {samePlan ? <p>They are the same.</p> : null}
          <SortedTable
            title="Keys of the plans"
            rows={differences}
            empty={samePlan ? "" : "They differ in their strings alone."}
            columns={[
              { title: "key", isHead: true, sort: ({ key }) => key, cell: ({ key }) => <Text text={key} /> },
              {
                title: "first",
                csv: (one) => one.first,
                cell: (one) => (
                  <code>
                    <Text text={one.first} />
                  </code>
                ),
              },
              {
                title: "second",
                csv: (one) => one.second,
                cell: (one) => (
                  <code>
                    <Text text={one.second} />
                  </code>
                ),
              },
            ]}
          />
          <SortedTable
            title="Strings"
            rows={strings.filter((one) => one.firstOnly + one.secondOnly > 0)}
            empty="Both have the same strings."
            columns={[
              { title: "task", isHead: true, sort: ({ task }) => task, cell: ({ task }) => <Text text={task} /> },
              { title: "split", sort: ({ split }) => split, cell: ({ split }) => split.replace("_", " ") },
              {
                title: "shared",
                align: "right",
                sort: ({ shared }) => shared,
                cell: ({ shared }) => formatCount(shared),
              },
              {
                title: "first alone",
                align: "right",
                sort: (one) => one.firstOnly,
                cell: (one) => formatCount(one.firstOnly),
              },
              {
                title: "second alone",
                align: "right",
                sort: (one) => one.secondOnly,
                cell: (one) => formatCount(one.secondOnly),
              },
            ]}
          />
          <h2>What came of it</h2>
          <p class="quiet">
            Paired on the same strings, properties and wordings. Exploratory: no plan named this comparison.
          </p>
          <DotFigure
            title="Second minus first, points"
            unit="difference"
            rows={pairs.map(({ predictor, target, scope, overall: [micro] }) => ({
              label: `${predictor} → ${target}${scope === "all" ? "" : `, ${scope.replaceAll("_", " ")}`}`,
              estimate: micro.difference,
            }))}
          />
          <SortedTable
            title="Predictors about targets"
            rows={pairs}
            columns={[
              {
                title: "predictor → target",
                isHead: true,
                sort: ({ predictor, target }) => `${predictor} → ${target}`,
                cell: ({ predictor, target, scope }) => (
                  <Text text={`${predictor} → ${target}${scope === "all" ? "" : `, ${scope.replaceAll("_", " ")}`}`} />
                ),
              },
              {
                title: "trials paired",
                align: "right",
                sort: ({ trials }) => trials.paired,
                cell: ({ trials }) => formatCount(trials.paired),
              },
              {
                title: "first",
                align: "right",
                sort: ({ overall: [micro] }) => sortValue(micro.first),
                cell: ({ overall: [micro] }) => <Number_ of={micro.first} n={false} />,
              },
              {
                title: "second",
                align: "right",
                sort: ({ overall: [micro] }) => sortValue(micro.second),
                cell: ({ overall: [micro] }) => <Number_ of={micro.second} n={false} />,
              },
              {
                title: "second − first, points",
                align: "right",
                sort: ({ overall: [micro] }) => sortValue(micro.difference),
                cell: ({ overall: [micro] }) => <Number_ of={micro.difference} unit="difference" />,
              },
              {
                title: "p (sign flip, Holm)",
                align: "right",
                sort: ({ holmP }) => (holmP.ok ? holmP.p : undefined),
                cell: ({ holmP }) => (holmP.ok ? holmP.p.toPrecision(2) : "—"),
              },
              {
                title: "behaviors differ",
                align: "right",
                sort: ({ behaviorsDiffer }) => behaviorsDiffer.count,
                cell: ({ behaviorsDiffer: { count, of } }) => `${formatCount(count)} of ${formatCount(of)}`,
              },
              {
                title: "predictions differ",
                align: "right",
                sort: ({ predictionsDiffer }) => predictionsDiffer.count,
                cell: ({ predictionsDiffer: { count, of } }) => `${formatCount(count)} of ${formatCount(of)}`,
              },
            ]}
          />
          <p class="quiet">{pairs[0]?.intervalMethod}</p>
          <ul class="quiet">
            {notes.map((note) => (
              <li>
                <Text text={note} />
              </li>
            ))}
          </ul>
        </>
      )}
    </OfShown>
  );
}

function Changes({ first, second }: ComparePageProps) {
  const [one, other] = [
    useOnce<TrialTable>(`runs/${first}/trials.json`),
    useOnce<TrialTable>(`runs/${second}/trials.json`),
  ];
  return (
    <Of of={one}>
      {(was) => <Of of={other}>{(is) => <ChangeList first={first} second={second} was={was} is={is} />}</Of>}
    </Of>
  );
}

function ChangeList({ first, second, was, is }: ComparePageProps & { was: TrialTable; is: TrialTable }) {
  const { changed, both } = useMemo(() => changedTrials(was, is), [was, is]);
  return (
    <>
      <p class="quiet">
        {formatCount(changed.length)} of {formatCount(both)} trials that both have changed their outcome, behavior or
        prediction
        {changed.length > MOST ? `; the first ${formatCount(MOST)} are listed` : ""}.
      </p>
      <SortedTable<ChangedTrial>
        title="Trials that changed"
        rows={changed.slice(0, MOST)}
        empty="None changed."
        columns={[
          {
            title: "string",
            isHead: true,
            sort: ({ string }) => string,
            cell: ({ string }) => <Text text={string} cut={120} />,
          },
          { title: "property", sort: ({ property }) => property, cell: ({ property }) => <Text text={property} /> },
          { title: "predictor → target", sort: ({ pair }) => pair, cell: ({ pair }) => <Text text={pair} /> },
          {
            title: "first",
            sort: ({ outcomes: [before] }) => before,
            cell: ({ outcomes: [before], lines: [line], values: [[behavior, prediction]] }) => (
              <>
                <a href={addressOf(["runs", first, "trials", String(line)])}>{before}</a>: <Value of={behavior} />, said{" "}
                <Value of={prediction} />
              </>
            ),
          },
          {
            title: "second",
            sort: ({ outcomes: [, after] }) => after,
            cell: ({ outcomes: [, after], lines: [, line], values: [, [behavior, prediction]] }) => (
              <>
                <a href={addressOf(["runs", second, "trials", String(line)])}>{after}</a>: <Value of={behavior} />, said{" "}
                <Value of={prediction} />
              </>
            ),
          },
        ]}
      />
    </>
  );
}
