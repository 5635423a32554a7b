/** A copy of a run whose every text is hostile: 1,000 of them in its trials, strings and columns, and one answer of a megabyte. */
import { cp, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { outcomeOfTrial, type TrialRow } from "../../src/score/trial-rows.js";
import type { Plan } from "../../src/study/plan.js";
import type { Answer } from "../../src/tasks/answer.js";
import { pick } from "./made-up-run.js";
import { replyOf } from "./scripted-model.js";

/** What ends an element, begins a script, turns a line, hides, rings, or is no text at all. */
const PIECES = [
  '<script>document.title="owned"</script>',
  "<img src=x onerror=\"document.title='owned'\">",
  '"><svg/onload=alert(1)>',
  "</textarea></title></style></script><!--",
  "<iframe srcdoc='<script>parent.document.title=1</script>'>",
  "<style>*{display:none}</style>",
  "<base href=//evil.example><meta http-equiv=refresh content=0>",
  "javascript:alert(1)",
  "{{constructor.constructor('alert(1)')()}}",
  "$" + "{alert(1)}",
  "&lt;b&gt;&#x202e;",
  "\u202egnirts\u202c",
  "\u2066\u2067\u2069",
  "\u001b[31mred\u001b[0m\u001b]8;;file:///etc/passwd\u0007",
  "\u0000\u0007\u0008\u007f\u009b",
  "\u200b\u2060\ufeff\u00ad",
  "\ud800",
  "\udfff\ud83d",
  "e\u0301\u0301\u0301\u0301\u0301\u0301\u0301\u0301",
  "\u2028\u2029\u0085",
  "\u{e0041}\u{e007f}",
  "👩‍👩‍👧‍👦",
  "=HYPERLINK(1)",
  "__proto__",
  "owned",
] as const;
export const HOSTILE_TRIALS = 1000;
const STRINGS = 100;

const hostileText = (at: number) => [0, 1, 2].map((part) => pick(PIECES, at, part)).join(pick(["", " ", "\n"], at));

/** @param whole a run that is there @param out where its copy goes */
export async function hostileRun(whole: string, out: string): Promise<void> {
  await cp(whole, out, { recursive: true });
  const plan = JSON.parse(await readFile(join(out, "01-plan.json"), "utf8")) as Plan;
  const [task] = plan.tasks;
  if (!task) throw new Error("the run has no task");
  const items = Array.from({ length: STRINGS }, (_, at) => ({
    id: task.heldOut[at]?.id ?? `more-${at}`,
    split: "held_out" as const,
    text: hostileText(-at - 1),
    meta: { rank: at, "<b>kind</b>": pick(PIECES, "kind", at) },
  }));
  const changed = { ...plan, tasks: [{ ...task, heldOut: items }, ...plan.tasks.slice(1)] };
  await writeFile(join(out, "01-plan.json"), JSON.stringify(changed));
  const rows = await linesOf<TrialRow>(join(out, "08-trials.jsonl"));
  const trials = Array.from({ length: HOSTILE_TRIALS }, (_, at) => {
    const row = rows[at % rows.length] as TrialRow;
    const text = hostileText(at);
    const said = { ok: true, value: pick(PIECES, "value", at) } as const;
    const own = { ...row, item: items[at % STRINGS]?.id as string, reply: text, prediction: said };
    const hostile: TrialRow = at % 3 === 0 ? { ...own, behavior: said, objectCompliance: { ok: true } } : own;
    return { ...hostile, ...outcomeOfTrial(hostile) };
  });
  await writeLines(join(out, "08-trials.jsonl"), trials);
  const [first] = rows;
  const answers = await linesOf<Answer>(join(out, "02-object-level.jsonl"));
  const long = answers.find(({ state, key }) => state === first?.target && key === first.answerKey);
  if (!long) throw new Error("the first trial has no answer");
  const answer = { ...long, reply: { ...replyOf(""), promptSha256: "", ...longReply() } };
  await writeLines(
    join(out, "02-object-level.jsonl"),
    answers.map((one) => (one === long ? answer : one)),
  );
}

/** A megabyte in tokens, each with what else could have stood there. */
function longReply() {
  const texts = Array.from({ length: 20_000 }, (_, at) => hostileText(at).padEnd(52, " "));
  return {
    text: texts.join(""),
    tokenIds: texts.map((_, at) => at),
    logprobs: texts.map((_, at) => -1 / (at + 1)),
    margins: texts.map(() => 1),
    // A text that spells a control token's name, and bytes that are none.
    positions: texts.map((text) => ({
      ...{ text, logSumExp: 0, tokenIds: [30_001, 30_002, 30_003, 30_004] },
      texts: [text, "<b>other</b>", "<|im_end|>", "\ufffd"],
      logprobs: [-0.1, -3, -4, -5],
      marks: [
        { at: 2, control: true },
        { at: 3, bytes: "f09f" },
      ],
    })),
  };
}

async function linesOf<Row>(path: string): Promise<Row[]> {
  return (await readFile(path, "utf8"))
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Row);
}

async function writeLines(path: string, rows: readonly unknown[]): Promise<void> {
  await writeFile(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
}
