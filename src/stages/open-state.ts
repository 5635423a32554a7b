/** Opens a model state of a plan: the model's file, under its adapter if it carries one. */
import { openModel } from "../model/engine/open-model.js";
import type { AdapterChoice, LanguageModel } from "../model/language-model.js";
import type { RunFolder } from "../store/run-folder.js";

/** How to come by a state's model. */
export interface StateOpener {
  /** @param open a state's model that is open, and whose place this one takes: it is closed, or carries on under another adapter */
  open(state: string, open?: { readonly state: string; readonly model: LanguageModel }): Promise<LanguageModel>;
}

/** @param modelPath the file of a model of the plan */
export function openState(run: RunFolder, modelPath: (model: string) => string): StateOpener {
  const partsOf = (state: string) => run.plan.states?.[state] ?? { model: state };
  const adapterOf = (state: string): AdapterChoice | undefined => {
    const { adapter } = partsOf(state);
    return adapter === undefined ? undefined : { path: run.file(`adapter/${adapter}`), scale: 1 };
  };
  return {
    open: async (state, before) => {
      const path = modelPath(partsOf(state).model);
      const adapter = adapterOf(state);
      // States of one base: the weights are there already.
      if (before?.model.withAdapter && modelPath(partsOf(before.state).model) === path) {
        return await before.model.withAdapter(adapter);
      }
      await before?.model.dispose();
      return await openModel(path, run.plan.engine, adapter ? { adapter } : {});
    },
  };
}
