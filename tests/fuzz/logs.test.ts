/** Logs of other programs, changed at random: refused with a code, or each answer the one that stands there. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { unpackZstd } from "../../src/base/zstd.js";
import type { ForeignLog } from "../../src/elsewhere/foreign-answers.js";
import { readForeignLog } from "../../src/elsewhere/read-log.js";
import { InwardError } from "../../src/errors.js";
import { type ZipMember, zip } from "../helpers/made-zip.js";
import { changeBytes, changeStructure, changeText, type Dice, fuzz } from "./mutations.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "inward-fuzz-logs-"));
});
afterAll(() => rm(folder, { recursive: true }));

const sample = (id: string | number, answer: string, more: object = {}) => ({
  id,
  epoch: 1,
  input: [
    { role: "system", content: "s" },
    { role: "user", content: `Say ${id}` },
  ],
  target: "B",
  choices: ["one", "two"],
  metadata: { subject: "law", n: 3 },
  scores: { match: { value: "C" } },
  output: { choices: [{ message: { role: "assistant", content: answer }, stop_reason: "stop" }] },
  ...more,
});
const SAMPLES = [
  sample("a", "A"),
  sample(2, "say “$&”", { choices: null, target: ["x"] }),
  sample("c", "", { epoch: 2 }),
];
const HEADER = { version: 2, status: "success", eval: { model: "openai/gpt", task: "t", dataset: { samples: 3 } } };
/** Of `zstd -19`: a sample whose input and answer repeat themselves. */
const PACKED = Buffer.from(
  "KLUv/WRcAjUEAKKJGxeAbQ4ggJFUEN7xIdlJ0UCiWjen0sJMaTEW8esPKkvHaODqreK9sFRHeTgvlM8LBF/ug+1W38dWnSq713OBTiZMNZlPhNc1m4NK+7QPvNWFe30zcdje6gaaJTbc6/s0z90q8LrSYJO3ervXEfcpBgBkDiEJm7IzuGE8QmC9QUQgqugBQLAh0w==",
  "base64",
);
const PACKED_BYTES = 860;

/** What the text of an answer may be made of: every string that stands somewhere in the log. */
function textsIn(value: unknown, texts = new Set<string>()): Set<string> {
  if (typeof value === "string") texts.add(value);
  else if (value !== null && typeof value === "object") for (const one of Object.values(value)) textsIn(one, texts);
  return texts;
}

interface Rows {
  readonly samples?: readonly {
    readonly id: string | number;
    readonly output?: { readonly choices?: readonly { readonly message: { readonly content: unknown } }[] } | null;
  }[];
}

function requireWhole(log: ForeignLog, samples: Rows["samples"] = []): void {
  expect(log.answers.map(({ sample: id }) => id)).toEqual(samples.map(({ id }) => String(id)));
  for (const [at, { said, question, columns }] of log.answers.entries()) {
    const texts = textsIn(samples[at]);
    const content = samples[at]?.output?.choices?.[0]?.message.content;
    if (said.ok && typeof content === "string") expect(said.text).toBe(content);
    if (typeof content === "string" || Array.isArray(content))
      expect(texts.has(question) || Array.isArray(content) || question === "").toBe(true);
    expect(Object.values(columns).every((one) => typeof one !== "number" || Number.isFinite(one))).toBe(true);
  }
}

function memberOf(name: string, value: unknown, dice: Dice): ZipMember {
  const content = Buffer.from(JSON.stringify(dice.once(8) ? changeStructure(value, dice) : value));
  const lies = dice.once(12)
    ? { crc: dice.below(2 ** 31) }
    : dice.once(12)
      ? { bytes: dice.of([0, 1, content.length + 1, 2 ** 32 - 1]) }
      : {};
  return {
    name: dice.once(15) ? dice.of([`../${name}`, `/etc/${name}`, name.toUpperCase(), ""]) : name,
    content,
    method: dice.of([0, 8]),
    ...lies,
  };
}

test("an inspect log", async () => {
  const tally = await fuzz(
    "inspect log",
    (dice, at) => {
      const log = { ...HEADER, samples: SAMPLES };
      const isZip = dice.once(3);
      const text = dice.once(2)
        ? changeText(JSON.stringify(log), dice)
        : JSON.stringify(changeStructure(changeStructure(log, dice), dice));
      const members = [
        memberOf("header.json", HEADER, dice),
        ...SAMPLES.map((one, number) => memberOf(`samples/${number}.json`, one, dice)),
      ];
      const archive = zip(dice.once(10) ? members.slice(1) : members);
      const bytes = !isZip
        ? Buffer.from(text)
        : dice.once(2)
          ? changeBytes(archive, dice)
          : dice.once(4)
            ? archive.subarray(0, dice.below(archive.length))
            : archive;
      const path = join(folder, `i${at}.${isZip ? "eval" : "json"}`);
      const result = async () => {
        await writeFile(path, bytes);
        return {
          log: await readForeignLog(path),
          samples: isZip ? undefined : (JSON.parse(text.replace(/^\ufeff/, "")) as Rows).samples,
        };
      };
      return { input: () => (isZip ? bytes.toString("hex") : text), result: result() };
    },
    ({ log, samples }) => {
      if (samples) requireWhole(log, samples);
      // Checksums of the archive hold what its bytes say; the members that say who they are are all there.
      else for (const { said } of log.answers) if (said.ok) expect(said.text.length).toBeLessThan(200);
      expect(log.sha256).toMatch(/^[0-9a-f]{64}$/);
    },
  );
  expect(Math.min(tally.accepted, tally.refused)).toBeGreaterThan(20);
});

test("samples of lm-evaluation-harness", async () => {
  const rows = [
    {
      doc_id: 0,
      target: "1",
      arguments: [
        ["Q0", " one"],
        ["Q0", " two"],
      ],
      resps: [[["-1.5", "False"]], [["-0.5", "True"]]],
      filter: "none",
      acc: 1,
    },
    {
      doc_id: 1,
      doc: { subject: "law" },
      target: "Paris",
      arguments: { gen_args_0: { arg_0: "Q1", arg_1: { until: ["."] } } },
      resps: [["Paris", "Rome"]],
      filter: "none",
    },
    { doc_id: "x", target: 0, arguments: [["Q2", {}]], resps: [["b"]], filter: "none", exact_match: 0 },
  ];
  const tally = await fuzz(
    "lm-eval log",
    (dice, at) => {
      const lines = (all: unknown) => (Array.isArray(all) ? all.map((row) => `${JSON.stringify(row)}\n`).join("") : "");
      const text = dice.once(2)
        ? changeText(lines(rows), dice)
        : lines(changeStructure(dice.once(2) ? changeStructure(rows, dice) : rows, dice));
      const path = join(folder, `samples_${at}.jsonl`);
      const result = async () => {
        await writeFile(path, text);
        return readForeignLog(path);
      };
      return { input: text, result: result() };
    },
    (log, input) => {
      const said = input
        .split(/\r?\n/)
        .map((line) => line.replace(/^\ufeff/, ""))
        .filter((line) => line.trim() !== "")
        .map((line) => JSON.parse(line) as { doc_id: unknown; resps: unknown });
      const left = Object.values(log.leftOut).reduce((sum, count) => sum + count, 0);
      const ids = new Set(log.answers.map(({ sample: id }) => id));
      expect(ids.size + left).toBe(said.length);
      for (const { sample: id, said: answer, options } of log.answers) {
        const row = said.find(({ doc_id }) => String(doc_id) === id);
        expect(row).toBeDefined();
        if (!answer.ok) continue;
        if (answer.by === undefined) expect(textsIn(row?.resps).has(answer.text)).toBe(true);
        else expect(options?.[answer.text.charCodeAt(0) - 65]).toBeDefined();
      }
    },
  );
  expect(Math.min(tally.accepted, tally.refused)).toBeGreaterThan(20);
});

test("zstd", async () => {
  const tally = await fuzz(
    "zstd",
    (dice, at) => {
      const bytes = dice.once(5) ? PACKED.subarray(0, dice.below(PACKED.length)) : changeBytes(PACKED, dice);
      const isBare = dice.once(2);
      const path = join(folder, `z${at}.eval`);
      const result = async () => {
        if (isBare) return unpacked(bytes, dice.of([PACKED_BYTES, 0, 10, 2 ** 20]));
        const header = { name: "header.json", content: Buffer.from(JSON.stringify(HEADER)), method: 0 };
        // The checksum is that of what was packed: other bytes behind it are not taken for them.
        const member = { name: "samples/c.json", content: bytes, method: 93, bytes: PACKED_BYTES, crc: 2547689604 };
        await writeFile(path, zip([header, member]));
        return readForeignLog(path);
      };
      return { input: () => bytes.toString("hex"), result: result() };
    },
    (read) => {
      if (typeof read === "number") return;
      expect(read.answers.map(({ said }) => said.ok && said.text)).toEqual(["owl newt ibex seal ".repeat(30)]);
    },
  );
  expect(tally.refused).toBeGreaterThan(20);
});

/** @returns bytes that came; more than were said never come */
function unpacked(packed: Buffer, bytes: number): number {
  let done = 0;
  try {
    unpackZstd(packed, bytes, (piece) => {
      done += piece.length;
      expect(done).toBeLessThanOrEqual(bytes);
    });
    return done;
  } catch (error) {
    if (error instanceof Error && error.constructor === Error) throw new InwardError("IMPORT_SOURCE", error.message);
    throw error;
  }
}
