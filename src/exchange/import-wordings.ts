/**
 * The wordings of the introspection paper's authors, read from their configuration files by whoever has these: their words stay theirs,
 * and nothing of them ships with inward. A wording is a file with `messages`, `${task.prompt}` in one of them where the prompt is quoted
 * and `${response_property.meta_level_prompt}` where the property is asked; a property's file has its question as `meta_level_prompt`.
 */

import { basename } from "node:path";
import { z } from "zod";
import { mostTelling } from "../base/schema-issue.js";
import { readPlainYaml } from "../base/yaml.js";
import { InwardError } from "../errors.js";
import { faultOfWording } from "../properties/wordings.js";

export interface ImportedWordings {
  /** By name, each with `{question}` and `{property}` in it: a study's `hypothetical.wordings`. */
  readonly wordings: Readonly<Record<string, string>>;
  /** By property: a study's `hypothetical.questions`. */
  readonly questions: Readonly<Record<string, string>>;
  /** What a reader must know of them, in sentences. */
  readonly notes: readonly string[];
}

// biome-ignore lint/suspicious/noTemplateCurlyInString: theirs, as they stand in their files
const PROMPT = "${task.prompt}";
// biome-ignore lint/suspicious/noTemplateCurlyInString: theirs
const PROPERTY = "${response_property.meta_level_prompt}";
/** What an object-level question of theirs without a persona is called. */
const PLAIN_PROMPT = "object_level/minimal";

const wordingFile = z.object({
  base_prompt: z.string().optional(),
  messages: z.array(z.object({ role: z.enum(["system", "user", "assistant"]), content: z.string().nullable() })),
});
const propertyFile = z.object({ name: z.string(), meta_level_prompt: z.string().min(1) });

/**
 * @param paths files of wordings and of properties, in any order
 * @param prefix before each wording's name, so that none has a built-in one's
 * @throws WORDING_INVALID naming the file: neither of the two, or words that inward has no place for
 */
export function importWordings(paths: readonly string[], prefix: string): ImportedWordings {
  const wordings: Record<string, string> = {};
  const questions: Record<string, string> = {};
  const notes: string[] = [];
  for (const path of paths) {
    const found = readConfiguration(path);
    if ("meta_level_prompt" in found) {
      if (Object.hasOwn(questions, found.name)) throw invalid(path, `the property ${found.name} was read already`);
      questions[found.name] = found.meta_level_prompt.trim();
      continue;
    }
    const name = `${prefix}${nameOf(path)}`;
    if (Object.hasOwn(wordings, name)) throw invalid(path, `a wording ${name} was read already`);
    const text = wordingOf(found, path);
    wordings[name] = text;
    if (found.base_prompt !== undefined && found.base_prompt !== PLAIN_PROMPT) {
      notes.push(
        `${name} is made for prompts in the form ${found.base_prompt}: give your tasks a question that begins as the quoted text of this wording does, or it quotes what nobody was asked.`,
      );
    }
    if (text.includes("\\n")) {
      notes.push(`${name} has a backslash and an n where a new line was meant; it stays as the authors ran it.`);
    }
  }
  return { wordings, questions, notes };
}

function readConfiguration(path: string): z.output<typeof wordingFile> | z.output<typeof propertyFile> {
  const { value } = readPlainYaml(path, { syntax: "WORDING_INVALID", content: "WORDING_INVALID" }, (why) =>
    invalid(path, `it cannot be read (${why})`),
  );
  const property = propertyFile.safeParse(value);
  if (property.success) return property.data;
  const wording = wordingFile.safeParse(value);
  if (wording.success) return wording.data;
  const { path: at, message } = mostTelling(wording.error);
  throw invalid(
    path,
    `it is neither a wording (messages) nor a property (name, meta_level_prompt): ${at.join(".") || "the file"}: ${message}`,
  );
}

/** A study puts its own system message before every question, and asks in one turn. */
function wordingOf({ messages }: z.output<typeof wordingFile>, path: string): string {
  const said = messages.filter(({ content }) => (content ?? "").trim() !== "");
  const [first] = said;
  if (said.length !== 1 || first?.role !== "user") {
    const roles = said.map(({ role }) => role).join(", ") || "nobody";
    throw invalid(path, `a wording is one turn of the user's, and here ${roles} speaks`);
  }
  const words = (first.content ?? "").trim();
  const literal = /\{\w+\}/.exec(words.replaceAll(PROMPT, "").replaceAll(PROPERTY, ""))?.[0];
  if (literal !== undefined) throw invalid(path, `${literal} in it stands for nothing that inward knows`);
  const text = words.replaceAll(PROMPT, "{question}").replaceAll(PROPERTY, "{property}");
  const fault = faultOfWording(text);
  if (fault !== undefined) throw invalid(path, `the wording ${fault}`);
  return text;
}

function nameOf(path: string): string {
  const name = basename(path)
    .replace(/\.ya?ml$/i, "")
    .toLowerCase()
    .replace(/[^a-z0-9_.-]/g, "_");
  return name === "" ? "wording" : name;
}

function invalid(path: string, why: string): InwardError {
  return new InwardError("WORDING_INVALID", `${path}: ${why}.`);
}
