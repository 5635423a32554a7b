import type { Finding } from "../../records/comparison.js";

/** From worst to best. */
const ORDER: readonly Finding[] = ["unknown", "does_not_exceed", "cannot_tell", "exceeds"];

/** Of several comparisons that must all come out; `unknown` of none. */
export function worstFinding(findings: readonly Finding[]): Finding {
  return ORDER.find((finding) => findings.includes(finding)) ?? "unknown";
}
