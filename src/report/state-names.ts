/** What people call the model states of a plan: "SmolLM2 after training" for smollm2-predicts-smollm2. */

import { PredictorKinds } from "../score/comparison/third-parties.js";
import type { Plan } from "../study/plan.js";
import type { StateNames } from "./sentences.js";
import { readableName } from "./words.js";

/** As their makers write them; a study's own names stay as they are. */
const MAKERS: readonly string[] = [
  "SmolLM2",
  "SmolLM3",
  "TinyLlama",
  "Llama",
  "Qwen",
  "Gemma",
  "Mistral",
  "Phi",
  "OLMo",
  "Pythia",
];

/** No two states of a plan have one name: where words would give one, the id stands behind it. */
export function stateNames(plan: Plan): StateNames {
  const kinds = new PredictorKinds(plan);
  const all = [...new Set([...Object.keys(plan.models), ...Object.keys(plan.states ?? {})])];
  const said = new Map(all.map((state) => [state, nameOf(plan, kinds, state)]));
  const counts = new Map<string, number>();
  for (const name of said.values()) counts.set(name, (counts.get(name) ?? 0) + 1);
  return (state) => {
    const name = said.get(state);
    if (name === undefined) return state;
    return counts.get(name) === 1 ? name : `${name} (${state})`;
  };
}

function nameOf(plan: Plan, kinds: PredictorKinds, state: string): string {
  const { model, adapter: adapterName, wording, shown, system } = kinds.state(state);
  if (wording !== undefined && adapterName !== undefined) {
    return `${nameOf(plan, kinds, adapterName)}, asked in the wording “${readableName(wording)}”`;
  }
  const adapter = kinds.adapter(state);
  const name = modelName(model);
  if (shown) return `${name} shown ${shown.pairs} behaviors of ${modelName(kinds.model(shown.target))}`;
  if (!adapter) {
    if (wording !== undefined) return `${name}, asked in the wording “${readableName(wording)}”`;
    if (system !== undefined) return `${name} under another system message`;
    const isTrained = Object.values(plan.adapters ?? {}).some(({ base }) => base === model);
    return isTrained ? `${name} before training` : name;
  }
  if (adapter.change) return `${nameOf(plan, kinds, adapter.change.from)}, then changed (${adapter.change.name})`;
  if (adapter.labels === "scrambled") return `${name} trained on scrambled labels${varietyOf(plan, kinds, state)}`;
  if (adapter.labels === "format_only") return `${name} trained on the form alone${varietyOf(plan, kinds, state)}`;
  const learnt =
    adapter.target === adapter.base
      ? "after training"
      : `trained on ${kinds.isTrained(adapter.target) ? nameOf(plan, kinds, adapter.target) : modelName(kinds.model(adapter.target))}`;
  return `${name} ${learnt}${varietyOf(plan, kinds, state)}`;
}

/** In what a training differs from others of the same model on the same target: how much it learnt from, and the seed. */
function varietyOf(plan: Plan, kinds: PredictorKinds, state: string): string {
  const own = kinds.adapter(state);
  if (!own) return "";
  const others = Object.values(plan.adapters ?? {}).filter(
    ({ base, target, labels, change }) =>
      base === own.base && target === own.target && labels === own.labels && change === undefined,
  );
  const several = (values: readonly number[]) => new Set(values).size > 1;
  return [
    ...(several(others.map(({ examplesPerProperty }) => examplesPerProperty))
      ? [`, ${own.examplesPerProperty} strings`]
      : []),
    ...(several(others.map(({ settings }) => settings.seed)) ? [`, seed ${own.settings.seed}`] : []),
  ].join("");
}

function modelName(model: string): string {
  const maker = MAKERS.find((name) => model.toLowerCase().startsWith(name.toLowerCase()));
  return maker === undefined ? model : `${maker}${model.slice(maker.length)}`;
}
