/** Reads a study file: YAML with places for errors, unknown keys named with their nearest neighbour, --set applied. */
import { readFile } from "node:fs/promises";
import { LineCounter, parseDocument } from "yaml";
import type { z } from "zod";
import { InwardError } from "../errors.js";
import { nearestName } from "../nearest-name.js";
import type { Study } from "../records/study.js";
import { applyOverrides } from "./overrides.js";
import { studySchema, toStudy } from "./study-schema.js";

/** @throws STUDY_NOT_FOUND, STUDY_NOT_YAML, STUDY_UNKNOWN_KEY, STUDY_INVALID, USAGE */
export async function loadStudy(path: string, overrides: readonly string[] = []): Promise<Study> {
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    throw new InwardError("STUDY_NOT_FOUND", `There is no study that can be read at ${path} (${error.code}).`);
  });
  return parseStudy(text, path, overrides);
}

export function parseStudy(text: string, path: string, overrides: readonly string[] = []): Study {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const broken = document.errors[0];
  if (broken) {
    const { line, col } = lines.linePos(broken.pos[0]);
    throw new InwardError("STUDY_NOT_YAML", `${path}, line ${line}, column ${col}: ${broken.message}`);
  }
  const raw: unknown = document.toJS({ maxAliasCount: 100 });
  if (raw === null || typeof raw !== "object" || Array.isArray(raw)) {
    throw new InwardError("STUDY_INVALID", `${path} is not a mapping of keys to values.`);
  }
  const result = studySchema.safeParse(applyOverrides(raw as Record<string, unknown>, overrides));
  if (result.success) return toStudy(result.data);
  const issue = result.error.issues[0] as z.core.$ZodIssue;
  const node = document.getIn(issue.path as (string | number)[], true) as
    | { range?: [number, number, number] }
    | undefined;
  const place = node?.range ? `${path}, line ${lines.linePos(node.range[0]).line}` : path;
  if (issue.code === "unrecognized_keys") {
    const key = issue.keys[0] ?? "";
    const near = nearestName(key, knownKeys(issue.path));
    const where = issue.path.length === 0 ? "" : ` under ${issue.path.join(".")}`;
    throw new InwardError(
      "STUDY_UNKNOWN_KEY",
      `${place}: the key "${key}"${where} does not exist.${near ? ` Did you mean "${near}"?` : ""}`,
    );
  }
  throw new InwardError("STUDY_INVALID", `${place}: ${issue.path.join(".") || "the study"}: ${issue.message}`);
}

/** The keys that the schema has at a path, found by walking its JSON form's twin: the zod shapes. */
function knownKeys(path: readonly PropertyKey[]): string[] {
  let schema: unknown = studySchema;
  for (const step of [...path, undefined]) {
    for (let inner = unwrap(schema); inner !== schema; inner = unwrap(schema)) schema = inner;
    const def = (schema as { def: { type: string; shape?: object; element?: unknown; valueType?: unknown } }).def;
    if (step === undefined) return Object.keys(def.shape ?? {});
    schema = def.type === "array" ? def.element : def.type === "record" ? def.valueType : (def.shape as never)?.[step];
    if (schema === undefined) return [];
  }
  return [];
}

function unwrap(schema: unknown): unknown {
  return (schema as { def?: { innerType?: unknown } }).def?.innerType ?? schema;
}
