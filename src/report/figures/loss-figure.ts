/** Loss over the steps of a training, with the validation examples' where they were looked at. */
import type { LossPoint, ValidationPoint } from "../../records/training.js";
import { drawSvg, type FigureSpec } from "./draw-svg.js";
import { PALETTE } from "./palette.js";

const LOSSES = [
  { name: "each step's batch, before its update", colour: PALETTE.pale },
  { name: "its running mean", colour: PALETTE.blue },
  { name: "validation examples", colour: PALETTE.orange },
] as const;
/** Share of the steps that the running mean covers. */
const WINDOW_SHARE = 0.1;

export interface LossCurve {
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
