/** Files of directions that a study injects, one for each concept: what they are is settled with the plan, and held against the models. */

import { resolve } from "node:path";
import { InwardError } from "../errors.js";
import { sha256OfFile } from "../model/model-file.js";
import { type Site, siteName, type StateShape } from "../model/sites.js";
import { directionsAt, readDirections } from "../probe/direction-file.js";
import { lengthOfVector } from "../base/vectors.js";
import type { PlannedVector } from "../study/injection-schema.js";
import type { Study } from "../study/study.js";

/** By concept. */
export type SettledVectors = Readonly<Record<string, { readonly planned: PlannedVector; readonly path: string }>>;

/** @param studyFolder where paths of files start @throws PROBE_INVALID, MODEL_* a file holds no directions */
export async function settleInjectionVectors(
  { injection }: Pick<Study, "injection">,
  studyFolder: string,
): Promise<SettledVectors> {
  const settled: Record<string, SettledVectors[string]> = {};
  for (const [concept, file] of Object.entries(injection?.vectors ?? {})) {
    const path = resolve(studyFolder, file);
    await readDirections(path);
    settled[concept] = { planned: { file, sha256: await sha256OfFile(path) }, path };
  }
  return settled;
}

/**
 * The direction of one concept at each site.
 * @param sha256 of the model's file
 * @throws PROBE_INVALID the file has changed since it was planned, is of another model's states, or has a direction of 0 · PROBE_SITE
 */
export async function injectedDirections(
  { concept, planned, path }: { readonly concept: string; readonly planned: PlannedVector; readonly path: string },
  { sites, shape, sha256 }: { readonly sites: readonly Site[]; readonly shape: StateShape; readonly sha256: string },
): Promise<Map<string, Float32Array>> {
  const found = await sha256OfFile(path).catch((error: unknown) =>
    String((error as NodeJS.ErrnoException).code ?? error),
  );
  if (found !== planned.sha256) {
    throw new InwardError(
      "PROBE_INVALID",
      `injection.vectors: the file of ${concept} (${path}) has changed since the study was planned: the plan has sha256 ${planned.sha256}, its file ${found}.`,
    );
  }
  const directions = await readDirections(path);
  const wanted = sites.map(siteName).join(",");
  const chosen = directionsAt(directions, { wanted, shape, sha256, adopt: false });
  return new Map(
    chosen.map(({ site, values }) => {
      if (lengthOfVector(values) > 0) return [siteName(site), values] as const;
      throw new InwardError(
        "PROBE_INVALID",
        `injection.vectors: the direction of ${concept} at ${siteName(site)} is 0: nothing would be added.`,
      );
    }),
  );
}
