/** The report of a benchmark: one table, one figure of size against loss, what each file has changed, and how all of it was measured. */

import {
  aside,
  type Block,
  type Column,
  decimalCell,
  estimateCell,
  formatCount,
  type Figure,
  left,
  paragraph,
  type ReportDocument,
  right,
  type TableRow,
} from "../report/document.js";
import { chartLabel, drawSvg, type FigureSpec, PALETTE } from "../report/figures/draw.js";
import { htmlPage, renderHtmlBody } from "../report/html.js";
import { renderMarkdown } from "../report/markdown.js";
import { plural } from "../report/terms.js";
import type { DivergenceScores } from "./divergence-scores.js";
import { adaptersSection, distributionsSection, knowledgeSection } from "./knowledge-sections.js";
import { cell, floorCell, fileSize, natsCell, none, ok, spreadCell } from "./quantize-cells.js";
import type { QuantizePlan, QuantizeResults, QuantizeRow } from "./quantize-results.js";
import {
  divergenceSection,
  flipsSection,
  measuringSection,
  speedSection,
  stepsSection,
  variantsSection,
} from "./quantize-sections.js";
import { SOURCE } from "./variants.js";

const DIGITS = 4;

export interface MadeQuantizeReport {
  readonly html: string;
  readonly markdown: string;
  readonly figures: readonly { readonly name: string; readonly svg: string }[];
}

export async function makeQuantizeReport(plan: QuantizePlan, results: QuantizeResults): Promise<MadeQuantizeReport> {
  const figure = await costAndLoss(results.rows);
  const others = results.rows.length - 1;
  const document: ReportDocument = {
    title: `${plan.benchmark.quantize}: what quantization costs`,
    subtitle: `${plan.benchmark.source.source}, ${plural(others, "file", formatCount(others))} against ${others === 1 ? "its" : "their"} source · inward ${plan.inward}`,
    opening: [paragraph(openingOf(results.rows)), ...results.notes.map((note) => aside(note))],
    hasFirstPage: false,
    sections: [
      { id: "table", title: "All files", blocks: [overviewTable(plan, results.rows), ...(figure ? [figure] : [])] },
      ...(plan.text ? [divergenceSection("text", "On the text", results.rows)] : []),
      ...(plan.benchmark.tasks ? [divergenceSection("answers", "On the source's own answers", results.rows)] : []),
      ...(plan.text?.baseSha256 === undefined
        ? []
        : [divergenceSection("base", "Beside a base file of llama-perplexity", results.rows)]),
      ...(results.rows.some(({ steps }) => steps.ok) ? [stepsSection(results.rows)] : []),
      ...(plan.benchmark.tasks ? [flipsSection(results.rows), knowledgeSection(results.rows)] : []),
      ...(plan.benchmark.tasks && plan.benchmark.calibration ? [distributionsSection(results.rows)] : []),
      ...(results.adapters.ok ? [adaptersSection(results.adapters.value)] : []),
      ...(plan.benchmark.speed ? [speedSection(results.rows)] : []),
      variantsSection(results.rows),
      measuringSection(plan),
    ],
  };
  return {
    html: htmlPage(document.title, renderHtmlBody(document)),
    markdown: renderMarkdown(document),
    figures: figure ? [{ name: figure.name, svg: figure.svg }] : [],
  };
}

/** The divergence that files are ordered by: on answers where there are some, else on the text. */
function lossOf(row: QuantizeRow): { readonly scores: DivergenceScores; readonly on: string } | undefined {
  if (row.answers.ok) return { scores: row.answers.value, on: "its answers" };
  return row.text.ok ? { scores: row.text.value, on: "the text" } : undefined;
}

/** Whom no other file beats in size and in loss at once. */
export function paretoFront(
  files: readonly { readonly name: string; readonly bytes: number; readonly loss: number }[],
): Set<string> {
  return new Set(
    files
      .filter(
        (one) =>
          !files.some(
            (other) =>
              other.bytes <= one.bytes && other.loss <= one.loss && (other.bytes < one.bytes || other.loss < one.loss),
          ),
      )
      .map(({ name }) => name),
  );
}

/** As it is, or as a graph of its floats: what others are held against, and no choice. */
function isSourceItself({ variant: { name } }: QuantizeRow): boolean {
  return name === SOURCE || name === "onnx_f32";
}

function frontOf(rows: readonly QuantizeRow[]): Set<string> {
  return paretoFront(
    rows.flatMap((row) => {
      const loss = lossOf(row)?.scores.kl.mean;
      return loss?.ok && !isSourceItself(row)
        ? [{ name: row.variant.name, bytes: row.variant.bytes, loss: loss.value }]
        : [];
    }),
  );
}

function openingOf(rows: readonly QuantizeRow[]): string {
  const front = frontOf(rows);
  const named = rows.filter(({ variant }) => front.has(variant.name)).map(({ variant }) => variant.name);
  if (named.length === 0) return "No divergence was measured: the table has sizes and speeds alone.";
  return `No other file is both smaller and nearer to the source than ${named.join(", ")} (by the mean divergence; whether two of them differ is told by their intervals, which are below).`;
}

function overviewTable({ text, benchmark }: QuantizePlan, rows: readonly QuantizeRow[]): Block {
  const front = frontOf(rows);
  const asked = benchmark.tasks !== undefined;
  const calibrated = benchmark.calibration !== undefined;
  const columns: Column[] = [
    left("file"),
    right("size"),
    right("bits a weight"),
    ...(text ? [right("KL on the text"), right("floor"), right("perplexity")] : []),
    ...(asked
      ? [
          right("KL on answers"),
          right("floor"),
          right("behaviors flipped"),
          right("replies with a value"),
          right("right of itself"),
          right("above the mode"),
          right("change"),
        ]
      : []),
    ...(asked && calibrated ? [right("total variation of behavior"), right("Brier of itself"), right("change")] : []),
    ...(benchmark.speed
      ? [
          right("reads, tokens/s"),
          right("llama.cpp"),
          right("writes, tokens/s"),
          right("llama.cpp"),
          right("peak memory"),
        ]
      : []),
  ];
  return {
    kind: "table",
    caption:
      "Each figure with its interval below it; floor: the same of the file against itself in another batch composition. Marked: no other file is smaller and nearer.",
    columns,
    rows: rows.map((row): TableRow => {
      const { variant } = row;
      const isSource = variant.name === SOURCE;
      const marks = front.has(variant.name) ? { marks: ["*"] } : {};
      return {
        cells: [
          {
            text: variant.name,
            small: isSource
              ? "what the others are held against"
              : variant.kind === "given"
                ? "made elsewhere"
                : (variant.by ?? ""),
            ...marks,
          },
          ok(fileSize(variant.bytes)),
          ok(variant.bitsPerWeight.toFixed(2)),
          ...(text
            ? [
                isSource ? ok("0") : cell(row.text, ({ kl }) => natsCell(kl.mean)),
                cell(row.textFloor, floorCell),
                cell(row.text, ({ perplexity }) => decimalCell(perplexity.value, DIGITS)),
              ]
            : []),
          ...(asked
            ? [
                isSource ? ok("0") : cell(row.answers, ({ kl }) => natsCell(kl.mean)),
                cell(row.answersFloor, floorCell),
                cell(row.flips, ({ behaviors }) => estimateCell(behaviors)),
                cell(row.self, ({ readable }) => estimateCell(readable)),
                cell(row.self, ({ self }) => estimateCell(self)),
                cell(row.self, ({ selfMode }) => estimateCell(selfMode.above, true)),
                isSource ? none("the source itself") : cell(row.self, ({ change }) => estimateCell(change, true)),
              ]
            : []),
          ...(asked && calibrated
            ? [
                cell(row.distances, ({ totalVariation }) => decimalCell(totalVariation, 3)),
                cell(row.calibration, ({ row: own }) => decimalCell(own.brier, 3)),
                isSource
                  ? none("the source itself")
                  : cell(row.calibration, ({ change: worse }) => decimalCell(worse.brier, 3, true)),
              ]
            : []),
          ...(benchmark.speed
            ? [
                cell(row.speed, ({ reading }) => spreadCell(reading)),
                cell(row.llamaSpeed, ({ reading }) => spreadCell(reading)),
                cell(row.speed, ({ writing }) => spreadCell(writing)),
                cell(row.llamaSpeed, ({ writing }) => spreadCell(writing)),
                cell(row.speed, ({ peakBytes }) => ok(fileSize(peakBytes))),
              ]
            : []),
        ],
      };
    }),
    footnotes: [{ mark: "*", text: "No other file is both smaller and nearer to the source." }],
  };
}

async function costAndLoss(rows: readonly QuantizeRow[]): Promise<Figure | undefined> {
  const front = frontOf(rows);
  const points = rows.flatMap((row, at) => {
    const loss = lossOf(row);
    const mean = loss?.scores.kl.mean;
    if (!mean?.ok || isSourceItself(row) || mean.value <= 0) return [];
    const size = row.variant.bytes / 1e6;
    const low = Math.max(mean.low, mean.value / 100);
    const { name, engine } = row.variant;
    return [{ at, size, loss: mean.value, low, high: mean.high, front: front.has(name) ? "front" : "beaten", engine }];
  });
  const on = rows.map(lossOf).find((one) => one !== undefined)?.on;
  if (points.length === 0 || on === undefined) return undefined;
  const nothing = rows.filter((row) => !isSourceItself(row) && lossOf(row)?.scores.kl.most.value === 0);
  const title = "Size against divergence from the source";
  const labels = rows.map(({ variant }) => chartLabel(variant.name, 16));
  const x = {
    field: "size",
    type: "quantitative",
    scale: { zero: false, nice: true },
    axis: { title: "size, MB", domain: false },
  };
  const y = (field: string) => ({
    field,
    type: "quantitative",
    scale: { type: "log" },
    axis: { title: `mean divergence on ${on}, nats (log scale)`, domain: false },
  });
  const color = {
    field: "front",
    type: "nominal",
    scale: { domain: ["front", "beaten"], range: [PALETTE.blue, PALETTE.muted] },
    legend: null,
  };
  const shape = {
    field: "engine",
    type: "nominal",
    scale: { domain: ["inward", "onnxruntime"], range: ["circle", "diamond"] },
    legend: null,
  };
  const graphs = points.some(({ engine }) => engine === "onnxruntime");
  const svg = await drawSvg(title, {
    params: [{ name: "fileLabels", value: labels }],
    width: 520,
    height: 320,
    layer: [
      {
        data: { values: points.filter((one) => one.front === "front").sort((a, b) => a.size - b.size) },
        mark: { type: "line", strokeDash: [4, 4], color: PALETTE.pale },
        encoding: { x, y: y("loss"), order: { field: "size", type: "quantitative" } },
      },
      {
        data: { values: points },
        mark: { type: "rule", strokeWidth: 1.5, opacity: 0.6 },
        encoding: { x, y: y("low"), y2: { field: "high" }, color },
      },
      {
        data: { values: points },
        mark: { type: "point", filled: true, opacity: 1, size: 70 },
        encoding: { x, y: y("loss"), color, shape },
      },
      {
        data: { values: points },
        transform: [{ calculate: "fileLabels[datum.at]", as: "label" }],
        mark: { type: "text", align: "left", dx: 8, dy: -6, fontSize: 12, color: PALETTE.ink },
        encoding: { x, y: y("loss"), text: { field: "label", type: "nominal" } },
      },
    ],
  } as unknown as FigureSpec);
  return {
    kind: "figure",
    name: "cost-and-loss",
    title,
    svg,
    caption: `Down and to the left is better. Upright lines: intervals of the mean, as in the table; blue and dashed: no other file is both smaller and nearer.${graphs ? " Diamonds: ONNX graphs, evaluated by onnxruntime." : ""}${nothing.length === 0 ? "" : ` Not drawn, because a log scale has no 0: ${nothing.map(({ variant }) => variant.name).join(", ")}.`}`,
  };
}
