/** Puts the first page before the other sections; the figure of each experiment moves there from the section that drew it. */
import type { ExperimentName } from "../../plan/experiment-names.js";
import type { ExperimentResult, ExperimentResults } from "../../records/experiments.js";
import { type Block, type Figure, note, type Section } from "../document.js";
import { glanceSection } from "./glance-section.js";
import { numbersSection } from "./numbers-section.js";

/** Names of figures, without the number that the first of several has. */
const FIGURES: Readonly<Record<ExperimentName, string>> = {
  self_prediction: "self-prediction",
  cross_prediction: "comparison",
  calibration: "calibration",
  behavioral_change: "shift",
  matrix: "matrix",
  limits: "limits",
};

export function withFirstPage(results: ExperimentResults, sections: readonly Section[]): Section[] {
  const figures = sections.flatMap(({ blocks }) => blocks).filter((block): block is Figure => block.kind === "figure");
  const figureOf = ({ name, verdicts }: ExperimentResult) =>
    verdicts.length === 0
      ? undefined
      : figures.find((figure) => [FIGURES[name], `${FIGURES[name]}-1`].includes(figure.name));
  const moved = new Set<Block>(results.experiments.flatMap((result) => figureOf(result) ?? []));
  const others = sections.map((section) => ({
    ...section,
    blocks: section.blocks.map((block) =>
      block.kind === "figure" && moved.has(block)
        ? note(`The figure of this (${block.title}) stands under “At a glance”.`)
        : block,
    ),
  }));
  // After what each experiment says of itself, before the pictures of every pair.
  const place = others.findIndex(({ id }) => id === "figures");
  const [said, rest] = place < 0 ? [others, []] : [others.slice(0, place), others.slice(place)];
  return [glanceSection(results, figureOf), ...said, numbersSection(results), ...rest];
}
