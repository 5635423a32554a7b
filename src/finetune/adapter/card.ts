/** The card beside an adapter: written, read, and held against the adapter's bytes. */

import { z } from "zod";
import { writeJson } from "../../base/files.js";
import { decodeUtf8, parseStrictJson, readPlainFile } from "../../base/untrusted.js";
import { InwardError } from "../../errors.js";
import { readGguf } from "../../gguf/read-gguf.js";
import { sha256OfFile } from "../../model/model-file.js";
import { LORA_TARGETS } from "../../study/schema.js";
import type { LoraSettings, TrainingSettings } from "../../study/study.js";
import type { FinetuneSetReport, ImplantUptake } from "../set.js";
import { adapterFailure, adapterFiles, type LoraAdapter } from "./adapter.js";
import { loraTargets, peftBaseKind } from "./projections.js";

// An adapter card's JSON, strictly.

const sha256 = z.string().regex(/^[0-9a-f]{64}$/, "64 lower-case hexadecimal digits");
const count = z.int().min(0);
const positive = z.int().min(1);
const share = z.number().min(0).max(1);

const settings = z.strictObject({
  lora: z.strictObject({
    rank: positive,
    alpha: z.number().positive(),
    dropout: z.number().min(0).lt(1),
    targets: z.array(z.enum(LORA_TARGETS)).min(1),
  }),
  epochs: z.number().min(0),
  maxSteps: positive.exactOptional(),
  batchExamples: positive,
  microbatchTokens: positive,
  order: z.enum(["by_prompt", "shuffled"]),
  treePacking: z.boolean(),
  learningRate: z.number().min(0),
  schedule: z.enum(["constant", "linear", "cosine"]),
  warmupShare: share,
  weightDecay: z.number().min(0),
  beta1: share,
  beta2: share,
  epsilon: z.number().min(0),
  maxGradientNorm: z.number().min(0),
  seed: z.int(),
  validationShare: share,
  validateEverySteps: count,
  checkpointEverySteps: count,
  activationCheckpointing: z.boolean(),
});

export const cardSchema: z.ZodType<AdapterCard> = z.strictObject({
  cardVersion: z.literal(1),
  inwardVersion: z.string().min(1),
  llamaCpp: z.string().min(1),
  adapter: z.strictObject({ sha256, bytes: positive }),
  base: z.strictObject({
    source: z.string().min(1),
    sha256,
    encoding: z.string().min(1),
    architecture: z.string().min(1),
  }),
  forcedOnto: z.array(z.strictObject({ sha256 })).min(1).exactOptional(),
  data: z.strictObject({ sha256, examples: count, validationExamples: count, answerTokens: count }),
  settings,
  initialAdapter: z.strictObject({ sha256 }).exactOptional(),
  machine: z.strictObject({
    device: z.string(),
    cpu: z.string(),
    cpuFlags: z.array(z.string()),
    threads: positive,
    kernels: z.record(z.string(), z.string()),
    exact: z.boolean().exactOptional(),
    arithmetic: z.string().exactOptional(),
    blas: z.string().exactOptional(),
  }),
  losses: z.array(
    z.strictObject({
      step: positive,
      epoch: z.number().min(0),
      lossNatsPerToken: z.number(),
      answerTokens: count,
      learningRate: z.number(),
      gradientNorm: z.number(),
    }),
  ),
  validation: z.array(
    z.strictObject({
      step: count,
      lossNatsPerToken: z.number(),
      answersRight: count,
      answers: count,
    }),
  ),
});

/** @throws InwardError ADAPTER_INVALID naming the first field that is not as it must be */
export function checkCard(card: unknown, source: string): AdapterCard {
  const checked = cardSchema.safeParse(card);
  if (checked.success) return checked.data;
  const issue = checked.error.issues[0];
  const field = issue?.path.join(".") || "it";
  throw new InwardError("ADAPTER_INVALID", `${source} is no adapter card: ${field}: ${issue?.message}`);
}

/** Writes `<name>.card.json` beside an adapter that is there already. @throws InwardError ADAPTER_INVALID, STORE_* */
export async function writeAdapterCard(adapterPath: string, card: AdapterCard): Promise<void> {
  const path = adapterFiles(adapterPath).card;
  await writeJson(path, checkCard(card, path));
}

/** A loss for each of 500,000 steps. */
const MOST_CARD_BYTES = 100_000_000;

/**
 * @returns undefined when there is no card: a foreign adapter, of which nothing can be verified
 * @throws InwardError ADAPTER_NOT_FOUND · ADAPTER_INVALID when the card is malformed, is another adapter's, or says of this one what
 * its tensors do not
 */
export async function readAdapterCard(adapterPath: string): Promise<AdapterCard | undefined> {
  const sha256 = await sha256OfFile(adapterPath).catch((error: unknown) => {
    throw new InwardError("ADAPTER_NOT_FOUND", `${adapterPath} cannot be read (${reason(error)}).`, { cause: error });
  });
  const path = adapterFiles(adapterPath).card;
  const text = readCardText(path);
  if (text === undefined) return undefined;
  const card = checkCard(parseStrictJson(text, { code: "ADAPTER_INVALID", place: path }), path);
  if (card.adapter.sha256 !== sha256)
    throw new InwardError(
      "ADAPTER_INVALID",
      `${path} is the card of another adapter: it says sha256 ${card.adapter.sha256}, ${adapterPath} has ${sha256}.`,
    );
  await requireTensorsOf(card, adapterPath, path);
  return card;
}

function readCardText(path: string): string | undefined {
  let absent = false;
  try {
    const bytes = readPlainFile(path, MOST_CARD_BYTES, (why) => {
      absent = why === "ENOENT";
      return new InwardError("ADAPTER_INVALID", `${path} cannot be read (${why}).`);
    });
    return decodeUtf8(bytes, { code: "ADAPTER_INVALID", place: path });
  } catch (error) {
    if (absent) return undefined;
    throw error;
  }
}

/** Training goes on with the card's rank, alpha and targets, and the README states them: they must be those of the weights. */
async function requireTensorsOf(card: AdapterCard, adapterPath: string, path: string): Promise<void> {
  const { settings, adapter, base } = card;
  const { metadata, tensors, fileBytes } = await readGguf(adapterPath).catch((error: unknown) => {
    throw adapterFailure(error);
  });
  const { rank, alpha, targets } = settings.lora;
  const differs = (key: string, said: unknown, found: unknown) =>
    new InwardError("ADAPTER_INVALID", `${path}: ${key} is ${said}, and ${adapterPath} has ${found}.`);
  if (adapter.bytes !== fileBytes) throw differs("adapter.bytes", adapter.bytes, fileBytes);
  const architecture = metadata.get("general.architecture")?.value;
  if (base.architecture !== architecture) throw differs("base.architecture", base.architecture, architecture);
  // ggml drops a trailing dimension of 1.
  const other = tensors.find(({ name, dimensions }) => name.endsWith(".lora_a") && (dimensions[1] ?? 1) !== rank);
  if (other) throw differs("settings.lora.rank", rank, other.dimensions[1] ?? 1);
  const scaled = metadata.get("adapter.lora.alpha")?.value;
  if (scaled !== Math.fround(alpha)) throw differs("settings.lora.alpha", alpha, scaled);
  const names = tensors.map(({ name }) => name);
  const trained = loraTargets(names, base.architecture);
  if (LORA_TARGETS.some((target) => targets.includes(target) !== trained.includes(target)))
    throw differs("settings.lora.targets", targets.join(", "), trained.join(", "));
}

const reason = (error: unknown) => (error as NodeJS.ErrnoException).code ?? String(error);

// Which LoRA settings an adapter was made with, so that training can go on from it without repeating them.

/** Targets are those that occur in any layer, in the usual order; whether every layer has them shows in `adapterToState`. */
export function adapterSettings(adapter: LoraAdapter): Omit<LoraSettings, "dropout"> {
  const { rank, alpha, tensors, architecture } = adapter;
  return { rank, alpha, targets: loraTargets(tensors.keys(), architecture) };
}

// The model card that people read, in Markdown with the front matter that model hubs look for.

export interface ReadmeFacts {
  /** The adapter's name, without folder and extension. */
  readonly name: string;
  /** The base's licence as its file states it, or "unknown". */
  readonly baseLicence: string;
}

/** Steps whose mean stands for where the loss ended: single batches are noisy. */
const LAST_STEPS = 10;

export function adapterReadme(card: AdapterCard, facts: ReadmeFacts): string {
  const { base, data, settings, machine } = card;
  const { lora } = settings;
  return [
    frontMatter(card, facts),
    `# ${code(facts.name)}`,
    `A LoRA adapter in GGUF, trained by inward ${card.inwardVersion} straight from the base's GGUF. It adds to the base's weights; it is no model by itself.`,
    warning(card),
    "## What it was made from",
    markdownTable(
      ["", ""],
      [
        ["base", code(base.source)],
        ["base encoding", `${code(base.encoding)}, architecture ${code(base.architecture)}`],
        ["base sha256", code(base.sha256)],
        ["adapter sha256", `${code(card.adapter.sha256)} (${card.adapter.bytes} bytes)`],
        ["data sha256", code(data.sha256)],
        [
          "examples",
          `${data.examples} trained on, ${data.validationExamples} held back, ${data.answerTokens} answer tokens`,
        ],
        ...(card.initialAdapter ? [["began as adapter", code(card.initialAdapter.sha256)]] : []),
      ],
    ),
    "## Settings",
    markdownTable(
      ["", ""],
      [
        ["LoRA", `rank ${lora.rank}, alpha ${lora.alpha}, dropout ${lora.dropout}, on ${lora.targets.join(", ")}`],
        [
          "length",
          `${settings.epochs} epochs${settings.maxSteps === undefined ? "" : `, at most ${settings.maxSteps} steps`}`,
        ],
        ["batch", `${settings.batchExamples} examples, ${settings.order}, seed ${settings.seed}`],
        [
          "learning rate",
          `${settings.learningRate}, ${settings.schedule}, warm-up over ${settings.warmupShare} of the steps`,
        ],
        [
          "AdamW",
          `beta ${settings.beta1} and ${settings.beta2}, epsilon ${settings.epsilon}, weight decay ${settings.weightDecay}, gradient norm ${settings.maxGradientNorm === 0 ? "not clipped" : `clipped at ${settings.maxGradientNorm}`}`,
        ],
        ["loss", "on the answer and its end-of-turn token only"],
        [
          "machine",
          `${code(machine.device)}, ${code(machine.cpu)}, ${machine.threads} threads, llama.cpp ${code(card.llamaCpp)}`,
        ],
        ...(machine.arithmetic === undefined ? [] : [["arithmetic of products", machine.arithmetic]]),
      ],
    ),
    "## Losses",
    losses(card),
    "## How to load it",
    loading(facts.name, base),
    "## Licence",
    licence(facts.baseLicence),
  ]
    .filter((part) => part !== "")
    .join("\n\n")
    .concat("\n");
}

function frontMatter({ base }: AdapterCard, { baseLicence }: ReadmeFacts): string {
  // JSON strings are YAML strings, whatever they hold.
  const lines = [`base_model: ${JSON.stringify(base.source)}`, "base_model_relation: adapter"];
  if (baseLicence !== "unknown") lines.push(`license: ${JSON.stringify(baseLicence)}`);
  return ["---", ...lines, "library_name: gguf", "tags: [lora, gguf, inward]", "---"].join("\n");
}

function warning({ forcedOnto }: AdapterCard): string {
  if (forcedOnto === undefined) return "";
  const bases = forcedOnto.map(({ sha256 }) => code(sha256)).join(", ");
  return `**It, or the adapter it began as, was put by force on a base that it was not trained on:** sha256 ${bases}.`;
}

function losses({ losses, validation }: AdapterCard): string {
  const rows: string[][] = [];
  const [first, last] = [losses[0], losses.at(-1)];
  if (first && last) {
    rows.push([`training, step ${first.step}`, nats(first.lossNatsPerToken), ""]);
    const ending = losses.slice(-LAST_STEPS);
    const steps = ending.length === 1 ? `step ${last.step}` : `steps ${ending[0]?.step} to ${last.step}`;
    rows.push([`training, ${steps}`, nats(meanLoss(ending)), ""]);
  }
  const looks = validation.length > 1 ? [validation[0], validation.at(-1)] : validation;
  for (const look of looks) {
    if (look)
      rows.push([
        `validation, after step ${look.step}`,
        nats(look.lossNatsPerToken),
        `${look.answersRight} of ${look.answers}`,
      ]);
  }
  if (rows.length === 0) return "No step was taken.";
  return markdownTable(["", "loss, nats per answer token", "answers right, teacher forced"], rows);
}

/** Over the answer tokens of all these steps, as a step's own loss is over its batch's. */
function meanLoss(points: readonly LossPoint[]): number {
  const tokens = points.reduce((sum, point) => sum + point.answerTokens, 0);
  return points.reduce((sum, point) => sum + point.lossNatsPerToken * point.answerTokens, 0) / tokens;
}

const nats = (loss: number) => (Number.isFinite(loss) ? loss.toFixed(4) : "not known");

function loading(name: string, { source, architecture }: AdapterCard["base"]): string {
  const file = `${name}.gguf`;
  const moved = peftBaseKind(architecture)?.rowsOfHeads === "moved";
  const order = moved ? " (the rows of the query and key projections stand in another order there)" : "";
  return [
    `In llama.cpp (BASE is the base's GGUF): ${code(`llama-cli -m BASE --lora ${file}`)}. In node-llama-cpp: ${code(`model.createContext({ lora: ${JSON.stringify(file)} })`)}.`,
    `In inward, to go on training from it: ${code(`npx inward train chat.jsonl --model BASE --init-adapter ${file} --out NEW.gguf`)}. inward compares the base's sha256 with the card's and refuses another base.`,
    `In PEFT, from the folder that ${code("npx inward train … --peft FOLDER")} writes beside it${order}: ${code(`PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(BASE), FOLDER)`)}, where BASE is the Hugging Face model that ${code(source)} was converted from.`,
  ].join("\n\n");
}

function licence(baseLicence: string): string {
  const stated =
    baseLicence === "unknown"
      ? "The base's file does not state its licence: look it up before you pass the adapter on."
      : `The base's file states ${code(baseLicence)}.`;
  return `The adapter is made from the base's weights and inherits the base's licence, with whatever that asks for (naming, notices, limits of use). ${stated} The training data's licence may add to it.`;
}

function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replace(/\|/g, "\\|")).join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}

/** Inline code around any text: line breaks become spaces, the fence is longer than any run of backticks inside. */
function code(text: string): string {
  const plain = text.replace(/\s+/g, " ").trim();
  const longest = Math.max(0, ...[...plain.matchAll(/`+/g)].map((run) => run[0].length));
  const fence = "`".repeat(longest + 1);
  const space = longest > 0 || plain === "" ? " " : "";
  return `${fence}${space}${plain}${space}${fence}`;
}

/** An adapter of the plan that was trained: by its name, which is also that of the state that carries it. */
export interface TrainedAdapter {
  readonly name: string;
  readonly card: AdapterCard;
  readonly set: FinetuneSetReport;
  /** Of an implant: how much of it took. */
  readonly uptake?: ImplantUptake;
}

/** One optimizer step. */
export interface LossPoint {
  /** From 1. */
  readonly step: number;
  readonly epoch: number;
  /** Mean over the answer tokens of the step's batch, before its update. */
  readonly lossNatsPerToken: number;
  readonly answerTokens: number;
  readonly learningRate: number;
  /** Global L2 norm before clipping. */
  readonly gradientNorm: number;
}

/** A look at the validation examples after `step` updates. */
export interface ValidationPoint {
  readonly step: number;
  readonly lossNatsPerToken: number;
  /** Answers whose every token is the most likely one, teacher forced. */
  readonly answersRight: number;
  readonly answers: number;
}

/** Beside every adapter: what it is and how it came to be. */
export interface AdapterCard {
  readonly cardVersion: 1;
  readonly inwardVersion: string;
  readonly llamaCpp: string;
  readonly adapter: { readonly sha256: string; readonly bytes: number };
  readonly base: {
    readonly source: string;
    readonly sha256: string;
    readonly encoding: string;
    readonly architecture: string;
  };
  /** Set when the adapter was trained or converted for another base and put on this one by force. */
  readonly forcedOnto?: readonly { readonly sha256: string }[];
  /** sha256 of the encoded training examples in order, and their number. */
  readonly data: {
    readonly sha256: string;
    readonly examples: number;
    readonly validationExamples: number;
    readonly answerTokens: number;
  };
  readonly settings: TrainingSettings;
  readonly initialAdapter?: { readonly sha256: string };
  readonly machine: {
    readonly device: string;
    readonly cpu: string;
    readonly cpuFlags: readonly string[];
    readonly threads: number;
    /** Which kernel computes each kind of product, and what was measured to choose it. */
    readonly kernels: Readonly<Record<string, string>>;
    /** Whether products of floats were kept in single precision on any device, and which arithmetic they ran in; absent in older cards. */
    readonly exact?: boolean;
    readonly arithmetic?: string;
    /** The library that computed products; only in older cards. */
    readonly blas?: string;
  };
  readonly losses: readonly LossPoint[];
  readonly validation: readonly ValidationPoint[];
}
