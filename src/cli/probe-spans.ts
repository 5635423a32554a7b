/** inward probe spans: which tokens are a task's string, its items, the question, in the prompts exactly as they are asked. */

import { Command } from "commander";
import { openTokenizer } from "../model/engines/start-engine.js";
import {
  alignSpans,
  findSpans,
  markHypothetical,
  markObjectLevel,
  type AlignedSpan,
  type TokenSpan,
} from "../probe/spans.js";
import { propertyNamed } from "../properties/all-properties.js";
import { questionOn } from "../properties/option-letters.js";
import { hypotheticalVariant, wordedFor } from "../properties/wordings.js";
import { findModel } from "../run/open-model.js";
import { gatherProperties, joinProperties } from "../study/load-properties.js";
import { loadTask } from "../study/load-task.js";
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
}

export function probeSpansCommand(): Command {
  const command = modelOptions(new Command("spans"))
    .summary("which tokens are the string, its items, the question, in both kinds of prompt; reads no weights")
    .description(
      "Finds the spans that sites are named by, in the ids exactly as they are asked: of the object-level question, of the\n" +
        "hypothetical one, and whether both have the same ids. TEXT is one string of the task; its first string when absent.",
    )
    .argument("[text]", "one string of the task")
    .requiredOption("-t, --task <task>", "a built-in name, or the path of a task YAML")
    .option(
      "-p, --property <property>",
      "what the hypothetical question asks for; the task's first property when absent",
    );
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
  const found = await findModel(options.model, {
    ...findOptions(options),
    signal: abortOnInterrupt(),
    onProgress: progress.update,
  }).finally(progress.end);
  noteChat(found);
  const tokenizer = await openTokenizer(found.file.path, found.chat);
  try {
    const [object, hypothetical] = await tokenizer.locate(questions.map(({ messages }) => messages));
    if (object === undefined || hypothetical === undefined) return;
    const spans = alignSpans(findSpans(object, questions[0]), findSpans(hypothetical, questions[1]));
    if (options.json) {
      const { source, sha256 } = found.file;
      const prompts = { objectLevel: object, hypothetical };
      printJson({
        model: source,
        sha256,
        task: definition.name,
        string: text,
        property: property.name,
        prompts,
        spans,
      });
      return;
    }
    print(`--- object-level (${object.tokenIds.length} tokens)\n${object.text}`);
    print(`--- hypothetical (${hypothetical.tokenIds.length} tokens)\n${hypothetical.text}`);
    print(spansTable(spans));
    print(
      "Tokens from 0. A token is of every span of which it holds a character; blanks at a span's ends are nobody's.",
    );
  } finally {
    await tokenizer.dispose();
  }
}

function spansTable(spans: readonly AlignedSpan[]): string {
  return table(
    ["span", "words", "object-level", "hypothetical", "same ids"],
    spans.map(({ name, objectLevel, hypothetical, same }) => {
      const of = [objectLevel, hypothetical].find(({ ok }) => ok);
      const words = of?.ok ? JSON.stringify(shorten(of.text)) : "";
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
