/** How numbers that stand beside another are called. */
import { THIRD_PARTY_NAMES } from "../comparison/comparison-names.js";
import { readableName } from "../readable-name.js";

const NAMES: Readonly<Record<string, string>> = {
  mode_oracle: "mode of these strings (oracle)",
  self: "self",
  cross: "cross",
  constant: "constant predictor",
  about_new: "right about the new",
  mode_new: "mode of the new",
  about_old: "right about the old",
  mode_old: "mode of the old",
};

export function baselineName(name: string): string {
  return NAMES[name] ?? THIRD_PARTY_NAMES[name] ?? `rule: ${readableName(name)}`;
}
