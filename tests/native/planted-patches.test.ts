/** Planted simulators and lookups are told apart by what is written into them, each by its own mechanism: the detector ships with its proof. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { readFileSync } from "node:fs";
import { patchedDistributions, type PatchedRow } from "../../src/ask/patched-distributions.js";
import { readGguf } from "../../src/gguf/read-gguf.js";
import { openNativeEngine } from "../../src/model/engines/native.js";
import { siteName, stateShapeOf } from "../../src/model/sites.js";
import { type PlantedOptions, type PlantedStudy, writePlantedStudy } from "../../src/probe/planted-model.js";
import { DonorVectors, planPatches } from "../../src/run/patch-stage.js";
import { locatePatched, patchedSites } from "../../src/run/patch-states.js";
import { sitesOfPatches } from "../../src/run/simulation-stage.js";
import {
  type JudgedSite,
  PLANTED_SLOPE,
  scoreSimulation,
  type SimulationScores,
} from "../../src/score/simulation/simulation.js";
import { makePlan } from "../../src/study/make-plan.js";
import type { PlannedPatching } from "../../src/study/plan.js";
import { capture } from "../helpers/captured-states.js";
import { openEngine } from "../helpers/native-engine.js";
import { settledStudy } from "../helpers/settled-study.js";

const folder = mkdtempSync(join(tmpdir(), "inward-planted-patches-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const STRINGS = 18;
const HOOKS = { heard: () => {}, onAnswered: () => {} };

/** What the stages of a study do, in this process. */
async function patched(options: PlantedOptions, patching: Partial<PlannedPatching>): Promise<SimulationScores> {
  const name = `${options.mechanism}-${patching.sites}-${patching.states ?? ""}`;
  const planted = await writePlantedStudy(join(folder, name), { items: 6, ...options });
  const study = settledStudy(
    JSON.stringify({
      ...parse(readFileSync(planted.study, "utf8")),
      ...(patching.states ? { models: { planted: { source: "a" }, [OTHER]: { source: "a" } } } : {}),
      engine: { device: "cpu", threads: 1 },
      patching: { strings: STRINGS, samples: 3, ...patching },
    }),
  );
  const file = {
    source: "planted",
    path: planted.path,
    sha256: planted.sha256,
    bytes: planted.bytes,
    encoding: "as_shipped",
    licence: "MIT",
  };
  const isOther = (patching.states ?? []).includes(OTHER);
  const plan = await makePlan(
    study,
    isOther ? { planted: file, [OTHER]: file } : { planted: file },
    join(folder, name),
  );
  const model = await openNativeEngine(planted.path, { ...plan.engine, forward: "own" });
  try {
    const tokenizer = {
      locate: async (prompts: Parameters<typeof model.tokens.locate>[0][]) =>
        prompts.map((one) => model.tokens.locate(one)),
    };
    const located = async (side: "object_level" | "hypothetical") =>
      locatePatched(plan, "planted", side, tokenizer as Parameters<typeof locatePatched>[3]);
    const sites = await patchedSites(plan.patching as PlannedPatching, planted.path);
    const states = await donorStates(planted, await located("object_level"), sites);
    const groups = planPatches(plan, {
      strings: knownStrings(planted),
      vectors: new DonorVectors(
        new Map([
          ["planted", states],
          [
            OTHER,
            { ...states, matrix: (some, ...at) => states.matrix(some.map(otherwise(planted, states.prompts)), ...at) },
          ],
        ]),
      ),
      recipients: new Map([["planted", await located("hypothetical")]]),
      sites: new Map([["planted", sites]]),
    }).groups;
    const kind = patchedDistributions(plan.seed, plan.patching as PlannedPatching);
    const rows: PatchedRow[] = [];
    for (const group of groups) rows.push(...(await kind.ask(model, group, HOOKS)));
    const about = { state: "planted", task: "planted", property: "listed", leftOut: {} };
    const settings = { confidence: 0.95, bootstrapReplicates: 200, bootstrapSeed: 1 };
    return scoreSimulation({ ...about, rows, sites: sitesOfPatches(rows) }, settings);
  } finally {
    await model.dispose();
  }
}

/** A state that does on each string what the planted one does on the next string with the other value: what it has inside is that string's. */
const OTHER = "other";

function otherwise({ strings }: PlantedStudy, prompts: readonly { readonly id: string; readonly item: string }[]) {
  const value = (item: string) => strings[Number(item.slice("pair-".length))]?.value;
  return <Prompt extends { readonly id: string }>({ id }: Prompt): Prompt => {
    const at = prompts.findIndex((one) => one.id === id);
    const own = value((prompts[at] as (typeof prompts)[number]).item);
    const next = [...prompts.slice(at + 1), ...prompts].find(({ item }) => value(item) !== own);
    return next as unknown as Prompt;
  };
}

/** All variants say the same to every pair (tests/native/planted-models). */
function knownStrings({ strings }: PlantedStudy) {
  const value = (item: string) => strings[Number(item.slice("pair-".length))]?.value as string;
  return {
    valueOf: (state: string, _: string, item: string) =>
      state === OTHER ? (value(item) === "yes" ? "no" : "yes") : value(item),
    of: ({
      task: { train, heldOut },
    }: {
      task: { train: readonly { id: string }[]; heldOut: readonly { id: string }[] };
    }) =>
      (["train", "held_out"] as const).flatMap((split) =>
        (split === "train" ? train : heldOut).map(({ id: item }) => {
          const { answer } = strings[Number(item.slice("pair-".length))] as (typeof strings)[number];
          return { item, cluster: item, split, answer, value: value(item), says: value(item) };
        }),
      ),
  };
}

async function donorStates(
  { path }: PlantedStudy,
  prompts: Awaited<ReturnType<typeof locatePatched>>,
  { declared, last }: Awaited<ReturnType<typeof patchedSites>>,
) {
  const shape = stateShapeOf(await readGguf(path), path);
  const items = prompts.map(({ meta }) => ({ ids: meta.tokenIds }));
  const sites = [...new Set([...declared, last].map(siteName))];
  const isLast = (_: number, token: number, length: number) => token === length - 1;
  const { states } = capture(await openEngine(path, { forward: "own" }), items, shape, sites.join(","), {}, isLast);
  const place = new Map(prompts.map(({ id }, at) => [id, at]));
  return {
    prompts: prompts.map(({ id, meta, sha256 }) => ({ ...meta, id, promptSha256: sha256 })),
    matrix: ([prompt]: readonly { id: string }[], site: string) => {
      const values = states[place.get((prompt as { id: string }).id) as number]?.sites[site]?.[0] as Float32Array;
      return { values, width: values.length };
    },
  };
}

const siteOf = ({ sites }: SimulationScores, site: string) => sites.find((one) => one.site === site) as JudgedSite;
const slopeAt = (scores: SimulationScores, site: string) => {
  const slope = siteOf(scores, site).covariations[0]?.slope;
  if (!slope?.ok) throw new Error(slope?.reason);
  return slope;
};

describe("the table of planted mechanisms", () => {
  const RESIDUAL = "residual_after.0";
  test.each([
    [{ mechanism: "A" }, "simulates", 1],
    [{ mechanism: "D" }, "simulates", 1],
    [{ mechanism: "B" }, "looks_up", 0],
    [{ mechanism: "C" }, "looks_up", 0],
    [{ mechanism: "E" }, "looks_up", 0],
  ] as const)("%j %s", async (options, finding, slope) => {
    const scores = await patched(options, { sites: RESIDUAL });
    expect(scores).toMatchObject({ finding, strings: STRINGS, decidedBy: { site: RESIDUAL, by: "steered" } });
    const site = siteOf(scores, RESIDUAL);
    expect(slopeAt(scores, RESIDUAL).value).toBeCloseTo(slope, 3);
    if (finding === "simulates") expect(slopeAt(scores, RESIDUAL).value).toBeGreaterThan(PLANTED_SLOPE);
    expect(site.follow).toMatchObject({ ok: true, value: expect.closeTo(slope, 2) });
    expect(site.sameChanges).toMatchObject({ ok: true, value: expect.closeTo(0, 2) });
    expect(site.covariations[0]?.behaviorMoves).toMatchObject({ ok: true, value: expect.closeTo(1, 2) });
    for (const none of ["random", "shifted"] as const) {
      expect(site.nulls[none]).toMatchObject({ ok: true, value: expect.closeTo(0, 2) });
    }
    // Nobody reads the end of the last layer but the unembedding, of simulators neither.
    expect(siteOf(scores, "residual_after.3")).toMatchObject({ role: "after_last_read", finding: "cannot_tell" });
    expect(slopeAt(scores, "residual_after.3").value).toBeCloseTo(0, 2);
  });

  test.each([
    [{ mechanism: "A" }, "residual_after.1", "onset_not_declared"],
    [{ mechanism: "B" }, "attention_output.0", "no_power"],
  ] as const)("%j at %s: %s", async (options, sites, reason) => {
    // After A has read its answer, it looks like a lookup; before B has read the text, another string's runs are followed.
    const scores = await patched(options, { sites });
    expect(scores).toMatchObject({ finding: "cannot_tell", reasons: [reason] });
    if (reason === "no_power")
      expect(siteOf(scores, sites).follow).toMatchObject({ ok: true, value: expect.closeTo(1, 1) });
  });

  test.each([
    ["A", 1],
    ["B", 0],
  ] as const)("another state that does otherwise on the same string: %s has slope %i", async (mechanism, slope) => {
    const scores = await patched({ mechanism }, { sites: RESIDUAL, states: [OTHER], predictors: ["planted"] });
    const changed = siteOf(scores, RESIDUAL).covariations.find(({ by }) => by === "changed");
    expect(changed?.behaviorMoves).toMatchObject({ ok: true, value: expect.closeTo(1, 2) });
    expect(changed?.slope).toMatchObject({ ok: true, value: expect.closeTo(slope, 2) });
    expect(scores.finding).toBe(slope === 1 ? "simulates" : "looks_up");
  });

  test("half of the strings through A: neither", async () => {
    const scores = await patched({ mechanism: "dose", dose: 0.5 }, { sites: RESIDUAL });
    expect(scores).toMatchObject({ finding: "cannot_tell" });
    const { value, high } = slopeAt(scores, RESIDUAL);
    expect(value).toBeGreaterThan(0.1);
    expect(high).toBeLessThan(PLANTED_SLOPE);
  });
});
