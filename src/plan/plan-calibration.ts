/** Which properties of which tasks a study compares as distributions. */
import { InwardError } from "../errors.js";
import { propertyNamed } from "../properties/all-properties.js";
import type { PlannedCalibration, PlannedTask } from "../records/plan.js";
import type { TaskDefinition } from "../records/task.js";
import type { Study } from "../records/study.js";
import { appliesTo } from "./applies-to.js";

/**
 * @returns undefined when the study measures no distributions
 * @throws PROPERTY_NOT_FOUND, PROPERTY_NOT_APPLICABLE when a property that was asked for applies to none of the tasks
 */
export function planCalibration(
  { calibration }: Pick<Study, "calibration">,
  tasks: readonly PlannedTask[],
): PlannedCalibration | undefined {
  if (!calibration) return undefined;
  const { properties: wanted, ...settings } = calibration;
  for (const name of wanted ?? []) {
    if (!tasks.some(({ definition }) => isMeasured(name, definition))) {
      throw new InwardError("PROPERTY_NOT_APPLICABLE", `calibration: no task of the study has the property ${name}.`);
    }
  }
  const rows = tasks.map(({ definition, properties }): [string, string[]] => [
    definition.name,
    (wanted ? [...new Set(wanted)] : properties).filter((name) => isMeasured(name, definition)),
  ]);
  return { ...settings, properties: Object.fromEntries(rows.filter(([, names]) => names.length > 0)) };
}

/** A behavior of two answers, the second of which is about the first, has no distribution that one question tells. */
function isMeasured(name: string, definition: TaskDefinition): boolean {
  const property = propertyNamed(name);
  return property.needs !== "challenge" && appliesTo(property, definition);
}
