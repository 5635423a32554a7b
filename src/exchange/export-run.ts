/** A run as the files that other programs read. Asks no model; what is written says which run it is of. */

import { existsSync, readdirSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { z } from "zod";
import { hashOf, makeFolder, readJson, writeJson, writeJsonLines, writeWhole } from "../base/files.js";
import { INWARD_VERSION } from "../base/version.js";
import { InwardError } from "../errors.js";
import { RUN_FILES, RunFolder } from "../run/folder.js";
import { chatSets, type LinesOut } from "./chat-sets.js";
import { inspectLogs } from "./inspect-logs.js";
import { type JsonOut, lmEvalResults } from "./lm-eval-results.js";
import { runTables } from "./run-tables.js";

export const EXPORT_FORMATS = {
  csv: "trials, answers and behaviors, and probes, lenses, patches, answers taken apart and injections where a study has them, as CSV",
  parquet: "the same as Parquet, lists of tokens and logprobs as lists",
  chat: "finetune sets as chat JSONL for mlx-lm and axolotl",
  "lm-eval": "scores as lm-evaluation-harness results, trials as its samples",
  inspect: "answers and trials as inspect_ai logs",
} as const;
export type ExportFormat = keyof typeof EXPORT_FORMATS;

export interface ExportOptions {
  /** Which files; several at once. */
  readonly to: readonly ExportFormat[];
  /** Folder to write into. Default `exports/<name of the run folder>` under the current folder. */
  readonly out?: string;
}

interface ExportedFile {
  /** Below the folder. */
  readonly path: string;
  /** Rows of a table, lines of JSONL, samples of a log. */
  readonly rows?: number;
}

/** What an export wrote. */
export interface Exported {
  /** Absolute path. */
  readonly folder: string;
  readonly files: readonly ExportedFile[];
  /** What the files cannot say, or leave out, in words. */
  readonly notes: readonly string[];
}

/** The file of an export folder that says what it is: which run, which files. */
const INDEX = "export.json";
const indexSchema = z.object({
  exportVersion: z.literal(1),
  planHash: z.string(),
  files: z.array(z.object({ path: z.string(), rows: z.number().optional() })),
  notes: z.array(z.string()),
});

/** A file that is not written yet. */
interface FileOut extends ExportedFile {
  readonly write: (path: string) => Promise<void>;
}

/**
 * @param folder of a run that was scored
 * @throws InwardError STORE_NOT_A_RUN, STORE_INCOMPLETE, STORE_CORRUPT, STORE_LOCKED (made anew while it was read), STORE_UNWRITABLE,
 * EXPORT_NOTHING, EXPORT_FOLDER, USAGE
 */
export async function exportRun(folder: string, { to, out }: ExportOptions): Promise<Exported> {
  if (to.length === 0) throw new InwardError("USAGE", `No format to export to. There are ${formatsText()}.`);
  const target = resolve(out ?? join("exports", basename(resolve(folder))));
  const { plan, made, notes } = await RunFolder.read(folder, async (run) => {
    await readIndex(target, hashOf(run.plan));
    const read: Made[] = [];
    for (const format of new Set(to)) read.push(await MAKERS[format](run));
    return { plan: run.plan, made: read.flatMap(({ files }) => files), notes: read.flatMap((one) => one.notes) };
  });
  const files = made.map(({ path, rows }): ExportedFile => ({ path, rows }));
  const own = new Set(files.map(({ path }) => path));
  /** What stood there, with what is there now. @returns what an earlier export noted, and this one */
  const writeIndex = async (more: readonly ExportedFile[], moreNotes: readonly string[]): Promise<string[]> => {
    const planHash = hashOf(plan);
    const before = await readIndex(target, planHash);
    const all = [...before.files.filter(({ path }) => !own.has(path)), ...more];
    const told = [...new Set([...before.notes, ...moreNotes])];
    const { study, inwardVersion: askedBy } = plan;
    const index = { exportVersion: 1, inwardVersion: INWARD_VERSION, study, askedBy, planHash };
    await writeJson(join(target, INDEX), { ...index, files: all, notes: told });
    return told;
  };
  makeFolder(target);
  // Whose folder it is stands there first: an export that was ended in between is gone on with.
  await writeIndex([], []);
  for (const { path, write } of made) {
    const whole = join(target, path);
    makeFolder(dirname(whole));
    await write(whole);
  }
  return { folder: target, files, notes: await writeIndex(files, notes) };
}

export function formatsText(): string {
  return Object.entries(EXPORT_FORMATS)
    .map(([name, what]) => `${name} (${what})`)
    .join(", ");
}

interface Made {
  readonly files: readonly FileOut[];
  readonly notes: readonly string[];
}

const MAKERS: Readonly<Record<ExportFormat, (run: RunFolder) => Promise<Made>>> = {
  csv: async (run) => ({
    files: (await runTables(run)).map(({ name, rows, csv }) => ({
      path: `${name}.csv`,
      rows,
      write: (path) => writeWhole(path, csv()),
    })),
    notes: ["CSV: a text that begins like a formula has an apostrophe before it; Parquet has it as it is."],
  }),
  parquet: async (run) => ({
    files: (await runTables(run)).map(({ name, rows, parquet }) => ({
      path: `${name}.parquet`,
      rows,
      write: (path) => writeWhole(path, parquet()),
    })),
    notes: [],
  }),
  chat: async (run) => {
    const { files, readmes, notes } = await chatSets(run);
    return {
      files: [
        ...files.map(linesFile),
        ...readmes.map(({ path, text }): FileOut => ({ path, write: (whole) => writeWhole(whole, text) })),
      ],
      notes,
    };
  },
  "lm-eval": async (run) => {
    const { results, samples } = await lmEvalResults(run);
    return { files: [...results.map(jsonFile), ...samples.map(linesFile)], notes: [] };
  },
  inspect: async (run) => ({ files: (await inspectLogs(run)).map(jsonFile), notes: [] }),
};

function jsonFile({ path, content, rows }: JsonOut): FileOut {
  return { path, rows, write: (whole) => writeJson(whole, content) };
}

function linesFile({ path, lines }: LinesOut): FileOut {
  return { path, rows: lines.length, write: (whole) => writeJsonLines(whole, lines) };
}

/** What an earlier export of the same run left there. @throws EXPORT_FOLDER where the folder holds anything else */
async function readIndex(
  folder: string,
  planHash: string,
): Promise<Pick<z.infer<typeof indexSchema>, "files" | "notes">> {
  const none = { files: [], notes: [] };
  if (!existsSync(folder)) return none;
  const refuse = (why: string) => new InwardError("EXPORT_FOLDER", `${folder} ${why}.`);
  if (existsSync(join(folder, RUN_FILES.plan))) throw refuse("is a run folder: an export stands in one of its own");
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch (error) {
    throw refuse(`cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
  if (names.length === 0) return none;
  if (!names.includes(INDEX)) throw refuse(`has files that no export made (${names.slice(0, 3).join(", ")})`);
  const index = await readJson<z.infer<typeof indexSchema>>(join(folder, INDEX), indexSchema).catch(() => {
    throw refuse(`has an ${INDEX} that no export made`);
  });
  if (index.planHash !== planHash) throw refuse("holds an export of another run");
  return index;
}
