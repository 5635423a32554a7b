/** Tables of a run that takes answers apart: a row a part, a head, a site, a pair of sites, and a row a line that was asked. */

import {
  type InsideAttribution,
  type InsideHeads,
  type InsidePatchscope,
  type InsideQuestion,
  type InsideResults,
  type InsideRow,
  type InsideSubspace,
  type InsideSubspaceSite,
  isCarrier,
  isFollowed,
  isTold,
  isWriter,
} from "../probe/inside-results.js";
import type { PartEffect } from "../probe/part-effects.js";
import type { PatchscopeEffect } from "../probe/patchscope-effects.js";
import type { ControlEffect, HeadEffect } from "../probe/written-effects.js";
import type { FamilyTest } from "../score/comparison/family-tests.js";
import type { Estimate } from "../score/interval.js";
import { column, type DataColumn } from "./csv-lines.js";
import { type DataTable, dataTable, estimateColumns } from "./table.js";

/** One effect of one reading of one question. */
interface Of<Question extends InsideQuestion, Effect> {
  readonly question: Question;
  readonly effect: Effect;
}

function questionColumns<Row extends Of<InsideQuestion, unknown>>(): DataColumn<Row>[] {
  return [
    ...(["state", "task", "prompt", "property"] as const).map((name) =>
      column<Row, "text">(name, "text", ({ question }) => question[name]),
    ),
    column("strings", "whole", ({ question }) => question.strings),
    column("leftOut", "whole", ({ question }) => Object.values(question.leftOut).reduce((sum, one) => sum + one, 0)),
  ];
}

function testColumns<Row>(name: string, of: (row: Row) => FamilyTest | undefined): DataColumn<Row>[] {
  const p = (ending: string, which: "test" | "adjusted") =>
    column<Row, "number">(`${name}${ending}`, "number", (row) => {
      const found = of(row)?.[which];
      return found?.ok ? found.p : undefined;
    });
  return [p("P", "test"), p("AdjustedP", "adjusted")];
}

const NONE: Estimate = { ok: false, reason: "there is no such control" };

function controlColumns<Row>(
  names: readonly string[],
  of: (row: Row) => Readonly<Record<string, ControlEffect>>,
): DataColumn<Row>[] {
  return names.flatMap((name) => [
    ...estimateColumns<Row>(`${name}_lead`, (row) => of(row)[name]?.lead ?? NONE),
    ...estimateColumns<Row>(`${name}_beyond`, (row) => of(row)[name]?.beyond ?? NONE),
    ...testColumns<Row>(`${name}_beyond`, (row) => of(row)[name]),
  ]);
}

export function insideTables(results: InsideResults, rows: readonly InsideRow[]): DataTable[] {
  const { attribution, heads, subspace, patchscope } = results;
  return [
    ...(attribution.length > 0 ? [attributionTable(results)] : []),
    ...(heads.length > 0 ? [headsTable(results), attentionTable(results)] : []),
    ...(subspace.length > 0 ? [subspaceTable(results)] : []),
    ...(patchscope.length > 0 ? [patchscopeTable(results)] : []),
    linesTable(rows),
  ];
}

function attributionTable({ attribution, settings }: InsideResults): DataTable {
  type Row = Of<InsideAttribution, PartEffect>;
  const rows = attribution.flatMap((question) => question.effects.map((effect): Row => ({ question, effect })));
  return dataTable<Row>(
    "inside_attribution",
    [
      ...questionColumns<Row>(),
      column("label", "text", ({ question }) => question.label),
      column("component", "text", ({ effect }) => effect.component),
      column("meanLead", "number", ({ effect }) => effect.meanLead),
      ...estimateColumns<Row>("lead", ({ effect }) => effect.lead),
      column("meanGain", "number", ({ effect }) => effect.meanGain),
      ...estimateColumns<Row>("gain", ({ effect }) => effect.gain),
      ...testColumns<Row>("gain", ({ effect }) => effect),
      column("found", "truth", ({ effect }) => isWriter(effect, settings)),
    ],
    rows,
  );
}

function headsTable({ heads, settings }: InsideResults): DataTable {
  type Row = Of<InsideHeads, HeadEffect>;
  const rows = heads.flatMap((question) => question.effects.map((effect): Row => ({ question, effect })));
  return dataTable<Row>(
    "inside_heads",
    [
      ...questionColumns<Row>(),
      column("layer", "whole", ({ effect }) => effect.layer),
      column("head", "whole", ({ effect }) => effect.head),
      column("ablation", "text", ({ effect }) => effect.ablation),
      column("meanLead", "number", ({ effect }) => effect.meanLead),
      ...estimateColumns<Row>("lead", ({ effect }) => effect.lead),
      ...estimateColumns<Row>("moved", ({ effect }) => effect.moved),
      ...controlColumns<Row>(["random", "same_layer"], ({ effect }) => effect.controls),
      column("found", "truth", ({ effect }) => isCarrier(effect, settings)),
    ],
    rows,
  );
}

function attentionTable({ heads }: InsideResults): DataTable {
  type Row = Of<InsideHeads, InsideHeads["attention"][number]>;
  const rows = heads.flatMap((question) => question.attention.map((effect): Row => ({ question, effect })));
  return dataTable<Row>(
    "inside_attention",
    [
      ...questionColumns<Row>(),
      column("layer", "whole", ({ effect }) => effect.layer),
      column("head", "whole", ({ effect }) => effect.head),
      column("span", "text", ({ effect }) => effect.span),
      column("prompts", "whole", ({ effect }) => effect.prompts),
      ...estimateColumns<Row>("share", ({ effect }) => effect.share),
    ],
    rows,
  );
}

function subspaceTable({ subspace, settings }: InsideResults): DataTable {
  type Row = Of<InsideSubspace, InsideSubspaceSite>;
  const rows = subspace.flatMap((question) => question.sites.map((effect): Row => ({ question, effect })));
  const controls = [...new Set(rows.flatMap(({ effect }) => (effect.ok ? Object.keys(effect.controls) : [])))];
  const estimate = (of: (effect: Extract<InsideSubspaceSite, { readonly ok: true }>) => Estimate) => {
    return ({ effect }: Row): Estimate => (effect.ok ? of(effect) : effect);
  };
  return dataTable<Row>(
    "inside_subspace",
    [
      ...questionColumns<Row>(),
      column("of", "text", ({ question }) => question.of),
      column("alike", "whole", ({ question }) => question.alike),
      column("site", "text", ({ effect }) => effect.site),
      column("directions", "whole", ({ effect }) => (effect.ok ? effect.directions : undefined)),
      column("displacement", "number", ({ effect }) => (effect.ok ? effect.displacement : undefined)),
      column("wholeDisplacement", "number", ({ effect }) => (effect.ok ? effect.wholeDisplacement : undefined)),
      ...estimateColumns<Row>(
        "lead",
        estimate(({ lead }) => lead),
      ),
      ...estimateColumns<Row>(
        "moved",
        estimate(({ moved }) => moved),
      ),
      ...controlColumns<Row>(controls, ({ effect }) => (effect.ok ? effect.controls : {})),
      column("found", "truth", ({ effect }) => effect.ok && isFollowed(effect, settings)),
    ],
    rows,
  );
}

function patchscopeTable({ patchscope, settings }: InsideResults): DataTable {
  type Row = Of<InsidePatchscope, PatchscopeEffect>;
  const rows = patchscope.flatMap((question) => question.pairs.map((effect): Row => ({ question, effect })));
  return dataTable<Row>(
    "inside_patchscope",
    [
      ...questionColumns<Row>(),
      column("expected", "text", ({ question }) => question.expected),
      column("from", "text", ({ effect }) => effect.from),
      column("into", "text", ({ effect }) => effect.into),
      ...estimateColumns<Row>("changed", ({ effect }) => effect.changed),
      ...estimateColumns<Row>("randomChanged", ({ effect }) => effect.randomChanged),
      ...estimateColumns<Row>("own", ({ effect }) => effect.told?.share ?? NONE),
      column("others", "number", ({ effect }) => effect.told?.others),
      column("none", "number", ({ effect }) => effect.told?.none),
      column("random", "number", ({ effect }) => effect.told?.random),
      ...testColumns<Row>("own", ({ effect }) => effect.told),
      column("found", "truth", ({ effect }) => isTold(effect, settings)),
    ],
    rows,
  );
}

/** What parts write stands in the JSONL alone: hundreds of numbers a line. */
function linesTable(rows: readonly InsideRow[]): DataTable {
  const placed = (row: InsideRow, name: string) => {
    const value = row.place?.[name];
    return value === undefined ? undefined : String(value);
  };
  return dataTable<InsideRow>(
    "inside_lines",
    [
      ...(["reading", "state", "task", "item", "prompt", "property", "arm"] as const).map((name) =>
        column<InsideRow, "text">(name, "text", (row) => row[name]),
      ),
      ...["layer", "head", "of", "site", "from", "into"].map((name) =>
        column<InsideRow, "text">(name, "text", (row) => placed(row, name)),
      ),
      column("donor", "text", ({ donor }) => donor),
      column("ownBehavior", "text", ({ own }) => own?.behavior),
      column("ownProperty", "text", ({ own }) => own?.property),
      column("values", "texts", ({ values }) => values),
      column("choices", "numbers", ({ choices }) => choices),
      column("displacement", "number", ({ displacement }) => displacement),
      column("wholeDisplacement", "number", ({ wholeDisplacement }) => wholeDisplacement),
      column("text", "text", ({ text }) => text),
      column("missing", "text", ({ missing, setAside }) => missing ?? setAside),
    ],
    rows,
  );
}
