/** What was trained on what, from the adapter's card and the report of its finetune set: settings, loss, and every string left out. */

import type { TrainedAdapter } from "../../finetune/adapter/card.js";
import type { FinetuneSetCell } from "../../finetune/set.js";
import type { Scores } from "../../score/scores.js";
import { learntProperties, type Plan, type PlannedTask } from "../../study/plan.js";
import {
  type Block,
  type Figure,
  formatCount,
  formatNats,
  formatPercent,
  type Inline,
  aside,
  paragraph,
  type Section,
} from "../document.js";
import { lossFigure } from "../figures/training-figure.js";
import {
  countHypotheticalQuestions,
  implantWords,
  joinWords,
  plural,
  type PropertyNames,
  readableName,
  reasonWords,
  sourceWords,
  stringsEach,
  whatItLearnt,
} from "../terms.js";
import { otherAdapters } from "./before-after.js";
import type { TrainingEffect } from "../../score/verdicts/training-effect.js";
import { statesOf, type StateTraining } from "../../study/states.js";

type Facts = Extract<Block, { kind: "facts" }>["facts"];

/** @throws InwardError REPORT_FAILED */
export async function trainingSection(
  effects: readonly TrainingEffect[],
  others: readonly TrainedAdapter[],
  plan: Plan,
  property: PropertyNames,
): Promise<Section> {
  const blocks: Block[] = [];
  for (const [index, effect] of effects.entries()) {
    blocks.push(
      ...(effects.length > 1 ? [{ kind: "subheading" as const, title: whatItLearnt(effect) }] : []),
      paragraph(inShort(effect)),
      await lossOf(effect, `loss${effects.length > 1 ? `-${index + 1}` : ""}`, effects.length > 1),
      { kind: "facts", facts: factsOf(effect) },
      setTable(effect, property),
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

function setTable({ set }: TrainingEffect, property: PropertyNames): Block {
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
        { text: property(cell.property) },
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
    return [aside("No task was held out: every task of the study has examples in the set.")];
  return [
    aside(
      `Held out whole, not in the set: ${joinWords(heldOutTasks.map(readableName))}. Train strings of ${heldOutTasks.length === 1 ? "it" : "them"} serve the mode baseline only.`,
    ),
  ];
}

function fact(name: string, ...value: Inline[]): Facts[number] {
  return { name, value };
}

// The plain statement of what was asked before and after training, what was learnt in between, and what stands beside it.

export function whatWasTrained(plan: Plan): string {
  const states = statesOf(plan);
  const plain = states.plainlyTrained.map(({ origin, training: { target } }) => ({ origin, target }));
  const models = unique(plain.flatMap(({ origin, target }) => [origin, states.of(target).origin]));
  const namesOf = (tasks: readonly PlannedTask[]) => joinWords(tasks.map((task) => readableName(task.definition.name)));
  const trained = plan.tasks.filter((task) => task.trained);
  const heldOut = plan.tasks.filter((task) => task.trained === false);
  const properties = unique(plan.tasks.flatMap((task) => task.properties));
  const aside = unique(plan.tasks.flatMap((task) => task.heldOutProperties ?? []));
  const strings = plan.tasks.reduce((sum, task) => sum + task.heldOut.length, 0);
  const train = trained.reduce((sum, task) => sum + task.train.length, 0);
  const asked = countHypotheticalQuestions(plan);
  const learnt = unique(
    plain.map(({ origin, target }) => `${origin} learnt what ${origin === target ? "it does" : `${target} does`}`),
  );
  return [
    ...implantsOf(plan).map(
      ({ name, base, implant }) => `Before anything was asked, ${base} became ${name}: ${implantWords(implant)}.`,
    ),
    `${joinWords(models)} answered ${plural(strings, "held-out string", formatCount(strings))} of`,
    `${plural(plan.tasks.length, "task", formatCount(plan.tasks.length))} (${namesOf(plan.tasks)}; ${stringsEach(plan.tasks)}).`,
    `In separate conversations that do not show those answers, each predictor was asked what they would be: ${plural(asked, "hypothetical question", formatCount(asked))},`,
    `about ${formatCount(properties.length)} ${properties.length === 1 ? "property" : "properties"} of an answer (${joinWords(properties.map(readableName))}).`,
    `This was done before and after training a LoRA adapter: from the answers to ${plural(train, "other string", formatCount(train))} of ${namesOf(trained)}, ${joinWords(learnt)}.`,
    ...(heldOut.length === 0 ? [] : [`Nothing was learnt from ${namesOf(heldOut)}.`]),
    ...(aside.length === 0 ? [] : [`No question about ${joinWords(aside.map(readableName))} was learnt on any task.`]),
    ...beside(plan),
    "A prediction is right when it equals the property of the answer that was really given.",
  ].join(" ");
}

function implantsOf(plan: Plan) {
  return statesOf(plan).trained.flatMap(({ name, implant, training: { base } }) =>
    implant ? [{ name, base, implant }] : [],
  );
}

/** Controls, other wordings and changes, counted. */
function beside(plan: Plan): string[] {
  const { all, trained: adapters } = statesOf(plan);
  const counted = (count: number, word: string) => (count === 0 ? [] : [plural(count, word, formatCount(count))]);
  const shown = all.filter((state) => state.shown).length;
  const parts = [
    ...counted(adapters.filter(({ labels }) => labels).length, "control"),
    ...counted(all.filter(({ wording }) => wording !== undefined).length, "other wording"),
    ...(shown === 0
      ? []
      : [`${formatCount(shown)} that ${shown === 1 ? "was" : "were"} shown behaviors in the prompt`]),
  ];
  const changes = adapters.filter(({ change }) => change && change.alongside === undefined).length;
  return [
    ...(parts.length === 0 ? [] : [`Beside these stand ${joinWords(parts)}.`]),
    ...(changes === 0
      ? []
      : [
          `Then a self-predicting model was trained to behave otherwise, in ${plural(changes, "way", formatCount(changes))}, and everybody was asked about it again.`,
        ]),
  ];
}

function unique(names: readonly string[]): string[] {
  return [...new Set(names)];
}

// How adapters were trained and what "before and after" means: from the plan, so that a reader could train the same.

/** Nothing for a plan that trains nothing. */
export function trainingMethod(plan: Plan): Block[] {
  const adapters = statesOf(plan).trained.map(({ training }) => training);
  if (adapters.length === 0) return [];
  const plain = adapters.filter(({ change, implant }) => !change && !implant);
  const most = [...new Set(plain.map(({ examplesPerProperty }) => examplesPerProperty))];
  const trained = plan.tasks.filter((task) => task.trained).map((task) => readableName(task.definition.name));
  return [
    { kind: "subheading", title: "Training" },
    {
      kind: "list",
      items: [
        [
          { strong: "Examples. " },
          `The hypothetical question about a train string of ${joinWords(trained)}, as it is asked of held-out strings, with the behavior that the target showed on it as the answer. `,
          `At most ${joinWords(most.map(formatCount))} strings per task and property, drawn by the seed.`,
        ],
        [
          { strong: "Left out. " },
          "Strings whose answer has no behavior, whose text is a held-out string of any task, or whose behavior would not be read back from a reply; and examples that equal an earlier one.",
        ],
        [
          { strong: "Loss. " },
          "Cross-entropy of the answer's tokens and the end-of-turn token after them. Only the adapter is trained.",
        ],
        ...implantItems(plan),
        ...controlItems(adapters),
        ...changeItems(adapters),
        [
          { strong: "Asked again. " },
          "The hypothetical questions about every held-out string; and, where a model learnt to predict itself, the object-level questions of the held-out strings, since training moves behavior.",
        ],
      ],
    },
  ];
}

function implantItems(plan: Plan): Inline[][] {
  return implantsOf(plan).map(({ name, base, implant }) => [
    { strong: `Implant ${implant.name}. ` },
    `${base} with it is called ${name}. Its adapter learns answers to object-level questions: ${implantWords(implant)}. Self-predictors of ${name} go on from this adapter.`,
  ]);
}

function controlItems(adapters: readonly StateTraining[]): Inline[][] {
  const noisy = adapters.find(({ labels }) => labels === "noisy")?.labelNoise;
  const has = (labels: StateTraining["labels"]) => adapters.some((adapter) => adapter.labels === labels);
  return [
    ...(has("scrambled")
      ? [
          [
            { strong: "Control: scrambled labels. " },
            "The same questions and the same labels, dealt out to other strings of their task and property: what such an adapter gets right it does not know of the string.",
          ],
        ]
      : []),
    ...(has("format_only")
      ? [
          [
            { strong: "Control: format only. " },
            "The property is to be read off an answer that is quoted: it learns the form of a reply, and nothing of what the target does.",
          ],
        ]
      : []),
    ...(noisy === undefined
      ? []
      : [
          [
            { strong: "Noisy labels. " },
            `The same questions, with ${formatPercent(noisy)} of the labels of each task and property replaced by other values that the target shows there: how much a prediction hangs on single labels.`,
          ],
        ]),
  ];
}

function changeItems(adapters: readonly StateTraining[]): Inline[][] {
  return adapters.flatMap(({ change }): Inline[][] => {
    if (!change) return [];
    const { name, from, answers, tasks, examples, alongside, planted } = change;
    if (alongside !== undefined) {
      return [
        [
          { strong: `Change ${name}, given to a cross-predictor. ` },
          `Goes on from ${from} and learns the same answers as ${alongside}, which it is then asked about.`,
        ],
      ];
    }
    const hypothetical = planted
      ? "Hypothetical questions about the same strings are taught too, with what it answers from now on: a positive control, whose predictions are known to follow."
      : "No hypothetical question is trained on meanwhile.";
    return [
      [
        { strong: `Change ${name}. ` },
        `Goes on from ${from} and learns to answer object-level questions about at most ${formatCount(examples)} train strings of each of ${joinWords(tasks.map(readableName))}, with ${sourceWords(answers)}. ${hypothetical}`,
      ],
    ];
  });
}

/** The rules of scoring that a training adds. */
export function changeRules({ changes, drift }: Scores): Inline[][] {
  return [
    ...(changes
      ? [
          [
            { strong: "Change. " },
            "Accuracy after minus before training about the same untrained behavior, paired trial by trial and bootstrapped by string.",
          ],
          [
            { strong: "Mode after training. " },
            "The trained model learnt the untrained model's answers, so the train mode about its new behavior is theirs too.",
          ],
        ]
      : []),
    ...(drift
      ? [
          [
            { strong: "Drift. " },
            "Of the strings whose answers have a behavior both before and after training, the share where the two differ.",
          ],
        ]
      : []),
  ];
}

// What a study that trains cannot show, from what was and was not run.

export const JUDGED_BY_COMPARISON =
  "Privileged access is judged under “Self against cross”, for these models, trainings and strings; that section says what it does not show.";

/** @param compared whether self and cross are compared in this report */
export function trainingLimits(plan: Plan, compared: boolean): string[] {
  const all = statesOf(plan).trained.map(({ training }) => training);
  const plain = statesOf(plan).plainlyTrained.map(({ origin, training: { target } }) => ({ origin, target }));
  const self = plain.filter(({ origin, target }) => origin === target);
  const withoutCross = self.filter(
    ({ target }) => !plain.some((other) => other.target === target && other.origin !== target),
  );
  const heldOut = plan.tasks.filter((task) => task.trained === false).map((task) => readableName(task.definition.name));
  return [
    ...privilegedAccess(self, withoutCross, compared),
    seeds(plan),
    heldOut.length === 0
      ? "No task was held out: whether what was learnt carries over to other tasks is not measured."
      : `${heldOut.length === 1 ? "One task was" : `${heldOut.length} tasks were`} held out (${joinWords(heldOut)}): how far learning carries over to still other tasks is known only from ${heldOut.length === 1 ? "it" : "them"}.`,
    ...heldOutProperties(plan),
    ...missingControls(all),
    ...(all.some(({ change }) => change)
      ? []
      : [
          "Behavior was not changed on purpose after training (study key changes): whether predictions follow such a change is not measured.",
        ]),
  ];
}

function seeds(plan: Plan): string {
  const conditions = new Map<string, number>();
  for (const { condition } of statesOf(plan).plainlyTrained) {
    conditions.set(condition, (conditions.get(condition) ?? 0) + 1);
  }
  const once = [...conditions.values()].filter((count) => count === 1).length;
  if (once === conditions.size) {
    return "Each adapter was trained once, with one seed and one setting (study key predictions.seed adds others): how far results vary between trainings is not measured, and nothing says that the settings are good ones.";
  }
  const most = Math.max(...conditions.values());
  const rest = once === 0 ? "" : `, ${formatCount(once)} of ${formatCount(conditions.size)} kinds of adapters with one`;
  return `Trainings had at most ${formatCount(most)} seeds${rest}: how far results vary between trainings is known from so few, and nothing says that the settings are good ones.`;
}

/** Each with the study key that would add it. */
function missingControls(all: readonly StateTraining[]): string[] {
  const has = (labels: StateTraining["labels"]) => all.some((adapter) => adapter.labels === labels);
  return [
    ...(has("scrambled")
      ? []
      : [
          "No control on scrambled labels (study key controls.scrambled): how much any training on such labels gives is not measured.",
        ]),
    ...(has("format_only")
      ? []
      : [
          "Training also teaches the form of a reply; no training on the form alone was run (study key controls.formatOnly), so its part in a change shows only in how many replies comply.",
        ]),
  ];
}

function heldOutProperties({ tasks }: Plan): string[] {
  const learnt = new Set(tasks.filter(({ trained }) => trained).flatMap(learntProperties));
  const fresh = tasks.flatMap(({ properties }) => properties).filter((property) => !learnt.has(property));
  return fresh.length > 0
    ? []
    : [
        "Every property that is scored was trained on (study key heldOutProperties): whether learning carries over to other properties is not measured.",
      ];
}

function privilegedAccess(
  self: readonly Pick<StateTraining, "target">[],
  withoutCross: readonly Pick<StateTraining, "target">[],
  compared: boolean,
): string[] {
  const judged = compared ? [JUDGED_BY_COMPARISON] : [];
  if (self.length === 0) {
    return compared ? judged : ["Only cross-predictions were trained: privileged access is not measured."];
  }
  if (withoutCross.length > 0) {
    return [
      ...judged,
      `No other model was trained to predict ${joinWords([...new Set(withoutCross.map(({ target }) => target))])} (cross-prediction): privileged access is not measured.`,
    ];
  }
  if (compared) return judged;
  return [
    "Self-predictions and cross-predictions stand side by side; their difference on the same trials, which would measure privileged access, is not computed here.",
  ];
}
