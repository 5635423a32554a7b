/** The list of trials as a grid: only the rows that are seen stand in the page, all of one height, and are used again as it scrolls. */

import { Component } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { TrialTable } from "../../src/run/trials/trial-shapes.js";
import { addressOf, go } from "./address.js";
import { numberWords, Text, Value } from "./parts.js";
import { type Sort, type TrialQuery, valuesOf } from "./trial-query.js";

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

const NARROW = "screen and (max-width: 760px)";
/** Rows that stand ready above and below what is seen. */
const SPARE = 8;
/** Browsers draw nothing below some ten million pixels: in longer lists a pixel of the scroll bar stands for more than one of rows. */
const TALLEST = 10_000_000;
/** Rows on paper: all that are filtered would be a book. */
const PRINTED = 500;

interface GridProps {
  readonly id: string;
  readonly table: TrialTable;
  readonly rows: readonly number[];
  readonly query: TrialQuery;
  /** Line of the trial that was open last. */
  readonly at: number;
  readonly onSort: (sort: Sort, descending: boolean) => void;
}

export function TrialGrid({ id, table, rows, query, at, onSort }: GridProps) {
  const scroller = useRef<HTMLDivElement>(null);
  const [place, setPlace] = useState({ top: 0, height: 600 });
  const [isNarrow, setNarrow] = useState(matchMedia(NARROW).matches);
  const [isPrinted, setPrinted] = useState(false);
  const { columns } = table;
  const placeOfLine = () =>
    Math.max(
      0,
      rows.findIndex((row) => columns.line[row] === at),
    );
  const [selected, setSelected] = useState(placeOfLine);
  /** Of keys that come faster than the list is drawn each goes on from the one before. */
  const meant = useRef(selected);
  const rowHeight = isNarrow ? 66 : 30;
  const whole = rows.length * rowHeight;
  const tall = Math.min(whole, TALLEST);
  /** Pixels of rows for one of the scroll bar. */
  const ratio = whole > tall ? (whole - place.height) / (tall - place.height) : 1;
  useEffect(() => {
    const media = matchMedia(NARROW);
    const changed = () => setNarrow(media.matches);
    const [before, after] = [() => setPrinted(true), () => setPrinted(false)];
    media.addEventListener("change", changed);
    addEventListener("beforeprint", before);
    addEventListener("afterprint", after);
    const watcher = new ResizeObserver(() =>
      setPlace((known) => ({ ...known, height: scroller.current?.clientHeight ?? 600 })),
    );
    if (scroller.current) watcher.observe(scroller.current);
    return () => {
      media.removeEventListener("change", changed);
      removeEventListener("beforeprint", before);
      removeEventListener("afterprint", after);
      watcher.disconnect();
    };
  }, []);
  const reveal = (next: number) => {
    meant.current = next;
    setSelected(next);
    const box = scroller.current;
    if (!box) return;
    const [top, seen] = [next * rowHeight, box.scrollTop * ratio];
    const head = isNarrow ? 0 : rowHeight;
    if (top < seen) box.scrollTop = top / ratio;
    else if (top + rowHeight > seen + box.clientHeight - head)
      box.scrollTop = (top + rowHeight - box.clientHeight + head) / ratio;
  };
  // Before any key can reach the new rows.
  useLayoutEffect(() => reveal(placeOfLine()), [rows]);
  const open = (row: number) => go(trialAddress(id, columns.line[row] as number, query));
  const onKey = (event: KeyboardEvent) => {
    const page = Math.max(1, Math.floor(place.height / rowHeight) - 2);
    const steps: Readonly<Record<string, number>> = {
      ArrowDown: meant.current + 1,
      ArrowUp: meant.current - 1,
      PageDown: meant.current + page,
      PageUp: meant.current - page,
      Home: 0,
      End: rows.length - 1,
    };
    const next = steps[event.key];
    const row = rows[meant.current];
    if (next !== undefined) {
      event.preventDefault();
      reveal(Math.min(rows.length - 1, Math.max(0, next)));
    } else if (event.key === "Enter" && row !== undefined && event.target === scroller.current) open(row);
  };
  const onClick = (event: MouseEvent) => {
    const target = event.target as Element;
    // A text that was marked to be copied is no wish to leave the list; a link goes its own way.
    if (target.closest("a") || !getSelection()?.isCollapsed) return;
    const row = rows[Number(target.closest<HTMLElement>("[data-place]")?.dataset.place ?? Number.NaN)];
    if (row !== undefined) open(row);
  };
  const top = place.top * ratio;
  const first = isPrinted ? 0 : Math.max(0, Math.floor(top / rowHeight) - SPARE);
  const last = isPrinted
    ? Math.min(rows.length, PRINTED)
    : Math.min(rows.length, Math.ceil((top + place.height) / rowHeight) + SPARE);
  const shift = place.top - top;
  const slotOf = useSlots(first, last, isPrinted ? PRINTED : Math.ceil(place.height / rowHeight) + 2 * SPARE + 2);
  if (rows.length === 0) return <p class="quiet">No trial is as these filters want it.</p>;
  return (
    <>
      {/* biome-ignore lint/a11y/useSemanticElements: a table cannot leave out the rows that are not seen */}
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
        <GridHead query={query} onSort={onSort} />
        {/* biome-ignore lint/a11y/useSemanticElements: as above */}
        {/* biome-ignore lint/a11y/useKeyWithClickEvents: arrows and enter are the grid's */}
        <div class="grid-body" role="rowgroup" style={isPrinted ? "" : { height: `${tall}px` }} onClick={onClick}>
          {rows.slice(first, last).map((row, offset) => (
            <GridRow
              key={slotOf(first + offset)}
              id={id}
              table={table}
              row={row}
              query={query}
              place={first + offset}
              top={isPrinted ? undefined : (first + offset) * rowHeight + shift}
              isSelected={first + offset === selected}
            />
          ))}
        </div>
      </div>
      {isPrinted && rows.length > PRINTED ? (
        <p>
          Only the first {PRINTED} of {rows.length} are printed; the CSV has all.
        </p>
      ) : null}
    </>
  );
}

/**
 * Which element a place of the list is shown by. A row that leaves at one end comes in again at the other, so that texts change and no
 * element is made; after a leap, where no row stays, elements keep their order, so that none is moved.
 * @param slots at least as many as rows stand in the page
 */
function useSlots(first: number, last: number, slots: number): (place: number) => number {
  const known = useRef({ first, last, base: 0 });
  const { current } = known;
  if (first >= current.last || last <= current.first) current.base += first - current.first;
  current.first = first;
  current.last = last;
  return (place) => (((place - current.base) % slots) + slots) % slots;
}

function GridHead({ query, onSort }: Pick<GridProps, "query" | "onSort">) {
  return (
    // biome-ignore lint/a11y/useFocusableInteractive: the grid has the focus, and says which row is meant
    // biome-ignore lint/a11y/useSemanticElements: as above
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
              <button type="button" class="sort" onClick={() => onSort(sort, isSorted && !query.descending)}>
                {title}
              </button>
            )}
          </div>
        );
      })}
    </div>
  );
}

interface GridRowProps {
  readonly id: string;
  readonly table: TrialTable;
  readonly row: number;
  readonly query: TrialQuery;
  /** In the list, from 0. */
  readonly place: number;
  /** Pixels; on paper one stands below the other. */
  readonly top: number | undefined;
  readonly isSelected: boolean;
}

const MARKS = ["✓ right", "✗ wrong", "– excluded"] as const;

/** Most rows stay as they are while the list scrolls. */
class GridRow extends Component<GridRowProps> {
  override shouldComponentUpdate(next: GridRowProps): boolean {
    const own = this.props;
    return (
      next.row !== own.row ||
      next.place !== own.place ||
      next.top !== own.top ||
      next.isSelected !== own.isSelected ||
      next.query !== own.query ||
      next.table !== own.table
    );
  }

  override render() {
    const { id, table, row, query, place, top, isSelected } = this.props;
    const address = trialAddress(id, table.columns.line[row] as number, query);
    return (
      // biome-ignore lint/a11y/useSemanticElements: a table cannot leave out the rows that are not seen
      // biome-ignore lint/a11y/useFocusableInteractive: the grid has the focus
      <div
        id={`trial-${row}`}
        class={`grid-row${isSelected ? " selected" : ""}${place % 2 === 1 ? " odd" : ""}`}
        role="row"
        aria-rowindex={place + 2}
        aria-selected={isSelected}
        data-place={place}
        style={top === undefined ? "" : { transform: `translateY(${top}px)` }}
      >
        {cellsOf(table, row, address).map((cell, at) => (
          // biome-ignore lint/a11y/useSemanticElements: as above
          // biome-ignore lint/a11y/useFocusableInteractive: as above
          <div role="gridcell" class={`cell-${COLUMNS[at]?.kind} cell-${at}`}>
            {cell}
          </div>
        ))}
      </div>
    );
  }
}

function cellsOf(table: TrialTable, row: number, address: string) {
  const { columns, items, states, properties, variants, extractions, texts, words, says, why } = table;
  const item = items[columns.itemOf[row] as number];
  const outcome = columns.outcome[row] as 0 | 1 | 2;
  const reply = columns.replyOf[row] as number;
  const because = columns.becauseOf[row] as number;
  const several = variants.length > 1;
  return [
    <a class={`outcome outcome-${outcome}`} href={address} tabIndex={-1} title={says[because] ?? words[because]}>
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
    <Cell value={columns.minMargin[row]} why={why.minMargin} show={(value) => numberWords(value, "plain")} />,
    <Cell value={columns.answerLogprob[row]} why={why.probability} show={probabilityWords} />,
    <Cell value={columns.replyLogprob[row]} why={why.probability} show={probabilityWords} />,
    <Cell value={columns.disagreement[row]} why={why.disagreement} show={(value) => value.toFixed(3)} />,
  ];
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
