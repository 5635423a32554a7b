// Tokens of the environment reach no output and no file, --offline tries no network, and everything but fetching works where there is none:
// node validation/secrets-and-network.mjs. Each command runs twice, here and in a network namespace without any way out (unshare -rn; skipped
// with a line where that is not allowed), with marker tokens in its environment, a hub and a pip that count who calls them, and planted models.
// Exit code 4 where a marker was found, --offline called somebody, or a command ended otherwise without a network than with one.
import { spawn, spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
  copyFileSync,
} from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
const MARKER = "hf_markerMARKERmarkerMARKERmarker01";
const folder = mkdtempSync(join(tmpdir(), "inward-secrets-"));
const called = { hub: 0, hubWithToken: 0 };
const hub = createServer((request, response) => {
  called.hub++;
  if (request.headers.authorization?.includes(MARKER)) called.hubWithToken++;
  response.writeHead(404).end();
});
await new Promise((done) => hub.listen(0, "127.0.0.1", done));
const tools = join(folder, "tools");
mkdirSync(tools);
for (const name of ["pip", "pip3"]) {
  writeFileSync(join(tools, name), `#!/bin/sh\necho "$@" >> ${join(folder, "pip-called")}\nexit 1\n`);
  chmodSync(join(tools, name), 0o755);
}
const secrets = [
  "HF_TOKEN",
  "HUGGING_FACE_HUB_TOKEN",
  "HUGGINGFACE_TOKEN",
  "OPENAI_API_KEY",
  "AWS_SECRET_ACCESS_KEY",
  "GITHUB_TOKEN",
];

function environment(place) {
  return {
    ...process.env,
    ...Object.fromEntries(secrets.map((name) => [name, MARKER])),
    PIP_INDEX_URL: `https://somebody:${MARKER}@127.0.0.1:9/simple`,
    HF_ENDPOINT: `http://127.0.0.1:${hub.address().port}/`,
    INWARD_DEBUG: "1",
    HOME: place,
    XDG_CACHE_HOME: join(place, "cache"),
    INWARD_ANSWER_CACHE: join(place, "answers"),
    TMPDIR: join(place, "tmp"),
    PATH: `${tools}:${process.env.PATH}`,
  };
}

/** @returns exit code and all that it wrote */
function inward(args, place, { apart = false } = {}) {
  const command = [process.execPath, MAIN, ...args];
  const [first, ...rest] = apart ? ["unshare", "-rn", ...command] : command;
  const child = spawn(first, rest, { cwd: place, env: environment(place), stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (output += text));
  return new Promise((done) => child.on("close", (code) => done({ code, output })));
}

const COMMANDS = [
  ["doctor"],
  ["models", "list"],
  ["probe", "planted", "--mechanism", "A", "--items", "4", "--out", "planted"],
  ["models", "info", "planted/planted.gguf"],
  ["run", "planted/study.yaml", "--dry-run", "--offline"],
  ["run", "planted/study.yaml", "--offline", "--out", "run"],
  ["score", "run"],
  ["report", "run"],
  ["trials", "run"],
  ["export", "run", "--to", "csv", "--out", "exported"],
  ["ask", "one two", "--model", "planted/planted.gguf", "--offline"],
  ["ask", "--file", "prompts.jsonl", "--model", "planted/planted.gguf", "--out", "answers.jsonl", "--offline"],
  ["states", "--file", "prompts.jsonl", "--model", "planted/planted.gguf", "--out", "states", "--offline"],
  ["verify", "model", "planted/planted.gguf"],
  ["train", "chat.jsonl", "--model", "planted/planted.gguf", "--out", "adapter.gguf", "--offline"],
  ["ask", "x", "--model", "broken.gguf", "--offline"],
  ["ask", "x", "--model", "cut.gguf", "--offline"],
  ["ask", "x", "--offline"],
  ["models", "pull", "hf:nobody/nothing/x.gguf", "--offline"],
  ["run", "nothing.yaml"],
];
/** They go to the network, as they should; what they say of it must not hold what they said to it. */
const FETCHING = [
  ["models", "pull", "hf:nobody/nothing/x.gguf"],
  ["models", "pull", "smollm2-135m-instruct"],
];

function prepare(place) {
  mkdirSync(join(place, "tmp"), { recursive: true });
  writeFileSync(join(place, "prompts.jsonl"), '{"prompt":"one two"}\n{"prompt":"three"}\n');
  writeFileSync(
    join(place, "chat.jsonl"),
    '{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}\n',
  );
  writeFileSync(join(place, "broken.gguf"), "GGUF and then nothing");
}

function filesUnder(place) {
  return readdirSync(place, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

const faults = [];
async function all(place, apart) {
  prepare(place);
  const codes = [];
  for (const args of COMMANDS) {
    const { code, output } = await inward(args, place, { apart });
    if (args[0] === "probe" && existsSync(join(place, "planted/planted.gguf"))) {
      copyFileSync(join(place, "planted/planted.gguf"), join(place, "cut.gguf"));
      truncateSync(join(place, "cut.gguf"), 20_000);
    }
    codes.push(code);
    if (output.includes(MARKER)) faults.push(`${args.join(" ")} prints a token`);
    if (/INTERNAL/.test(output)) faults.push(`${args.join(" ")} ends with INTERNAL: ${output.slice(-400)}`);
  }
  for (const path of filesUnder(place)) {
    if (readFileSync(path, "latin1").includes(MARKER)) faults.push(`${path} holds a token`);
  }
  return codes;
}

const here = join(folder, "here");
const codes = await all(here, false);
const offlineCalls = called.hub + (existsSync(join(folder, "pip-called")) ? 1 : 0);
if (called.hub > 0) faults.push(`--offline called the hub ${called.hub} times`);
const pip = () => (existsSync(join(folder, "pip-called")) ? readFileSync(join(folder, "pip-called"), "utf8") : "");
if (/download/.test(pip())) faults.push(`--offline called pip: ${pip()}`);
for (const args of FETCHING) {
  const { code, output } = await inward(args, here);
  if (output.includes(MARKER)) faults.push(`${args.join(" ")} prints a token`);
  if (code === 0) faults.push(`${args.join(" ")} fetched something from nowhere`);
}
console.log(
  `${COMMANDS.length} commands with tokens in their environment, exit codes ${codes.join(" ")}; then ${called.hub} calls of the hub, ${called.hubWithToken} with the token`,
);
if (called.hub === 0) faults.push("the hub that counts was never called: nothing was proven");

if (spawnSync("unshare", ["-rn", "true"]).status !== 0)
  console.log("a network namespace: skipped, unshare -rn is not allowed here");
else {
  const apart = await all(join(folder, "apart"), true);
  COMMANDS.forEach((args, at) => {
    if (apart[at] !== codes[at])
      faults.push(`${args.join(" ")} ends with ${apart[at]} without a network, with ${codes[at]} with one`);
  });
  console.log(`the same in a namespace without a network: exit codes ${apart.join(" ")}`);
}
hub.close();
for (const fault of faults) console.log(fault);
console.log(`${faults.length} findings; ${offlineCalls === 0 ? "nobody was called with --offline" : pip().trim()}`);
rmSync(folder, { recursive: true, force: true });
process.exitCode = faults.length === 0 ? 0 : 4;
