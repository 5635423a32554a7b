import { InwardError } from "../../errors.js";

/**
 * Which layers to take out so that the network is another one but still begins and ends as it did: as many as the share says,
 * rounded, in the middles of equal stretches of what lies between the first layer and the last.
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
  return Array.from({ length: count }, (_, at) => 1 + Math.floor(((2 * at + 1) * between) / (2 * count)));
}
