/** What every view is made of: numbers with their intervals, texts of models, reasons in the place of what is missing, tables. */

import type { ComponentChildren } from "preact";
import { useId, useState } from "preact/hooks";
import type { Datum } from "../../src/exchange/csv-lines.js";
import { cutText, formatCount, formatDifference, formatPercent, visibleText } from "../../src/report/document.js";
import type { Estimate } from "../../src/score/interval.js";
import type { Extraction } from "../../src/properties/property.js";
import type { RunProblem, Shown } from "../../src/run/trials/trial-shapes.js";
import type { RunState } from "../../src/view/view-api.js";
import type { Loaded } from "./data.js";
import { saveCsv } from "./save.js";

/** What a model or a file said, as text and nothing else: no mark in it turns, hides or breaks a line. */
export function Text({ text, cut }: { text: string; cut?: number }) {
  const shown = cut !== undefined && text.length > cut ? `${cutText(text, cut)}…` : text;
  return <bdi>{visibleText(shown, "mark")}</bdi>;
}

export function Lines({ text }: { text: string }) {
  return <bdi>{visibleText(text, "keep")}</bdi>;
}

/** What the server says of it all, one sentence each; nothing where it says nothing. */
export function Notes({ notes }: { notes: readonly string[] }) {
  return notes.length > 0 ? (
    <ul class="quiet">
      {notes.map((note) => (
        <li>
          <Text text={note} />
        </li>
      ))}
    </ul>
  ) : null;
}

export function Missing({ reason }: { reason: string }) {
  return (
    <span class="missing">
      — <Text text={reason} />
    </span>
  );
}

export function Value({ of }: { of: Extraction }) {
  return of.ok ? (
    <span class="value">
      <Text text={of.value === "" ? "(empty)" : of.value} cut={200} />
    </span>
  ) : (
    <Missing reason={of.reason.replaceAll("_", " ")} />
  );
}

export type Unit = "share" | "difference" | "plain" | "nats" | "tokens_per_second";

/** 12.3 % for a share, +1.2 for a difference in points, 0.0123 for what is neither. */
export function numberWords(value: number, unit: Unit): string {
  if (unit === "share") return formatPercent(value);
  if (unit === "difference") return formatDifference(value);
  const size = Math.abs(value);
  const text =
    size !== 0 && size < 0.001 ? value.toExponential(1) : value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 4);
  return text.replace("-", "−");
}

function Number_({ of, unit, n }: { of: Measured; unit: Unit; n: boolean }) {
  if (!of.ok) return <Missing reason={of.reason} />;
  const plain = (value: number) => numberWords(value, unit).replace(/^\+|[\u00a0 ]%$/g, "");
  return (
    <span class="estimate">
      {numberWords(of.value, unit)}{" "}
      <small>
        [{plain(of.low)}, {plain(of.high)}]{n && "n" in of ? ` n ${formatCount(of.n)}` : ""}
      </small>
    </span>
  );
}

/** A value of a measure without strings has no n. */
export type Measured =
  | Estimate
  | { readonly ok: true; readonly value: number; readonly low: number; readonly high: number };

const STATE_WORDS: Readonly<Record<RunState, string>> = {
  finished: "finished",
  running: "running",
  stopped: "not finished",
  damaged: "damaged",
};

export function StateMark({ state }: { state: RunState }) {
  return <span class={`state state-${state}`}>{STATE_WORDS[state]}</span>;
}

export function Problems({ problems }: { problems: readonly RunProblem[] }) {
  if (problems.length === 0) return null;
  return (
    <section class="problems" aria-label="What is wrong with this run">
      <h2>What is wrong with its files</h2>
      <ul>
        {problems.map(({ file, what }) => (
          <li>
            <code>
              <Text text={file || "the folder"} />
            </code>{" "}
            <Text text={what} />
          </li>
        ))}
      </ul>
    </section>
  );
}

/** The content, or that it is being read, or why it is not there. */
export function Of<Content>({
  of,
  children,
}: {
  of: Loaded<Content>;
  children: (value: Content) => ComponentChildren;
}) {
  if (of.state === "loading")
    return (
      <p class="quiet" role="status">
        Reading…
      </p>
    );
  if (of.state === "there") return <>{children(of.value)}</>;
  return (
    <div class="problems" role="alert">
      <p>
        <code>{of.code}</code> <Text text={of.message} />
      </p>
    </div>
  );
}

export function OfShown<Content>({
  of,
  children,
}: {
  of: Shown<Content>;
  children: (value: Content) => ComponentChildren;
}) {
  return of.ok ? (
    <>{children(of.value)}</>
  ) : (
    <p class="quiet">
      <Missing reason={of.reason} />
    </p>
  );
}

export interface TableColumn<Row> {
  readonly title: string;
  readonly align?: "right";
  /** What it is sorted by; a column without it is not. What is missing stands last. */
  readonly sort?: (row: Row) => number | string | undefined;
  readonly cell: (row: Row) => ComponentChildren;
  /** As the CSV has it; what it is sorted by unless told. */
  readonly csv?: (row: Row) => Datum;
  /** Where it holds one: the CSV has its ends, its n and what is missing in columns beside it. */
  readonly estimate?: (row: Row) => Measured | undefined;
  /** Heads its row. */
  readonly isHead?: boolean;
}

interface EstimateColumn<Row> {
  readonly unit?: Unit;
  /** Whether its n is shown; the CSV has it always. Default true. */
  readonly n?: boolean;
  readonly more?: (row: Row) => ComponentChildren;
}

/** A column of estimates, sorted by their values. */
export function estimated<Row>(
  title: string,
  of: (row: Row) => Measured | undefined,
  { unit = "share", n = true, more }: EstimateColumn<Row> = {},
): TableColumn<Row> {
  return {
    title,
    align: "right",
    estimate: of,
    sort: (row) => {
      const found = of(row);
      return found?.ok ? found.value : undefined;
    },
    cell: (row) => {
      const found = of(row) ?? { ok: false, reason: "not measured" };
      return (
        <>
          <Number_ of={found} unit={unit} n={n} />
          {more?.(row)}
        </>
      );
    },
  };
}

/** A column of p-values, or why there is none. */
export function pValues<Row>(
  title: string,
  of: (row: Row) => { readonly ok: true; readonly p: number } | { readonly ok: false; readonly reason: string },
): TableColumn<Row> {
  return {
    title,
    align: "right",
    sort: (row) => {
      const found = of(row);
      return found.ok ? found.p : undefined;
    },
    cell: (row) => {
      const found = of(row);
      return found.ok ? found.p.toPrecision(2) : <Missing reason={found.reason} />;
    },
  };
}

/** What the CSV has of a column: one, or six of an estimate. */
function csvColumns<Row>({ title, csv, sort, estimate }: TableColumn<Row>): [string, (row: Row) => Datum][] {
  if (estimate === undefined) return [[title, (row) => (csv ?? sort)?.(row)]];
  const part = (name: "low" | "high" | "n" | "clusters"): [string, (row: Row) => Datum] => [
    `${title}, ${name === "clusters" ? "strings" : name}`,
    (row) => {
      const found = estimate(row);
      return found?.ok && name in found ? (found as Extract<Estimate, { ok: true }>)[name] : undefined;
    },
  ];
  const why = (row: Row) => {
    const found = estimate(row);
    return found === undefined ? "not measured" : found.ok ? undefined : found.reason;
  };
  return [
    [title, (row) => sort?.(row)],
    part("low"),
    part("high"),
    part("n"),
    part("clusters"),
    [`${title}, missing because`, why],
  ];
}

interface SortedTableProps<Row> {
  readonly title: string;
  readonly rows: readonly Row[];
  readonly columns: readonly TableColumn<Row>[];
  readonly empty?: string;
}

export function SortedTable<Row>({ title, rows, columns, empty = "Nothing." }: SortedTableProps<Row>) {
  const [order, setOrder] = useState<{ column: number; descending: boolean }>();
  const id = useId();
  if (rows.length === 0) return <p class="quiet">{empty}</p>;
  const key = order && columns[order.column]?.sort;
  const shown = key ? sortedBy(rows, key, order.descending) : rows;
  const save = () => {
    const all = columns.flatMap(csvColumns);
    saveCsv(
      title,
      all.map(([name]) => name),
      shown.map((row) => all.map(([, of]) => of(row))),
    );
  };
  return (
    <div class="table">
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls is reached by keyboard */}
      <section class="scroll" tabIndex={0} aria-labelledby={id}>
        <table>
          <caption id={id}>
            <Text text={title} />
          </caption>
          <thead>
            <tr>
              {columns.map(({ title: name, align, sort }, at) => (
                <th scope="col" class={align} aria-sort={ariaSort(order, at)}>
                  {sort ? (
                    <button
                      type="button"
                      class="sort"
                      onClick={() =>
                        setOrder({
                          column: at,
                          descending: order?.column === at ? !order.descending : align === "right",
                        })
                      }
                    >
                      <Text text={name} />
                    </button>
                  ) : (
                    <Text text={name} />
                  )}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {shown.map((row) => (
              <tr>
                {columns.map(({ align, cell, isHead }) =>
                  isHead ? (
                    <th scope="row" class={align}>
                      {cell(row)}
                    </th>
                  ) : (
                    <td class={align}>{cell(row)}</td>
                  ),
                )}
              </tr>
            ))}
          </tbody>
        </table>
      </section>
      <button type="button" class="save" onClick={save} aria-label={`Save ${title} as CSV`}>
        CSV
      </button>
    </div>
  );
}

export function ariaSort(order: { column: number; descending: boolean } | undefined, at: number) {
  if (order?.column !== at) return undefined;
  return order.descending ? "descending" : "ascending";
}

function sortedBy<Row>(
  rows: readonly Row[],
  key: (row: Row) => number | string | undefined,
  descending: boolean,
): readonly Row[] {
  const turn = descending ? -1 : 1;
  return [...rows].sort((a, b) => {
    const [one, other] = [key(a), key(b)];
    if (one === undefined || other === undefined) return Number(one === undefined) - Number(other === undefined);
    if (typeof one === "string" && typeof other === "string") return turn * NAMES.compare(one, other);
    return turn * (one < other ? -1 : one > other ? 1 : 0);
  });
}

/** Layer 10 after layer 9. */
const NAMES = new Intl.Collator("en", { numeric: true });

export function Facts({ facts }: { facts: readonly { readonly name: string; readonly value: string }[] }) {
  return (
    <dl class="facts">
      {facts.map(({ name, value }) => (
        <div>
          <dt>
            <Text text={name} />
          </dt>
          <dd>
            <Text text={value} />
          </dd>
        </div>
      ))}
    </dl>
  );
}

/** After a name; nothing where scopes make no difference. */
export function scopeText(scope: string): string {
  return scope === "all" ? "" : `, ${scope.replaceAll("_", " ")}`;
}

export function timeWords(seconds: number): string {
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}
