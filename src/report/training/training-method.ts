/** How adapters were trained and what "before and after" means: from the plan, so that a reader could train the same. */
import type { Plan, PlannedAdapter } from "../../records/plan.js";
import type { Scores } from "../../records/scores.js";
import { sourceWords } from "../change/shift-words.js";
import type { Block, Inline } from "../document.js";
import { formatCount } from "../format-number.js";
import { joinWords, readableName } from "../readable-name.js";

/** Nothing for a plan that trains nothing. */
export function trainingMethod(plan: Plan): Block[] {
  const adapters = Object.values(plan.adapters ?? {});
  if (adapters.length === 0) return [];
  const plain = adapters.filter(({ change }) => !change);
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

function controlItems(adapters: readonly PlannedAdapter[]): Inline[][] {
  const has = (labels: PlannedAdapter["labels"]) => adapters.some((adapter) => adapter.labels === labels);
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
  ];
}

function changeItems(adapters: readonly PlannedAdapter[]): Inline[][] {
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
