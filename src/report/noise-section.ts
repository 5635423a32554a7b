/** What asking the same questions again changed, per model state. */
import type { NoiseFloor } from "../records/noise-floor.js";
import type { Scores } from "../records/scores.js";
import { note, paragraph, type Section } from "./document.js";
import { shareCell } from "./table-parts.js";
import { formatCount, formatNats, formatShare } from "./format-number.js";

export function noiseSection(floors: readonly NoiseFloor[], scores: Scores): Section {
  const title = "Noise floor";
  if (floors.length === 0) {
    return { id: "noise", title, blocks: [paragraph("Not measured: no question was asked twice.")] };
  }
  const changed = floors.reduce((sum, floor) => sum + floor.questions - floor.sameTokens, 0);
  const asked = floors.reduce((sum, floor) => sum + floor.questions, 0);
  return {
    id: "noise",
    title,
    blocks: [
      paragraph(
        `${formatCount(asked)} questions were asked again in another order and batch composition. `,
        changed === 0
          ? "Every answer had the same tokens both times."
          : `${formatShare({ count: changed, of: asked })} were answered with other tokens: what differs there is noise of the machine, not behavior.`,
      ),
      {
        kind: "table",
        caption: "Differences between asking and asking again; logprobs and margins in nats",
        columns: [
          { title: "Model state", align: "left" },
          { title: "Same tokens", align: "right" },
          { title: "Positions compared", align: "right" },
          { title: "Mean logprob difference", align: "right" },
          { title: "Largest logprob difference", align: "right" },
          { title: "Largest margin difference", align: "right" },
        ],
        rows: floors.map((floor) => ({
          cells: [
            { text: floor.state },
            shareCell({ count: floor.sameTokens, of: floor.questions }),
            { text: formatCount(floor.positions) },
            ...[floor.meanLogprobDifference, floor.maxLogprobDifference, floor.maxMarginDifference].map((nats) => ({
              text: formatNats(nats),
            })),
          ],
        })),
      },
      note(
        `A trial counts as above the noise floor when every token of its answer and reply led the next best token by more than ${formatNats(scores.noiseFloorNats)} nats.`,
      ),
    ],
  };
}
