/** Two runs: where their plans differ first, then the paired differences, then the trials that changed. */

import { useEffect, useMemo, useRef } from "preact/hooks";
import { formatCount } from "../../src/report/document.js";
import type { TrialTable } from "../../src/run/trials/trial-shapes.js";
import type { CompareView } from "../../src/view/view-api.js";
import { addressOf, nameTab } from "./address.js";
import { type ChangedTrial, changedTrials } from "./changed-trials.js";
import { useData, useOnce } from "./data.js";
import { DotFigure } from "./figures.js";
import { estimated, Notes, Of, OfShown, pValues, scopeText, SortedTable, Text, Value } from "./parts.js";

interface ComparePageProps {
  readonly first: string;
  readonly second: string;
  /** Which of the trials that changed are listed. */
  readonly query: URLSearchParams;
}

const CHOICES = ["predictor", "target", "task", "property", "variant"] as const;
type Choice = Readonly<Partial<Record<(typeof CHOICES)[number], string>>>;

/** Rows of the list; the CSV of a filtered list of trials has all of a run. */
const MOST = 1000;

export function ComparePage({ first, second, query }: ComparePageProps) {
  const choice = Object.fromEntries(CHOICES.flatMap((name) => (query.has(name) ? [[name, query.get(name)]] : [])));
  const chosen = JSON.stringify(choice);
  const list = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    if (chosen !== "{}") list.current?.scrollIntoView();
  }, [chosen]);
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
      <Of of={compared}>
        {(view) => <Compared view={view} href={(chosen) => addressOf(["compare", first, second], chosen)} />}
      </Of>
      <h2 ref={list}>Trials that changed</h2>
      {chosen === "{}" ? null : (
        <p class="actions">
          <span>
            Of <Text text={Object.values(choice).join(", ")} />
          </span>
          <a href={addressOf(["compare", first, second])}>All of them</a>
        </p>
      )}
      <Changes first={first} second={second} choice={choice} />
    </>
  );
}

type Pairs = Extract<CompareView["compared"], { ok: true }>["value"]["pairs"];

function Compared({ view, href }: { view: CompareView; href: (choice: Choice) => string }) {
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
                sort: (one) => one.first,
                cell: (one) => (
                  <code>
                    <Text text={one.first} />
                  </code>
                ),
              },
              {
                title: "second",
                sort: (one) => one.second,
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
              label: `${predictor} → ${target}${scopeText(scope)}`,
              estimate: micro.difference,
              href: href({ predictor, target }),
            }))}
          />
          <SortedTable<Pairs[number]>
            title="Predictors about targets"
            rows={pairs}
            columns={[
              {
                title: "predictor → target",
                isHead: true,
                sort: ({ predictor, target }) => `${predictor} → ${target}`,
                cell: ({ predictor, target, scope }) => <Text text={`${predictor} → ${target}${scopeText(scope)}`} />,
              },
              {
                title: "trials paired",
                align: "right",
                sort: ({ trials }) => trials.paired,
                cell: ({ trials }) => formatCount(trials.paired),
              },
              estimated("first", ({ overall: [micro] }) => micro.first, { n: false }),
              estimated("second", ({ overall: [micro] }) => micro.second, { n: false }),
              estimated("second − first, points", ({ overall: [micro] }) => micro.difference, { unit: "difference" }),
              pValues("p (sign flip, Holm)", ({ holmP }) => holmP),
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
          <Cells pairs={pairs} href={href} />
          <p class="quiet">{pairs[0]?.intervalMethod}</p>
          <Notes notes={notes} />
        </>
      )}
    </OfShown>
  );
}

/** Task by task and property by property: where a run gained, and where it lost. */
function Cells({ pairs, href }: { pairs: Pairs; href: (choice: Choice) => string }) {
  const cells = pairs.flatMap(({ predictor, target, cells: own }) =>
    own.map((cell) => ({ ...cell, predictor, target })),
  );
  type Cell = (typeof cells)[number];
  // What all cells share says nothing beside each.
  const telling = (["property", "task", "predictor", "target", "variant"] as const).filter(
    (name) => name === "property" || new Set(cells.map((cell) => cell[name])).size > 1,
  );
  const leads = ({ predictor, target, task, property, variant }: Cell) =>
    href({ predictor, target, task, property, variant });
  return (
    <>
      <DotFigure
        title="Second minus first by task and property, points"
        note="Click a row for its trials that changed. Intervals are not adjusted for how many rows there are."
        unit="difference"
        rows={cells.map((cell) => ({
          label: telling.map((name) => cell[name]).join(" · "),
          estimate: cell.difference,
          href: leads(cell),
        }))}
      />
      <SortedTable<Cell>
        title="Cells: one predictor about one target, task, property and wording"
        rows={cells}
        columns={[
          {
            title: "property",
            isHead: true,
            sort: ({ property }) => property,
            cell: (cell) => (
              <a href={leads(cell)}>
                <Text text={cell.property} />
              </a>
            ),
          },
          { title: "task", sort: ({ task }) => task, cell: ({ task }) => <Text text={task} /> },
          {
            title: "predictor → target",
            sort: ({ predictor, target }) => `${predictor} → ${target}`,
            cell: ({ predictor, target }) => <Text text={`${predictor} → ${target}`} />,
          },
          { title: "wording", sort: ({ variant }) => variant, cell: ({ variant }) => <Text text={variant} /> },
          {
            title: "trials paired",
            align: "right",
            sort: ({ paired }) => paired,
            cell: ({ paired }) => formatCount(paired),
          },
          estimated("first", (cell) => cell.first, { n: false }),
          estimated("second", (cell) => cell.second, { n: false }),
          estimated("second − first, points", ({ difference }) => difference, { unit: "difference" }),
        ]}
      />
    </>
  );
}

type ChangesProps = Omit<ComparePageProps, "query"> & { readonly choice: Choice };

function Changes({ first, second, choice }: ChangesProps) {
  const [one, other] = [
    useOnce<TrialTable>(`runs/${first}/trials.json`),
    useOnce<TrialTable>(`runs/${second}/trials.json`),
  ];
  return (
    <Of of={one}>
      {(was) => (
        <Of of={other}>{(is) => <ChangeList first={first} second={second} choice={choice} was={was} is={is} />}</Of>
      )}
    </Of>
  );
}

function ChangeList({ first, second, choice, was, is }: ChangesProps & { was: TrialTable; is: TrialTable }) {
  const { changed: all, both } = useMemo(() => changedTrials(was, is), [was, is]);
  const changed = all.filter((one) =>
    CHOICES.every((name) => choice[name] === undefined || one[name] === choice[name]),
  );
  return (
    <>
      <p class="quiet">
        {formatCount(all.length)} of {formatCount(both)} trials that both have changed their outcome, behavior or
        prediction
        {changed.length < all.length ? `; ${formatCount(changed.length)} are of what is chosen` : ""}
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
          { title: "task", sort: ({ task }) => task, cell: ({ task }) => <Text text={task} /> },
          {
            title: "predictor → target",
            sort: ({ predictor, target }) => `${predictor} → ${target}`,
            cell: ({ predictor, target }) => <Text text={`${predictor} → ${target}`} />,
          },
          {
            title: "first",
            sort: ({ outcomes: [before] }) => before,
            csv: ({ outcomes: [before], values: [[behavior, prediction]] }) =>
              `${before}: ${valueText(behavior)}, said ${valueText(prediction)}`,
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
            csv: ({ outcomes: [, after], values: [, [behavior, prediction]] }) =>
              `${after}: ${valueText(behavior)}, said ${valueText(prediction)}`,
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

function valueText(found: ChangedTrial["values"][0][0]): string {
  return found.ok ? found.value : `none (${found.reason})`;
}
