/** All trials of a run: any number of them, filtered, searched and sorted; what is chosen stands in the address. */

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { formatCount } from "../../src/report/document.js";
import type { TrialTable } from "../../src/run/trials/trial-shapes.js";
import { addressOf, go, isInField, nameTab, replaceAddress } from "./address.js";
import { useOnce } from "./data.js";
import { REPORT } from "./embedded.js";
import { numberWords, Of, Problems, Text, Value } from "./parts.js";
import { saveCsv } from "./save.js";
import { type Facet, queryOf, type Sort, type TrialQuery, TrialView, valuesOf } from "./trial-query.js";

/** One for each table, since its columns are worked out once. */
const views = new WeakMap<TrialTable, TrialView>();

export function viewOf(table: TrialTable): TrialView {
  const known = views.get(table) ?? new TrialView(table);
  views.set(table, known);
  return known;
}

interface TrialsPageProps {
  readonly id: string;
  readonly query: URLSearchParams;
}

export function TrialsPage({ id, query }: TrialsPageProps) {
  const table = useOnce<TrialTable>(`runs/${id}/trials.json`);
  useEffect(() => {
    nameTab("Trials");
  }, []);
  return (
    <>
      {id === REPORT ? null : <h1>Trials</h1>}
      <Of of={table}>{(value) => <Trials id={id} view={viewOf(value)} query={query} />}</Of>
    </>
  );
}

function Trials({ id, view, query }: TrialsPageProps & { view: TrialView }) {
  const asked = query.toString();
  const { table } = view;
  const chosen = useMemo(() => queryOf(new URLSearchParams(asked)), [asked]);
  const rows = useMemo(() => view.rows(chosen), [view, chosen]);
  const change = (next: Partial<TrialQuery>) =>
    replaceAddress(addressOf(["runs", id, "trials"], valuesOf({ ...chosen, ...next })));
  const counts = useMemo(() => outcomeCounts(table, rows), [table, rows]);
  const search = useRef<HTMLInputElement>(null);
  useEffect(() => {
    const focus = (event: KeyboardEvent) => {
      if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || isInField(event)) return;
      event.preventDefault();
      search.current?.focus();
    };
    addEventListener("keydown", focus);
    return () => removeEventListener("keydown", focus);
  }, []);
  return (
    <>
      <Problems problems={table.problems} />
      <div class="filters">
        <label class="search">
          <span>Search</span>
          <input
            ref={search}
            type="search"
            value={chosen.text}
            placeholder="strings, answers, replies, values — press /"
            onInput={(event) => change({ text: event.currentTarget.value })}
          />
        </label>
        {[...view.facets.keys()].map((facet) => (
          <FacetBox
            view={view}
            facet={facet}
            query={chosen}
            onChange={(values) => change({ chosen: withFacet(chosen, facet, values) })}
          />
        ))}
        {chosen.chosen.size > 0 || chosen.text !== "" ? (
          <button type="button" onClick={() => change({ chosen: new Map(), text: "" })}>
            Show all
          </button>
        ) : null}
        <button type="button" class="save" onClick={() => save(view, rows)}>
          CSV
        </button>
      </div>
      <p class="quiet" role="status">
        {formatCount(rows.length)} of {formatCount(table.rows)} trials:{" "}
        {counts.map((count, at) => `${formatCount(count)} ${["right", "wrong", "excluded"][at]}`).join(", ")}
        {accuracyWords(counts)}.
        {table.cut.texts > 0
          ? ` Search and list look at the first ${table.cut.at} characters of a text; ${formatCount(table.cut.texts)} are longer.`
          : ""}
        {view.textOnly.length > 0
          ? ` Columns with too many values to choose from, which search finds: ${view.textOnly.join(", ")}.`
          : ""}
      </p>
      <Grid
        id={id}
        view={view}
        rows={rows}
        query={chosen}
        at={Number(query.get("at") ?? Number.NaN)}
        onSort={(sort, descending) => change({ sort, descending })}
      />
    </>
  );
}

function withFacet({ chosen }: TrialQuery, facet: Facet, values: ReadonlySet<string>): TrialQuery["chosen"] {
  const next = new Map(chosen);
  if (values.size === 0) next.delete(facet);
  else next.set(facet, values);
  return next;
}

function outcomeCounts({ columns }: TrialTable, rows: readonly number[]): [number, number, number] {
  const counts: [number, number, number] = [0, 0, 0];
  for (const row of rows) counts[columns.outcome[row] as 0 | 1 | 2]++;
  return counts;
}

/** A share of what is shown is no score: what scores average, and their intervals, stand with the run. */
function accuracyWords([right, wrong]: readonly [number, number, number]): string {
  return right + wrong === 0
    ? ""
    : ` (${numberWords(right / (right + wrong), "share")} right of those that count; no interval, as filters choose the trials)`;
}

const FACET_TITLES: Readonly<Partial<Record<Facet, string>>> = {
  variant: "wording",
  because: "why it counts so",
  reason: "what is missing",
  noise: "noise floor",
};

interface FacetBoxProps {
  readonly view: TrialView;
  readonly facet: Facet;
  readonly query: TrialQuery;
  readonly onChange: (values: ReadonlySet<string>) => void;
}

function FacetBox({ view, facet, query, onChange }: FacetBoxProps) {
  const [open, setOpen] = useState(false);
  const values = view.facets.get(facet)?.values ?? [];
  const chosen = query.chosen.get(facet) ?? new Set<string>();
  const counts = useMemo(() => (open ? view.counts(facet, query) : []), [open, view, facet, query]);
  const isWord = facet === "because" || facet === "reason";
  if (values.length < 2 && chosen.size === 0) return null;
  const title = FACET_TITLES[facet] ?? facet.replace(/^meta\./, "");
  return (
    <details class="facet" open={open} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary class={chosen.size > 0 ? "chosen" : ""}>
        {title}
        {chosen.size > 0 ? (
          <b>
            : <Text text={[...chosen].join(", ")} cut={30} />
          </b>
        ) : null}
      </summary>
      <fieldset>
        <legend>{title}</legend>
        {values.map((value, at) =>
          counts[at] === 0 && !chosen.has(value) ? null : (
            <label>
              <input
                type="checkbox"
                checked={chosen.has(value)}
                onChange={() => {
                  const next = new Set(chosen);
                  if (!next.delete(value)) next.add(value);
                  onChange(next);
                }}
              />{" "}
              <Text text={isWord ? (view.table.says[view.table.words.indexOf(value)] ?? value) : value} cut={70} />{" "}
              <small>{counts[at] === undefined ? "" : formatCount(counts[at] as number)}</small>
            </label>
          ),
        )}
      </fieldset>
    </details>
  );
}

// The table: only the rows that are seen stand in the page, all of one height.

interface GridColumn {
  readonly title: string;
  readonly sort?: Sort;
  readonly kind: "mark" | "text" | "number";
}

const COLUMNS: readonly GridColumn[] = [
  { title: "outcome", sort: "outcome", kind: "mark" },
  { title: "string", sort: "string", kind: "text" },
  { title: "behavior", kind: "text" },
  { title: "reply", kind: "text" },
  { title: "property", kind: "text" },
  { title: "predictor → target", kind: "text" },
  { title: "task", sort: "task", kind: "text" },
  { title: "margin", sort: "minMargin", kind: "number" },
  { title: "P answer", sort: "answerLogprob", kind: "number" },
  { title: "P reply", sort: "replyLogprob", kind: "number" },
  { title: "differ", sort: "disagreement", kind: "number" },
];

const NARROW = "(max-width: 760px)";
/** Rows that stand ready above and below what is seen. */
const SPARE = 12;

interface GridProps {
  readonly id: string;
  readonly view: TrialView;
  readonly rows: readonly number[];
  readonly query: TrialQuery;
  /** Line of the trial that was open last. */
  readonly at: number;
  readonly onSort: (sort: Sort, descending: boolean) => void;
}

function Grid({ id, view, rows, query, at, onSort }: GridProps) {
  const scroller = useRef<HTMLDivElement>(null);
  const [place, setPlace] = useState({ top: 0, height: 600 });
  const [isNarrow, setNarrow] = useState(matchMedia(NARROW).matches);
  const [selected, setSelected] = useState(() =>
    Math.max(
      0,
      rows.findIndex((row) => view.table.columns.line[row] === at),
    ),
  );
  const rowHeight = isNarrow ? 66 : 30;
  useEffect(() => {
    const media = matchMedia(NARROW);
    const changed = () => setNarrow(media.matches);
    media.addEventListener("change", changed);
    const watcher = new ResizeObserver(() =>
      setPlace((before) => ({ ...before, height: scroller.current?.clientHeight ?? 600 })),
    );
    if (scroller.current) watcher.observe(scroller.current);
    return () => {
      media.removeEventListener("change", changed);
      watcher.disconnect();
    };
  }, []);
  const reveal = (next: number) => {
    setSelected(next);
    const box = scroller.current;
    if (!box) return;
    const [top, head] = [next * rowHeight, isNarrow ? 0 : rowHeight];
    if (top < box.scrollTop) box.scrollTop = top;
    else if (top + rowHeight > box.scrollTop + box.clientHeight - head)
      box.scrollTop = top + rowHeight - box.clientHeight + head;
  };
  useEffect(() => {
    const found = rows.findIndex((row) => view.table.columns.line[row] === at);
    reveal(Math.max(0, found));
  }, [rows]);
  const open = (row: number) => go(trialAddress(id, view.table.columns.line[row] as number, query));
  const onKey = (event: KeyboardEvent) => {
    const page = Math.max(1, Math.floor(place.height / rowHeight) - 2);
    const steps: Readonly<Record<string, number>> = {
      ArrowDown: selected + 1,
      ArrowUp: selected - 1,
      PageDown: selected + page,
      PageUp: selected - page,
      Home: 0,
      End: rows.length - 1,
    };
    const next = steps[event.key];
    const row = rows[selected];
    if (next !== undefined) {
      event.preventDefault();
      reveal(Math.min(rows.length - 1, Math.max(0, next)));
    } else if (event.key === "Enter" && row !== undefined && event.target === scroller.current) open(row);
  };
  const first = Math.max(0, Math.floor(place.top / rowHeight) - SPARE);
  const last = Math.min(rows.length, Math.ceil((place.top + place.height) / rowHeight) + SPARE);
  const seen = rows.slice(first, last);
  if (rows.length === 0) return <p class="quiet">No trial is as these filters want it.</p>;
  return (
    // biome-ignore lint/a11y/useSemanticElements: a table cannot leave out the rows that are not seen
    <div
      ref={scroller}
      class="grid"
      role="grid"
      tabIndex={0}
      aria-label="Trials"
      aria-rowcount={rows.length + 1}
      aria-colcount={COLUMNS.length}
      aria-activedescendant={`trial-${rows[selected]}`}
      onScroll={(event) => setPlace({ top: event.currentTarget.scrollTop, height: event.currentTarget.clientHeight })}
      onKeyDown={onKey}
    >
      {/* biome-ignore lint/a11y/useFocusableInteractive: the grid has the focus, and says which row is meant */}
      {/* biome-ignore lint/a11y/useSemanticElements: as above */}
      <div class="grid-row grid-head" role="row" aria-rowindex={1}>
        {COLUMNS.map(({ title, sort, kind }) => {
          const isSorted = sort !== undefined && query.sort === sort;
          return (
            // biome-ignore lint/a11y/useSemanticElements: as above
            // biome-ignore lint/a11y/useFocusableInteractive: as above
            <div
              role="columnheader"
              class={`cell-${kind}`}
              aria-sort={isSorted ? (query.descending ? "descending" : "ascending") : undefined}
            >
              {sort === undefined ? (
                title
              ) : (
                <button
                  type="button"
                  class="sort"
                  onClick={() =>
                    onSort(isSorted && query.descending ? sort : sort, isSorted ? !query.descending : false)
                  }
                >
                  {title}
                </button>
              )}
            </div>
          );
        })}
      </div>
      {/* biome-ignore lint/a11y/useSemanticElements: as above */}
      <div class="grid-body" role="rowgroup" style={{ height: `${rows.length * rowHeight}px` }}>
        {seen.map((row, offset) => (
          <GridRow
            key={row}
            id={id}
            view={view}
            row={row}
            query={query}
            place={first + offset}
            top={(first + offset) * rowHeight}
            isSelected={first + offset === selected}
            onSelect={() => setSelected(first + offset)}
          />
        ))}
      </div>
    </div>
  );
}

interface GridRowProps {
  readonly id: string;
  readonly view: TrialView;
  readonly row: number;
  readonly query: TrialQuery;
  readonly place: number;
  readonly top: number;
  readonly isSelected: boolean;
  readonly onSelect: () => void;
}

const MARKS = ["✓ right", "✗ wrong", "– excluded"] as const;

function GridRow({ id, view: { table }, row, query, place, top, isSelected, onSelect }: GridRowProps) {
  const { columns, items, states, properties, variants, extractions, texts, words, says } = table;
  const item = items[columns.itemOf[row] as number];
  const outcome = columns.outcome[row] as 0 | 1 | 2;
  const reply = columns.replyOf[row] as number;
  const address = trialAddress(id, columns.line[row] as number, query);
  const because = says[columns.becauseOf[row] as number] ?? words[columns.becauseOf[row] as number];
  const several = variants.length > 1;
  const cells = [
    <a class={`outcome outcome-${outcome}`} href={address} tabIndex={-1} title={because}>
      {MARKS[outcome]}
    </a>,
    <Text text={item?.text ?? ""} cut={160} />,
    <Value of={extractions[columns.behaviorOf[row] as number] as Parameters<typeof Value>[0]["of"]} />,
    reply < 0 ? <span class="missing">— no reply</span> : <Text text={texts[reply] as string} cut={160} />,
    <Text
      text={`${properties[columns.propertyOf[row] as number]}${several ? `, ${variants[columns.variantOf[row] as number]}` : ""}`}
    />,
    <Text text={`${states[columns.predictorOf[row] as number]} → ${states[columns.targetOf[row] as number]}`} />,
    <Text text={`${item?.task ?? ""} ${item?.id ?? ""}`} />,
    <Cell value={columns.minMargin[row]} why={table.why.minMargin} show={(value) => numberWords(value, "plain")} />,
    <Cell value={columns.answerLogprob[row]} why={table.why.probability} show={probabilityWords} />,
    <Cell value={columns.replyLogprob[row]} why={table.why.probability} show={probabilityWords} />,
    <Cell value={columns.disagreement[row]} why={table.why.disagreement} show={(value) => value.toFixed(3)} />,
  ];
  return (
    // biome-ignore lint/a11y/useSemanticElements: a table cannot leave out the rows that are not seen
    // biome-ignore lint/a11y/useFocusableInteractive: the grid has the focus
    // biome-ignore lint/a11y/useKeyWithClickEvents: arrows and enter are the grid's
    <div
      id={`trial-${row}`}
      class={`grid-row${isSelected ? " selected" : ""}${place % 2 === 1 ? " odd" : ""}`}
      role="row"
      aria-rowindex={place + 2}
      aria-selected={isSelected}
      style={{ transform: `translateY(${top}px)` }}
      onClick={onSelect}
      onDblClick={() => go(address)}
    >
      {cells.map((cell, at) => (
        // biome-ignore lint/a11y/useSemanticElements: as above
        // biome-ignore lint/a11y/useFocusableInteractive: as above
        <div role="gridcell" class={`cell-${COLUMNS[at]?.kind} cell-${at}`}>
          {cell}
        </div>
      ))}
    </div>
  );
}

function Cell({
  value,
  why,
  show,
}: {
  value: number | null | undefined;
  why: string;
  show: (value: number) => string;
}) {
  return value === null || value === undefined ? (
    <span class="missing" title={why}>
      —<span class="hidden"> {why}</span>
    </span>
  ) : (
    <>{show(value)}</>
  );
}

/** Of a sum of logprobs: 0.283, 3e−9; below what a number can hold, the power of ten alone. */
export function probabilityWords(logprob: number): string {
  const share = Math.exp(logprob);
  if (share >= 0.001) return share.toFixed(3);
  return (share > 0 ? share.toExponential(0) : `1e${Math.round(logprob / Math.LN10)}`).replace("-", "−");
}

export function trialAddress(id: string, line: number, query: TrialQuery): string {
  return addressOf(["runs", id, "trials", String(line)], valuesOf(query));
}

function save({ table }: TrialView, rows: readonly number[]): void {
  const { columns, items, states, properties, variants, extractions, texts, words } = table;
  const meta = [...new Set(items.flatMap((item) => Object.keys(item.meta ?? {})))].sort();
  const header = [
    "line",
    "outcome",
    "because",
    "predictor",
    "target",
    "task",
    "item",
    "property",
    "variant",
    "sample",
    "string",
    "behavior",
    "behaviorReason",
    "prediction",
    "predictionReason",
    "answer",
    "reply",
    "minMargin",
    "aboveNoiseFloor",
    "answerLogprob",
    "replyLogprob",
    "disagreement",
    ...meta.map((name) => `meta.${name}`),
  ];
  saveCsv(
    "trials",
    header,
    rows.map((row) => {
      const item = items[columns.itemOf[row] as number];
      const both = [columns.behaviorOf, columns.predictionOf].flatMap((column) => {
        const found = extractions[column[row] as number];
        return [found?.ok ? found.value : undefined, found && !found.ok ? found.reason : undefined];
      });
      const above = columns.aboveNoiseFloor[row] as number;
      return [
        (columns.line[row] as number) + 1,
        ["right", "wrong", "excluded"][columns.outcome[row] as number],
        words[columns.becauseOf[row] as number],
        states[columns.predictorOf[row] as number],
        states[columns.targetOf[row] as number],
        item?.task,
        item?.id,
        properties[columns.propertyOf[row] as number],
        variants[columns.variantOf[row] as number],
        columns.sample[row],
        item?.text,
        ...both,
        texts[columns.answerAsked[row] as number],
        texts[columns.replyOf[row] as number],
        columns.minMargin[row] ?? undefined,
        above < 0 ? undefined : above === 1,
        columns.answerLogprob[row] ?? undefined,
        columns.replyLogprob[row] ?? undefined,
        columns.disagreement[row] ?? undefined,
        ...meta.map((name) => item?.meta?.[name]),
      ];
    }),
  );
}
