// npm run quickstart: from a fresh checkout to a report on the default model. Run it again and it goes on where it stopped.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { prepare, ROOT, run } from "./prepare.mjs";

const COMMAND = "dist/cli/main.js";
const STUDY = "studies/quickstart.yaml";
const settings = process.argv.slice(2);

/** The study's model, fetched and written out while the native code is built. Settings may want another one, or no network. */
let fetching;
prepare(() => {
  if (settings.length > 0) return;
  const study = readFileSync(join(ROOT, STUDY), "utf8");
  const [source, encoding] = [/source: (\S+)/, /encoding: (\S+)/].map((key) => key.exec(study)[1]);
  const pull = [COMMAND, "models", "pull", source, "--encoding", encoding];
  fetching = once(spawn(process.execPath, pull, { cwd: ROOT, stdio: ["ignore", "ignore", "inherit"] }), "exit");
});
const [code, signal] = (await fetching) ?? [0, null];
// It has said why; the study would say the same.
if (code !== 0 || signal !== null) process.exit(code ?? 130);
run(`running ${STUDY}`, process.execPath, [COMMAND, "run", STUDY, ...settings]);
