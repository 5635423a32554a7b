/** What probes and lenses of a run read, as tables: a row a site, with what stands beside it. */

import type { LensQuestion, LensReadSite, LensResults } from "../probe/lens-results.js";
import {
  type MaybeDifference,
  probeAccuracy,
  type ProbedQuestion,
  type ProbedSite,
  probeGain,
  type ProbeResults,
} from "../probe/probe-results.js";
import type { AbilityResult, InjectionResults, InjectionSetting } from "../score/injection/injection-scores.js";
import type { Estimate } from "../score/interval.js";
import { column, type DataColumn } from "./csv-lines.js";
import { type DataTable, dataTable, estimateColumns } from "./table.js";

interface ProbeRow {
  readonly question: ProbedQuestion;
  readonly site: ProbedSite;
}

function differenceColumns(name: string, of: (row: ProbeRow) => MaybeDifference): DataColumn<ProbeRow>[] {
  return estimateColumns<ProbeRow>(name, (row) => {
    const found = of(row);
    return found.ok ? found.difference : found;
  });
}

export function probesTable({ questions, spanTokens }: ProbeResults): DataTable {
  const rows = questions.flatMap((question) => question.sites.map((site): ProbeRow => ({ question, site })));
  return dataTable<ProbeRow>(
    "probes",
    [
      ...(["predictor", "target", "task", "prompt", "property", "variant", "label"] as const).map((name) =>
        column<ProbeRow, "text">(name, "text", ({ question }) => question[name]),
      ),
      column("part", "text", ({ site }) => site.part),
      column("layer", "whole", ({ site }) => site.layer),
      column("span", "text", ({ site }) => site.span),
      column("spanTokens", "text", () => spanTokens),
      column("isEmbedding", "truth", ({ site }) => site.isEmbedding),
      column("trainStrings", "whole", ({ question }) => question.trainStrings),
      column("heldOutStrings", "whole", ({ question }) => question.heldOutStrings),
      column("c", "number", ({ site }) => (site.score.ok ? site.score.c : undefined)),
      column("unseen", "whole", ({ site }) => (site.score.ok ? site.score.unseen : undefined)),
      ...estimateColumns<ProbeRow>("accuracy", ({ site }) => probeAccuracy(site.score)),
      ...estimateColumns<ProbeRow>("baseAccuracy", ({ site }) =>
        site.score.ok ? site.score.baseAccuracy : site.score,
      ),
      ...estimateColumns<ProbeRow>("gainAccuracy", ({ site }) => probeGain(site.score)),
      ...estimateColumns<ProbeRow>("gainNats", ({ site }) => (site.score.ok ? site.score.gainNats : site.score)),
      column("p", "number", ({ site }) => (site.score.ok && site.score.test.ok ? site.score.test.p : undefined)),
      column("holmP", "number", ({ site }) => (site.holm.ok ? site.holm.p : undefined)),
      column("holmReason", "text", ({ site }) => (site.holm.ok ? undefined : site.holm.reason)),
      ...estimateColumns<ProbeRow>("shuffledAccuracy", ({ site }) => probeAccuracy(site.shuffled)),
      ...estimateColumns<ProbeRow>("controlAccuracy", ({ site }) => probeAccuracy(site.control)),
      column("controlSharedKeys", "whole", ({ site }) => site.controlSharedKeys),
      ...differenceColumns("selectivity", ({ site }) => site.selectivity),
      ...estimateColumns<ProbeRow>("tokensAccuracy", ({ question }) => probeAccuracy(question.tokens)),
      ...differenceColumns("beyondTokens", ({ site }) => site.beyondTokens),
      ...differenceColumns("beyondEmbedding", ({ site }) => site.beyondEmbedding),
      ...estimateColumns<ProbeRow>("withoutAdapterAccuracy", ({ site }) => probeAccuracy(site.withoutAdapter)),
      ...differenceColumns("beyondWithoutAdapter", ({ site }) => site.beyondWithoutAdapter),
      ...estimateColumns<ProbeRow>("randomWeightsAccuracy", ({ site }) => probeAccuracy(site.randomWeights)),
      ...differenceColumns("beyondRandomWeights", ({ site }) => site.beyondRandomWeights),
      column("otherModelState", "text", ({ site }) => (site.otherModel.ok ? site.otherModel.state : undefined)),
      column("otherModelSite", "text", ({ site }) => (site.otherModel.ok ? site.otherModel.site : undefined)),
      ...estimateColumns<ProbeRow>("otherModelAccuracy", ({ site: { otherModel } }) =>
        otherModel.ok ? probeAccuracy(otherModel.score) : otherModel,
      ),
      ...differenceColumns("beyondOtherModel", ({ site }) => site.beyondOtherModel),
    ],
    rows,
  );
}

interface LensSiteRow {
  readonly question: LensQuestion;
  readonly site: LensReadSite;
}

export function lensTable({ questions, spanTokens, states, files = [] }: LensResults): DataTable {
  const rows = questions.flatMap((question) => question.sites.map((site): LensSiteRow => ({ question, site })));
  const estimated = (name: string, of: (score: Extract<LensReadSite["score"], { readonly ok: true }>) => Estimate) =>
    estimateColumns<LensSiteRow>(name, ({ site: { score } }) => (score.ok ? of(score) : score));
  const mapOf = ({ question: { predictor, lens }, site: { site } }: LensSiteRow) => {
    const { tuned = [], given = [] } = states.find(({ state }) => state === predictor) ?? {};
    const maps = lens === "tuned" ? tuned : given.filter((one) => one.lens === lens);
    const map = maps.find((one) => one.site === site);
    return map && !("ok" in map) ? map : undefined;
  };
  const fileOf = ({ question: { lens } }: LensSiteRow) => files.find(({ name }) => name === lens);
  const heldOut = (name: string, of: "tunedNats" | "logitLensNats" | "loweredNats") =>
    estimateColumns<LensSiteRow>(name, (row) => {
      const map = mapOf(row);
      if (!map) return { ok: false, reason: "there is no map for it" };
      return map.heldOut.ok ? map.heldOut[of] : map.heldOut;
    });
  return dataTable<LensSiteRow>(
    "lenses",
    [
      ...(["predictor", "target", "task", "prompt", "property", "variant", "label", "lens"] as const).map((name) =>
        column<LensSiteRow, "text">(name, "text", ({ question }) => question[name]),
      ),
      column("part", "text", ({ site }) => site.part),
      column("layer", "whole", ({ site }) => site.layer),
      column("span", "text", ({ site }) => site.span),
      column("spanTokens", "text", () => spanTokens),
      column("isDeclared", "truth", ({ site }) => site.isDeclared),
      column("values", "whole", ({ question }) => question.values),
      column("compared", "whole", ({ site: { score } }) => (score.ok ? score.compared : undefined)),
      column("alone", "whole", ({ site: { score } }) => (score.ok ? score.alone : undefined)),
      ...estimated("ownNats", ({ ownNats }) => ownNats),
      ...estimated("otherNats", ({ otherNats }) => otherNats),
      ...estimated("gainNats", ({ gainNats }) => gainNats),
      ...estimated("first", ({ first }) => first),
      ...estimated("otherFirst", ({ otherFirst }) => otherFirst),
      ...estimated("gainFirst", ({ gainFirst }) => gainFirst),
      ...estimated("entropyNats", ({ entropyNats }) => entropyNats),
      column("medianRank", "number", ({ site: { score } }) => (score.ok ? score.medianRank : undefined)),
      column("otherMedianRank", "number", ({ site: { score } }) => (score.ok ? score.otherMedianRank : undefined)),
      column("p", "number", ({ site: { score } }) => (score.ok && score.test.ok ? score.test.p : undefined)),
      column("holmP", "number", ({ site }) => (site.holm.ok ? site.holm.p : undefined)),
      column("holmReason", "text", ({ site }) => (site.holm.ok ? undefined : site.holm.reason)),
      ...estimateColumns<LensSiteRow>("withoutAdapterNats", ({ site }) => site.withoutAdapter),
      ...estimateColumns<LensSiteRow>("beyondWithoutAdapterNats", ({ site }) => site.beyondWithoutAdapter),
      column("otherModelState", "text", ({ site }) => (site.otherModel.ok ? site.otherModel.state : undefined)),
      column("otherModelSite", "text", ({ site }) => (site.otherModel.ok ? site.otherModel.site : undefined)),
      ...estimateColumns<LensSiteRow>("otherModelNats", ({ site: { otherModel } }) =>
        otherModel.ok ? otherModel.gainNats : otherModel,
      ),
      ...estimateColumns<LensSiteRow>("beyondOtherModelNats", ({ site }) => site.beyondOtherModel),
      column("ridge", "number", (row) => {
        const map = mapOf(row);
        return map && "ridge" in map ? map.ridge : undefined;
      }),
      column("mapLayer", "whole", (row) => {
        const map = mapOf(row);
        return map && "layer" in map ? map.layer : undefined;
      }),
      column("lensSha256", "text", (row) => fileOf(row)?.sha256),
      column("lensSaysModel", "text", (row) => fileOf(row)?.says.baseModel),
      ...heldOut("heldOutTunedNats", "tunedNats"),
      ...heldOut("heldOutLogitLensNats", "logitLensNats"),
      ...heldOut("heldOutLoweredNats", "loweredNats"),
    ],
    rows,
  );
}

// Injections: a row a setting.

interface InjectionTableRow {
  readonly result: AbilityResult;
  readonly setting: InjectionSetting;
}

export function injectionTable({ results }: InjectionResults): DataTable {
  const rows = results.flatMap((result) => result.settings.map((setting): InjectionTableRow => ({ result, setting })));
  const controls = [...new Set(rows.flatMap(({ setting }) => setting.beyond.map(({ control }) => control)))];
  const besides = [...new Set(rows.flatMap(({ setting }) => Object.keys(setting.beside)))];
  const none: Estimate = { ok: false, reason: "not of this ability" };
  return dataTable<InjectionTableRow>(
    "injection",
    [
      column("state", "text", ({ result }) => result.state),
      column("ability", "text", ({ result }) => result.ability),
      column("outcome", "text", ({ result }) => result.outcome),
      column("site", "text", ({ setting }) => setting.site),
      column("strength", "number", ({ setting }) => setting.strength),
      column("concepts", "whole", ({ setting }) => setting.concepts),
      column("leftOut", "whole", ({ setting }) => setting.leftOut),
      ...estimateColumns<InjectionTableRow>("effect", ({ setting }) => setting.effect.estimate),
      ...controls.flatMap((control) =>
        estimateColumns<InjectionTableRow>(
          `beyond_${control}`,
          ({ setting }) => setting.beyond.find((one) => one.control === control)?.estimate ?? none,
        ),
      ),
      column("amongControls", "whole", ({ setting }) => setting.among?.controls),
      column("amongMean", "number", ({ setting }) => setting.among?.mean),
      column("amongDeviation", "number", ({ setting }) => setting.among?.deviation),
      column("amongP", "number", ({ setting }) => setting.among?.p),
      column("p", "number", ({ setting }) => (setting.p.ok ? setting.p.p : undefined)),
      column("holmP", "number", ({ setting }) => (setting.adjusted.ok ? setting.adjusted.p : undefined)),
      column("holmReason", "text", ({ setting }) => (setting.adjusted.ok ? undefined : setting.adjusted.reason)),
      column("found", "truth", ({ setting }) => setting.found),
      ...estimateColumns<InjectionTableRow>("right", ({ setting }) => setting.right?.concept ?? none),
      ...estimateColumns<InjectionTableRow>("rightAtRandom", ({ setting }) => setting.right?.random ?? none),
      column("chance", "number", ({ setting }) => setting.right?.chance),
      ...besides.flatMap((name) =>
        estimateColumns<InjectionTableRow>(`beside_${name}`, ({ setting }) => setting.beside[name] ?? none),
      ),
    ],
    rows,
  );
}
