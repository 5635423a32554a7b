/** What every view is made of: numbers with their intervals, texts of models, reasons in the place of what is missing, tables. */

import type { ComponentChildren } from "preact";
import { useId, useState } from "preact/hooks";
import type { Datum } from "../../src/exchange/csv-lines.js";
import { formatCount, formatDifference, formatPercent, visibleText } from "../../src/report/document.js";
import type { Estimate } from "../../src/score/interval.js";
import type { Extraction } from "../../src/properties/property.js";
import type { RunProblem, Shown } from "../../src/run/trials/trial-shapes.js";
import type { RunState } from "../../src/view/view-api.js";
import type { Loaded } from "./data.js";
import { saveCsv } from "./save.js";

/** What a model or a file said, as text and nothing else: no mark in it turns, hides or breaks a line. */
export function Text({ text, cut }: { text: string; cut?: number }) {
  const shown = cut !== undefined && text.length > cut ? `${text.slice(0, cut)}…` : text;
  return <bdi>{visibleText(shown, "mark")}</bdi>;
}

export function Lines({ text }: { text: string }) {
  return <bdi>{visibleText(text, "keep")}</bdi>;
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

export function Number_({ of, unit = "share", n = true }: { of: Estimate; unit?: Unit; n?: boolean }) {
  if (!of.ok) return <Missing reason={of.reason} />;
  const plain = (value: number) => numberWords(value, unit).replace(/^\+|[\u00a0 ]%$/g, "");
  return (
    <span class="estimate">
      {numberWords(of.value, unit)}{" "}
      <small>
        [{plain(of.low)}, {plain(of.high)}]{n && of.n !== undefined ? ` n ${formatCount(of.n)}` : ""}
      </small>
    </span>
  );
}

/** A value of a measure without strings has no n. */
export type Measured =
  | Estimate
  | { readonly ok: true; readonly value: number; readonly low: number; readonly high: number };

export function MeasuredNumber({ of, unit }: { of: Measured; unit: Unit }) {
  return <Number_ of={of as Estimate} unit={unit} n={"n" in of} />;
}

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
  /** Heads its row. */
  readonly isHead?: boolean;
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
  const save = () =>
    saveCsv(
      title,
      columns.map((column) => column.title),
      shown.map((row) => columns.map(({ csv, sort }) => (csv ?? sort)?.(row))),
    );
  return (
    <div class="table">
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls is reached by keyboard */}
      <section class="scroll" tabIndex={0} aria-labelledby={id}>
        <table>
          <caption id={id}>{title}</caption>
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
                      {name}
                    </button>
                  ) : (
                    name
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
    return turn * (one < other ? -1 : one > other ? 1 : 0);
  });
}

/** Of an estimate, for sorting. */
export function sortValue(estimate: Measured): number | undefined {
  return estimate.ok ? estimate.value : undefined;
}

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

export function timeWords(seconds: number): string {
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}
