/** What the models can tell of a vector that is added to their states: by ability a sentence, and a table of settings with all controls. */

import type { Estimate } from "../../score/interval.js";
import type { AbilityResult, InjectionResults, InjectionSetting } from "../../score/injection/injection-scores.js";
import type { Verdict } from "../../score/verdicts/verdict.js";
import type { InjectionAbility, PlannedInjection } from "../../study/injection-schema.js";
import {
  type Block,
  decimalText,
  formatCount,
  formatEstimate,
  formatMissing,
  type Inline,
  INTERVALS,
  left,
  paragraph,
  right,
  type Section,
  type Table,
  type TableCell,
} from "../document.js";
import { ABILITY_QUESTIONS, ABILITY_SHOWN, controlTitle, INJECTION_OUTCOMES } from "../injection-words.js";
import { verdictBlock } from "../sentences.js";
import type { StateNames } from "../state-names.js";

export function injectionSection(
  { results, confidence }: InjectionResults,
  verdicts: readonly Verdict[],
  plan: PlannedInjection,
  names: StateNames,
): Section {
  return {
    id: "injection",
    title: "What is told of an injected concept",
    blocks: [
      paragraph(
        "While a model reads sentences that say nothing of it, a concept's vector is added to its states; then it is asked about that. What is told " +
          "here holds for these wordings, these concepts, and vectors as they are made here.",
      ),
      { kind: "list", items: method(plan, confidence) },
      ...results.flatMap((result) => {
        const own = verdicts.filter(({ about }) => {
          return about.kind === "injection" && about.predictor === result.state && about.ability === result.ability;
        });
        return blocksOf(result, own, names);
      }),
    ],
  };
}

function method(plan: PlannedInjection, confidence: number): Inline[][] {
  const where =
    plan.span === "text"
      ? "while the sentences are read, and taken away before the question"
      : "from the first sentence on, through the question and the answer";
  return [
    [
      { strong: "Vectors. " },
      `${vectorsOf(plan)}, at a length in units of a state's median length (over ${formatCount(plan.templates.length)} prompts of each concept). Added ${where}; to ask for the place, in one sentence alone.`,
    ],
    [{ strong: "Random vectors. " }, `${formatCount(plan.randomVectors)} as long beside each concept's.`],
    [
      { strong: "Answers. " },
      "Exact probabilities of the answers that are asked for, however capitalized; nothing is generated. Notice: ln P(yes) less ln P(no), less the same without an injection. The other three are relative to the other answers and to the other injections, so that what the text alone invites cancels.",
    ],
    [
      { strong: "Unrelated questions. " },
      "The same answers to a question about something else, under the same injections: who is merely pushed towards an answer is pushed there as well.",
    ],
    [
      { strong: "Rule. " },
      `Shown where the effect and what it is beyond every control lie above 0.01 nats with their intervals, and the greatest of their p-values (signs flipped by concept), adjusted after Holm over the settings of one ability, is at most ${(1 - confidence).toFixed(2)}. Among these p-values, of naming, locating and rating, is how far the question stands out among its control questions: one more question of their kind would reach that by chance with this probability, by Student's t.`,
    ],
    [
      { strong: "Prompt inference. " },
      "No concept's word stands in any text that is asked. What the text alone suggests is the same under every injection.",
    ],
    [{ strong: "Intervals. " }, "Concepts are drawn. ", INTERVALS, "."],
  ];
}

function vectorsOf({ concepts, vectors }: PlannedInjection): string {
  const of = `Of each of ${formatCount(concepts.length)} concepts (${concepts.join(", ")})`;
  if (vectors === undefined) return `${of} the mean state over its prompts less that of the other concepts`;
  const files = Object.values(vectors).map(({ file, sha256 }) => `${file}, sha256 ${sha256.slice(0, 12)}…`);
  return `${of} the direction of a file (${files.join("; ")})`;
}

function blocksOf(
  { state, ability, outcome, settings }: AbilityResult,
  verdicts: readonly Verdict[],
  names: StateNames,
): Block[] {
  const found = settings.filter((one) => one.found);
  const places = found.map(({ site, strength }) => (strength === undefined ? site : `${site}, strength ${strength}`));
  const where =
    outcome === "shown"
      ? ` Found at ${formatCount(found.length)} of ${formatCount(settings.length)} settings: ${places.join("; ")}.`
      : "";
  return [
    { kind: "subheading", title: `${ABILITY_QUESTIONS[ability]} (${names(state)})` },
    paragraph(`${outcome === "shown" ? ABILITY_SHOWN[ability] : INJECTION_OUTCOMES[outcome]}${where}`),
    ...verdicts.map((verdict) => verdictBlock(verdict, names)),
    settingsTable(ability, settings, `${ABILITY_QUESTIONS[ability]} ${names(state)}`),
  ];
}

function injectionCell(estimate: Estimate): TableCell {
  return estimate.ok ? { text: decimalText(estimate, 2) } : { text: formatMissing(estimate.reason), missing: true };
}

function settingsTable(ability: InjectionAbility, settings: readonly InjectionSetting[], title: string): Table {
  const controls = settings[0]?.beyond.map(({ control }) => control) ?? [];
  const withRight = settings.some(({ right }) => right !== undefined);
  const withAmong = settings.some(({ among }) => among !== undefined);
  const besides = ability === "notice" ? (["affirmed"] as const) : [];
  return {
    kind: "table",
    caption: `${title}: every setting (${ability === "rate" ? "nats a level for each unit of strength" : "nats"})`,
    columns: [
      left("Site"),
      right("Strength"),
      right("Effect"),
      ...controls.map((control) => right(controlTitle(control))),
      ...(withAmong ? [right("p among questions")] : []),
      right("p, Holm"),
      left("Found"),
      ...(withRight ? [right("Right"), right("Right, random vectors"), right("Chance")] : []),
      ...besides.map(() => right("Unrelated, answer yes")),
    ],
    rows: settings.map(({ site, strength, effect, beyond, among, adjusted, found, right: answered, beside }) => ({
      cells: [
        { text: site },
        { text: strength === undefined ? "all" : String(strength) },
        injectionCell(effect.estimate),
        ...beyond.map(({ estimate }) => injectionCell(estimate)),
        ...(withAmong
          ? [among ? { text: among.p.toFixed(3) } : { text: formatMissing("too few"), missing: true }]
          : []),
        adjusted.ok ? { text: adjusted.p.toFixed(3) } : { text: formatMissing(adjusted.reason), missing: true },
        { text: found ? "yes" : "no" },
        ...(withRight
          ? [
              { text: answered ? formatEstimate(answered.concept) : formatMissing("not asked") },
              { text: answered?.random ? formatEstimate(answered.random) : "—" },
              { text: answered ? `${(100 * answered.chance).toFixed(1)}%` : "—" },
            ]
          : []),
        ...besides.map((name) => injectionCell(beside[name] ?? { ok: false, reason: "not asked" })),
      ],
    })),
  };
}
