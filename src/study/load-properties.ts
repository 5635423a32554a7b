/** A user's own properties: from the mapping of a study or a task, and from YAML files of their own. */

import { createHash } from "node:crypto";
import { dirname, resolve } from "node:path";
import type { z } from "zod";
import { csvTable } from "../base/csv.js";
import { mostTelling } from "../base/schema-issue.js";
import { decodeUtf8, didYouMean, isRecord, linesOf, parseStrictJson, readPlainFile, shown } from "../base/untrusted.js";
import { type PlainYaml, readPlainYaml } from "../base/yaml.js";
import { type ErrorCode, InwardError } from "../errors.js";
import { checkOwnProperties } from "../properties/all-properties.js";
import {
  exampleSchema,
  MOST_EXAMPLES,
  type OwnProperties,
  type OwnProperty,
  ownPropertiesSchema,
  ownPropertySchema,
} from "../properties/own-property.js";

const MOST_EXAMPLE_BYTES = 16 * 1024 * 1024;

/** Where definitions stand: in the mapping itself, or in files of their own. */
interface PropertySource {
  readonly ownProperties?: OwnProperties | undefined;
  readonly propertiesFrom?: readonly string[] | undefined;
}

/**
 * Definitions of a study or a task, with those of the files that it names.
 * @param folder where paths start from
 * @param place of the mapping, for messages
 * @throws PROPERTY_INVALID, PROPERTY_NOT_FOUND a file that cannot be read
 */
export function gatherProperties(
  { ownProperties = {}, propertiesFrom = [] }: PropertySource,
  folder: string,
  place: string,
): OwnProperties {
  const sources = [
    { place, own: withExamples(ownProperties, folder, place) },
    ...propertiesFrom.map((path) => ({ place: path, own: readProperties(resolve(folder, path)) })),
  ];
  const all = joinProperties(sources);
  checkOwnProperties(all, (name) => {
    const source = sources.find(({ own }) => Object.hasOwn(own, name));
    return `${source?.place ?? place}, ${name}`;
  });
  return all;
}

/**
 * One mapping of several. One name may be defined twice in the same words.
 * @throws PROPERTY_INVALID
 */
export function joinProperties(
  sources: readonly { readonly place: string; readonly own: OwnProperties }[],
): OwnProperties {
  const all = new Map<string, { readonly place: string; readonly own: OwnProperties[string] }>();
  for (const { place, own } of sources) {
    for (const [name, definition] of Object.entries(own)) {
      const known = all.get(name);
      if (known && JSON.stringify(known.own) !== JSON.stringify(definition)) {
        throw new InwardError(
          "PROPERTY_INVALID",
          `${name} is defined in ${known.place} and otherwise in ${place}: give one of the two another name.`,
        );
      }
      all.set(name, known ?? { place, own: definition });
    }
  }
  return Object.fromEntries([...all].map(([name, { own }]) => [name, own]));
}

/**
 * @param path of a YAML that maps names to definitions, or that has such a mapping under `ownProperties`, as studies and tasks do
 * @throws PROPERTY_NOT_FOUND, PROPERTY_INVALID with the line
 */
export function readProperties(path: string): OwnProperties {
  const yaml = readPlainYaml(
    path,
    { syntax: "PROPERTY_INVALID", content: "PROPERTY_INVALID" },
    (why) =>
      new InwardError("PROPERTY_NOT_FOUND", `There is no file of properties that can be read at ${path} (${why}).`),
  );
  const whole = yaml.value as Readonly<Record<string, unknown>> | null;
  const isInside = whole !== null && typeof whole === "object" && Object.hasOwn(whole, "ownProperties");
  const own = parseOwnProperties(isInside ? whole.ownProperties : whole, {
    code: "PROPERTY_INVALID",
    placeOf: yaml.placeOf,
    above: isInside ? ["ownProperties"] : [],
  });
  if (Object.keys(own).length === 0) throw new InwardError("PROPERTY_INVALID", `${path} defines no property.`);
  return withExamples(own, dirname(path), path);
}

/** Takes in the labelled answers that stand in files of their own: a plan holds them, and the checksum of where they came from. */
function withExamples(own: OwnProperties, folder: string, place: string): OwnProperties {
  if (Object.values(own).every(({ examplesFrom }) => examplesFrom === undefined)) return own;
  return Object.fromEntries(
    Object.entries(own).map(([name, definition]) => [name, withExamplesOf(definition, folder, `${place}, ${name}`)]),
  );
}

function withExamplesOf(definition: OwnProperty, folder: string, place: string): OwnProperty {
  const { examplesFrom, examplesSha256, examples } = definition;
  if (examplesFrom === undefined) return definition;
  if (examples) {
    throw new InwardError("PROPERTY_INVALID", `${place} has examples and examplesFrom: give one of the two.`);
  }
  const path = resolve(folder, examplesFrom);
  const refuse = (why: string) =>
    new InwardError("PROPERTY_INVALID", `${place}: there are no examples that can be read at ${path} (${why}).`);
  const bytes = readPlainFile(path, MOST_EXAMPLE_BYTES, refuse);
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  if (examplesSha256 !== undefined && examplesSha256 !== sha256) {
    throw refuse(`its sha256 is ${sha256}, and examplesSha256 is ${examplesSha256}`);
  }
  const rows = exampleRows(decodeUtf8(bytes, { code: "PROPERTY_INVALID", place: path }), path, exampleSchema);
  if (rows.length > MOST_EXAMPLES) throw refuse(`${rows.length} examples; at most ${MOST_EXAMPLES} are read`);
  return { ...definition, examples: rows, examplesSha256: sha256 };
}

/**
 * Examples as people write them: a CSV or TSV whose header names the keys, where an empty cell is an absent key (an answer may be empty), or an
 * object a line.
 * @throws PROPERTY_INVALID with the line
 */
export function exampleRows<Row>(text: string, path: string, schema: z.ZodObject & z.ZodType<Row>): Row[] {
  const code = "PROPERTY_INVALID";
  const read = ({ value, place }: { readonly value: unknown; readonly place: string }): Row => {
    const result = schema.safeParse(value);
    if (result.success) return result.data as Row;
    const issue = mostTelling(result.error);
    throw new InwardError(code, `${place}: ${issue.path.join(".") || "the line"}: ${issue.message}.`);
  };
  if (!/\.[ct]sv$/i.test(path)) {
    return linesOf(text, path).map(({ text: line, place }) =>
      read({ value: parseStrictJson(line, { code, place }), place }),
    );
  }
  const lines = text.split(/\r?\n/).map((line, at) => ({ text: line, number: at + 1 }));
  const { columns, rows } = csvTable(lines, /\.tsv$/i.test(path) ? "\t" : ",", { path, code });
  const known = Object.keys(schema.shape);
  if (!columns.includes("answer")) {
    const there = columns.map(shown).join(", ");
    throw new InwardError(
      code,
      `${path}, line 1: there is no column "answer"; there is ${there}. A header names ${known.join(", ")}.`,
    );
  }
  const other = columns.find((column) => !known.includes(column));
  if (other !== undefined) {
    throw new InwardError(
      code,
      `${path}, line 1: nothing is done with the column ${shown(other)}; a header names ${known.join(", ")}.${didYouMean(other, known)}`,
    );
  }
  return [...rows].map(({ values, line }) => {
    const value = Object.fromEntries(Object.entries(values).filter(([key, cell]) => cell !== "" || key === "answer"));
    return read({ value, place: `${path}, line ${line}` });
  });
}

/** Names of properties, and of those that own ones among them read. */
export function withWhatTheyRead(asked: Iterable<string>, own: OwnProperties): Set<string> {
  const used = new Set(asked);
  // What is added while the set is walked is walked too.
  for (const name of used) {
    const of = Object.hasOwn(own, name) ? own[name]?.of : undefined;
    if (of !== undefined) used.add(of);
  }
  return used;
}

/**
 * @param value a mapping of names to definitions, as it stands in a file
 * @param at.above keys that lead to it
 */
export function parseOwnProperties(
  value: unknown,
  at: { readonly code: ErrorCode; readonly placeOf: PlainYaml["placeOf"]; readonly above: readonly string[] },
): OwnProperties {
  if (!isRecord(value)) {
    const what = at.above.length === 0 ? "the file" : at.above.join(".");
    throw new InwardError(
      at.code,
      `${at.placeOf(at.above)}: ${what} is no mapping of names to definitions, found ${shown(value)}.`,
    );
  }
  const result = ownPropertiesSchema.safeParse(value, { reportInput: true });
  if (result.success) return result.data;
  const issue = mostTelling(result.error);
  const path = [...at.above, ...issue.path];
  const place = at.placeOf(issue.code === "unrecognized_keys" ? [...path, issue.keys[0] ?? ""] : path);
  throw new InwardError(at.code, `${place}: ${whatIsWrong(issue, path.join(".") || "the file")}`);
}

function whatIsWrong(issue: z.core.$ZodIssue, at: string): string {
  if (issue.code === "unrecognized_keys") {
    const key = issue.keys[0] ?? "";
    return `the key ${shown(key)} under ${at} does not exist.${didYouMean(key, Object.keys(ownPropertySchema.shape))}`;
  }
  if (issue.code === "invalid_key") return `the name ${shown(issue.path.at(-1))}: ${issue.issues[0]?.message}.`;
  const found = issue.code === "custom" || issue.input === undefined ? "" : `, found ${shown(issue.input)}`;
  return `${at}: ${issue.input === undefined && issue.code === "invalid_type" ? "is missing" : issue.message}${found}.`;
}
