/** How intervals are made, told once; whatever needs to say it links here. */

import { aside, type Section } from "../document.js";
import type { ReportInput } from "../make-report.js";

export interface IntervalMethods {
  /** The mark of a method in the list: (1). */
  mark(method: string): string;
  readonly section: Section;
}

/** @returns every method that the numbers of a report carry, the scores' first */
export function intervalMethods(
  input: Pick<ReportInput, "scores" | "comparisons" | "calibration" | "matrix" | "shifts" | "experiments">,
): IntervalMethods {
  const all = [...new Set(methodsOf(input).map(sentence))];
  return {
    mark: (method) => `(${all.indexOf(sentence(method)) + 1})`,
    section: {
      id: "intervals",
      title: "How intervals are made",
      blocks: [
        aside(
          "Every interval says what other strings of the same lists could have given. It says nothing about other tasks, wordings or models.",
        ),
        { kind: "list", items: all.map((method, at) => [{ strong: `(${at + 1}) ` }, method]) },
      ],
    },
  };
}

function methodsOf({
  scores,
  comparisons,
  calibration,
  matrix,
  shifts,
  experiments,
}: Parameters<typeof intervalMethods>[0]): string[] {
  const overall = [...(comparisons?.comparisons ?? [])].map(({ comparison }) => comparison.overall[0]);
  const hierarchical = overall.flatMap((one) => (one.hierarchical.ok ? [one.hierarchical.intervalMethod] : []));
  const numbers = (experiments?.experiments ?? []).flatMap(({ verdicts }) =>
    verdicts.flatMap((verdict) => verdict.numbers.map(({ intervalMethod }) => intervalMethod)),
  );
  const changed = (shifts?.changes ?? []).flatMap(({ arms }) =>
    arms.flatMap(({ scopes }) => Object.values(scopes).map(({ overall: [micro] }) => micro.intervalMethod)),
  );
  return [
    scores.intervalMethod,
    ...overall.map(({ intervalMethod }) => intervalMethod),
    ...hierarchical.slice(0, 1),
    ...(calibration ? [calibration.intervalMethod] : []),
    ...changed,
    ...(matrix ? [matrix.intervalMethod, ...(matrix.song.ok ? [matrix.song.intervalMethod] : [])] : []),
    ...numbers,
  ];
}

function sentence(text: string): string {
  return text.endsWith(".") ? text : `${text}.`;
}
