/** A finished adapter as part of a model in a study: asked, predicted, trained on from, and held to the file that was planned. */
import { copyFileSync } from "node:fs";
import { cp, mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";
import { dryRun, openModel, planStudy, runStudy } from "inward";
import { objectLevelQuestions } from "../../src/ask/questions.js";
import type { AdapterCard } from "../../src/finetune/adapter/card.js";
import { findAdapter } from "../../src/finetune/adapter/found-adapter.js";
import { findAddon } from "../../src/model/native/addon.js";
import type { Plan } from "../../src/study/plan.js";
import type { Answer } from "../../src/tasks/answer.js";
import { writeTinyAdapter } from "../helpers/tiny-adapter.js";
import { runFiles } from "../helpers/run-files.js";
import { writeTinyModel } from "../helpers/tiny-model.js";
import { workIn } from "../helpers/work-in.js";

const FIXTURE = fileURLToPath(new URL("../fixtures/peft-variants/patterns_rslora", import.meta.url));
const STUDY = `
study: worn
seed: 5
models:
  plain: { source: ./tiny.gguf }
  quirky: { source: ./tiny.gguf, adapter: ./quirk }
tasks:
  - { task: animals_long, trainStrings: 8, heldOutStrings: 6, examples: false, properties: [first_character] }
predictions:
  - { predictor: quirky, target: quirky }
  - { predictor: plain, target: quirky }
lora: { rank: 8, epochs: 1, batchExamples: 4, learningRate: 0.0001 }
engine: { device: cpu, threads: 1, groupQuestions: 16 }
noiseFloor: { questions: 2 }
score: { bootstrapReplicates: 200 }
`;

const addon = await findAddon().then(
  () => true,
  () => false,
);

describe.skipIf(!addon)("a study of a model that wears an adapter", () => {
  let folder: string;
  let sha256: string;
  const { read, lines } = runFiles(() => join(folder, "run"));
  const planned = (...set: string[]) => planStudy("study.yaml", { set });

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "inward-worn-"));
    await writeTinyModel(join(folder, "tiny.gguf"), { seed: 11, contextLength: 1024 });
    await cp(FIXTURE, join(folder, "quirk"), { recursive: true });
    await writeFile(join(folder, "study.yaml"), STUDY);
    const restore = workIn(folder, { INWARD_MODELS: join(folder, "models") });
    ({ sha256 } = await findAdapter("quirk", "tiny.gguf"));
    await runStudy("study.yaml", { out: join(folder, "run") });
    return restore;
  });

  test("has it in the plan, and asks with it", async () => {
    const { models } = await read<Plan>("01-plan.json");
    expect(models.plain).not.toHaveProperty("adapter");
    expect(models.quirky?.adapter).toMatchObject({
      source: "./quirk",
      sha256,
      convertedFrom: { config: expect.any(String), weights: expect.any(String) },
      base: "no_card",
      rank: 6,
      targets: ["k", "o", "gate"],
    });
    expect(JSON.stringify(models)).not.toContain(folder);
    const manifest = await read<Record<string, { adapter?: object }[]>>("manifest.json");
    expect(manifest.quirky?.[0]?.adapter).toEqual({ sha256, scale: 1 });
    expect(manifest.plain?.[0]).not.toHaveProperty("adapter");
  });

  test("its answers are those of the model under the adapter, and not the bare model's", async () => {
    const plan = await read<Plan>("01-plan.json");
    const question = objectLevelQuestions(plan).find(({ state }) => state === "quirky");
    const answer = (await lines<Answer>("02-object-level.jsonl")).find(({ key }) => key === question?.key);
    for (const adapter of ["quirk", undefined]) {
      const model = await openModel("tiny.gguf", { adapter, engine: { device: "cpu", threads: 1 } });
      const { first } = await model.answer(question?.messages ?? "", { maxTokens: 24 });
      await model.dispose();
      const apart = Math.abs(first.logSumExp - (answer?.reply?.first?.logSumExp as number));
      expect(apart < 1e-4, `${adapter}: ${apart}`).toBe(adapter !== undefined);
    }
  });

  test("training on it goes on from it: its first loss is the adapted model's, not the bare one's", async () => {
    const self = await read<AdapterCard>("05-adapters/quirky-predicts-quirky.card.json");
    const cross = await read<AdapterCard>("05-adapters/plain-predicts-quirky.card.json");
    expect(self.initialAdapter?.sha256).toBe(sha256);
    expect(cross.initialAdapter).toBeUndefined();
    // One set, learnt from two beginnings.
    expect(self.data.sha256).toBe(cross.data.sha256);
    expect(self.settings.lora).toEqual(cross.settings.lora);
    expect(self.losses[0]?.lossNatsPerToken).not.toBeCloseTo(cross.losses[0]?.lossNatsPerToken as number, 2);
    expect(await readFile(join(folder, "run", "09-report.md"), "utf8")).toMatch(/Wears the adapter.*quirk.*rank 6/);
  });

  test("another adapter is another plan; one without room in lora, or for another network, is refused", async () => {
    const { planHash, plan } = await planned();
    expect(plan).toEqual(await read<Plan>("01-plan.json"));
    await writeTinyAdapter("other.gguf", { rank: 2 });
    const other = await planned("models.quirky.adapter=other.gguf");
    expect(other.planHash).not.toBe(planHash);
    expect(other.plan.models.quirky?.adapter).toMatchObject({ rank: 2, alpha: 8 });
    await expect(planned("lora.rank=4")).rejects.toMatchObject({
      code: "STUDY_INVALID",
      message: expect.stringContaining("lora.rank is 4, say 6 or more"),
    });
    await expect(planned("lora.targets=[k, gate]")).rejects.toMatchObject({
      code: "STUDY_INVALID",
      message: expect.stringContaining("lora.targets lacks o"),
    });
    await expect(planned("models.quirky.dropLayers=0.5")).rejects.toMatchObject({ code: "STUDY_INVALID" });
    await expect(planned("models.quirky.adapter=none.gguf")).rejects.toMatchObject({ code: "ADAPTER_NOT_FOUND" });
    await writeTinyAdapter("wide.gguf", { weights: { "blk.0.attn_q.weight": [32, 64] } });
    await expect(planned("models.quirky.adapter=wide.gguf")).rejects.toMatchObject({ code: "ADAPTER_SHAPE" });
    const counted = await dryRun("study.yaml", { measure: false });
    expect(counted.planHash).toBe(planHash);
    expect(Object.values(counted.worn ?? {})).toEqual([
      expect.stringMatching(/^it wears the adapter \S+, sha256 [0-9a-f]{12}…$/),
    ]);
  });

  test("an adapter that changes after the plan was made is refused before a question is asked with it", async () => {
    await writeTinyAdapter("drifts.gguf", { rank: 2 });
    await writeTinyAdapter("seed9.gguf", { rank: 2, seed: 9 });
    const run = runStudy("study.yaml", {
      out: join(folder, "drift"),
      set: ["models.quirky.adapter=drifts.gguf"],
      onPlanned: () => copyFileSync("seed9.gguf", "drifts.gguf"),
    });
    await expect(run).rejects.toMatchObject({
      code: "ADAPTER_INVALID",
      message: expect.stringContaining("quirky (drifts.gguf) has changed"),
    });
  });
});
