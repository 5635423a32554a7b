/** The report of a benchmark: one table, one figure of size against loss, what each file has changed, and how all of it was measured. */

import {
  aside,
  type Block,
  type Column,
  countCell,
  decimalCell,
  estimateCell,
  type Figure,
  formatCount,
  formatMissing,
  formatNats,
  formatPercent,
  left,
  paragraph,
  type ReportDocument,
  right,
  type Section,
  type TableCell,
  type TableRow,
} from "../report/document.js";
import { chartLabel, drawSvg, type FigureSpec, PALETTE } from "../report/figures/draw.js";
import { htmlPage, renderHtmlBody } from "../report/html.js";
import { renderMarkdown } from "../report/markdown.js";
import { EXPANDED, type Estimate } from "../score/interval.js";
import type { DivergenceScores, FileFloor } from "./divergence-scores.js";
import type { OldSelfFinding } from "./old-self.js";
import type { MeasuredFigure, QuantizePlan, QuantizeResults, QuantizeRow } from "./run-quantize.js";
import { SOURCE } from "./variants.js";

const DIGITS = 4;

export interface MadeQuantizeReport {
  readonly html: string;
  readonly markdown: string;
  readonly figures: readonly { readonly name: string; readonly svg: string }[];
}

export async function makeQuantizeReport(plan: QuantizePlan, results: QuantizeResults): Promise<MadeQuantizeReport> {
  const figure = await costAndLoss(results.rows);
  const document: ReportDocument = {
    title: `${plan.benchmark.quantize}: what quantization costs`,
    subtitle: `${plan.benchmark.source.source}, ${results.rows.length - 1} files against their source · inward ${plan.inward}`,
    opening: [paragraph(openingOf(results.rows)), ...results.notes.map((note) => aside(note))],
    hasFirstPage: false,
    sections: [
      { id: "table", title: "All files", blocks: [overviewTable(plan, results.rows), ...(figure ? [figure] : [])] },
      ...(plan.text ? [divergenceSection("text", "On the text", results.rows)] : []),
      ...(plan.benchmark.tasks ? [divergenceSection("answers", "On the source's own answers", results.rows)] : []),
      ...(plan.benchmark.tasks ? [flipsSection(results.rows), knowledgeSection(results.rows)] : []),
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

function frontOf(rows: readonly QuantizeRow[]): Set<string> {
  return paretoFront(
    rows.flatMap((row) => {
      const loss = lossOf(row)?.scores.kl.mean;
      return loss?.ok && row.variant.name !== SOURCE
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

const ok = (text: string, small?: string): TableCell => (small === undefined ? { text } : { text, small });
const none = (reason: string): TableCell => ({ text: formatMissing(reason), missing: true });

function cell<Value>(measured: MeasuredFigure<Value>, show: (value: Value) => TableCell): TableCell {
  return measured.ok ? show(measured.value) : none(measured.reason);
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

/** Natural-log units with an interval that may span sizes. */
function natsCell(estimate: Estimate): TableCell {
  if (!estimate.ok) return none(estimate.reason);
  return ok(formatNats(estimate.value), `[${formatNats(estimate.low)},\u00a0${formatNats(estimate.high)}]`);
}

function overviewTable({ text, benchmark }: QuantizePlan, rows: readonly QuantizeRow[]): Block {
  const front = frontOf(rows);
  const asked = benchmark.tasks !== undefined;
  const columns: Column[] = [
    left("file"),
    right("size"),
    right("bits a weight"),
    ...(text ? [right("KL on the text"), right("floor"), right("perplexity")] : []),
    ...(asked
      ? [right("KL on answers"), right("floor"), right("behaviors flipped"), right("right of itself"), right("change")]
      : []),
    ...(benchmark.speed ? [right("reads, tokens/s"), right("writes, tokens/s"), right("peak memory")] : []),
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
          ok(megabytes(variant.bytes)),
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
                cell(row.self, ({ self }) => estimateCell(self)),
                isSource ? none("the source itself") : cell(row.self, ({ change }) => estimateCell(change, true)),
              ]
            : []),
          ...(benchmark.speed
            ? [
                cell(row.speed, ({ reading }) => spreadCell(reading)),
                cell(row.speed, ({ writing }) => spreadCell(writing)),
                cell(row.speed, ({ peakBytes }) => ok(megabytes(peakBytes))),
              ]
            : []),
        ],
      };
    }),
    footnotes: [{ mark: "*", text: "No other file is both smaller and nearer to the source." }],
  };
}

function floorCell({ klMean, klMost }: FileFloor): TableCell {
  return ok(formatNats(klMean), `at most ${formatNats(klMost)}`);
}

function spreadCell({ median, least, most }: { median: number; least: number; most: number }): TableCell {
  return ok(median.toPrecision(3), `${least.toPrecision(3)} to ${most.toPrecision(3)}`);
}

async function costAndLoss(rows: readonly QuantizeRow[]): Promise<Figure | undefined> {
  const front = frontOf(rows);
  const points = rows.flatMap((row, at) => {
    const loss = lossOf(row);
    const mean = loss?.scores.kl.mean;
    if (!mean?.ok || row.variant.name === SOURCE || mean.value <= 0) return [];
    const size = row.variant.bytes / 1e6;
    const low = Math.max(mean.low, mean.value / 100);
    return [
      { at, size, loss: mean.value, low, high: mean.high, front: front.has(row.variant.name) ? "front" : "beaten" },
    ];
  });
  const on = rows.map(lossOf).find((one) => one !== undefined)?.on;
  if (points.length === 0 || on === undefined) return undefined;
  const nothing = rows.filter((row) => row.variant.name !== SOURCE && lossOf(row)?.scores.kl.most.value === 0);
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
        encoding: { x, y: y("loss"), color },
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
    caption: `Down and to the left is better. Upright lines: intervals of the mean, as in the table; blue and dashed: no other file is both smaller and nearer.${nothing.length === 0 ? "" : ` Not drawn, because a log scale has no 0: ${nothing.map(({ variant }) => variant.name).join(", ")}.`}`,
  };
}

function divergenceSection(which: "text" | "answers", title: string, rows: readonly QuantizeRow[]): Section {
  const others = rows.filter(({ variant }) => variant.name !== SOURCE);
  const nats = (value: number) => ok(formatNats(value));
  return {
    id: `on-the-${which}`,
    title,
    blocks: [
      {
        kind: "table",
        caption:
          "Kullback-Leibler divergence of each file from the source, nats a position, over the whole vocabulary; back: the other way round.",
        columns: [
          left("file"),
          right("mean"),
          right("back"),
          right("median"),
          right("99 %"),
          right("99.9 %"),
          right("most"),
          right("floor, mean"),
          right("positions"),
        ],
        rows: others.map((row) => ({
          cells: [
            ok(row.variant.name),
            cell(row[which], ({ kl }) => natsCell(kl.mean)),
            cell(row[which], ({ kl }) => natsCell(kl.backward)),
            cell(row[which], ({ kl }) => natsCell(kl.median)),
            cell(row[which], ({ kl }) => natsCell(kl.percentile99)),
            cell(row[which], ({ kl }) => nats(kl.percentile999.value)),
            cell(row[which], ({ kl }) => nats(kl.most.value)),
            cell(row[`${which}Floor`], ({ klMean }) => nats(klMean)),
            cell(row[which], ({ kl }) => countCell(kl.mean)),
          ],
        })),
      },
      {
        kind: "table",
        caption:
          "Of the token that follows: its probability less the source's. Same top: share of positions whose most likely token is the source's. Perplexity, and ln of it divided by the source's, paired.",
        columns: [
          left("file"),
          right("mean Δp"),
          right("RMS Δp"),
          right("Δp, 1 % to 99 %"),
          right("same top"),
          right("floor"),
          right("perplexity"),
          right("± as llama-perplexity"),
          right("ln ratio"),
        ],
        rows: rows.map((row) => ({
          cells: [
            ok(row.variant.name),
            cell(row[which], ({ probability }) => estimateCell(probability.mean, true)),
            cell(row[which], ({ probability }) => estimateCell(probability.rootMeanSquare)),
            cell(row[which], ({ probability: { percentiles } }) =>
              ok(`${formatPercent(percentiles["1"] as number)} to ${formatPercent(percentiles["99"] as number)}`),
            ),
            cell(row[which], ({ sameTop }) => estimateCell(sameTop)),
            cell(row[`${which}Floor`], ({ sameTop }) => ok(formatPercent(sameTop))),
            cell(row[which], ({ perplexity }) => decimalCell(perplexity.value, DIGITS)),
            cell(row[which], ({ perplexity }) => ok(perplexity.llamaError.toFixed(5))),
            cell(row[which], ({ logRatio }) => decimalCell(logRatio, 5, true)),
          ],
        })),
      },
    ],
  };
}

function flipsSection(rows: readonly QuantizeRow[]): Section {
  const others = rows.filter(({ variant }) => variant.name !== SOURCE);
  return {
    id: "flips",
    title: "What it does otherwise than its source",
    blocks: [
      {
        kind: "table",
        isCards: true,
        groupTitle: "file",
        caption:
          "Strings on which both have the property and another value. Source's lead: smallest lead of a token of its answer, median of flipped and of kept ones; a flip within the floor is one that another batch composition could make too.",
        columns: [
          left("task, property"),
          right("flipped"),
          left("most frequent"),
          right("source's lead"),
          right("within the floor"),
          right("lost, gained"),
        ],
        rows: others.flatMap((row): TableRow[] =>
          row.flips.ok
            ? row.flips.value.properties.map((one) => ({
                group: row.variant.name,
                cells: [
                  ok(`${one.task}, ${one.property}`),
                  estimateCell(one.flips),
                  one.directions.length === 0
                    ? none("nothing flipped")
                    : ok(
                        one.directions
                          .slice(0, 3)
                          .map(({ from, to, count }) => `${from} → ${to} (${count})`)
                          .join("; "),
                      ),
                  ok(
                    [one.margins.flipped, one.margins.kept]
                      .map((margin) => (margin === null ? formatMissing("no margin") : margin.toFixed(3)))
                      .join(" / "),
                  ),
                  ok(formatCount(one.withinFloor)),
                  ok(`${one.lost}, ${one.gained}`),
                ],
              }))
            : [],
        ),
      },
      {
        kind: "table",
        caption: "Answers with the same tokens, every one; and right answers that became wrong, and back.",
        columns: [left("file"), right("same answers"), right("right to wrong"), right("wrong to right")],
        rows: others.map((row) => ({
          cells: [
            ok(row.variant.name),
            cell(row.flips, ({ sameAnswers }) => estimateCell(sameAnswers)),
            cell(row.flips, ({ rightAnswers }) =>
              rightAnswers ? ok(`${rightAnswers.toWrong} of ${rightAnswers.of}`) : none("no task has right answers"),
            ),
            cell(row.flips, ({ rightAnswers }) =>
              rightAnswers ? ok(`${rightAnswers.toRight} of ${rightAnswers.of}`) : none("no task has right answers"),
            ),
          ],
        })),
      },
    ],
  };
}

const FINDINGS: Readonly<Record<OldSelfFinding, string>> = {
  present_self: "what it does itself",
  old_self: "what its source does",
  cannot_be_told: "cannot be told",
};

function knowledgeSection(rows: readonly QuantizeRow[]): Section {
  const others = rows.filter(({ variant }) => variant.name !== SOURCE);
  return {
    id: "self",
    title: "What it knows of itself",
    blocks: [
      {
        kind: "table",
        caption:
          "Share right of what is said beforehand. Change: less the source's about itself, on the same strings. Over its source: less what the source says of this file, on the same strings.",
        columns: [
          left("file"),
          right("of itself"),
          right("change"),
          right("of its source"),
          right("its source of it"),
          right("over its source"),
        ],
        rows: rows.map((row) => ({
          cells: [
            ok(row.variant.name),
            cell(row.self, ({ self }) => estimateCell(self)),
            cell(row.self, ({ change }) => estimateCell(change, true)),
            cell(row.self, ({ aboutSource }) => estimateCell(aboutSource)),
            cell(row.self, ({ bySource }) => estimateCell(bySource)),
            cell(row.self, ({ overSource }) => estimateCell(overSource, true)),
          ],
        })),
      },
      {
        kind: "table",
        caption:
          "The old self: on strings where a file and its source behave differently, whose behavior does the file name? A finding needs a lead that is also above, or below, that of everybody who does not know the file.",
        columns: [
          left("file"),
          left("it names"),
          right("its own"),
          right("its source's"),
          right("lead"),
          right("trials"),
        ],
        rows: others.map((row) => ({
          cells: [
            ok(row.variant.name),
            cell(row.self, ({ oldSelf }) => ({
              text: FINDINGS[oldSelf.finding],
              ...(oldSelf.because ? { small: oldSelf.because } : {}),
            })),
            cell(row.self, ({ oldSelf }) => estimateCell(oldSelf.own)),
            cell(row.self, ({ oldSelf }) => estimateCell(oldSelf.source)),
            cell(row.self, ({ oldSelf }) => estimateCell(oldSelf.lead, true)),
            cell(row.self, ({ oldSelf }) => ok(formatCount(oldSelf.trials), `${formatCount(oldSelf.strings)} strings`)),
          ],
        })),
      },
      aside(
        "Scores, baselines and comparisons of all of them are in the report of the study of the answers: 02-answers/09-report.html.",
      ),
    ],
  };
}

function speedSection(rows: readonly QuantizeRow[]): Section {
  return {
    id: "speed",
    title: "Speed and memory",
    blocks: [
      {
        kind: "table",
        caption:
          "Rates of single rounds: the middle one, and from the least to the most. Peak: of a process that has this file alone open.",
        columns: [
          left("file"),
          right("reads, tokens/s"),
          right("writes, tokens/s"),
          right("peak memory"),
          right("rounds"),
        ],
        rows: rows.map((row) => ({
          cells: [
            ok(row.variant.name),
            cell(row.speed, ({ reading }) => spreadCell(reading)),
            cell(row.speed, ({ writing }) => spreadCell(writing)),
            cell(row.speed, ({ peakBytes }) => ok(megabytes(peakBytes))),
            cell(row.speed, ({ rounds }) => ok(formatCount(rounds))),
          ],
        })),
      },
    ],
  };
}

function variantsSection(rows: readonly QuantizeRow[]): Section {
  return {
    id: "files",
    title: "The files",
    blocks: [
      {
        kind: "table",
        caption: "Weights by the type of their tensors, as each file has them.",
        columns: [left("file"), left("weights"), left("arithmetic"), left("sha256")],
        rows: rows.map(({ variant, arithmetic }) => {
          const total = Object.values(variant.weights).reduce((sum, one) => sum + one, 0);
          const shares = Object.entries(variant.weights).map(
            ([type, count]) => `${formatPercent(count / total)} ${type}`,
          );
          return {
            cells: [
              ok(
                variant.name,
                variant.imatrix ? `importance matrix ${variant.imatrix.sha256.slice(0, 12)}` : undefined,
              ),
              ok(shares.join(", ")),
              arithmetic === undefined ? none("nothing was compared") : ok(arithmetic),
              ok(variant.sha256),
            ],
          };
        }),
      },
    ],
  };
}

function measuringSection({ text, benchmark, engine }: QuantizePlan): Section {
  const { score, speed, floorTexts } = benchmark;
  const blocks: Block[] = [
    paragraph(
      "Files are made by llama.cpp's own quantizer and are byte for byte what llama-quantize writes, but for the order of tensors and the metadata. The divergence is over the whole vocabulary in double precision: nothing is rounded, clipped or left out.",
    ),
    ...(text
      ? [
          paragraph(
            `The text (sha256 ${text.sha256}, ${formatCount(text.tokens)} tokens) is cut as llama-perplexity cuts it: ${formatCount(text.windows)} windows of ${text.context} tokens side by side, ${text.bos === undefined ? "no BOS, because the model asks for none" : "the first token of each read as BOS"}, the second half of each looked at. What looks like a control token is text. A window is what intervals draw.`,
          ),
        ]
      : []),
    ...(benchmark.tasks
      ? [
          paragraph(
            "Answers: the source's own greedy answers to the held-out strings, in the chat format in which they were asked; only the answer's tokens are looked at. A string is what intervals draw, near twins together.",
          ),
        ]
      : []),
    paragraph(
      `Intervals: ${formatPercent(score.confidence)}, ${formatCount(score.bootstrapReplicates)} draws of whole windows or strings. ${EXPANDED} The largest divergence and its 99.9th percentile have none: resampling cannot tell what lies beyond.`,
    ),
    paragraph(
      `The floor is of ${formatCount(floorTexts)} windows or answers at most, evaluated again in pieces of 193 rows, one after the other. Evaluated by ${engine.forward === "own" ? "inward's own forward pass" : "llama.cpp"} with ${engine.threads} threads.`,
    ),
    ...(speed
      ? [
          paragraph(
            `Speed: ${speed.rounds} rounds in which every file has its turn; a prompt of ${formatCount(speed.promptTokens)} tokens read at once, ${formatCount(speed.answerTokens)} tokens written one after the other. It is of this machine at that time, with whatever else ran.`,
          ),
        ]
      : []),
    paragraph(
      "All numbers are in 05-results.json; those of single positions in 03-divergence, ten doubles each (docs/quantize.md).",
    ),
  ];
  return { id: "method", title: "How it was measured", blocks };
}
