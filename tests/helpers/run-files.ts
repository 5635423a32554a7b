/** The files of a run, as a test reads them. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";

/** @param folder of the run, asked for when a file is read */
export function runFiles(folder: () => string) {
  return {
    read: async <Content>(name: string) => JSON.parse(await readFile(join(folder(), name), "utf8")) as Content,
    lines: async <Row>(name: string) =>
      (await readFile(join(folder(), name), "utf8"))
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as Row),
  };
}
