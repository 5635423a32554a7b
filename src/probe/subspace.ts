/**
 * Patching a part of a state: what a donor's state has within a subspace stands in the place of the recipient's own. Such a patch can move
 * an answer by way of directions that the model itself never uses, so beside it stand others: displaced as far, along what the donor differs in
 * outside the subspace, and within a subspace by chance; and the same patch without what nothing behind the site reads, and with that alone.
 */

import { InwardError } from "../errors.js";
import { readSafetensors } from "../finetune/adapter/safetensors.js";
import { type Intervention, orthonormalRows } from "../model/interventions.js";
import type { Site } from "../model/sites.js";
import { siteNamed } from "./direction-file.js";
import { lengthOfVector, randomVector, vectorDifference } from "../base/vectors.js";
import type { LinearProbe } from "./linear-probe.js";
import { INDEPENDENT_ROW, RowSpan } from "./read-space.js";

/** Directions of one site that span what is patched: each of length 1, and orthogonal to the others. */
export interface Subspace {
  readonly site: Site;
  readonly basis: readonly Float64Array[];
}

/** @param rows [directions × width] linearly independent @throws PROBE_INVALID */
export function subspaceOf(site: Site, rows: Float32Array, width: number): Subspace {
  if (rows.length === 0 || rows.length % width !== 0)
    throw new InwardError("PROBE_INVALID", `${rows.length} numbers are no directions of ${width}.`);
  if (rows.length >= width * width)
    throw new InwardError(
      "PROBE_INVALID",
      `${rows.length / width} directions leave nothing of ${width} outside the subspace.`,
    );
  const bad = rows.findIndex((one) => !Number.isFinite(one));
  if (bad >= 0) throw new InwardError("PROBE_INVALID", `Number ${bad + 1} of the directions is ${rows[bad]}.`);
  const directions = Array.from({ length: rows.length / width }, (_, row) =>
    Float64Array.from(rows.subarray(row * width, (row + 1) * width)),
  );
  const which = `the subspace at ${site.part}.${site.layer}`;
  return { site, basis: orthonormalRows(directions, which) };
}

/**
 * Files of directions together, such as npx inward contrast writes: a tensor a site, one vector or [directions × width].
 * @param widthOf of a site in this model
 * @returns by the name of the site, of those that any file has
 * @throws PROBE_INVALID, PROBE_SITE
 */
export async function readSubspaces(
  paths: readonly string[],
  widthOf: (site: Site) => number,
): Promise<Map<string, Subspace>> {
  const found = new Map<string, { readonly site: Site; readonly width: number; readonly rows: number[] }>();
  for (const path of paths) {
    const tensors = await readSafetensors(path).catch((error) => {
      const why = error instanceof Error ? error.message : String(error);
      throw new InwardError("PROBE_INVALID", `${path} holds no directions: ${why}`, { cause: error });
    });
    for (const [name, { shape, values }] of tensors) {
      const site = siteNamed(name);
      if (site === undefined || site.part === "attention_weights")
        throw new InwardError(
          "PROBE_INVALID",
          `${path}: its tensor ${JSON.stringify(name)} is named after no site that can be written.`,
        );
      const width = widthOf(site);
      if (shape.length > 2 || shape.at(-1) !== width)
        throw new InwardError(
          "PROBE_SITE",
          `${path}: ${name} has the shape [${shape}], and a state there has ${width} numbers.`,
        );
      const before = found.get(name) ?? { site, width, rows: [] };
      before.rows.push(...values);
      found.set(name, before);
    }
  }
  return new Map(
    [...found].map(([name, { site, width, rows }]) => [name, subspaceOf(site, Float32Array.from(rows), width)]),
  );
}

/**
 * What a linear probe reads, as directions: of each label but the first how its weights differ from the first's.
 * @returns [labels − 1 × width]
 */
export function probeDirections({ weights }: Pick<LinearProbe, "weights">): Float32Array {
  const [first, ...others] = weights;
  if (first === undefined || others.length === 0)
    throw new InwardError("PROBE_INVALID", "A probe of one label reads no direction.");
  return Float32Array.from(others.flatMap((own) => Array.from(own, (one, at) => one - (first[at] as number))));
}

/** The same directions without what is not read, and that alone; each absent where nothing of any direction is left. */
export interface SubspaceByReading {
  readonly read?: Subspace;
  readonly unread?: Subspace;
}

/** @param span what is read of a state at the subspace's site */
export function byReading({ site, basis }: Subspace, span: RowSpan): SubspaceByReading {
  const read = basis.map((row) => span.within(row));
  const unread = basis.map((row, at) => row.map((one, place) => one - (read[at]?.[place] as number)));
  const spanned = (rows: readonly Float64Array[]): Subspace | undefined => {
    const own = new RowSpan(span.width);
    for (const row of rows) if (lengthOfVector(row) > INDEPENDENT_ROW) own.add(row);
    return own.basis.length === 0 ? undefined : { site, basis: own.basis };
  };
  return { read: spanned(read), unread: spanned(unread) };
}

/** What is written of one token. */
export interface SubspacePatch {
  /** Own component out, the donor's in. */
  readonly patch: readonly Intervention[];
  /** By what the state is displaced, and how far. */
  readonly moved: Float64Array;
  readonly displacement: number;
  /** How far by the donor's whole state. */
  readonly wholeDisplacement: number;
  /** As far, along what the donor differs in outside the subspace; undefined where it differs in nothing there. */
  readonly outside: Intervention | undefined;
  /** As far, along what the donor differs in within as many directions by chance. @param draw its number */
  readonly random: (draw: number) => Intervention;
  /** The donor's whole state. */
  readonly whole: Intervention;
}

/** @param own, donor states of the token there @param name what the draws are a function of */
export function subspacePatch(
  { site, basis }: Subspace,
  {
    token,
    own,
    donor,
    name,
  }: { readonly token: number; readonly own: Float32Array; readonly donor: Float32Array; readonly name: string },
): SubspacePatch {
  const place = { site, tokens: [token] };
  const difference = Float64Array.from(vectorDifference(donor, own));
  const within = projected(difference, basis);
  const displacement = lengthOfVector(within);
  const scaled = (vector: Float64Array): Intervention => {
    const length = lengthOfVector(vector);
    const factor = length === 0 ? 0 : displacement / length;
    return { ...place, operation: "add", values: Float32Array.from(vector, (one) => factor * one) };
  };
  const rest = difference.map((one, at) => one - (within[at] as number));
  // What single precision leaves of a difference that lies within.
  const isNone = lengthOfVector(rest) <= 1e-6 * lengthOfVector(difference);
  return {
    patch: [
      { ...place, operation: "project_out", values: Float32Array.from(basis.flatMap((one) => [...one])) },
      { ...place, operation: "add", values: Float32Array.from(projected(Float64Array.from(donor), basis)) },
    ],
    moved: within,
    displacement,
    wholeDisplacement: lengthOfVector(difference),
    outside: isNone ? undefined : scaled(rest),
    random: (draw) => {
      const rows = basis.map((_, at) =>
        Float64Array.from(randomVector(own.length, 1, `subspace/${name}/${draw}/${at}`)),
      );
      return scaled(projected(difference, orthonormalRows(rows, "a subspace by chance")));
    },
    whole: { ...place, operation: "replace", values: donor },
  };
}

function projected(vector: Float64Array, basis: readonly Float64Array[]): Float64Array {
  const made = new Float64Array(vector.length);
  for (const direction of basis) {
    const along = direction.reduce((sum, one, at) => sum + one * (vector[at] as number), 0);
    for (let at = 0; at < made.length; at++) made[at] = (made[at] as number) + along * (direction[at] as number);
  }
  return made;
}
