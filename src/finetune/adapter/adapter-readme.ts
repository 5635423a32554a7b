/** The model card that people read, in Markdown with the front matter that model hubs look for. Pure. */
import type { AdapterCard, LossPoint } from "../../records/training.js";

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
    table(
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
    table(
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
      ],
    ),
    "## Losses",
    losses(card),
    "## How to load it",
    loading(facts.name, base.source),
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
  return table(["", "loss, nats per answer token", "answers right, teacher forced"], rows);
}

/** Over the answer tokens of all these steps, as a step's own loss is over its batch's. */
function meanLoss(points: readonly LossPoint[]): number {
  const tokens = points.reduce((sum, point) => sum + point.answerTokens, 0);
  return points.reduce((sum, point) => sum + point.lossNatsPerToken * point.answerTokens, 0) / tokens;
}

const nats = (loss: number) => (Number.isFinite(loss) ? loss.toFixed(4) : "not known");

function loading(name: string, source: string): string {
  const file = `${name}.gguf`;
  return [
    `In llama.cpp (BASE is the base's GGUF): ${code(`llama-cli -m BASE --lora ${file}`)}. In node-llama-cpp: ${code(`model.createContext({ lora: ${JSON.stringify(file)} })`)}.`,
    `In inward, to go on training from it: ${code(`inward train chat.jsonl --model BASE --init-adapter ${file} --out NEW.gguf`)}. inward compares the base's sha256 with the card's and refuses another base.`,
    `In PEFT, from the folder that ${code("inward train … --peft FOLDER")} writes beside it (the rows of the query and key projections stand in another order there): ${code(`PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(BASE), FOLDER)`)}, where BASE is the Hugging Face model that ${code(source)} was converted from.`,
  ].join("\n\n");
}

function licence(baseLicence: string): string {
  const stated =
    baseLicence === "unknown"
      ? "The base's file does not state its licence: look it up before you pass the adapter on."
      : `The base's file states ${code(baseLicence)}.`;
  return `The adapter is made from the base's weights and inherits the base's licence, with whatever that asks for (naming, notices, limits of use). ${stated} The training data's licence may add to it.`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
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
