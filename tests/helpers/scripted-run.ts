import type { LanguageModel } from "../../src/model/language-model.js";
import { runCorridor } from "../../src/run/corridor.js";
import { OneModel } from "../../src/run/models.js";
import { EventLog, type RunFolder } from "../../src/run/folder.js";

/** The whole corridor in a folder whose plan stands, with models that a test makes itself. */
export async function runScripted(run: RunFolder, open: (state: string) => Promise<LanguageModel>): Promise<void> {
  const models = new OneModel(run, { open });
  await runCorridor({
    run,
    events: new EventLog(run.file("events")),
    modelFor: models.modelFor,
    reopenModel: models.reopen,
    closeModel: () => models.close(),
    modelPath: () => "/m",
    onProgress: () => {},
  });
}
