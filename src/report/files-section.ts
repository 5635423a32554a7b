/** Exactly which files ran, on which engine, with which settings and seeds. */
import type { EngineManifest } from "../records/model-state.js";
import type { Plan } from "../records/plan.js";
import type { Scores } from "../records/scores.js";
import type { Block, Inline, Section } from "./document.js";
import { formatCount } from "./format-number.js";

type Facts = Extract<Block, { kind: "facts" }>["facts"];

export function filesSection(plan: Plan, scores: Scores, manifests: Readonly<Record<string, EngineManifest>>): Section {
  const states = [
    ...new Set([...Object.keys(plan.models), ...Object.keys(plan.states ?? {}), ...Object.keys(manifests)]),
  ];
  return {
    id: "files",
    title: "Files, engine and settings",
    blocks: [
      ...states.flatMap((state): Block[] => [
        { kind: "subheading", title: `Model state ${state}` },
        { kind: "facts", facts: [...weightFacts(plan, state), ...engineFacts(manifests[state])] },
      ]),
      { kind: "subheading", title: "Study" },
      { kind: "facts", facts: studyFacts(plan, scores) },
      tasksTable(plan),
    ],
  };
}

function weightFacts({ models, states }: Plan, state: string): Facts {
  const planned = states?.[state];
  return planned?.adapter === undefined
    ? fileFacts(models[state])
    : [fact("Weights", `those of ${planned.model}, under the adapter `, { code: planned.adapter })];
}

function fileFacts(file: Plan["models"][string] | undefined): Facts {
  if (!file) return [fact("File", "— (not in the plan)")];
  const from = file.reencodedFrom;
  return [
    fact("Source", { code: file.source }),
    fact("File that ran", `${file.encoding}, ${formatCount(file.bytes)} bytes`),
    fact("sha256", { code: file.sha256 }),
    ...(from ? [fact("Re-encoded from", `${from.encoding}, sha256 `, { code: from.sha256 })] : []),
    fact("Licence", file.licence),
  ];
}

function engineFacts(manifest: EngineManifest | undefined): Facts {
  if (!manifest) return [fact("Engine", "— (no manifest was recorded)")];
  const yesNo = (is: boolean) => (is ? "yes" : "no");
  return [
    fact("Engine", engineName(manifest)),
    fact("Device", [manifest.device, ...manifest.deviceNames].join(", ")),
    fact("Processor", manifest.cpu),
    fact("CPU flags", manifest.cpuFlags.length > 0 ? manifest.cpuFlags.join(" ") : "none recorded"),
    fact(
      "Evaluation",
      `${manifest.threads} threads, ${manifest.sequences} sequences, context ${formatCount(manifest.contextTokens)} tokens, batch ${formatCount(manifest.batchTokens)} tokens`,
    ),
    fact(
      "Switches",
      `strict ${yesNo(manifest.strict)}, flash attention ${yesNo(manifest.flashAttention)}, unified KV cache ${yesNo(manifest.kvUnified)}, keys and values as ${manifest.cacheType ?? "f16"}${manifest.kernels ? `, own forward pass (${manifest.kernels})` : ""}`,
    ),
    ...(manifest.adapter
      ? [fact("Adapter", `scale ${manifest.adapter.scale}, sha256 `, { code: manifest.adapter.sha256 })]
      : []),
    fact("Logprobs", manifest.logprobs),
    fact("Chat template", "sha256 ", { code: manifest.chatTemplateSha256 }),
    fact("Beginning of sequence", { code: manifest.beginOfSequence }),
  ];
}

function engineName({ engine, llamaCpp, nodeLlamaCpp }: EngineManifest): string {
  if (engine === "node-llama-cpp") return `${engine} ${nodeLlamaCpp}, llama.cpp ${llamaCpp}`;
  return `${engine}, on llama.cpp ${llamaCpp} as node-llama-cpp ${nodeLlamaCpp} ships it`;
}

function studyFacts(plan: Plan, scores: Scores): Facts {
  const { engine } = plan;
  return [
    fact("Study", plan.study),
    fact("inward", plan.inwardVersion),
    fact("Seed", `${plan.seed}; bootstrap ${scores.bootstrapSeed}`),
    fact(
      "Intervals",
      `${Number((100 * scores.confidence).toFixed(6))} %, ${formatCount(scores.bootstrapReplicates)} bootstrap replicates`,
    ),
    fact(
      "Engine settings",
      `${engine.engine}, device ${engine.device}, strict ${engine.strict ? "yes" : "no"}, ${engine.sequences} sequences, ${engine.threads} threads, `,
      `${engine.groupQuestions} questions per group, ${engine.topTokens} top tokens stored`,
    ),
    fact("Noise floor", `${formatCount(plan.noiseFloor.questions)} questions to ask again per model state`),
    fact(
      "Predictions",
      plan.predictions.map(({ predictor, target }) => `${predictor} about ${target}`).join("; ") || "none",
    ),
  ];
}

function tasksTable(plan: Plan): Block {
  return {
    kind: "table",
    caption: "Tasks",
    columns: [
      { title: "Task", align: "left" },
      { title: "Train", align: "right" },
      { title: "Held out", align: "right" },
      { title: "sha256", align: "left" },
      { title: "Strings from", align: "left" },
      { title: "Licence", align: "left" },
    ],
    rows: plan.tasks.map(({ definition, train, heldOut, sha256 }) => ({
      cells: [
        { text: [{ code: definition.name }] },
        { text: formatCount(train.length) },
        { text: formatCount(heldOut.length) },
        { text: [{ code: sha256 }] },
        { text: definition.source },
        { text: definition.licence },
      ],
    })),
  };
}

function fact(name: string, ...value: Inline[]): Facts[number] {
  return { name, value };
}
