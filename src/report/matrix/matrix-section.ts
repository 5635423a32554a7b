/** Every predictor about every target: verdicts, the heat map, cells and fits, Song et al.'s form, method and limits. */
import type { MatrixScores } from "../../score/matrix/matrix-scores.js";
import { type Block, note, type Section } from "../document.js";
import { matrixFigure } from "../figures/matrix-figure.js";
import { matrixLimits, matrixMethod } from "./matrix-method.js";
import { cellsTable, fitsTable, preferencesTable, songCoefficientsTable, songPairsTable } from "./matrix-tables.js";
import { matrixVerdicts, songVerdict } from "./matrix-verdict.js";

/** @throws InwardError REPORT_FAILED */
export async function matrixSection(scores: MatrixScores): Promise<Section> {
  const percent = Number((100 * scores.confidence).toFixed(6));
  const title = "Every predictor about every target";
  const { song } = scores;
  return {
    id: "matrix",
    title,
    blocks: [
      note(
        "Does a state predict itself better than it predicts others, once it is taken out who predicts well, who is easily predicted, and who behaves alike?",
      ),
      ...matrixVerdicts(scores).map(verdict),
      verdict(songVerdict(song)),
      {
        kind: "figure",
        name: "matrix",
        title,
        caption:
          "Percent of trials that are right. Each row is a predictor, each column the state whose behavior it is held against; frames where a state predicts itself. The table below gives intervals and baselines.",
        svg: await matrixFigure(title, scores.cells),
      },
      fitsTable(scores, percent),
      preferencesTable(scores, percent),
      cellsTable(scores, percent),
      ...(song.ok
        ? [
            { kind: "subheading" as const, title: "What states say of their probabilities" },
            songCoefficientsTable(song, percent),
            songPairsTable(song, percent),
          ]
        : []),
      { kind: "subheading", title: "How the matrix was made" },
      { kind: "list", items: matrixMethod(scores) },
      { kind: "subheading", title: "What the matrix does not show" },
      { kind: "list", items: matrixLimits(scores).map((text) => [text]) },
    ],
  };
}

function verdict([first = "", ...others]: readonly string[]): Block {
  return { kind: "paragraph", tone: "verdict", text: [{ strong: first }, ` ${others.join(" ")}`] };
}
