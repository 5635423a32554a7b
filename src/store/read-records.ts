/** Reads a run's JSON and JSONL files; what cannot be read is STORE_CORRUPT with its place. */
import { readFile } from "node:fs/promises";
import { InwardError } from "../errors.js";

/** The complete lines of a JSONL file. A last line without its newline was cut off in writing and is not a record. */
export interface JsonLines<Row> {
  readonly rows: Row[];
  /** Offset, bytes, just past each row's newline. */
  readonly ends: number[];
}

/** @returns no rows when the file does not exist */
export async function readJsonLines<Row>(path: string): Promise<JsonLines<Row>> {
  const bytes = await readFile(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return Buffer.alloc(0);
    throw new InwardError("STORE_CORRUPT", `${path} cannot be read (${error.code}).`);
  });
  const rows: Row[] = [];
  const ends: number[] = [];
  let start = 0;
  for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, start)) {
    const line = bytes.toString("utf8", start, end);
    start = end + 1;
    rows.push(parse(line, `${path}, line ${rows.length + 1}`));
    ends.push(start);
  }
  return { rows, ends };
}

/** @throws STORE_INCOMPLETE when there is no such file, STORE_CORRUPT when it is no JSON */
export async function readJson<Value>(path: string): Promise<Value> {
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    throw error.code === "ENOENT"
      ? new InwardError("STORE_INCOMPLETE", `${path} is not there yet.`)
      : new InwardError("STORE_CORRUPT", `${path} cannot be read (${error.code}).`);
  });
  return parse(text, path);
}

function parse<Value>(text: string, place: string): Value {
  try {
    const parsed: unknown = JSON.parse(text);
    if (parsed === null || typeof parsed !== "object") throw new Error("not an object");
    return parsed as Value;
  } catch (error) {
    throw new InwardError("STORE_CORRUPT", `${place} is no JSON record: ${(error as Error).message}`);
  }
}
