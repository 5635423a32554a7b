/** Every number of every experiment, in the order of the first page. */
import type { ExperimentResult, ExperimentResults } from "../../records/experiments.js";
import { type Block, note, type Section, type TableRow } from "../document.js";
import { behindCell, besideCell, valueCell } from "./experiment-number.js";
import { answerOf, EXPERIMENT_TITLES } from "./finding-words.js";
import { methodsOf } from "./glance-section.js";

export function numbersSection({ experiments }: ExperimentResults): Section {
  const tables = experiments.filter(({ verdicts }) => verdicts.length > 0).map((one) => table(one, experiments));
  return {
    id: "numbers",
    title: "Every number of the experiments",
    blocks: [
      ...(tables.length > 0 ? tables : [note("No experiment could be judged.")]),
      {
        kind: "list",
        items: methodsOf(experiments).map((method, at) => [{ strong: `Intervals (${at + 1}). ` }, method]),
      },
    ],
  };
}

function table({ name, verdicts }: ExperimentResult, experiments: readonly ExperimentResult[]): Block {
  const methods = methodsOf(experiments);
  return {
    kind: "table",
    caption: EXPERIMENT_TITLES[name],
    groupTitle: "About",
    columns: [
      { title: "Number", align: "left" },
      { title: "Value", align: "left" },
      { title: "Beside it", align: "left" },
      { title: "Trials / strings", align: "right" },
      { title: "Intervals", align: "right" },
    ],
    rows: verdicts.flatMap((verdict) =>
      verdict.numbers.map(
        (number): TableRow => ({
          group: `${verdict.about} (${answerOf(verdict).toLowerCase()})`,
          cells: [
            { text: number.label },
            valueCell(number),
            besideCell(number),
            behindCell(number),
            { text: `(${methods.indexOf(number.intervalMethod) + 1})` },
          ],
        }),
      ),
    ),
  };
}
