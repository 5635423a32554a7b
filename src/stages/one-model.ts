/** Keeps at most one model open and records which engine ran on what machine. */
import { InwardError } from "../errors.js";
import type { LanguageModel } from "../model/language-model.js";
import type { EngineManifest } from "../records/model-state.js";
import { canonicalJson } from "../store/canonical-json.js";
import { readJson } from "../store/read-records.js";
import type { RunFolder } from "../store/run-folder.js";
import { writeJson } from "../store/write-whole.js";
import type { StateOpener } from "./open-state.js";

/** manifest.json: by state, every distinct set-up that answered for it. More than one means that a run was carried elsewhere. */
export type RunManifest = Record<string, EngineManifest[]>;

export class OneModel {
  private open?: { state: string; model: LanguageModel };

  constructor(
    private readonly run: RunFolder,
    private readonly opener: StateOpener,
  ) {}

  readonly modelFor = async (state: string): Promise<LanguageModel> => {
    if (this.open?.state === state) return this.open.model;
    const before = this.open;
    delete this.open;
    const model = await this.opener.open(state, before).catch(async (error) => {
      await before?.model.dispose();
      throw error;
    });
    this.open = { state, model };
    await recordManifest(this.run, state, model.manifest);
    return model;
  };

  /** A new engine for a state whose own has crashed or says nothing any more. */
  readonly reopen = async (state: string): Promise<LanguageModel> => {
    await this.close();
    return this.modelFor(state);
  };

  async close(): Promise<void> {
    const { open } = this;
    delete this.open;
    await open?.model.dispose();
  }
}

export async function readManifest(run: RunFolder): Promise<RunManifest> {
  return readJson<RunManifest>(run.file("manifest")).catch((error) => {
    if (error instanceof InwardError && error.code === "STORE_INCOMPLETE") return {};
    throw error;
  });
}

async function recordManifest(run: RunFolder, state: string, manifest: EngineManifest): Promise<void> {
  const all = await readManifest(run);
  const known = all[state] ?? [];
  if (known.some((one) => canonicalJson(one) === canonicalJson(manifest))) return;
  await writeJson(run.file("manifest"), { ...all, [state]: [...known, manifest] });
}
