/** What a series is called, and whether it has reached its plateau, in words. */
import type { ComparedSeries } from "../../records/comparisons.js";
import { formatCount, formatEstimate, formatPoints } from "../format-number.js";

type SeriesName = Pick<ComparedSeries, "kind" | "model" | "target">;

export function seriesName({ kind, model, target }: SeriesName): string {
  return kind === "shown" ? `${model} shown behaviors of ${target}` : `${model} learning from strings of ${target}`;
}

/** Judged by the last step: what came before it may have risen. */
export function plateauSentence(series: ComparedSeries): string {
  return `${plateauWords(series)}.`;
}

function plateauWords(series: ComparedSeries): string {
  const name = seriesName(series);
  const last = series.steps.at(-1);
  if (!last?.ok) return `Whether ${name} has reached its plateau is not known: ${last?.reason ?? "it has one size"}`;
  const { finding, because } = last.judgement;
  const { self, cross, difference } = last.micro;
  const unit = series.kind === "shown" ? "behaviors" : "strings";
  const sizes = `from ${formatCount(last.from)} (${formatEstimate(cross)} right) to ${formatCount(last.to)} ${unit} (${formatEstimate(self)})`;
  const step = `${sizes}, difference ${formatPoints(difference)}`;
  const why = because.length === 0 ? "" : `; ${because.join("; ")}`;
  switch (finding) {
    case "exceeds":
      return `${name} still rises, ${step}${why}: it has not reached its plateau`;
    case "does_not_exceed":
      return `${name} has reached its plateau among these sizes: it no longer rises ${step}${why}`;
    case "cannot_tell":
      return `Whether ${name} has reached its plateau cannot be told: ${step}${why}`;
    case "unknown":
      return `Whether ${name} has reached its plateau is not known: ${because.join("; ")}`;
  }
}

/** Of the series that a cross-predictor of this model about this target stands in; none where it is at its plateau or in no series. */
export function notAtPlateau(all: readonly ComparedSeries[], { model, target, kind }: SeriesName): string[] {
  return all
    .filter((one) => one.model === model && one.target === target && one.kind === kind)
    .filter(({ steps }) => {
      const last = steps.at(-1);
      return !last?.ok || last.judgement.finding !== "does_not_exceed";
    })
    .map(plateauWords);
}
