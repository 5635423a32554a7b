/** Accuracy before and after training with its intervals against the baselines, a pair of lines per task × property. */

import type { Estimate } from "../../score/interval.js";
import { bestRuleOf } from "../../score/verdicts/verdict.js";
import type { CellScore } from "../../score/scores.js";
import type { LossPoint, ValidationPoint } from "../../finetune/adapter/card.js";
import { chartRows, drawSvg, type FigureSpec, PALETTE, rowAxis, shareAxis } from "./draw.js";

const BASELINES = [
  { name: "mode of the scored strings (oracle)", colour: PALETTE.amber, shape: "M-0.15,-1.9H0.15V1.9H-0.15Z" },
  { name: "mode of the train strings", colour: PALETTE.orange, shape: "M-0.26,-1.4H0.26V1.4H-0.26Z" },
  { name: "best rule on the string", colour: PALETTE.green, shape: "diamond" },
] as const;
/** Offsets: pixels below the middle of the row. */
const SIDES = [
  { name: "before training", colour: PALETTE.muted, shape: "circle", offset: -4.5 },
  { name: "after training", colour: PALETTE.blue, shape: "circle", offset: 4.5 },
] as const;
const BEFORE_AFTER = [...BASELINES, ...SIDES];

interface BeforeAfterCells {
  /** Of the untrained predictor. */
  readonly before: readonly CellScore[];
  /** Of the trained one, about the same target. */
  readonly after: readonly CellScore[];
  /** Tasks that were not trained on. */
  readonly heldOut: readonly string[];
}

/** @throws REPORT_FAILED */
export async function beforeAfterFigure(title: string, cells: BeforeAfterCells): Promise<string> {
  return drawSvg(title, beforeAfterSpec(cells));
}

function beforeAfterSpec({ before, after, heldOut }: BeforeAfterCells): FigureSpec {
  const rows = chartRows(after, (task) => (heldOut.includes(task) ? ", held out" : ""));
  const { params, y } = rowAxis(rows);
  const earlier = new Map(before.map((cell) => [keyOf(cell), cell]));
  const baselines = rows.flatMap(({ key, cell }) =>
    cell
      ? BASELINES.flatMap(({ name }, index) => {
          const estimate = baselinesOf(cell)[index];
          return estimate?.ok ? [{ row: key, series: name, value: estimate.value }] : [];
        })
      : [],
  );
  const domain = BEFORE_AFTER.map(({ name }) => name);
  const legend = { title: null, orient: "top", direction: "horizontal", columns: 2, symbolSize: 110, symbolOpacity: 1 };
  const series = {
    shape: {
      field: "series",
      type: "nominal",
      scale: { domain, range: BEFORE_AFTER.map(({ shape }) => shape) },
      legend,
    },
    color: {
      field: "series",
      type: "nominal",
      scale: { domain, range: BEFORE_AFTER.map(({ colour }) => colour) },
      legend,
    },
  };
  const sides = SIDES.map(({ name }, index) =>
    rows.flatMap(({ key, cell }) => {
      const estimate = cell && (index === 0 ? earlier.get(keyOf(cell)) : cell)?.accuracy;
      return cell ? [{ row: key, series: name, estimate }] : [];
    }),
  );
  return {
    width: 460,
    height: { step: 23 },
    params,
    encoding: { y },
    layer: [
      {
        name: "baselines",
        data: { values: baselines },
        mark: { type: "point", filled: true, opacity: 1, size: 90 },
        encoding: { x: { field: "value", ...shareAxis("share of trials") }, ...series },
      },
      ...sides.flatMap((side, index) => sideLayers(side, index, series)),
    ],
  } as unknown as FigureSpec;
}

interface SidePoint {
  readonly row: string;
  readonly series: string;
  readonly estimate: Estimate | undefined;
}

function sideLayers(side: readonly SidePoint[], index: number, series: { readonly color: object }): object[] {
  const yOffset = SIDES[index]?.offset ?? 0;
  const known = side.flatMap(({ row, series: name, estimate }) =>
    estimate?.ok ? [{ row, series: name, value: estimate.value, low: estimate.low, high: estimate.high }] : [],
  );
  const missing = side.flatMap(({ row, series: name, estimate }) =>
    estimate?.ok ? [] : [{ row, text: `${name}: no accuracy` }],
  );
  return [
    {
      name: `intervals${index}`,
      data: { values: known },
      mark: { type: "rule", strokeWidth: 2.5, opacity: 0.45, strokeCap: "round", yOffset },
      encoding: { x: { field: "low", type: "quantitative" }, x2: { field: "high" }, color: series.color },
    },
    {
      name: `points${index}`,
      data: { values: known },
      mark: { type: "point", filled: true, opacity: 1, size: 60, yOffset },
      encoding: { x: { field: "value", type: "quantitative" }, ...series },
    },
    {
      name: `missing${index}`,
      data: { values: missing },
      mark: { type: "text", align: "left", dx: 4, fontStyle: "italic", fontSize: 9, color: PALETTE.muted, yOffset },
      encoding: { x: { datum: 0 }, text: { field: "text" } },
    },
  ];
}

function keyOf({ task, property, variant }: CellScore): string {
  return JSON.stringify([task, property, variant]);
}

/** In the order of the baselines. They are of the target's behavior, the same before and after. */
function baselinesOf(cell: CellScore): (Estimate | undefined)[] {
  return [cell.modeBaselineOracle, cell.modeBaselineTrain, bestRuleOf(cell.heuristics)?.estimate];
}

// Loss over the steps of a training, with the validation examples' where they were looked at.

const LOSSES = [
  { name: "each step's batch, before its update", colour: PALETTE.pale },
  { name: "its running mean", colour: PALETTE.blue },
  { name: "validation examples", colour: PALETTE.orange },
] as const;
/** Share of the steps that the running mean covers. */
const WINDOW_SHARE = 0.1;

interface LossCurve {
  readonly losses: readonly LossPoint[];
  readonly validation: readonly ValidationPoint[];
}

/** @throws REPORT_FAILED */
export async function lossFigure(title: string, curve: LossCurve): Promise<string> {
  return drawSvg(title, lossSpec(curve));
}

export function lossSpec({ losses, validation }: LossCurve): FigureSpec {
  const [batch, mean, held] = LOSSES.map(({ name }) => name);
  const rows = [
    ...losses.map(({ step, lossNatsPerToken }) => ({ step, series: batch, loss: lossNatsPerToken })),
    ...runningMean(losses).map(({ step, loss }) => ({ step, series: mean, loss })),
    ...validation.map(({ step, lossNatsPerToken }) => ({ step, series: held, loss: lossNatsPerToken })),
  ];
  const shown = LOSSES.filter(({ name }) => rows.some(({ series }) => series === name));
  const scale = { domain: shown.map(({ name }) => name), range: shown.map(({ colour }) => colour) };
  const legend = { title: null, orient: "top", direction: "horizontal", columns: 2, symbolOpacity: 1 };
  return {
    width: 460,
    height: 220,
    data: { values: rows },
    encoding: {
      x: { field: "step", type: "quantitative", axis: { title: "optimizer step", grid: false, tickMinStep: 1 } },
      y: {
        field: "loss",
        type: "quantitative",
        scale: { zero: true },
        axis: { title: "loss, nats per answer token" },
      },
      color: { field: "series", type: "nominal", scale, legend },
    },
    layer: [
      {
        name: "batches",
        transform: [{ filter: { field: "series", equal: batch } }],
        mark: { type: "point", filled: true, opacity: 1, size: 14 },
      },
      {
        name: "mean",
        transform: [{ filter: { field: "series", equal: mean } }],
        mark: { type: "line", strokeWidth: 2 },
      },
      {
        name: "validation",
        transform: [{ filter: { field: "series", equal: held } }],
        mark: { type: "line", strokeWidth: 2, point: { filled: true, size: 40 } },
      },
    ],
  } as unknown as FigureSpec;
}

/** Mean over the steps around each one, weighted by answer tokens; fewer of them at the two ends. */
function runningMean(losses: readonly LossPoint[]): { step: number; loss: number }[] {
  const half = Math.floor((losses.length * WINDOW_SHARE) / 2);
  if (half === 0) return [];
  return losses.map(({ step }, at) => {
    const window = losses.slice(Math.max(0, at - half), at + half + 1);
    const tokens = window.reduce((sum, point) => sum + point.answerTokens, 0);
    const nats = window.reduce((sum, point) => sum + point.answerTokens * point.lossNatsPerToken, 0);
    return { step, loss: nats / tokens };
  });
}
