/** Exactly which files ran, on which engine, with which settings and seeds. */

import type { Scores } from "../../score/scores.js";
import type { EngineManifest, Plan } from "../../study/plan.js";
import type { RemovedLayers } from "../../gguf/inspect-gguf.js";
import { type Block, formatCount, type Inline, type Section, type TableCell } from "../document.js";
import { readableName, stateWords } from "../terms.js";
import { statesOf } from "../../study/states.js";

type Facts = Extract<Block, { kind: "facts" }>["facts"];

export function filesSection(plan: Plan, scores: Scores, manifests: Readonly<Record<string, EngineManifest>>): Section {
  const models = Object.keys(plan.models);
  const states = [...new Set([...statesOf(plan).all.map(({ name }) => name), ...Object.keys(manifests)])];
  const derived = states.filter((state) => !models.includes(state) && !statesOf(plan).of(state).elsewhere);
  return {
    id: "files",
    title: "Files, engine and settings",
    blocks: [
      ...models.flatMap((model): Block[] => [
        { kind: "subheading", title: `Model ${model}` },
        { kind: "facts", facts: [...fileFacts(plan.models[model]), ...engineFacts(manifests[model])] },
      ]),
      ...(derived.length > 0 ? [derivedTable(plan, derived, manifests)] : []),
      { kind: "subheading", title: "Study" },
      { kind: "facts", facts: studyFacts(plan, scores) },
      tasksTable(plan),
    ],
  };
}

/** Everything that was asked and is not a model as it came. */
function derivedTable(
  plan: Plan,
  derived: readonly string[],
  manifests: Readonly<Record<string, EngineManifest>>,
): Block {
  return {
    kind: "table",
    caption: "Model states made from them: the same weights with an adapter, or asked in a way of their own",
    columns: [
      { title: "State", align: "left" },
      { title: "Weights of", align: "left" },
      { title: "Adapter", align: "left" },
      { title: "Engine", align: "left" },
    ],
    rows: derived.map((state) => {
      const model = statesOf(plan).all.find(({ name }) => name === state)?.model;
      return {
        cells: [
          { text: [{ code: state }], small: stateWords(plan, state) },
          model === undefined ? { text: "— (not in the plan)", missing: true } : { text: model },
          adapterCell(manifests[state]),
          { text: likeEngineOf(manifests[state], model === undefined ? undefined : manifests[model]) },
        ],
      };
    }),
  };
}

function adapterCell(manifest: EngineManifest | undefined): TableCell {
  if (!manifest) return { text: "— (no manifest was recorded)", missing: true };
  const { adapter } = manifest;
  return adapter
    ? { text: ["scale ", String(adapter.scale), ", sha256 ", { code: adapter.sha256 }] }
    : { text: "none" };
}

/** The weights' own engine, or what differs. */
function likeEngineOf(own: EngineManifest | undefined, base: EngineManifest | undefined): string {
  if (!own) return "— (no manifest was recorded)";
  const keys = (Object.keys(own) as (keyof EngineManifest)[]).filter((key) => key !== "adapter");
  const differing = base ? keys.filter((key) => JSON.stringify(own[key]) !== JSON.stringify(base[key])) : keys;
  if (differing.length === 0) return "as its weights alone";
  return differing.map((key) => `${key} ${JSON.stringify(own[key])}`).join("; ");
}

function fileFacts(file: Plan["models"][string] | undefined): Facts {
  if (!file) return [fact("File", "— (not in the plan)")];
  const from = file.reencodedFrom;
  return [
    fact("Source", { code: file.source }),
    fact("File that ran", `${file.encoding}, ${formatCount(file.bytes)} bytes`),
    fact("sha256", { code: file.sha256 }),
    ...(from ? [fact("Re-encoded from", `${from.encoding}, sha256 `, { code: from.sha256 })] : []),
    ...(file.roundedTo
      ? [
          fact("Rounded", `to the grid of ${file.roundedTo.fileType}, from the quantized file with sha256 `, {
            code: file.roundedTo.sha256,
          }),
        ]
      : []),
    ...(file.layersRemoved ? [fact("Layers taken out", ...layersWords(file.layersRemoved))] : []),
    ...(file.adapter ? [fact("Wears the adapter", ...adapterWords(file.adapter))] : []),
    ...(file.wholePrompts ? [fact("Asked", "each prompt whole: its state of a text cannot be shared in part")] : []),
    ...(file.warnings ?? []).map((warning) => fact("Warning of llama.cpp about the file", warning)),
    fact("Licence", file.licence),
  ];
}

function adapterWords(adapter: NonNullable<Plan["models"][string]["adapter"]>): Inline[] {
  const { source, sha256, convertedFrom, rank, alpha, targets, base } = adapter;
  return [
    { code: source },
    `, rank ${rank}, alpha ${alpha}, on ${targets.join(", ")}; sha256 `,
    { code: sha256 },
    ...(convertedFrom ? [", made of PEFT's file with sha256 ", { code: convertedFrom.weights }] : []),
    base === "verified" ? "; its card names these weights" : "; no card: only its shapes say that it is this model's",
  ];
}

function layersWords({ layers, of, sha256 }: RemovedLayers): Inline[] {
  return [
    `${formatCount(layers.length)} of ${formatCount(of)} (numbers ${layers.join(", ")}), from the file with sha256 `,
    { code: sha256 },
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
      `strict ${yesNo(manifest.strict)}, exact ${yesNo(manifest.exact === true)}, invariant ${yesNo(manifest.invariant === true)}, flash attention ${yesNo(manifest.flashAttention)}, unified KV cache ${yesNo(manifest.kvUnified)}, keys and values as ${manifest.cacheType ?? "f16"}${manifest.kernels ? `, own forward pass (${manifest.kernels})` : ""}`,
    ),
    ...(manifest.arithmetic === undefined ? [] : [fact("Arithmetic", manifest.arithmetic)]),
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
      `${engine.groupQuestions} questions per group, ${engine.topTokens} top tokens stored${engine.alternatives === undefined ? "" : `, ${engine.alternatives} at every position`}`,
    ),
    fact("Noise floor", `${formatCount(plan.noiseFloor.questions)} questions to ask again per model state`),
    fact(
      "Predictions",
      plan.predictions.map(({ predictor, target }) => `${predictor} about ${target}`).join("; ") || "none",
    ),
    fact(
      "Experiments",
      plan.experiments ? plan.experiments.map(readableName).join(", ") : "— (the plan is older than experiments)",
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
