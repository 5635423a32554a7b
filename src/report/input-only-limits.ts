/** What the strings alone give away is known only as far as the baselines can tell. */
import { formatCount } from "./format-number.js";
import { hasInputOnly } from "./has-input-only.js";
import { readableName } from "./readable-name.js";
import type { ReportInput } from "./report-input.js";

export function inputOnlyLimits({ scores, inputOnly = {} }: Pick<ReportInput, "scores" | "inputOnly">): string[] {
  const skipped = Object.entries(inputOnly).flatMap(([state, cells]) =>
    cells.flatMap((cell) => (cell.ok ? [] : [{ state, ...cell }])),
  );
  const [first, ...others] = skipped;
  const more = others.length === 0 ? "" : `, and for ${formatCount(others.length)} more`;
  const without = first
    ? [
        `No classifier of strings was trained for ${readableName(first.property)} in ${readableName(first.task)}, as ${first.state} answers (${first.reason})${more}.`,
      ]
    : [];
  return hasInputOnly(scores)
    ? [
        "How far the strings give the behavior away is known from modes, simple rules and one classifier of words and letters; one that knows what words mean, or that learnt from more strings, may do better.",
        ...without,
      ]
    : [
        "Simple rules and modes are the only baselines: no classifier was trained on the strings, so how far the strings give the behavior away is known only in part.",
        ...without,
      ];
}
