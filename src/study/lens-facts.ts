/** What a lens of a file is, where it stands in a plan: of which layers it has maps, and what the file says of the model it was made for. */

import { z } from "zod";
import type { Read } from "./study.js";

const whole = z.int().min(0);

/** In the file's own words. None of it can be checked here, but for the shapes. */
const saysSchema = z.object({
  baseModel: z.string().optional(),
  revision: z.string().optional(),
  /** Of the unembedding that the lens was trained with. */
  unembedHash: z.string().optional(),
  /** From which a Jacobian lens was averaged. */
  prompts: whole.optional(),
  /** Whose end a Jacobian lens leads to; the last layer's where the file does not say. */
  targetLayer: whole.optional(),
  /** Keys of the file that are not read. */
  unread: z.array(z.string()).optional(),
});
export type LensSays = Read<typeof saysSchema>;

export const lensFactsSchema = z.object({
  /** tuned reads what a layer begins with, jacobian what it ends with. */
  kind: z.enum(["tuned", "jacobian"]),
  width: z.int().min(1),
  /** Ascending, those with a map, as the format counts them. */
  layers: z.array(whole).min(1),
  says: saysSchema,
});
export type LensFacts = Read<typeof lensFactsSchema>;

/** @returns why a lens cannot be of a model of this shape; undefined where it can */
export function lensFault(
  { kind, width, layers, says: { targetLayer } }: LensFacts,
  model: { readonly width: number; readonly layers: number },
): string | undefined {
  if (width !== model.width) return `it is ${width} wide, and the model ${model.width}`;
  const most = layers.at(-1) as number;
  if (kind === "tuned") {
    if (layers.length === model.layers) return undefined;
    return `it is of a model of ${layers.length} layers, and the model has ${model.layers}`;
  }
  const end = model.layers - 1;
  if (most >= end) return `it has a matrix of layer ${most}, and the last one before the model's end is ${end - 1}`;
  if (targetLayer === undefined || targetLayer === end) return undefined;
  return `it leads to the end of layer ${targetLayer}, and the model's last is ${end}`;
}

/** Which map of a lens reads a residual, by the layer that the format calls it by; why none does. */
export function mapFor(
  { kind, layers }: Pick<LensFacts, "kind" | "layers">,
  site: string,
): { readonly ok: true; readonly layer: number } | { readonly ok: false; readonly reason: string } {
  const [part, number] = site.split(".");
  const border =
    part === "residual_before" ? Number(number) : part === "residual_after" ? Number(number) + 1 : undefined;
  if (border === undefined) return { ok: false, reason: `the lens has maps between layers, and none for ${part}` };
  // Borders are counted from 0 before the first layer; a state at one is what a layer ends with and the next begins with.
  const layer = kind === "tuned" ? border : border - 1;
  if (layers.includes(layer)) return { ok: true, layer };
  return {
    ok: false,
    reason: layer < 0 ? "the lens has no map for the embedding" : `the lens has no map of layer ${layer}`,
  };
}
