/** What was trained on what, from the adapter's card and the report of its finetune set: settings, loss, and every string left out. */
import type { FinetuneSetCell } from "../../records/finetune-set.js";
import type { Plan } from "../../records/plan.js";
import type { TrainedAdapter } from "../../records/trained-adapter.js";
import { type Block, type Figure, type Inline, note, paragraph, type Section } from "../document.js";
import { lossFigure } from "../figures/loss-figure.js";
import { formatCount, formatNats, formatPercent } from "../format-number.js";
import { joinWords, plural, readableName } from "../readable-name.js";
import { reasonWords } from "../reason-words.js";
import { otherAdapters } from "./other-adapters.js";
import type { TrainingEffect } from "./effects-of.js";
import { whatItLearnt } from "./training-words.js";

type Facts = Extract<Block, { kind: "facts" }>["facts"];

/** @throws InwardError REPORT_FAILED */
export async function trainingSection(
  effects: readonly TrainingEffect[],
  others: readonly TrainedAdapter[],
  plan: Plan,
): Promise<Section> {
  const blocks: Block[] = [];
  for (const [index, effect] of effects.entries()) {
    blocks.push(
      ...(effects.length > 1 ? [{ kind: "subheading" as const, title: whatItLearnt(effect) }] : []),
      paragraph(inShort(effect)),
      await lossOf(effect, `loss${effects.length > 1 ? `-${index + 1}` : ""}`, effects.length > 1),
      { kind: "facts", facts: factsOf(effect) },
      setTable(effect),
      ...heldOutNote(effect),
    );
  }
  return { id: "training", title: "What was trained", blocks: [...blocks, ...otherAdapters(others, plan)] };
}

function inShort({ card, set, base, target, isSelf }: TrainingEffect): string {
  const { lora } = card.settings;
  return [
    `A LoRA adapter of rank ${lora.rank} beside ${joinWords(lora.targets)} of ${base} learnt ${isSelf ? "its own behavior" : `the behavior of ${target}`} on`,
    `${plural(set.strings, "train string", formatCount(set.strings))}: ${plural(card.data.examples, "example", formatCount(card.data.examples))} with`,
    `${plural(card.data.answerTokens, "answer token", formatCount(card.data.answerTokens))}, in ${plural(card.losses.length, "optimizer step", formatCount(card.losses.length))}.`,
    "The base's own weights stay as they are, and the loss is on the answers and their end-of-turn tokens only.",
  ].join(" ");
}

async function lossOf(effect: TrainingEffect, name: string, several: boolean): Promise<Figure> {
  const { card } = effect;
  const title = `Loss over training${several ? `: ${whatItLearnt(effect)}` : ""}`;
  return { kind: "figure", name, title, caption: lossCaption(effect), svg: await lossFigure(title, card) };
}

function lossCaption({ card: { losses, validation, data } }: TrainingEffect): string {
  const first = losses[0];
  const last = validation.at(-1);
  const sentences = [
    "Nats per answer token; a step's loss is that of its batch before its update, so single steps scatter.",
    ...(first ? [`The first batch began at ${formatNats(first.lossNatsPerToken)}.`] : []),
  ];
  if (!last) return [...sentences, "No examples were held back to watch the loss."].join(" ");
  const least = validation.reduce((best, point) => (point.lossNatsPerToken < best.lossNatsPerToken ? point : best));
  const rise =
    least.step === last.step
      ? "at its lowest"
      : `its lowest was ${formatNats(least.lossNatsPerToken)} after step ${formatCount(least.step)}; the adapter is that of the last step`;
  return [
    ...sentences,
    `Validation: ${plural(data.validationExamples, "example", formatCount(data.validationExamples))} of prompts that were held back from the same set, so they say nothing about held-out tasks.`,
    `After the last step their loss is ${formatNats(last.lossNatsPerToken)} (${rise}), and every answer token is the most likely one in ${formatCount(last.answersRight)} of ${formatCount(last.answers)} answers.`,
  ].join(" ");
}

function factsOf({ card, set }: TrainingEffect): Facts {
  const { settings, data, machine, base } = card;
  const { lora } = settings;
  const kernels = [...new Set(Object.values(machine.kernels))].sort();
  return [
    fact("LoRA", `rank ${lora.rank}, alpha ${lora.alpha}, dropout ${lora.dropout}; targets ${lora.targets.join(", ")}`),
    fact("Base", `${base.source}, ${base.encoding}, sha256 `, { code: base.sha256 }),
    fact("Adapter", `${formatCount(card.adapter.bytes)} bytes, sha256 `, { code: card.adapter.sha256 }),
    ...(card.initialAdapter ? [fact("Started from the adapter", { code: card.initialAdapter.sha256 })] : []),
    ...(card.forcedOnto ?? []).map(({ sha256 }) => fact("Put by force on another base", { code: sha256 })),
    fact(
      "Examples",
      `${formatCount(data.examples)} trained on (${formatCount(data.answerTokens)} answer tokens), ${formatCount(data.validationExamples)} held back for validation; wordings: ${joinWords(set.variants.map(readableName))}`,
    ),
    fact("Finetune set", "sha256 ", { code: set.sha256 }),
    fact(
      "Steps",
      `${formatCount(card.losses.length)}; ${plural(settings.epochs, "epoch", formatCount(settings.epochs))}${settings.maxSteps === undefined ? "" : `, at most ${formatCount(settings.maxSteps)} steps`}; ${settings.batchExamples} examples a step, order ${readableName(settings.order)}, tree packing ${settings.treePacking ? "yes" : "no"}`,
    ),
    fact(
      "AdamW",
      `learning rate ${settings.learningRate}, ${settings.schedule} after a warm-up of ${formatPercent(settings.warmupShare)} of the steps; weight decay ${settings.weightDecay}, beta ${settings.beta1} and ${settings.beta2}, epsilon ${settings.epsilon}, gradients clipped at ${settings.maxGradientNorm === 0 ? "no norm" : `norm ${settings.maxGradientNorm}`}`,
    ),
    fact("Seed", String(settings.seed)),
    fact(
      "Trained by",
      `inward ${card.inwardVersion} on llama.cpp ${card.llamaCpp}; ${machine.device}, ${machine.threads} threads; products by ${joinWords(kernels)}${machine.blas ? ` (${machine.blas})` : ""}`,
    ),
  ];
}

function setTable({ set }: TrainingEffect): Block {
  return {
    kind: "table",
    caption: "The finetune set: what became of every train string of the trained tasks",
    groupTitle: "Task",
    columns: [
      { title: "Property", align: "left" },
      { title: "Train strings", align: "right" },
      { title: "In the set", align: "right" },
      { title: "Examples", align: "right" },
      { title: "Not drawn", align: "right" },
      { title: "Duplicate examples", align: "right" },
      { title: "Left out", align: "right" },
      { title: "Reasons", align: "left" },
    ],
    rows: set.cells.map((cell) => ({
      group: readableName(cell.task),
      cells: [
        { text: readableName(cell.property) },
        ...[cell.strings, cell.drawn, cell.examples, cell.notDrawn, cell.duplicates].map((count) => ({
          text: formatCount(count),
        })),
        { text: formatCount(leftOut(cell).reduce((sum, [, count]) => sum + count, 0)) },
        {
          text:
            leftOut(cell)
              .map(([reason, count]) => `${reasonWords(reason)}: ${formatCount(count)}`)
              .join("; ") || "none",
        },
      ],
    })),
  };
}

/** Most common first. */
function leftOut({ excluded }: FinetuneSetCell): [string, number][] {
  return Object.entries(excluded).sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1));
}

function heldOutNote({ set }: TrainingEffect): Block[] {
  const { heldOutTasks } = set;
  if (heldOutTasks.length === 0)
    return [note("No task was held out: every task of the study has examples in the set.")];
  return [
    note(
      `Held out whole, not in the set: ${joinWords(heldOutTasks.map(readableName))}. Train strings of ${heldOutTasks.length === 1 ? "it" : "them"} serve the mode baseline only.`,
    ),
  ];
}

function fact(name: string, ...value: Inline[]): Facts[number] {
  return { name, value };
}
