/** Where in a model states are taken: layer × component, by name, with the shape of each. native/include/inward/states.h has the same parts. */

import { nearestName } from "../base/nearest-name.js";
import { shown } from "../base/untrusted.js";
import { InwardError } from "../errors.js";
import type { GgufHeader } from "../gguf/read-gguf.js";

/**
 * In the order of a layer, and of the addon's numbers. What attention and feed-forward add is taken as it is added, after a norm of its
 * own and the architecture's residual scale: before + attention_output = middle, middle + mlp_output = after, to rounding.
 */
export const STATE_PARTS = [
  "residual_before",
  "attention_output",
  "residual_middle",
  "mlp_output",
  "residual_after",
  "head_values",
  "attention_weights",
] as const;
export type StatePart = (typeof STATE_PARTS)[number];

/** One place, whose name is `<part>.<layer>`, layers counted from 0. */
export interface Site {
  readonly part: StatePart;
  readonly layer: number;
}

export function siteName({ part, layer }: Site): string {
  return `${part}.${layer}`;
}

/** What sizes of states follow from. */
export interface StateShape {
  readonly architecture: string;
  readonly layers: number;
  readonly embedding: number;
  /** [layers]; 0 where a layer has no attention. */
  readonly heads: readonly number[];
  /** Numbers of a head's value. */
  readonly headWidth: number;
}

/** From a model's header. @throws MODEL_ARCHITECTURE where it lacks a size */
export function stateShapeOf({ metadata }: Pick<GgufHeader, "metadata">, path: string): StateShape {
  const architecture = String(metadata.get("general.architecture")?.value ?? "");
  const counts = (key: string): number[] => {
    const value = metadata.get(`${architecture}.${key}`);
    const all = value === undefined ? [] : value.type === "array" ? value.value : [value.value];
    return all.map(Number).filter((one) => Number.isSafeInteger(one) && one >= 0);
  };
  const [layers = 0] = counts("block_count");
  const [embedding = 0] = counts("embedding_length");
  if (layers < 1 || embedding < 1) {
    throw new InwardError(
      "MODEL_ARCHITECTURE",
      `${path} lacks block_count or embedding_length: its states have no size`,
    );
  }
  const listed = counts("attention.head_count");
  const heads = Array.from({ length: layers }, (_, layer) => (listed.length > 1 ? listed[layer] : listed[0]) ?? 0);
  const most = Math.max(...heads);
  const [headWidth = most > 0 ? Math.floor(embedding / most) : 0] = counts("attention.value_length");
  return { architecture, layers, embedding, heads, headWidth };
}

/** Dimensions of one token's numbers, slowest first. @param keys tokens from the text's first up to this one */
export function siteDimensions({ part, layer }: Site, shape: StateShape, keys: number): number[] {
  const heads = shape.heads[layer] ?? 0;
  if (part === "head_values") return [heads, shape.headWidth];
  return part === "attention_weights" ? [heads, keys] : [shape.embedding];
}

export function siteNumbers(site: Site, shape: StateShape, keys: number): number {
  return siteDimensions(site, shape, keys).reduce((product, one) => product * one, 1);
}

/** The sites as the addon is told of them. */
export function captureOf(
  sites: readonly Site[],
  shape: StateShape,
  dtype: "f16" | "f32",
): { parts: Int32Array; layers: Int32Array; widths: Int32Array; modelLayers: number; dtype: "f16" | "f32" } {
  return {
    parts: Int32Array.from(sites, ({ part }) => STATE_PARTS.indexOf(part)),
    layers: Int32Array.from(sites, ({ layer }) => layer),
    widths: Int32Array.from(sites, (site) => siteNumbers(site, shape, 1)),
    modelLayers: shape.layers,
    dtype,
  };
}

/** What a list of sites may say beside the parts. */
const GROUPS: Readonly<Record<string, (layers: number) => Site[]>> = {
  // Each layer begins with what the one before it ends with.
  residual: (layers) => [
    { part: "residual_before", layer: 0 },
    ...Array.from({ length: layers }, (_, layer): Site => ({ part: "residual_after", layer })),
  ],
  all: (layers) =>
    Array.from({ length: layers }, (_, layer) =>
      STATE_PARTS.filter((part) => part !== "attention_weights").map((part): Site => ({ part, layer })),
    ).flat(),
};

/** How many sites a list may come to: 1000 layers of all parts. */
const NAMES = [...Object.keys(GROUPS), ...STATE_PARTS];

/**
 * @param text comma-separated: a part or a group (`residual`: the residual at every layer's border; `all`: every part but
 * attention_weights), of all layers, or with `.<layer>` or `.<first>-<last>` of some; negative layers count from the last
 * @returns each once, in the order of layers and parts @throws PROBE_SITE
 */
export function parseSites(text: string, shape: StateShape): Site[] {
  const chosen = new Map<string, Site>();
  for (const item of text.split(",").map((one) => one.trim())) {
    const match = /^(\w+)(?:\.(-?\d{1,6})(?:-(\d{1,6}))?)?$/.exec(item);
    const name = match?.[1] ?? "";
    if (!match || !NAMES.includes(name)) {
      const near = nearestName(name, NAMES);
      throw new InwardError(
        "PROBE_SITE",
        `${shown(item)} is no site${near ? `; did you mean ${near}?` : `; a site is one of ${NAMES.join(", ")}`}, alone or with a layer or layers, such as residual_after.3 or mlp_output.0-5`,
      );
    }
    const layersOf = () => {
      if (match[2] === undefined) return { first: 0, last: shape.layers - 1 };
      const first = Number(match[2]) < 0 ? shape.layers + Number(match[2]) : Number(match[2]);
      return { first, last: match[3] === undefined ? first : Number(match[3]) };
    };
    const { first, last } = layersOf();
    if (first < 0 || last < first || last >= shape.layers) {
      throw new InwardError("PROBE_SITE", `${shown(item)}: the model has the layers 0 to ${shape.layers - 1}`);
    }
    const group = Object.hasOwn(GROUPS, name) ? GROUPS[name] : undefined;
    const sites =
      group?.(shape.layers) ??
      Array.from({ length: shape.layers }, (_, layer): Site => ({ part: name as StatePart, layer }));
    for (const site of sites) if (site.layer >= first && site.layer <= last) chosen.set(siteName(site), site);
  }
  for (const site of chosen.values()) {
    if (siteNumbers(site, shape, 1) > 0) continue;
    throw new InwardError(
      "PROBE_SITE",
      `${siteName(site)}: this layer of ${shape.architecture} has no attention heads`,
    );
  }
  const order = (site: Site) => site.layer * STATE_PARTS.length + STATE_PARTS.indexOf(site.part);
  return [...chosen.values()].sort((a, b) => order(a) - order(b));
}
