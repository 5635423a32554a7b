/** Whether a base can be trained as a plan wants it, found out before it is asked for hours. */

import { InwardError } from "../errors.js";
import { ownForwardFault } from "../gguf/own-forward.js";
import { readGguf } from "../gguf/read-gguf.js";
import { joinedProjections } from "../model/model-shape.js";
import type { LoraTarget } from "../study/schema.js";

/**
 * @throws InwardError TRAIN_MODEL where the trainer does not compute what the file's weights mean · TRAIN_SETTINGS where a matrix that is
 * several projections is to be trained for a part of them · MODEL_*
 */
export async function requireTrainable(path: string, targets: readonly LoraTarget[]): Promise<void> {
  const file = await readGguf(path);
  const fault = ownForwardFault(file);
  if (fault !== undefined) throw new InwardError("TRAIN_MODEL", `${path} cannot be trained: ${fault}.`);
  for (const joined of joinedProjections(file)) {
    const absent = joined.filter((one) => !targets.includes(one));
    if (absent.length === 0 || absent.length === joined.length) continue;
    throw new InwardError(
      "TRAIN_SETTINGS",
      `lora.targets are ${targets.join(", ")}: in ${path} ${joined.join(", ")} are one matrix, which has one pair. Add ${absent.join(", ")}, or leave out all of them.`,
    );
  }
}
