/** All trials of a run: any number of them, filtered, searched and sorted; what is chosen stands in the address. */

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { formatCount } from "../../src/report/document.js";
import type { TrialTable } from "../../src/run/trials/trial-shapes.js";
import { addressOf, isInField, nameTab, replaceAddress } from "./address.js";
import { useOnce } from "./data.js";
import { REPORT } from "./embedded.js";
import { numberWords, Of, Problems, Text } from "./parts.js";
import { saveCsv } from "./save.js";
import { TrialGrid } from "./trial-grid.js";
import { type Facet, queryOf, type TrialQuery, TrialView, valuesOf } from "./trial-query.js";

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
          ? ` Search and list look at the first ${table.cut.at} characters of a text; ${formatCount(table.cut.texts)} ${table.cut.texts === 1 ? "is" : "are"} longer.`
          : ""}
      </p>
      <TrialGrid
        id={id}
        table={table}
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
  scope: "held out",
  because: "why it counts so",
  reason: "what is missing",
  noise: "noise floor",
};

/** What a value is called in a list of boxes. */
function valueWords({ says, words }: TrialTable, facet: Facet, value: string): string {
  if (facet === "because" || facet === "reason") return says[words.indexOf(value)] ?? value;
  return facet === "scope" ? value.replaceAll("_", " ") : value;
}

/** Boxes of a column; of one with more values a part is shown, which is narrowed by typing. */
const MOST_BOXES = 60;

interface FacetBoxProps {
  readonly view: TrialView;
  readonly facet: Facet;
  readonly query: TrialQuery;
  readonly onChange: (values: ReadonlySet<string>) => void;
}

function FacetBox({ view, facet, query, onChange }: FacetBoxProps) {
  const [open, setOpen] = useState(false);
  const [part, setPart] = useState("");
  const values = view.facets.get(facet)?.values ?? [];
  const chosen = query.chosen.get(facet) ?? new Set<string>();
  const counts = useMemo(() => (open ? view.counts(facet, query) : []), [open, view, facet, query]);
  const { table } = view;
  const title = FACET_TITLES[facet] ?? facet.replace(/^meta\./, "");
  if (values.length < 2 && chosen.size === 0) return null;
  const isLong = values.length > MOST_BOXES;
  const needle = part.toLowerCase();
  const found = [...values.keys()].filter((at) => {
    const value = values[at] as string;
    if (chosen.has(value)) return true;
    return counts[at] !== 0 && (!isLong || value.toLowerCase().includes(needle));
  });
  const shown = [
    ...found.filter((at) => chosen.has(values[at] as string)),
    ...found.filter((at) => !chosen.has(values[at] as string)),
  ];
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
        {isLong ? (
          <input
            type="search"
            value={part}
            aria-label={`Values of ${title} that have`}
            placeholder="a part of a value"
            onInput={(event) => setPart(event.currentTarget.value)}
          />
        ) : null}
        {shown.slice(0, MOST_BOXES).map((at) => {
          const value = values[at] as string;
          return (
            <label key={value}>
              <input
                type="checkbox"
                checked={chosen.has(value)}
                onChange={() => {
                  const next = new Set(chosen);
                  if (!next.delete(value)) next.add(value);
                  onChange(next);
                }}
              />{" "}
              <Text text={valueWords(table, facet, value)} cut={70} />{" "}
              <small>{counts[at] === undefined ? "" : formatCount(counts[at] as number)}</small>
            </label>
          );
        })}
        {shown.length > MOST_BOXES ? (
          <small>{formatCount(shown.length - MOST_BOXES)} more: type a part of one</small>
        ) : null}
      </fieldset>
    </details>
  );
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
