import type { LanguageModel } from "../../src/model/language-model.js";
import { OneModel } from "../../src/run/open-models.js";
import { EventLog, type RunFolder } from "../../src/run/folder.js";
import { runStages } from "../../src/run/run-stages.js";
import type { Selection } from "../../src/run/stages.js";

/** All stages, or a selection, in a folder whose plan stands, with models that a test makes itself. */
export async function runScripted(
  run: RunFolder,
  open: (state: string) => Promise<LanguageModel>,
  selection?: Selection,
): Promise<void> {
  const models = new OneModel(run, { open, requireFile: async () => {} });
  await runStages(
    {
      run,
      events: new EventLog(run.file("events")),
      modelFor: models.modelFor,
      reopenModel: models.reopen,
      closeModel: () => models.close(),
      modelPath: () => "/m",
      onProgress: () => {},
    },
    selection,
  );
}

/** The stage that progress calls by this name, alone; what it reads is there already. */
export function only(name: string): Selection {
  return (stages) => stages.filter((stage) => stage.name === name);
}

/** One stage on files that are there; it must ask nothing. */
export function runStored(run: RunFolder, name: string): Promise<void> {
  const none = async () => Promise.reject(new Error("nothing is to be asked"));
  return runScripted(run, none, only(name));
}
