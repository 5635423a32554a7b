import { InwardError } from "../../errors.js";

/**
 * Which layers to take out so that the network is another one but still works: as many as the share says, rounded, side by side in
 * the middle. Neighbours there do the most alike work, and each cut breaks what the layers after it expect: on SmolLM2-135M six spread
 * layers of thirty cost 3.9 nats a token of its own answers, six side by side in the middle 1.3.
 * @param share above 0, below 1
 * @returns numbers from 0, ascending
 * @throws InwardError STUDY_INVALID when none would go, or more than there are between the first and the last
 */
export function layersToDrop(layers: number, share: number): number[] {
  const count = Math.round(share * layers);
  const between = layers - 2;
  if (count < 1 || count > between) {
    const why = count < 1 ? "which is none" : "and the first and the last are never removed";
    throw new InwardError("STUDY_INVALID", `dropLayers ${share} of ${layers} layers are ${count}, ${why}.`);
  }
  const first = 1 + Math.floor((between - count) / 2);
  return Array.from({ length: count }, (_, at) => first + at);
}

/** What the smaller network is called. @param layers as layersToDrop gives them */
export function shallowerId(id: string, layers: readonly number[], of: number): string {
  const [first, last] = [layers[0], layers.at(-1)];
  return `${id}.without-${first === last ? `layer-${first}` : `layers-${first}-to-${last}`}-of-${of}`;
}
