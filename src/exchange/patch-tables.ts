/** Tables of a run that writes inside: a row a site with its tests and nulls, and a row a value of every patched distribution. */

import type { PatchedRow } from "../ask/patched-distributions.js";
import type { Estimate } from "../score/interval.js";
import type { Covariation } from "../score/simulation/site-scores.js";
import type {
  JudgedCovariation,
  JudgedSite,
  SimulationResults,
  SimulationScores,
} from "../score/simulation/simulation.js";
import { column } from "./csv-lines.js";
import { type DataTable, dataTable, estimateColumns } from "./table.js";

interface SimulationRow {
  readonly question: SimulationScores;
  readonly site: JudgedSite;
  readonly way?: Covariation;
  readonly judged?: JudgedCovariation;
}

const NOT_MOVED: Estimate = { ok: false, reason: "behavior was not moved there" };

export function simulationTable({ questions }: SimulationResults): DataTable {
  const rows = questions.flatMap((question) =>
    question.sites.flatMap((site): SimulationRow[] => {
      if (site.covariations.length === 0) return [{ question, site }];
      return site.covariations.map((way, at) => {
        const judged = site.judged[at];
        return { question, site, way, ...(judged ? { judged } : {}) };
      });
    }),
  );
  return dataTable<SimulationRow>(
    "simulation",
    [
      ...(["state", "task", "property", "variant", "finding"] as const).map((name) =>
        column<SimulationRow, "text">(name, "text", ({ question }) => question[name]),
      ),
      ...(["part", "span", "role"] as const).map((name) =>
        column<SimulationRow, "text">(name, "text", ({ site }) => site[name]),
      ),
      column("layer", "whole", ({ site }) => site.layer),
      column("siteFinding", "text", ({ site }) => site.finding),
      column("siteReasons", "text", ({ site }) => site.reasons.join(" ")),
      column("strings", "whole", ({ site }) => site.strings),
      ...estimateColumns<SimulationRow>("follow", ({ site }) => site.follow),
      column("followHolmP", "number", ({ site }) => (site.followHolm.ok ? site.followHolm.p : undefined)),
      ...estimateColumns<SimulationRow>("followPlain", ({ site }) => site.followPlain),
      ...estimateColumns<SimulationRow>("sameChanges", ({ site }) => site.sameChanges),
      ...estimateColumns<SimulationRow>("behaviorNotSaid", ({ site }) => site.behaviorNotSaid),
      column("movedBy", "text", ({ way }) => way?.by),
      ...estimateColumns<SimulationRow>("behaviorMoves", ({ way }) => way?.behaviorMoves ?? NOT_MOVED),
      ...estimateColumns<SimulationRow>("predictionMoves", ({ way }) => way?.predictionMoves ?? NOT_MOVED),
      ...estimateColumns<SimulationRow>("slope", ({ way }) => way?.slope ?? NOT_MOVED),
      column("slopeHolmP", "number", ({ judged }) => (judged?.holm.ok ? judged.holm.p : undefined)),
      ...estimateColumns<SimulationRow>("random", ({ site }) => site.nulls.random),
      ...estimateColumns<SimulationRow>("shifted", ({ site }) => site.nulls.shifted),
      ...estimateColumns<SimulationRow>("otherTask", ({ site }) => site.nulls.other_task),
      column("rows", "whole", ({ site }) => site.broken.reduce((sum, one) => sum + one.rows, 0)),
      column("broken", "whole", ({ site }) => site.broken.reduce((sum, one) => sum + one.broken, 0)),
    ],
    rows,
  );
}

interface PatchedValue {
  readonly row: PatchedRow;
  /** Absent where the answer was set aside, or shows no value. */
  readonly value?: { readonly value: string; readonly probability: number; readonly upper: number };
}

/** A value of a distribution a row; one without any has a row too. */
export function patchesTable(patches: readonly PatchedRow[]): DataTable {
  const rows = patches.flatMap((row): PatchedValue[] => {
    const { distribution } = row;
    if (!distribution || distribution.values.length === 0) return [{ row }];
    return distribution.values.map((one) => ({
      row,
      value: { value: one.value, probability: one.probability, upper: "upper" in one ? one.upper : one.probability },
    }));
  });
  const texts = (
    ...names: readonly (
      | "key"
      | "side"
      | "state"
      | "task"
      | "item"
      | "property"
      | "kind"
      | "own"
      | "site"
      | "span"
      | "donor"
      | "toward"
      | "donorSays"
      | "setAside"
    )[]
  ) => names.map((name) => column<PatchedValue, "text">(name, "text", ({ row }) => row[name]));
  return dataTable<PatchedValue>(
    "patches",
    [
      ...texts("key", "side", "state", "task", "item", "property", "kind", "site", "span"),
      column("number", "whole", ({ row }) => row.number),
      ...texts("donor", "own", "toward", "donorSays", "setAside"),
      column("method", "text", ({ row }) => row.distribution?.method),
      column("value", "text", ({ value }) => value?.value),
      column("probability", "number", ({ value }) => value?.probability),
      column("upper", "number", ({ value }) => value?.upper),
      column("notCompliant", "number", ({ row }) =>
        row.distribution
          ? Object.values(row.distribution.notCompliant).reduce((sum, one) => sum + (one ?? 0), 0)
          : undefined,
      ),
      column("tail", "number", ({ row }) =>
        row.distribution?.method === "expansion" ? row.distribution.tail : undefined,
      ),
    ],
    rows,
  );
}
