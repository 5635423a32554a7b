/** What probes read, layer by layer and span by span, with the controls beside each map. */

import { useState } from "preact/hooks";
import type { ProbedQuestion, ProbedSite, ProbeResults, ProbeSummary } from "../../src/probe/probe-results.js";
import type { Shown } from "../../src/run/trials/trial-shapes.js";
import { HeatFigure } from "./figures.js";
import { estimated, pValues, SortedTable, Text } from "./parts.js";

export const probedName = ({
  predictor,
  target,
  task,
  prompt,
  property,
  variant,
  label,
}: Omit<ProbedQuestion, "trainStrings" | "heldOutStrings" | "leftOut" | "tokens" | "sites">) =>
  [`${predictor} about ${target}`, task, prompt.replace("_", " "), property, variant, label]
    .filter((part) => part !== undefined)
    .join(" · ");

const placeOf = ({ part, layer, isEmbedding }: ProbedSite) => (isEmbedding ? "embedding" : `${part}.${layer}`);

export function ProbeMaps({ probes: { questions, spanTokens } }: { probes: ProbeResults }) {
  const [place, setPlace] = useState(0);
  const question = questions[place];
  if (question === undefined) return null;
  const rows = [...new Set(question.sites.map(placeOf))].reverse();
  const columns = [...new Set(question.sites.map(({ span }) => span))];
  const at = (of: (site: ProbedSite) => ProbeSummary) => (row: number, column: number) => {
    const site = question.sites.find((one) => placeOf(one) === rows[row] && one.span === columns[column]);
    return site === undefined ? ({ ok: false, reason: "no such site" } as const) : accuracyOf(of(site));
  };
  return (
    <>
      <h2>Probes</h2>
      <p class="lenses">
        <label>
          what is read{" "}
          <select value={place} onChange={(event) => setPlace(Number(event.currentTarget.value))}>
            {questions.map((one, number) => (
              <option value={number}>{probedName(one)}</option>
            ))}
          </select>
        </label>
      </p>
      <p class="quiet">
        Linear probes learnt {question.trainStrings} train strings and are scored on {question.heldOutStrings} held-out
        ones; a span of several tokens is its {spanTokens}. What is readable is not thereby used.
      </p>
      <div class="beside">
        <HeatFigure title="Right, percent" rows={rows} columns={columns} at={at(({ score }) => score)} />
        <HeatFigure
          title="The control task: labels that the string's key alone decides"
          rows={rows}
          columns={columns}
          at={at(({ control }) => control)}
        />
        <HeatFigure title="Shuffled labels" rows={rows} columns={columns} at={at(({ shuffled }) => shuffled)} />
      </div>
      <SortedTable<ProbedSite>
        title={`Sites: ${probedName(question)}`}
        rows={question.sites}
        columns={[
          {
            title: "site",
            isHead: true,
            sort: (site) => `${placeOf(site)} ${site.span}`,
            cell: (site) => <Text text={`${placeOf(site)} · ${site.span}`} />,
          },
          estimated("right", ({ score }) => (score.ok ? score.accuracy : score)),
          estimated("most common label", ({ score }) => (score.ok ? score.baseAccuracy : score), { n: false }),
          estimated(
            "less the control, points",
            ({ selectivity }) => (selectivity.ok ? selectivity.difference : selectivity),
            { unit: "difference", n: false },
          ),
          estimated(
            "less the prompt's tokens, points",
            ({ beyondTokens }) => (beyondTokens.ok ? beyondTokens.difference : beyondTokens),
            { unit: "difference", n: false },
          ),
          pValues("p (Holm)", ({ holm }) => holm),
        ]}
      />
    </>
  );
}

function accuracyOf(score: ProbeSummary): Shown<number> {
  if (!score.ok) return score;
  return score.accuracy.ok ? { ok: true, value: score.accuracy.value } : score.accuracy;
}
