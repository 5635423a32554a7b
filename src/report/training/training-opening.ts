/** The plain statement of what was asked before and after training, what was learnt in between, and what stands beside it. */
import type { Plan, PlannedTask } from "../../records/plan.js";
import { formatCount } from "../format-number.js";
import { hypotheticalQuestions, stringsEach } from "../question-counts.js";
import { joinWords, plural, readableName } from "../readable-name.js";

export function whatWasTrained(plan: Plan, adapters: NonNullable<Plan["adapters"]>): string {
  const all = Object.values(adapters);
  const plain = all.filter(({ labels, change }) => !labels && !change);
  const models = unique(plain.flatMap(({ base, target }) => [base, plan.states?.[target]?.model ?? target]));
  const namesOf = (tasks: readonly PlannedTask[]) => joinWords(tasks.map((task) => readableName(task.definition.name)));
  const trained = plan.tasks.filter((task) => task.trained);
  const heldOut = plan.tasks.filter((task) => task.trained === false);
  const properties = unique(plan.tasks.flatMap((task) => task.properties));
  const strings = plan.tasks.reduce((sum, task) => sum + task.heldOut.length, 0);
  const train = trained.reduce((sum, task) => sum + task.train.length, 0);
  const asked = hypotheticalQuestions(plan);
  const learnt = unique(
    plain.map(({ base, target }) => `${base} learnt what ${base === target ? "it does" : `${target} does`}`),
  );
  return [
    `${joinWords(models)} answered ${plural(strings, "held-out string", formatCount(strings))} of`,
    `${plural(plan.tasks.length, "task", formatCount(plan.tasks.length))} (${namesOf(plan.tasks)}; ${stringsEach(plan.tasks)}).`,
    `In separate conversations that do not show those answers, each predictor was asked what they would be: ${plural(asked, "hypothetical question", formatCount(asked))},`,
    `about ${formatCount(properties.length)} ${properties.length === 1 ? "property" : "properties"} of an answer (${joinWords(properties.map(readableName))}).`,
    `This was done before and after training a LoRA adapter: from the answers to ${plural(train, "other string", formatCount(train))} of ${namesOf(trained)}, ${joinWords(learnt)}.`,
    ...(heldOut.length === 0 ? [] : [`Nothing was learnt from ${namesOf(heldOut)}.`]),
    ...beside(plan),
    "A prediction is right when it equals the property of the answer that was really given.",
  ].join(" ");
}

/** Controls, other wordings and changes, counted. */
function beside(plan: Plan): string[] {
  const adapters = Object.values(plan.adapters ?? {});
  const states = Object.values(plan.states ?? {});
  const counted = (count: number, word: string) => (count === 0 ? [] : [plural(count, word, formatCount(count))]);
  const shown = states.filter((state) => state.shown).length;
  const parts = [
    ...counted(adapters.filter(({ labels }) => labels).length, "control"),
    ...counted(states.filter(({ wording }) => wording !== undefined).length, "other wording"),
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
