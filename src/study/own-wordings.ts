/** Words of hypothetical questions that a study brings: in its own YAML, in a file beside it, or imported from elsewhere. */

import { resolve } from "node:path";
import type { z } from "zod";
import { mostTelling } from "../base/schema-issue.js";
import { didYouMean } from "../base/untrusted.js";
import { readPlainYaml } from "../base/yaml.js";
import { InwardError } from "../errors.js";
import { propertyNamed } from "../properties/all-properties.js";
import type { OwnProperties } from "../properties/own-property.js";
import { HYPOTHETICAL_VARIANTS, type HypotheticalVariant } from "../properties/wordings.js";
import { questionsSchema, wordingsSchema } from "./schema.js";
import type { Read } from "./study.js";

type OwnWordings = Read<typeof wordingsSchema>;

/**
 * @param given the study's `hypothetical.wordings`: the wordings, or the path of a YAML file
 * @param studyFolder where a path starts
 * @throws STUDY_INVALID a wording that asks nothing or quotes nothing, or that has a built-in one's name
 */
export function ownWordings(given: OwnWordings | string | undefined, studyFolder: string): HypotheticalVariant[] {
  if (given === undefined) return [];
  const wordings =
    typeof given === "string" ? readWords(resolve(studyFolder, given), "wordings", wordingsSchema) : given;
  return Object.entries(wordings).map(([name, wording]) => {
    if (HYPOTHETICAL_VARIANTS.some((variant) => variant.name === name)) {
      throw new InwardError(
        "STUDY_INVALID",
        `hypothetical.wordings: "${name}" is a built-in wording; give yours another name.`,
      );
    }
    const summary = "A wording of the study's own.";
    return typeof wording === "string"
      ? { name, summary, template: wording }
      : { name, summary, template: wording.text, plain: wording.plain };
  });
}

/**
 * @param given the study's `hypothetical.questions`: the questions, or the path of a YAML file
 * @param asked the properties that the study asks about; a file may have questions about others too
 * @throws STUDY_INVALID words for a property that is not asked about, or without the challenge that the property is about
 */
export function ownQuestions(
  given: Read<typeof questionsSchema> | string | undefined,
  asked: readonly string[],
  studyFolder: string,
  own: OwnProperties,
): Readonly<Record<string, string>> {
  if (given === undefined) return {};
  const isFile = typeof given === "string";
  const all = isFile ? readWords(resolve(studyFolder, given), "questions", questionsSchema) : given;
  const used = Object.entries(all).filter(([name]) => asked.includes(name));
  const other = Object.keys(all).find((name) => !asked.includes(name));
  if (other !== undefined && (!isFile || used.length === 0)) {
    throw new InwardError(
      "STUDY_INVALID",
      `hypothetical.questions has words for "${other}", which the study does not ask about.${didYouMean(other, asked)} It asks about ${asked.join(", ")}.`,
    );
  }
  for (const [name, text] of used) {
    if (propertyNamed(name, own).needs !== "challenge" || text.includes("{challenge}")) continue;
    throw new InwardError(
      "STUDY_INVALID",
      `hypothetical.questions.${name} must have {challenge} in it, where what is said to the answer is quoted.`,
    );
  }
  return Object.fromEntries(used);
}

function readWords<Schema extends z.ZodType>(path: string, key: string, schema: Schema): Read<Schema> {
  const { value, placeOf } = readPlainYaml(
    path,
    { syntax: "STUDY_INVALID", content: "STUDY_INVALID" },
    (why) => new InwardError("STUDY_INVALID", `hypothetical.${key}: no file can be read at ${path} (${why}).`),
  );
  const result = schema.safeParse(value);
  if (result.success) return result.data as Read<Schema>;
  const { path: at, message } = mostTelling(result.error);
  throw new InwardError("STUDY_INVALID", `${placeOf(at)}: ${at.join(".") || "the file"}: ${message}.`);
}
