// npm run test:models: the real models of the registry that come without a hub, fetched and proven one after the other. An hour on two
// cores, 8 GB of disk for models and copies, and 4 GB for Python's side. What is named runs alone: npm run test:models -- gemma-3-270m
import { spawnSync } from "node:child_process";
import { prepare, ROOT } from "./prepare.mjs";

/** Each with how it is spoken to: a base model has no template. */
const MODELS = [
  { name: "smollm2-135m-instruct", chat: "template" },
  { name: "qwen2.5-coder-0.5b-instruct", chat: "template" },
  { name: "gemma-3-270m", chat: "plain" },
];

/** @returns what is proven of a model: what it is called, and the command that ends with 0 where it holds */
function proofsOf({ name, chat }) {
  const inward = (...words) => ["dist/cli/main.js", ...words];
  const spoken = chat === "plain" ? ["--chat", "plain"] : [];
  return [
    ["its file, decoded as F32", inward("models", "pull", name, "--encoding", "f32")],
    ["checksum, tokens, template", inward("verify", "model", name)],
    ["the engines agree, as shipped", inward("verify", "engine", "--model", name, ...spoken)],
    ["the engines agree, F32", inward("verify", "engine", "--model", name, "--encoding", "f32", ...spoken)],
    ["greedy answers are transformers'", ["validation/compare-with-transformers.mjs", "--model", name, ...spoken]],
    ["training is PEFT's", ["validation/compare-with-peft.mjs", "--model", name, ...spoken]],
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
    results.push({ name: model.name, what, ok: status === 0, seconds: Math.round((Date.now() - begun) / 1000) });
  }
}
for (const { name, what, ok, seconds } of results) {
  process.stdout.write(`${ok ? "ok    " : "FAILED"} ${name}: ${what} (${seconds} s)\n`);
}
process.exit(results.every(({ ok }) => ok) ? 0 : 1);
