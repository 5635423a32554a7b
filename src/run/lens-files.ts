/** Lenses of files that a study names: what each one is, held against the model that it is said to be of. */

import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { seenOf } from "../base/files.js";
import { didYouMean } from "../base/untrusted.js";
import { InwardError } from "../errors.js";
import { readGguf } from "../gguf/read-gguf.js";
import { sha256OfFile } from "../model/model-file.js";
import { stateShapeOf } from "../model/sites.js";
import { LensFile } from "../probe/lens-file.js";
import { lensFault } from "../study/lens-facts.js";
import type { ModelFile, Plan } from "../study/plan.js";
import type { PlannedLens } from "../study/probe-schema.js";
import type { Study } from "../study/study.js";
import { probedStates } from "./probe-prompts.js";

/** By name. */
export type SettledLenses = Readonly<Record<string, { readonly planned: PlannedLens; readonly path: string }>>;

/**
 * Reads what each file is, and no matrix.
 * @param files of the models; a path is empty where the file is not here, and its shape is not compared
 * @param studyFolder where paths of lenses start
 * @throws LENS_FILE · STUDY_INVALID, STUDY_UNKNOWN_MODEL it is said to be of no model, or of one that is not looked into
 */
export async function settleLenses(
  { probe, models }: Pick<Study, "probe" | "models">,
  files: Readonly<Record<string, ModelFile>>,
  studyFolder: string,
): Promise<SettledLenses> {
  const settled: Record<string, SettledLenses[string]> = {};
  for (const lens of probe?.lenses ?? []) {
    if (typeof lens === "string") continue;
    const { name, file } = lens;
    const known = Object.keys(models);
    const model = lens.model ?? (known.length === 1 ? known[0] : undefined);
    if (model === undefined) {
      throw new InwardError(
        "STUDY_INVALID",
        `probe.lenses: the study has the models ${known.join(", ")}; say of which one the lens ${name} is (model).`,
      );
    }
    if (!known.includes(model)) {
      throw new InwardError(
        "STUDY_UNKNOWN_MODEL",
        `probe.lenses: the lens ${name} is of "${model}", which models does not have.${didYouMean(model, known)}`,
      );
    }
    const opened = await LensFile.open(resolve(studyFolder, file));
    await opened.close();
    const modelPath = files[model]?.path ?? "";
    if (modelPath !== "") {
      const { embedding: width, layers } = stateShapeOf(await readGguf(modelPath), modelPath);
      const fault = lensFault(opened.facts, { width, layers });
      if (fault !== undefined) {
        const { baseModel } = opened.facts.says;
        const said =
          baseModel === undefined
            ? "The file does not say which model it is of"
            : `The file says that it is of ${baseModel}`;
        throw new InwardError("LENS_FILE", `The lens ${name} (${opened.path}) is not of ${model}: ${fault}. ${said}.`);
      }
    }
    const planned = { name, file, model, sha256: await sha256OfFile(opened.path), ...opened.facts };
    settled[name] = { planned, path: opened.path };
  }
  return settled;
}

/** @throws STUDY_INVALID a lens of a model that nobody looks into would read nothing */
export function requireReadModels(plan: Plan, lenses: SettledLenses): void {
  const read = new Set(probedStates(plan).map(({ model }) => model));
  const idle = Object.values(lenses).find(({ planned }) => !read.has(planned.model))?.planned;
  if (idle === undefined) return;
  throw new InwardError(
    "STUDY_INVALID",
    `probe.lenses: the lens ${idle.name} is of ${idle.model}, which predicts nothing, so that it is not looked into: name another model, or leave it out.`,
  );
}

/** The maps of a file that is as it was planned. */
export interface OpenPlannedLens extends Pick<LensFile, "map" | "close"> {}

/** Close it after use. @throws LENS_FILE it has changed since; so does reading a map, since hours may lie between two */
export async function openPlannedLens(planned: PlannedLens, path: string): Promise<OpenPlannedLens> {
  let seen = await requirePlannedLens(planned, path);
  const file = await LensFile.open(path);
  return {
    map: async (layer) => {
      const map = await file.map(layer);
      seen = await requirePlannedLens(planned, path, seen);
      return map;
    },
    close: () => file.close(),
  };
}

/** @param known of the file that was found to be the planned one @returns what it is to the file system */
async function requirePlannedLens(planned: PlannedLens, path: string, known?: string): Promise<string> {
  let found: string;
  try {
    const seen = seenOf(await stat(path, { bigint: true }));
    if (seen === known) return seen;
    found = await sha256OfFile(path);
    if (found === planned.sha256) return seen;
  } catch (error) {
    found = String((error as NodeJS.ErrnoException).code ?? error);
  }
  throw new InwardError(
    "LENS_FILE",
    `The lens ${planned.name} (${path}) has changed since the study was planned: the plan has sha256 ${planned.sha256}, its file ${found}.`,
  );
}
