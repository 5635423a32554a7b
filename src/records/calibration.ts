import type { Distribution } from "./distribution.js";

/** A line of 07-distributions.jsonl: how one state answers one question about a property at temperature 1. */
export interface MeasuredDistribution {
  /** `object_level/<state>/<task>/<item>/<property>`, `hypothetical/<state>/<task>/<item>/<property>/<variant>`. */
  readonly key: string;
  /** `object_level`: the distribution of behaviors. `hypothetical`: of the predictions about them. */
  readonly side: "object_level" | "hypothetical";
  /** The model state that was asked. */
  readonly state: string;
  readonly task: string;
  readonly item: string;
  readonly property: string;
  /** Hypothetical only: the wording around the quoted question. */
  readonly variant?: string;
  readonly distribution: Distribution;
}
