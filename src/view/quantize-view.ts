/** A benchmark of quantized files as a page shows it: what each file costs and what it has lost, or why that was not measured. */

import { readJson } from "../base/files.js";
import { isRecord } from "../base/untrusted.js";
import { InwardError } from "../errors.js";
import type { MeasuredFigure, QuantizeResults, QuantizeRow } from "../quantize/quantize-results.js";
import type { SpeedScores } from "../quantize/measure-speed.js";
import type { Estimate } from "../score/interval.js";
import { orReason, planIn, listedRun } from "./run-view.js";
import { plainPath, statRunFile } from "../run/trials/plain-files.js";
import type { ServedRun } from "./served-runs.js";
import type { Shown } from "../run/trials/trial-shapes.js";
import type { QuantizedFile, QuantizeMeasure, QuantizeView } from "./view-api.js";

const RESULTS = "05-results.json";

/** @throws STORE_CORRUPT where there is no plan that can be read */
export async function quantizeView(run: ServedRun): Promise<QuantizeView> {
  const plan = planIn(run);
  if (!plan.ok) throw new InwardError("STORE_CORRUPT", plan.reason);
  const read = await orReason(async () => {
    const results = await readJson<QuantizeResults>(plainPath(run, RESULTS));
    if (results.resultsVersion === 1 && Array.isArray(results.rows)) {
      return { files: results.rows.map(fileOf), notes: results.notes.map(String) };
    }
    throw new InwardError("STORE_CORRUPT", `${RESULTS} is of another version of inward.`);
  });
  return {
    summary: await listedRun(run),
    facts: factsOf(plan.value),
    files: read.ok ? { ok: true, value: read.value.files } : read,
    notes: read.ok ? read.value.notes : [],
    report: await orReason(() => {
      statRunFile(run, "06-report.html");
      return "06-report.html";
    }),
  };
}

function factsOf({ inward, engine, text, files }: Readonly<Record<string, unknown>>): QuantizeView["facts"] {
  const words = isRecord(text)
    ? [{ name: "text", value: `${text.positions} positions, in ${text.windows} windows of ${text.context} tokens` }]
    : [];
  return [
    { name: "made by", value: `inward ${inward}` },
    ...(isRecord(engine) ? [{ name: "engine", value: `${engine.engine}, ${engine.device}` }] : []),
    ...words,
    ...(isRecord(files) ? [{ name: "files", value: Object.keys(files).join(", ") }] : []),
  ];
}

function fileOf(row: QuantizeRow): QuantizedFile {
  const { name, kind, engine, bytes, bitsPerWeight, imatrix } = row.variant;
  const divergence = (
    label: string,
    key: "text" | "answers",
    of: (scores: FileDivergence) => Estimate,
    unit: Unit,
  ) => ({
    key: `${key}_${label}`,
    label: `${label} on ${key === "text" ? "the text" : "the source's answers"}`,
    unit,
    estimate: within(row[key], of),
  });
  const floor = (key: "textFloor" | "answersFloor"): Shown<number> => {
    const found = row[key];
    return found.ok ? { ok: true, value: found.value.klMean } : found;
  };
  const measures: QuantizeMeasure[] = [
    { ...divergence("divergence (KL)", "text", ({ kl }) => kl.mean, "nats"), floor: floor("textFloor") },
    { ...divergence("divergence (KL)", "answers", ({ kl }) => kl.mean, "nats"), floor: floor("answersFloor") },
    divergence("same likeliest token", "text", ({ sameTop }) => sameTop, "share"),
    divergence("log of the ratio of perplexities", "text", ({ logRatio }) => logRatio, "nats"),
    {
      key: "behaviors",
      label: "behaviors that are others than the source's",
      unit: "share",
      estimate: within(row.flips, ({ behaviors }) => behaviors),
      floor: row.again.ok
        ? { ok: true, value: 1 - row.again.value.sameTokens / row.again.value.questions }
        : { ok: false, reason: row.again.reason },
    },
    {
      key: "self",
      label: "right about itself",
      unit: "share",
      estimate: within(row.self, ({ self }) => self),
    },
    {
      key: "self_change",
      label: "right about itself, less the source about itself",
      unit: "difference",
      estimate: within(row.self, ({ change }) => change),
    },
    { key: "reading", label: "tokens read a second", unit: "tokens_per_second", estimate: speedOf(row, "reading") },
    { key: "writing", label: "tokens written a second", unit: "tokens_per_second", estimate: speedOf(row, "writing") },
  ];
  return {
    ...{ name, kind, engine, bytes, bitsPerWeight, measures },
    withImatrix: imatrix !== undefined,
    ...(row.arithmetic === undefined ? {} : { arithmetic: row.arithmetic }),
  };
}

type FileDivergence = Extract<QuantizeRow["text"], { ok: true }>["value"];
type Unit = QuantizeMeasure["unit"];

function within<Value>(figure: MeasuredFigure<Value>, of: (value: Value) => Estimate): Estimate {
  return figure.ok ? of(figure.value) : { ok: false, reason: figure.reason };
}

/** Least and most of the rounds, which are no interval. */
function speedOf({ speed }: QuantizeRow, what: "reading" | "writing"): QuantizeMeasure["estimate"] {
  if (!speed.ok) return { ok: false, reason: speed.reason };
  const rate: SpeedScores["writing"] = speed.value[what];
  if ("missing" in rate) return { ok: false, reason: rate.missing };
  const { median, least, most } = rate;
  return { ok: true, value: median, low: least, high: most };
}
