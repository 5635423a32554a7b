/** Reads a study file: YAML with places for errors, unknown keys named with their nearest neighbour, --set applied. */

import type { z } from "zod";
import { mostTelling } from "../base/schema-issue.js";
import { decodeUtf8, didYouMean, isRecord, readPlainFile, shown } from "../base/untrusted.js";
import { MOST_YAML_BYTES, parsePlainYaml } from "../base/yaml.js";
import { InwardError } from "../errors.js";
import { studySchema } from "./schema.js";
import { type Study, type StudyEngine, toStudy } from "./study.js";

/** @throws STUDY_NOT_FOUND, STUDY_NOT_YAML, STUDY_UNKNOWN_KEY, STUDY_INVALID, USAGE */
export async function loadStudy(path: string, overrides: readonly string[] = []): Promise<Study> {
  const bytes = readPlainFile(
    path,
    MOST_YAML_BYTES,
    (why) => new InwardError("STUDY_NOT_FOUND", `There is no study that can be read at ${path} (${why}).`),
  );
  return parseStudy(decodeUtf8(bytes, { code: "STUDY_NOT_YAML", place: path }), path, overrides);
}

export function parseStudy(text: string, path: string, overrides: readonly string[] = []): Study {
  return toStudy(parseBySchema(studySchema, text, path, overrides));
}

/**
 * Any YAML of ours whose keys are strict.
 * @throws STUDY_NOT_YAML, STUDY_UNKNOWN_KEY, STUDY_INVALID, USAGE
 */
export function parseBySchema<Schema extends z.ZodType>(
  schema: Schema,
  text: string,
  path: string,
  overrides: readonly string[] = [],
): z.output<Schema> {
  const { value: raw, placeOf } = parsePlainYaml(text, path, { syntax: "STUDY_NOT_YAML", content: "STUDY_INVALID" });
  if (!isRecord(raw)) throw new InwardError("STUDY_INVALID", `${path} is not a mapping of keys to values.`);
  const changed = applyOverrides(raw, overrides, schema);
  const result = schema.safeParse(changed, { reportInput: true });
  if (result.success) return result.data;
  const issue = mostTelling(result.error);
  const at = issue.path.join(".");
  const unknown = issue.code === "unrecognized_keys" ? (issue.keys[0] ?? "") : undefined;
  const wrong = [...issue.path, ...(unknown === undefined ? [] : [unknown])].join(".");
  const setBy = overrides.findLast((override) => {
    const set = override.slice(0, override.indexOf("="));
    return `${wrong}.`.startsWith(`${set}.`) || `${set}.`.startsWith(`${wrong}.`);
  });
  const place = setBy === undefined ? placeOf(issue.path) : labelOf(setBy);
  if (unknown !== undefined) {
    const where = at === "" ? "" : ` under ${at}`;
    const meant = didYouMean(unknown, knownKeys(schema, issue.path));
    throw new InwardError("STUDY_UNKNOWN_KEY", `${place}: the key ${shown(unknown)}${where} does not exist.${meant}`);
  }
  throw new InwardError("STUDY_INVALID", `${place}: ${whatIsWrong(issue)}.`);
}

/** A rule of ours says what it found; zod's own say what they want. */
function whatIsWrong(issue: z.core.$ZodIssue): string {
  if (issue.code === "invalid_key") {
    const above = issue.path.slice(0, -1).join(".");
    return `${above}: the name ${shown(issue.path.at(-1))}: ${issue.issues[0]?.message}`;
  }
  const at = issue.path.join(".") || "the study";
  if (issue.code === "custom") return `${at}: ${issue.message}`;
  return issue.input === undefined ? `${at} is missing` : `${at}: ${issue.message}, found ${shown(issue.input)}`;
}

// `--set a.b=c`: changes a study before it is parsed, so that the change stands in the plan like any other setting.

type Group = Record<string, unknown>;

/**
 * Unknown keys are left to the schema, which refuses them. Entries of lists are not: a list would take `tasks.push` or
 * `tasks.-1` as a property of its own, which nobody reads. A value that the study has already may be set again.
 * @throws USAGE
 */
function applyOverrides(raw: Readonly<Group>, overrides: readonly string[], schema: z.ZodType): Group {
  const result = structuredClone(raw) as Group;
  for (const override of overrides) {
    const at = override.indexOf("=");
    const path = override.slice(0, at).split(".");
    if (at <= 0 || path.some((step) => step === "" || step === "__proto__")) {
      throw new InwardError("USAGE", `--set wants a.b=value, not ${shown(override)}.`);
    }
    const label = labelOf(override);
    const codes = { syntax: "USAGE", content: "USAGE" } as const;
    const { value } = parsePlainYaml(override.slice(at + 1), label, codes);
    let place: Group | unknown[] = result;
    for (const [depth, step] of path.entries()) {
      const above = path.slice(0, depth);
      if (Array.isArray(place)) requireEntry(place, step, above.join("."), label);
      if (depth === path.length - 1) {
        (place as Group)[step] = value;
        break;
      }
      const known: unknown = Object.hasOwn(place, step) ? (place as Group)[step] : undefined;
      const next: unknown = known ?? (known === null ? null : isList(schema, [...above, step]) ? [] : {});
      if (!isRecord(next) && !Array.isArray(next)) {
        throw new InwardError("USAGE", `${label}: ${shown(step)} is a value, not a group of keys.`);
      }
      (place as Group)[step] = next;
      place = next;
    }
  }
  return result;
}

function labelOf(override: string): string {
  return `--set ${override.length <= 100 ? override : `${override.slice(0, 100)}…`}`;
}

function requireEntry(list: readonly unknown[], step: string, name: string, label: string): void {
  const { length } = list;
  if (/^(0|[1-9]\d{0,8})$/.test(step) && Number(step) <= length) return;
  const entries = length === 0 ? "" : length === 1 ? `${name}.0 or ` : `${name}.0 to ${name}.${length - 1}, or `;
  throw new InwardError(
    "USAGE",
    `${label}: ${shown(step)} is no entry of ${name}, which has ${length}: say ${entries}${name}.${length} for one more.`,
  );
}

// What the schema has at a path, found by walking the zod shapes.

interface Shape {
  readonly type: string;
  readonly shape?: Readonly<Record<string, unknown>>;
  readonly element?: unknown;
  readonly valueType?: unknown;
  readonly options?: readonly unknown[];
}

/** More than one where the schema has a choice. */
function shapesAt(schema: z.ZodType, path: readonly PropertyKey[]): Shape[] {
  return path.reduce<Shape[]>(
    (shapes, step) =>
      shapes.flatMap(({ type, shape, element, valueType }) => {
        if (type === "array") return alternatives(element);
        if (type === "record") return alternatives(valueType);
        return shape && Object.hasOwn(shape, step) ? alternatives(shape[step as string]) : [];
      }),
    alternatives(schema),
  );
}

/** Without what wraps it: defaults, optional values. */
function alternatives(schema: unknown): Shape[] {
  const { def } = schema as { readonly def: Shape & { readonly innerType?: unknown } };
  if (def.innerType !== undefined) return alternatives(def.innerType);
  return def.options?.flatMap(alternatives) ?? [def];
}

function knownKeys(schema: z.ZodType, path: readonly PropertyKey[]): string[] {
  return shapesAt(schema, path).flatMap(({ shape }) => Object.keys(shape ?? {}));
}

function isList(schema: z.ZodType, path: readonly PropertyKey[]): boolean {
  return shapesAt(schema, path).some(({ type }) => type === "array");
}

/** The engine settings of a study that names none. */
export const DEFAULT_ENGINE: StudyEngine = studySchema.shape.engine.parse({});
