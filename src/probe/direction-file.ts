/**
 * Directions in a model's states as a file: safetensors with a tensor a site, `residual_after.8`, and in its header what they were made of; or
 * llama.cpp's control vectors, which are of residual_after.
 */

import { open } from "node:fs/promises";
import { z } from "zod";
import { InwardError } from "../errors.js";
import { readSafetensors, readSafetensorsMetadata, writeSafetensors } from "../finetune/adapter/safetensors.js";
import { type Site, type StatePart, STATE_PARTS, type StateShape, siteName, siteNumbers } from "../model/sites.js";
import { type ControlVector, readControlVector } from "./control-vector.js";
import type { Separation } from "./state-contrast.js";

/** What is known of one direction. */
export interface DirectionFacts {
  /** Length, in the units of the states. */
  readonly norm: number;
  /** Median length of the states that it was made of. */
  readonly stateNorm: number;
  readonly separation: Separation;
}

/** What directions were made of: stands in the file's header, under `inward`, as JSON. */
export interface DirectionsCard {
  readonly what: "contrast";
  readonly inward: string;
  readonly model: { readonly source: string; readonly sha256: string; readonly encoding: string };
  readonly adapter?: { readonly sha256: string; readonly scale: number };
  /** Of which tokens of each prompt; of several their mean. */
  readonly span: string;
  readonly pairs: { readonly count: number; readonly sha256: string };
  readonly sites: Readonly<Record<string, DirectionFacts>>;
}

export interface Directions {
  /** By name of the site. */
  readonly vectors: ReadonlyMap<string, Float32Array>;
  /** Absent in a file that others wrote. */
  readonly card?: DirectionsCard;
  /** A control vector: one thing, of which each layer has its own part. Directions of other files are each one by itself. */
  readonly isControlVector?: true;
  /** Of a control vector: the architecture that its maker names. */
  readonly architecture?: string;
}

const KEY = "inward";
const cardSchema = z.looseObject({
  what: z.literal("contrast"),
  model: z.looseObject({ source: z.string(), sha256: z.string(), encoding: z.string() }),
  span: z.string(),
  pairs: z.looseObject({ count: z.number(), sha256: z.string() }),
  sites: z.record(z.string(), z.looseObject({ norm: z.number(), stateNorm: z.number() })),
});

/** @param card absent where nothing is known of what they were made of @throws STORE_DISK_FULL, STORE_UNWRITABLE */
export async function writeDirections(
  path: string,
  vectors: Directions["vectors"],
  card?: DirectionsCard,
): Promise<void> {
  const tensors = [...vectors].map(([name, values]) => [name, { shape: [values.length], values }] as const);
  await writeSafetensors(path, new Map(tensors), card && { [KEY]: JSON.stringify(card) });
}

/** @throws PROBE_INVALID it is no such file: its message says why · MODEL_TRUNCATED, MODEL_NOT_GGUF a GGUF that is damaged */
export async function readDirections(path: string): Promise<Directions> {
  if (await isGguf(path)) return controlDirections(await readControlVector(path));
  const refuse = (why: string, cause?: unknown): never => {
    throw new InwardError("PROBE_INVALID", `${path} holds no directions: ${why}`, { cause });
  };
  const [tensors, metadata] = await Promise.all([readSafetensors(path), readSafetensorsMetadata(path)]).catch((error) =>
    refuse(error instanceof Error ? error.message : String(error), error),
  );
  const vectors = new Map<string, Float32Array>();
  for (const [name, { shape, values }] of tensors) {
    if (siteNamed(name) === undefined) refuse(`its tensor ${JSON.stringify(name)} is named after no site`);
    if (shape.length !== 1) refuse(`its tensor ${name} has the shape [${shape}], and is to be one vector`);
    const bad = values.findIndex((value) => !Number.isFinite(value));
    if (bad >= 0) refuse(`number ${bad + 1} of ${name} is ${values[bad]}`);
    vectors.set(name, values);
  }
  if (vectors.size === 0) refuse("it has no tensor");
  const text = metadata[KEY];
  if (text === undefined) return { vectors };
  const parsed = cardSchema.safeParse(jsonOf(text));
  if (!parsed.success) return refuse(`what its header says of them is damaged (${parsed.error.issues[0]?.message})`);
  return { vectors, card: parsed.data as unknown as DirectionsCard };
}

async function isGguf(path: string): Promise<boolean> {
  const handle = await open(path).catch(() => undefined);
  // What cannot be opened is told by who reads it.
  if (handle === undefined) return false;
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(4), 0, 4, 0);
    return bytesRead === 4 && buffer.toString("latin1") === "GGUF";
  } catch {
    return false;
  } finally {
    await handle.close();
  }
}

function controlDirections({ directions, modelHint }: ControlVector): Directions {
  const vectors = [...directions]
    .sort(([one], [other]) => one - other)
    .map(([layer, values]) => [siteName({ part: "residual_after", layer }), values] as const);
  return {
    vectors: new Map(vectors),
    isControlVector: true,
    ...(modelHint === undefined ? {} : { architecture: modelHint }),
  };
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

export function siteNamed(name: string): Site | undefined {
  const [, part, layer] = /^(\w+)\.(\d{1,6})$/.exec(name) ?? [];
  if (part === undefined || !STATE_PARTS.includes(part as StatePart)) return undefined;
  return { part: part as StatePart, layer: Number(layer) };
}

export interface SiteDirection {
  readonly site: Site;
  readonly values: Float32Array;
}

/**
 * The directions of some sites, as wide as the model has them.
 * @param wanted names of sites, comma-separated, or `all`; when absent all of a control vector's, and of another file the only one
 * @param sha256 of the file that is steered @param adopt takes directions of another model's states
 * @returns each once, in the file's order
 * @throws PROBE_INVALID, PROBE_SITE
 */
export function directionsAt(
  { vectors, card, architecture, isControlVector }: Directions,
  {
    wanted,
    shape,
    sha256,
    adopt,
  }: { readonly wanted?: string; readonly shape: StateShape; readonly sha256: string; readonly adopt: boolean },
): readonly SiteDirection[] {
  const names = [...vectors.keys()];
  if (wanted === undefined && names.length > 1 && !isControlVector) {
    throw new InwardError(
      "PROBE_SITE",
      `The file has directions of ${names.length} sites, ${names.slice(0, 5).join(", ")}…: name one, several that are added together, or all`,
    );
  }
  const asked = wanted === undefined || wanted === "all" ? names : wanted.split(",").map((one) => one.trim());
  const stray = asked.find((name) => !vectors.has(name));
  if (stray !== undefined) {
    throw new InwardError(
      "PROBE_SITE",
      `The file has no direction of ${stray}; it has ${names.slice(0, 20).join(", ")}`,
    );
  }
  const chosen = names
    .filter((name) => asked.includes(name))
    .map((name): SiteDirection => ({ site: siteNamed(name) as Site, values: vectors.get(name) as Float32Array }));
  for (const { site, values } of chosen) {
    const width = site.layer < shape.layers && site.part !== "attention_weights" ? siteNumbers(site, shape, 1) : 0;
    if (width === values.length) continue;
    throw new InwardError(
      "PROBE_SITE",
      `${siteName(site)} has ${values.length} numbers in the file, and ${width} in this model`,
    );
  }
  if (card && card.model.sha256 !== sha256 && !adopt) {
    throw new InwardError(
      "PROBE_INVALID",
      `The directions are of ${card.model.source} (sha256 ${card.model.sha256.slice(0, 12)}…), which is another file than the one that they would be added to (${sha256.slice(0, 12)}…); npx inward steer --force-vector takes them all the same`,
    );
  }
  if (architecture !== undefined && architecture !== shape.architecture && !adopt) {
    throw new InwardError(
      "PROBE_INVALID",
      `The control vector is for a model of ${architecture}, and this one is of ${shape.architecture}; npx inward steer --force-vector takes it all the same`,
    );
  }
  return chosen;
}
