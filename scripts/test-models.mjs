// npm run test:models: the real models of the registry that come without a hub, fetched and proven one after the other. An hour
// and a half on two busy cores, most of it training beside PEFT in double precision; 8 GB of disk for models and copies, 4 GB for Python's side, 12 GB of memory.
// What is named runs alone: npm run test:models -- gemma-3-270m. How long each took is printed as it ends, and again at the end.
import { spawnSync } from "node:child_process";
import { prepare, ROOT } from "./prepare.mjs";

/** Each with how it is spoken to (a base model has no template), and with so many questions of verify engine that it is done in minutes. */
const MODELS = [
  { name: "smollm2-135m-instruct", chat: "template", questions: 24 },
  { name: "qwen2.5-coder-0.5b-instruct", chat: "template", questions: 12 },
  { name: "gemma-3-270m", chat: "plain", questions: 24 },
];

/** @returns what is proven of a model: what it is called, and the command that ends with 0 where it holds */
function proofsOf({ name, chat, questions }) {
  const inward = (...words) => ["dist/cli/main.js", ...words];
  const spoken = chat === "plain" ? ["--chat", "plain"] : [];
  const asked = ["--model", name, ...spoken, "--questions", String(questions)];
  return [
    ["its file, decoded as F32", inward("models", "pull", name, "--encoding", "f32")],
    ["checksum, tokens, template", inward("verify", "model", name)],
    [`the engines agree, as shipped, ${questions} questions`, inward("verify", "engine", ...asked)],
    [`the engines agree, F32, ${questions} questions`, inward("verify", "engine", ...asked, "--encoding", "f32")],
    ["100 greedy answers are transformers'", ["validation/compare-with-transformers.mjs", "--model", name, ...spoken]],
    ["20 steps of training are PEFT's", ["validation/compare-with-peft.mjs", "--model", name, ...spoken]],
  ];
}

const wanted = process.argv.slice(2);
const unknown = wanted.find((name) => !MODELS.some((model) => model.name === name));
if (unknown !== undefined) {
  process.stderr.write(`${unknown} is none of ${MODELS.map(({ name }) => name).join(", ")}\n`);
  process.exit(2);
}
prepare();
const results = [];
for (const model of MODELS.filter(({ name }) => wanted.length === 0 || wanted.includes(name))) {
  for (const [what, command] of proofsOf(model)) {
    process.stderr.write(`== ${model.name}: ${what}\n   node ${command.join(" ")}\n`);
    const begun = Date.now();
    const { status, signal } = spawnSync(process.execPath, command, { cwd: ROOT, stdio: "inherit" });
    if (signal === "SIGINT") process.exit(130);
    const result = {
      name: model.name,
      what,
      ok: status === 0,
      ended: signal ?? status,
      milliseconds: Date.now() - begun,
    };
    process.stderr.write(`${line(result)}\n`);
    results.push(result);
  }
}
const total = results.reduce((sum, { milliseconds }) => sum + milliseconds, 0);
const failed = results.filter(({ ok }) => !ok).length;
process.stdout.write(`\n${results.map(line).join("\n")}\n`);
process.stdout.write(`${results.length - failed} of ${results.length} hold; ${time(total)} in all\n`);
process.exit(failed === 0 ? 0 : 1);

function line({ name, what, ok, ended, milliseconds }) {
  return `${ok ? "ok    " : "FAILED"} ${time(milliseconds).padStart(8)}  ${name}: ${what}${ok ? "" : `, ended with ${ended}`}`;
}

function time(milliseconds) {
  const seconds = Math.round(milliseconds / 1000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")} min`;
}
