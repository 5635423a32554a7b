/** Opens a model state of a plan: the model's file, under its adapter if it carries one. */
import { openModel } from "../model/engine/open-model.js";
import type { LanguageModel } from "../model/language-model.js";
import type { RunFolder } from "../store/run-folder.js";

/** @param modelPath the file of a model of the plan */
export function openState(
  run: RunFolder,
  modelPath: (model: string) => string,
): (state: string) => Promise<LanguageModel> {
  return (state) => {
    const { model, adapter } = run.plan.states?.[state] ?? { model: state };
    const { engine } = run.plan;
    return adapter === undefined
      ? openModel(modelPath(model), engine)
      : openModel(modelPath(model), engine, { adapter: { path: run.file(`adapter/${adapter}`), scale: 1 } });
  };
}
