/** Which trials of a table are shown, in which order: filters, free text and sorting over columns. Pure. */

import type { TrialTable } from "../../src/run/trials/trial-shapes.js";

/** Names of what trials are filtered by; `meta.<column>` stands beside them. */
export const FACETS = [
  "outcome",
  "task",
  "property",
  "predictor",
  "target",
  "variant",
  "scope",
  "because",
  "reason",
  "noise",
] as const;
export type Facet = (typeof FACETS)[number] | `meta.${string}`;

export const OUTCOMES = ["right", "wrong", "excluded"] as const;
export const NOISE = ["above", "not above", "not known"] as const;

export const SORTS = [
  "line",
  "minMargin",
  "answerLogprob",
  "replyLogprob",
  "disagreement",
  "outcome",
  "task",
  "string",
] as const;
export type Sort = (typeof SORTS)[number];

export interface TrialQuery {
  /** Facet -> values, any of which; facets that are absent pass everything. */
  readonly chosen: ReadonlyMap<Facet, ReadonlySet<string>>;
  /** In the string, its columns, the answer, the reply and both values; letters of either case. */
  readonly text: string;
  readonly sort: Sort;
  readonly descending: boolean;
}

/** A column of values by place in a short list. */
interface FacetColumn {
  readonly values: readonly string[];
  readonly of: (row: number) => number;
}

export class TrialView {
  readonly facets: ReadonlyMap<Facet, FacetColumn>;
  #lower?: { readonly texts: string[]; readonly items: string[][]; readonly values: string[] };

  constructor(readonly table: TrialTable) {
    const { columns, items, states, properties, variants, scopes, words } = table;
    const byPlace = (values: readonly string[], column: readonly number[]): FacetColumn => ({
      values,
      of: (row) => column[row] as number,
    });
    const byItem = (said: readonly string[], values: readonly string[]): FacetColumn => {
      const placeOf = new Map(values.map((value, at) => [value, at]));
      const places = said.map((value) => placeOf.get(value) as number);
      return { values, of: (row) => places[columns.itemOf[row] as number] as number };
    };
    const tasks = items.map(({ task }) => task);
    const facets = new Map<Facet, FacetColumn>([
      ["outcome", byPlace(OUTCOMES, columns.outcome)],
      ["task", byItem(tasks, [...new Set(tasks)])],
      ["property", byPlace(properties, columns.propertyOf)],
      ["predictor", byPlace(states, columns.predictorOf)],
      ["target", byPlace(states, columns.targetOf)],
      ["variant", byPlace(variants, columns.variantOf)],
      ["scope", byPlace(scopes, columns.scopeOf)],
      ["because", byPlace(words, columns.becauseOf)],
      [
        "reason",
        {
          values: [...words, "none"],
          of: (row) => ((columns.reasonOf[row] as number) < 0 ? words.length : (columns.reasonOf[row] as number)),
        },
      ],
      ["noise", { values: NOISE, of: (row) => [2, 1, 0][(columns.aboveNoiseFloor[row] as number) + 1] as number }],
    ]);
    for (const name of [...new Set(items.flatMap(({ meta = {} }) => Object.keys(meta)))].sort()) {
      const said = items.map(({ meta = {} }) => (Object.hasOwn(meta, name) ? String(meta[name]) : "(none)"));
      facets.set(`meta.${name}`, byItem(said, [...new Set(said)].sort(compareValues)));
    }
    this.facets = facets;
  }

  /** @returns rows of the table, in order */
  rows({ chosen, text, sort, descending }: TrialQuery): number[] {
    const tests = [...chosen].map(([facet, values]) => this.#test(facet, values));
    const hit = text === "" ? undefined : this.#textTest(text);
    const rows: number[] = [];
    for (let row = 0; row < this.table.rows; row++) {
      if (tests.every((test) => test(row)) && (hit === undefined || hit(row))) rows.push(row);
    }
    return this.#sorted(rows, sort, descending);
  }

  /** How many rows have each value, where all other filters hold: what choosing it would show. */
  counts(facet: Facet, query: TrialQuery): number[] {
    const others = new Map([...query.chosen].filter(([name]) => name !== facet));
    const column = this.facets.get(facet);
    const counts = (column?.values ?? []).map(() => 0);
    for (const row of this.rows({ ...query, chosen: others, sort: "line", descending: false })) {
      const place = column?.of(row) ?? -1;
      if (place >= 0) counts[place] = (counts[place] as number) + 1;
    }
    return counts;
  }

  #test(facet: Facet, values: ReadonlySet<string>): (row: number) => boolean {
    const column = this.facets.get(facet);
    // A column that this run does not have: no row has a value of it.
    if (column === undefined) return () => false;
    const wanted = column.values.map((value) => values.has(value));
    return (row) => wanted[column.of(row)] === true;
  }

  #textTest(text: string): (row: number) => boolean {
    const needle = text.toLowerCase();
    const { columns, items, texts, extractions } = this.table;
    // Made small once, not with every letter that is typed.
    this.#lower ??= {
      texts: texts.map((one) => one.toLowerCase()),
      items: items.map(({ id, text: said, target = "", meta = {} }) =>
        [said, id, target, ...Object.values(meta).map(String)].map((one) => one.toLowerCase()),
      ),
      values: extractions.map((one) => (one.ok ? one.value : one.reason).toLowerCase()),
    };
    const has = (one: string) => one.includes(needle);
    const inTexts = this.#lower.texts.map(has);
    const inItems = this.#lower.items.map((said) => said.some(has));
    const inValues = this.#lower.values.map(has);
    const at = (list: readonly boolean[], place: number | undefined) => list[place as number] === true;
    return (row) =>
      at(inItems, columns.itemOf[row]) ||
      at(inTexts, columns.replyOf[row]) ||
      at(inTexts, columns.answerAsked[row]) ||
      at(inValues, columns.behaviorOf[row]) ||
      at(inValues, columns.predictionOf[row]);
  }

  /** Rows without the number stand last, whichever way; equal ones as the file has them. */
  #sorted(rows: number[], sort: Sort, descending: boolean): number[] {
    const { columns, items } = this.table;
    if (sort === "line") return descending ? rows.reverse() : rows;
    const turn = descending ? -1 : 1;
    if (sort === "string" || sort === "task") {
      const text = (row: number) => {
        const item = items[columns.itemOf[row] as number];
        return (sort === "task" ? item?.task : item?.text) ?? "";
      };
      return rows.sort((a, b) => turn * compareTexts(text(a), text(b)) || a - b);
    }
    const column: readonly (number | null)[] = columns[sort];
    return rows.sort((a, b) => {
      const [one, other] = [column[a] ?? null, column[b] ?? null];
      if (one === null || other === null) return Number(one === null) - Number(other === null) || a - b;
      return turn * (one - other) || a - b;
    });
  }
}

/** Numbers as numbers, before texts. */
function compareValues(one: string, other: string): number {
  const [a, b] = [Number(one), Number(other)];
  if (Number.isNaN(a) || Number.isNaN(b))
    return Number(Number.isNaN(a)) - Number(Number.isNaN(b)) || compareTexts(one, other);
  return a - b || compareTexts(one, other);
}

function compareTexts(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0;
}

/** What an address says; values that mean nothing are left out. */
export function queryOf(query: URLSearchParams): TrialQuery {
  const chosen = new Map<Facet, ReadonlySet<string>>();
  for (const name of new Set(query.keys())) {
    const isFacet = (FACETS as readonly string[]).includes(name) || name.startsWith("meta.");
    if (isFacet) chosen.set(name as Facet, new Set(query.getAll(name)));
  }
  const sort = query.get("sort");
  return {
    chosen,
    text: query.get("q") ?? "",
    sort: (SORTS as readonly (string | null)[]).includes(sort) ? (sort as Sort) : "line",
    descending: query.get("order") === "desc",
  };
}

export function valuesOf({
  chosen,
  text,
  sort,
  descending,
}: TrialQuery): Record<string, string | string[] | undefined> {
  return {
    ...Object.fromEntries([...chosen].map(([facet, values]) => [facet, [...values]])),
    q: text === "" ? undefined : text,
    sort: sort === "line" ? undefined : sort,
    order: descending ? "desc" : undefined,
  };
}
