// Scores the options of questions with inward, as a study with answerBy: logprob does, and holds every sum against
// lm-evaluation-harness' own loglikelihood on transformers, F32 weights of the same model.
// node validation/compare-options.mjs --python <a Python with lm_eval> [--model smollm2-135m-instruct] [--items 50] [--chat template|plain|both] [--threads 2] [--json]
// Half of the items are dilemmas with two options, half are facts with four. Each is asked by the chat template, in plain text, or in both.
// Exit code 4 when a sum is too far off, or another option is the likeliest by more than that.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { peerModelFolder } from "../bench/train/peft-environment.mjs";
import { prepare } from "../scripts/prepare.mjs";

const { values: options } = parseArgs({
  options: {
    python: { type: "string", default: "python3" },
    model: { type: "string", default: "smollm2-135m-instruct" },
    items: { type: "string", default: "50" },
    chat: { type: "string", default: "both" },
    threads: { type: "string", default: "2" },
    json: { type: "boolean", default: false },
  },
});
const THREADS = Number(options.threads);
const HALF = Math.floor(Number(options.items) / 2);
/** Two forward passes in single precision, summed over the tokens of an option, nats. */
const GREATEST_DIFFERENCE = 1e-3;
const VERIFICATION_MISMATCH = 4;
const REFERENCE = fileURLToPath(new URL("options_reference.py", import.meta.url));

prepare();
const { objectLevelQuestions } = await import("../dist/ask/questions.js");
const { answeredQuestions } = await import("../dist/ask/groups.js");
const { settleEngine } = await import("../dist/model/engines/settings.js");
const { likeliestOption } = await import("../dist/properties/option-answers.js");
const { findModel, openFound } = await import("../dist/run/open-model.js");
const { plannedChat } = await import("../dist/run/planned-chats.js");
const { readStudy } = await import("../dist/run/run-study.js");
const { loadTask } = await import("../dist/study/load-task.js");
const { makePlan } = await import("../dist/study/make-plan.js");

const WAYS = ["letter", "text", "text_per_byte", "text_per_character"];
const work = mkdtempSync(join(tmpdir(), "inward-options-"));
let result;
try {
  await writeFacts(work);
  const shipped = (await findModel(options.model, {})).file;
  const modelFolder = peerModelFolder(shipped);
  const forms = [];
  for (const chat of options.chat === "both" ? ["template", "plain"] : [options.chat])
    forms.push(...(await score(chat)));
  const theirs = harness({ modelFolder, gguf: shipped.path, pairs: forms.flatMap(({ pairs }) => pairs) });
  result = compare(forms, theirs, shipped);
} finally {
  rmSync(work, { recursive: true, force: true });
}
process.stdout.write(options.json ? `${JSON.stringify(result, null, 2)}\n` : table(result));
// NaN is within no tolerance.
process.exit(
  result.largestDifference <= GREATEST_DIFFERENCE && result.otherChoices.length === 0 ? 0 : VERIFICATION_MISMATCH,
);

/** A question of four options for each fact: its answer, and those of three others. */
async function writeFacts(folder) {
  const { heldOut } = await loadTask("two_hop_facts");
  const rows = heldOut.slice(0, HALF).map(({ id, text, target }, at) => {
    const others = heldOut.filter((one) => one.target.toLowerCase() !== target.toLowerCase()).slice(at, at + 3);
    const offered = [target, ...others.map((one) => one.target)];
    const turned = offered.map((_, place) => offered[(place + at) % offered.length]);
    const lines = turned.map((one, place) => `${"ABCD"[place]} - ${one}`);
    return JSON.stringify({
      id,
      text: `${text}?\n${lines.join("\n")}`,
      target: "ABCD"[turned.indexOf(target)],
      split: "held_out",
    });
  });
  writeFileSync(join(folder, "facts.jsonl"), `${rows.join("\n")}\n`);
  writeFileSync(
    join(folder, "facts.yaml"),
    'name: facts\nkind: options\nquestion: "Choose the right answer.\\n{string}"\nproperties: [is_correct]\nstrings: facts.jsonl\nanswerBy: logprob\n',
  );
}

/** As a run does it: the plan's questions in one group, replies with the scores of every option. */
async function score(chat) {
  const found = await findModel(options.model, { encoding: "f32", chat: chat === "plain" ? "plain" : undefined });
  const asked = { trainStrings: 0, heldOutStrings: HALF, examples: false, answerBy: "logprob" };
  const study = await readStudy({
    study: "options",
    models: { m: { source: options.model, encoding: "f32", ...(chat === "plain" ? { chat } : {}) } },
    tasks: [
      { task: "wealth_seeking", ...asked },
      { task: join(work, "facts.yaml"), ...asked },
    ],
    engine: { device: "cpu", threads: THREADS },
  });
  const engine = await settleEngine(study.engine, [found.file.path]);
  const plan = await makePlan({ ...study, engine }, { m: found.file }, work, { chats: { m: plannedChat(found.chat) } });
  const model = await openFound(found, engine);
  try {
    const questions = objectLevelQuestions(plan);
    const rows = await answeredQuestions({ topTokens: 1 }).ask(model, questions, {
      heard: () => {},
      onAnswered: () => {},
    });
    return await Promise.all(
      rows.map(async ({ key, reply }, at) => {
        const { messages, options: scored } = questions[at];
        const said = [...scored.options.keys(), ...scored.options.values()].map((answer) => scored.said(answer));
        const { text } = await model.render(messages);
        return { key: `${chat} ${key}`, scores: reply.options, pairs: said.map((one) => [text, one]) };
      }),
    );
  } finally {
    await model.dispose();
  }
}

function harness(request) {
  const path = join(work, "request.json");
  writeFileSync(path, JSON.stringify({ ...request, threads: THREADS }));
  const ran = spawnSync(options.python, [REFERENCE, path], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
    maxBuffer: 1 << 28,
    env: { ...process.env, HF_HUB_OFFLINE: "1", CUDA_VISIBLE_DEVICES: "", OMP_NUM_THREADS: String(THREADS) },
  });
  if (ran.status !== 0) {
    throw new Error(`${options.python} ended with ${ran.signal ?? ran.status}; name one that has lm_eval by --python.`);
  }
  return JSON.parse(ran.stdout.trim().split("\n").at(-1));
}

function compare(forms, { sums, leads, versions }, file) {
  let [at, total, largest, counted] = [0, 0, 0, 0];
  const otherChoices = [];
  for (const { key, scores, pairs } of forms) {
    const theirs = pairs.map((_, place) => sums[at + place] - leads[at + place]);
    at += pairs.length;
    const [order] = scores.orders;
    const count = scores.letters.length;
    const apart = [...order.letter, ...order.text].map((one, place) => Math.abs(one - theirs[place]));
    counted += apart.length;
    total += apart.reduce((sum, one) => sum + one, 0);
    largest = Math.max(largest, ...apart);
    const other = { ...scores, orders: [{ ...order, letter: theirs.slice(0, count), text: theirs.slice(count) }] };
    for (const by of WAYS) {
      const [one, two] = [likeliestOption(scores, by), likeliestOption(other, by)];
      // Both sums of a pair may be off.
      if (one.letter !== two.letter && one.margin > 2 * GREATEST_DIFFERENCE) otherChoices.push({ key, by, one, two });
    }
  }
  return {
    model: file.source,
    sha256: file.sha256,
    versions,
    questions: forms.length,
    sums: counted,
    meanDifference: total / counted,
    largestDifference: largest,
    greatestDifference: GREATEST_DIFFERENCE,
    otherChoices,
  };
}

function table({ model, sha256, versions, questions, sums, meanDifference, largestDifference, otherChoices }) {
  const lines = [
    `${model}, sha256 ${sha256}; lm_eval ${versions.harness}, transformers ${versions.transformers}, torch ${versions.torch}`,
    `${questions} questions: ${sums} sums of letters and texts differ by ${meanDifference.toExponential(2)} nats on average, ${largestDifference.toExponential(2)} at most (allowed ${GREATEST_DIFFERENCE.toExponential(0)})`,
    otherChoices.length === 0
      ? "The same option is the likeliest everywhere: by letter, by text, by bytes and by characters."
      : `MISMATCH: ${otherChoices.map(({ key, by, one, two }) => `${key} by ${by}: ${one.letter} here, ${two.letter} there`).join("; ")}`,
  ];
  return `${lines.join("\n")}\n`;
}
