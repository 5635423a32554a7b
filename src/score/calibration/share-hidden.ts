import type { Comparison } from "./comparison.js";

/** The largest part of the target's behaviors that its tail may hold, were all of the tail texts with a value; 0 to 1. */
export function shareHidden({ objectMass, objectTail }: Pick<Comparison, "objectMass" | "objectTail">): number {
  return objectTail / (objectMass + objectTail);
}
