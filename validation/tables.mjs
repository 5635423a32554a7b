// The tables of docs/validation.md, from the results.

/** Markdown: one row for each scenario and measure. */
export function tablesOf(results) {
  const rows = results.flatMap(({ name, measures, means }) =>
    measures.map((measure, at) => [
      at === 0 ? name : "",
      measure.name,
      measure.what,
      measure.share === undefined
        ? "—"
        : `${percent(measure.share)} [${percent(measure.low)}, ${percent(measure.high)}]`,
      measure.of === undefined ? "" : String(measure.of),
      measure.within ? `${percent(measure.within[0])} to ${percent(measure.within[1])}` : "shown",
      measure.ok === undefined ? "" : measure.ok ? "yes" : "**no**",
      at === 0
        ? Object.entries(means)
            .map(([what, mean]) => `${what} ${brief(mean)}`)
            .join(", ")
        : "",
    ]),
  );
  const header = [
    "scenario",
    "measure",
    "share of studies",
    "%, [95 % of the simulation]",
    "studies",
    "bound",
    "kept",
    "means",
  ];
  return [header, header.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

function percent(share) {
  return (100 * share).toFixed(1);
}

function brief(mean) {
  return Math.abs(mean) >= 10 ? mean.toFixed(0) : mean.toFixed(3);
}
