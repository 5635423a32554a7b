/** inward probe spans: which tokens are a task's string, its items, the question, in the prompts exactly as they are asked. */

import { Command } from "commander";
import { InwardError } from "../errors.js";
import { hashTokens } from "../model/engines/engine.js";
import { openTokenizer, type Tokenizer } from "../model/engines/start-engine.js";
import type { LocatedPrompt } from "../model/language-model.js";
import {
  alignSpans,
  findSpans,
  markHypothetical,
  type MarkedQuestion,
  markObjectLevel,
  type AlignedSpan,
  type TokenSpan,
} from "../probe/spans.js";
import { propertyNamed } from "../properties/all-properties.js";
import { questionOn } from "../properties/option-letters.js";
import { hypotheticalVariant, wordedFor } from "../properties/wordings.js";
import { findModel, type FoundModel, openFound } from "../run/open-model.js";
import { DEFAULT_ENGINE } from "../study/load-study.js";
import { gatherProperties, joinProperties } from "../study/load-properties.js";
import { loadTask } from "../study/load-task.js";
import type { Reply } from "../tasks/answer.js";
import { chatKind, inFormOf } from "../tasks/plain-form.js";
import {
  findOptions,
  jsonOption,
  type JsonOption,
  modelOptions,
  type ModelOptions,
  noteChat,
  prefixed,
  type PrefixOption,
  prefixOption,
  type PromptOptions,
  promptOptions,
  type PropertiesFromOption,
  propertiesFromOption,
} from "./options.js";
import { abortOnInterrupt, print, printJson, table } from "./output.js";
import { showProgress } from "./progress.js";

interface SpansOptions extends ModelOptions, PromptOptions, PropertiesFromOption, PrefixOption, JsonOption {
  readonly task: string;
  readonly property?: string;
  readonly replies?: boolean;
}

export function probeSpansCommand(): Command {
  const command = modelOptions(new Command("spans"))
    .summary("which tokens are the string, its items, the question, the reply, in both kinds of prompt")
    .description(
      "Finds the spans that sites are named by, in the ids exactly as they are asked: of the object-level question, of the\n" +
        "hypothetical one, and whether both have the same ids. TEXT is one string of the task; its first string when absent.\n" +
        "No weights are read; with --replies both questions are asked, greedily, and each token of the replies is a span too.",
    )
    .argument("[text]", "one string of the task")
    .requiredOption("-t, --task <task>", "a built-in name, or the path of a task YAML")
    .option(
      "-p, --property <property>",
      "what the hypothetical question asks for; the task's first property when absent",
    )
    .option("--replies", "ask both questions, and show each token of what is said");
  return jsonOption(propertiesFromOption(promptOptions(prefixOption(command)))).action(showSpans);
}

async function showSpans(given: string | undefined, options: SpansOptions): Promise<void> {
  const task = prefixed(await loadTask(options.task), options);
  const own = joinProperties([
    { place: `the task ${options.task}`, own: task.ownProperties },
    { place: "--properties-from", own: gatherProperties(options, ".", "--properties-from") },
  ]);
  const kind = chatKind(options.chat);
  const definition = inFormOf(kind, task.definition);
  const property = propertyNamed(options.property ?? (definition.properties[0] as string), own);
  const text = given ?? ([...task.train, ...task.heldOut][0]?.text as string);
  const { examples } = options;
  const words = { examples, system: "" };
  const questions = [
    markObjectLevel(definition, { text }, words),
    markHypothetical(definition, { text }, property, {
      ...words,
      template: wordedFor(kind, hypotheticalVariant(options.variant)),
      question: questionOn(property, definition),
    }),
  ] as const;
  const progress = showProgress();
  const signal = abortOnInterrupt();
  const found = await findModel(options.model, {
    ...findOptions(options),
    signal,
    onProgress: progress.update,
  }).finally(progress.end);
  noteChat(found);
  const tokenizer = await openTokenizer(found.file.path, found.chat);
  try {
    const [object, hypothetical] = await tokenizer.locate(questions.map(({ messages }) => messages));
    if (object === undefined || hypothetical === undefined) return;
    const prompts = [object, hypothetical] as const;
    const replies = options.replies
      ? await saidTo(questions, prompts, definition.maxTokens, tokenizer, found, options, signal)
      : undefined;
    const spansAt = (at: 0 | 1) => findSpans(prompts[at], questions[at], replies?.[at]);
    const spans = alignSpans(spansAt(0), spansAt(1));
    if (options.json) {
      const { source, sha256 } = found.file;
      printJson({
        model: source,
        sha256,
        task: definition.name,
        string: text,
        property: property.name,
        prompts: { objectLevel: object, hypothetical },
        ...(replies ? { replies: { objectLevel: replies[0], hypothetical: replies[1] } } : {}),
        spans,
      });
      return;
    }
    print(`--- object-level (${object.tokenIds.length} tokens)\n${object.text}`);
    print(`--- hypothetical (${hypothetical.tokenIds.length} tokens)\n${hypothetical.text}`);
    if (replies) for (const [at, kind] of KINDS.entries()) print(`--- reply, ${kind}\n${replies[at as 0 | 1].whole}`);
    print(spansTable(spans));
    print(
      "Tokens from 0. A token is of every span of which it holds a character; blanks at a span's ends are nobody's." +
        (replies ? "\nA reply's last token is read by nobody and has no states (npx inward states)." : ""),
    );
  } finally {
    await tokenizer.dispose();
  }
}

const KINDS = ["object-level", "hypothetical"] as const;
/** Longest hypothetical reply, as a study has it unless told. */
const HYPOTHETICAL_TOKENS = 12;

/** What is said to both questions, in the very prompts whose tokens are shown. */
async function saidTo(
  questions: readonly [MarkedQuestion, MarkedQuestion],
  prompts: readonly [LocatedPrompt, LocatedPrompt],
  maxTokens: number,
  tokenizer: Pick<Tokenizer, "tokenTexts">,
  found: FoundModel,
  options: SpansOptions,
  signal: AbortSignal,
) {
  const { device, gpuLayers } = options;
  const model = await openFound(found, { ...DEFAULT_ENGINE, device, gpuLayers });
  const requests = questions.map(({ messages }, at) => {
    return { messages, maxTokens: at === 0 ? maxTokens : HYPOTHETICAL_TOKENS, temperature: 0, topTokens: 1 };
  });
  const replies = await model.ask(requests, { signal }).finally(() => model.dispose());
  const said = [];
  for (const [at, prompt] of prompts.entries()) {
    const { tokenIds: ids, promptSha256 } = replies[at] as Reply;
    if (promptSha256 !== hashTokens(prompt.tokenIds))
      throw new InwardError(
        "INTERNAL",
        `The ${KINDS[at]} question was asked in other tokens than its spans were found in.`,
      );
    const { texts, whole } = await tokenizer.tokenTexts(ids);
    said.push({ ids, texts: texts.map(({ text }) => text), whole });
  }
  return said as [(typeof said)[number], (typeof said)[number]];
}

function spansTable(spans: readonly AlignedSpan[]): string {
  return table(
    ["span", "words", "object-level", "hypothetical", "same ids"],
    spans.map(({ name, objectLevel, hypothetical, same }) => {
      // Replies are two; other spans have the same words wherever they are.
      const texts = [objectLevel, hypothetical].flatMap((span) => (span.ok ? [span.text] : []));
      const shown = name.startsWith("reply_") ? texts : texts.slice(0, 1);
      const words = shown.map((text) => JSON.stringify(shorten(text))).join(" | ");
      return [name, words, placesText(objectLevel), placesText(hypothetical), same.ok ? "yes" : `no: ${same.reason}`];
    }),
  );
}

function shorten(text: string): string {
  return text.length <= 40 ? text : `${text.slice(0, 25)}…${text.slice(-14)}`;
}

/** 3-5, 9; with a mark where a token holds letters of others. */
function placesText(span: TokenSpan): string {
  if (!span.ok) return "-";
  const runs: [number, number][] = [];
  for (const token of span.tokens) {
    const last = runs.at(-1);
    if (last?.[1] === token - 1) last[1] = token;
    else runs.push([token, token]);
  }
  const merged = span.shared.some(({ blank }) => !blank) ? " (shared)" : "";
  return runs.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(", ") + merged;
}
