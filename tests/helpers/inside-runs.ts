/** Runs that look and write inside: tiny planted models, asked and patched for real, in a second or two. */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parse, stringify } from "yaml";
import { writePlantedStudy } from "../../src/probe/planted-model.js";
import { writePlantedNoticer } from "../../src/probe/planted-noticer.js";
import { runStudy } from "../../src/run/run-study.js";
import { injectionSchema } from "../../src/study/injection-schema.js";

const KEYS = { engine: { device: "cpu", threads: 1, cache: false }, noiseFloor: { questions: 0 } };
const MEASURED = { strings: 4, epsilon: 0.01, tokenBudget: 4096, mostTail: 0.1, samples: 3 };
const INJECTION = {
  sites: "residual_after.0",
  strengths: [0.5],
  abilities: ["notice"],
  concepts: ["ocean", "volcano", "violin", "tiger", "snow", "bread"],
  vectorSpan: "message",
  sentences: [
    "The kettle stands on the lower shelf.",
    "A bus waits at the corner.",
    "Two chairs lean against the wall.",
  ],
};

/**
 * @param studies where models and studies go @param out of the run
 * A model that simulates what it would answer, with a lens and a probe on its states, distributions, patches, and answers taken apart.
 */
export async function plantedRun(studies: string, out: string): Promise<void> {
  const planted = await writePlantedStudy(studies, { mechanism: "A", items: 4 });
  const keys = parse(await readFile(planted.study, "utf8"));
  const more = {
    probe: {
      spans: { hypothetical: ["string", "last_prompt_token"] },
      labels: ["behavior_given_property"],
      lenses: ["logit"],
      wholePrompts: 2,
      randomWeights: false,
    },
    patching: { sites: "residual_after.0", ...MEASURED },
    inside: { strings: 4, attribution: {}, heads: {}, subspace: {}, patchscope: {} },
    calibration: MEASURED,
    score: { bootstrapReplicates: 100 },
  };
  await writeFile(planted.study, stringify({ ...keys, ...KEYS, ...more }));
  await runStudy(planted.study, { out });
}

/** A model that notices what is injected. */
export async function noticerRun(studies: string, out: string): Promise<void> {
  await mkdir(studies, { recursive: true });
  const { path } = await writePlantedNoticer(
    join(studies, "noticer.gguf"),
    "noticer",
    injectionSchema.parse(INJECTION),
  );
  const study = join(studies, "injection.yaml");
  const task = {
    task: "animals_long",
    trainStrings: 2,
    heldOutStrings: 2,
    examples: false,
    properties: ["first_word"],
  };
  await writeFile(
    study,
    stringify({
      study: "injection",
      models: { planted: { source: path } },
      tasks: [task],
      ...KEYS,
      injection: INJECTION,
    }),
  );
  await runStudy(study, { out });
}
