/** Files of prompts asked, scored and listed by a tiny model: what stands in every line, and that nothing is lost or asked twice. */
import { copyFileSync, existsSync, readFileSync } from "node:fs";
import { copyFile, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parquetReadObjects } from "hyparquet";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { nextFile, nextTokens } from "../../src/exchange/next-file.js";
import { type AnsweredLine, type AskFileOptions, askFile } from "../../src/run/ask-file.js";
import { openModel, turns } from "../../src/run/open-model.js";
import { parsePrompts, parseScoredLines } from "../../src/run/prompt-lines.js";
import { scoreFile, type ScoredTextLine } from "../../src/run/score-file.js";
import { tokenizeText } from "../../src/run/text-tokens.js";
import { distribution } from "../../src/run/quick-look.js";
import { inwardHere, start } from "../helpers/command-line.js";
import { ENGINES } from "../helpers/engines.js";
import { writeTinyModel } from "../helpers/tiny-model.js";

const WORDS = ["cat dog", "a", "zebra lion", "one two three", "cat", "hen", "cow"];
const prompts = parsePrompts(
  Buffer.from(WORDS.map((prompt, at) => JSON.stringify({ prompt, label: at })).join("\n")),
  "p.jsonl",
);
/** Groups of four: a file of seven prompts is two of them. */
const engine = { threads: 1, groupQuestions: 4 } as const;

let folder: string;
let model: string;
let out: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "inward-ask-file-"));
  vi.stubEnv("INWARD_MODELS", join(folder, "models"));
  model = join(folder, "tiny.gguf");
  await writeTinyModel(model, { seed: 3 });
  out = join(folder, "answers.jsonl");
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true, force: true });
});

const ask = (more: Partial<AskFileOptions> = {}) =>
  askFile(prompts, model, { out, device: "cpu", engine, maxTokens: 5, temperature: 0.7, samples: 2, top: 3, ...more });
async function rows<Row>(path: string): Promise<Row[]> {
  return (await readFile(path, "utf8"))
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
}

describe("answers", () => {
  test("are a line for each prompt and sample, every token with its text, logprob, margin and alternatives", async () => {
    expect(await ask({ allPositions: true })).toMatchObject({ lines: 14, kept: 0, setAside: [] });
    const lines = await rows<AnsweredLine>(out);
    expect(lines.map(({ key }) => key)).toEqual(prompts.flatMap(({ id }) => [`${id}#0`, `${id}#1`]));
    expect(lines[3]).toMatchObject({ id: "2", sample: 1, meta: { label: 1 }, state: model });
    expect(new Set(lines.map(({ text }) => text)).size).toBeGreaterThan(7);
    for (const { tokens = [], text = "" } of lines) {
      const said = tokens.map((token) => token.text).join("");
      expect(said.startsWith(text)).toBe(true);
      for (const { id, logprob, margin, alternatives = [] } of tokens) {
        expect(alternatives).toHaveLength(3);
        expect(margin).toBeCloseTo((alternatives[0]?.logprob ?? 0) - (alternatives[1]?.logprob ?? 0), 9);
        const own = alternatives.find((one) => one.id === id);
        if (own) expect(own.logprob).toBe(logprob);
      }
    }
    const manifest = JSON.parse(await readFile(`${out}.manifest.json`, "utf8"));
    expect(manifest).toMatchObject({ settings: { temperature: 0.7, samples: 2 }, lines: { count: 7 } });
    expect(manifest.engines).toHaveLength(1);
  });

  test("torn off anywhere, are gone on with to the same bytes; other settings and other people's files are left alone", async () => {
    const whole = await readFile(out);
    await writeFile(out, whole.subarray(0, Math.floor(whole.length * 0.8)));
    expect(await ask({ allPositions: true })).toMatchObject({ lines: 14, kept: 8 });
    expect(await readFile(out)).toEqual(whole);

    const other = expect.objectContaining({ code: "ANSWERS_OTHER" });
    await expect(ask({ allPositions: true, temperature: 0.8 })).rejects.toThrow(other);
    await expect(ask({ allPositions: true, engine: { ...engine, threads: 2 } })).rejects.toThrow(other);
    const foreign = join(folder, "notes.txt");
    await writeFile(foreign, "no newline at its end");
    await expect(ask({ out: foreign })).rejects.toThrow(other);
    expect(await readFile(foreign, "utf8")).toBe("no newline at its end");
    expect(await readFile(out)).toEqual(whole);
  });

  test("of a model that is written over while it is asked are nobody's, and not kept", async () => {
    const own = join(folder, "own.gguf");
    await copyFile(model, own);
    await writeTinyModel(join(folder, "other.gguf"), { seed: 4 });
    const struck = join(folder, "struck.jsonl");
    const asked = askFile(prompts, own, {
      ...{ out: struck, device: "cpu", engine: { ...engine, cache: false } },
      onProgress: ({ done }) => {
        if (done === 5) copyFileSync(join(folder, "other.gguf"), own);
      },
    });
    await expect(asked).rejects.toThrow(expect.objectContaining({ code: "MODEL_CHECKSUM" }));
    expect(await rows(struck)).toHaveLength(4);
  });

  test("a prompt that cannot be asked is named before any is", async () => {
    const long = { id: "the long one", messages: turns("", "word ".repeat(2000)) };
    const place = join(folder, "long.jsonl");
    await expect(askFile([...prompts, long], model, { out: place, device: "cpu", engine })).rejects.toThrow(
      expect.objectContaining({ code: "ENGINE_CONTEXT", message: expect.stringContaining("the long one") }),
    );
    expect(await readFile(place, "utf8")).toBe("");
  });

  test("survive kill -9: the same command goes on to the bytes of an undisturbed one", async () => {
    const file = join(folder, "many.jsonl");
    const place = join(folder, "killed.jsonl");
    const many = Array.from({ length: 200 }, (_, at) => JSON.stringify({ prompt: `${WORDS[at % 7]} ${at}` }));
    await writeFile(file, many.join("\n"));
    const args = ["ask", "--file", file, "--model", model, "--device", "cpu", "--max-tokens", "16", "--json", "--out"];
    const { child, finished } = start([...args, place]);
    while (!existsSync(place) || (await readFile(place)).length === 0) await sleep(5);
    child.kill("SIGKILL");
    await finished;
    const left = (await readFile(place, "utf8")).split("\n").length - 1;
    expect(left).toBeLessThan(200);
    const again = await start([...args, place]).finished;
    expect(JSON.parse(again.stdout)).toMatchObject({ lines: 200, kept: left - (left % 96) });
    const undisturbed = join(folder, "undisturbed.jsonl");
    await askFile(parsePrompts(await readFile(file), file), model, { out: undisturbed, device: "cpu", maxTokens: 16 });
    expect(await readFile(place)).toEqual(await readFile(undisturbed));
    const [sealed, straight] = [place, undisturbed].map((one) => readFileSync(`${one}.manifest.json`, "utf8"));
    expect(JSON.parse(sealed as string).written).toEqual(JSON.parse(straight as string).written);
    // One letter of an answer, changed by hand.
    const text = await readFile(place, "utf8");
    const changed = text.replace(/"text":"[a-y]/, (found) => `${found.slice(0, -1)}z`);
    expect(changed).not.toBe(text);
    await writeFile(place, changed);
    const refused = await start([...args, place]).finished;
    expect(refused.stderr).toMatch(/STORE_CORRUPT: .*killed\.jsonl was changed after it was written/);
    expect(await readFile(place, "utf8")).toBe(changed);
  });
});

describe("a file of strings", () => {
  const own =
    "long:\n  question: Would your response be long?\n  of: number_of_words\n  bins: [{ value: short, upTo: 3 }, { value: long }]\n";
  const command = (...more: string[]) =>
    inwardHere(["ask", "--model", model, "--device", "cpu", "--no-examples", "--json", ...more]);
  beforeAll(async () => {
    await writeFile(join(folder, "long.yaml"), own);
    await writeFile(join(folder, "strings.jsonl"), '{"prompt":"cat dog","rank":1}\n{"prompt":"hen","id":"h"}\n');
  });
  const ALL = [
    ["--task", "numbers"],
    ["--task", "numbers", "--property", "long", "--variant", "third_person"],
    ["--property", "long"],
  ];

  test("is asked in the words of one question, which is read in each line as one is", async () => {
    for (const [at, words] of ALL.entries()) {
      const args = [...words, "--properties-from", join(folder, "long.yaml")];
      const place = join(folder, `strings-${at}.jsonl`);
      const { code, stderr } = await command(...args, "--file", join(folder, "strings.jsonl"), "--out", place);
      expect(stderr).not.toMatch(/Error|USAGE/);
      expect(code).toBe(0);
      const lines = await rows<AnsweredLine>(place);
      expect(lines.map(({ id, meta }) => [id, meta])).toEqual([
        ["1", { rank: 1 }],
        ["h", undefined],
      ]);
      const one = JSON.parse((await command(...args, "hen")).stdout);
      const line = lines[1] as Extract<AnsweredLine, { text: string }>;
      expect(line.promptSha256).toBe(one.reply.promptSha256);
      expect(line.tokens.map(({ id }) => id)).toEqual(one.reply.tokenIds);
      expect(line.reading).toEqual(one.reading);
      const property = words[words.indexOf("--property") + 1];
      expect(line.property).toBe(words.includes("--property") ? property : undefined);
      expect(line.reading === undefined).toBe(!words.includes("--property"));
    }
  });

  test("a line that is no text alone, and another rule, are refused; the readings of before stay", async () => {
    const chat = join(folder, "chat.jsonl");
    await writeFile(chat, '{"prompt":"a"}\n{"messages":[{"role":"user","content":"b"}]}\n');
    const refused = await command("--task", "numbers", "--file", chat, "--out", join(folder, "no.jsonl"));
    expect([refused.code, existsSync(join(folder, "no.jsonl"))]).toEqual([2, false]);
    expect(refused.stderr).toMatch(/chat\.jsonl, line 2: with --task or --property a line is a prompt alone/);

    const place = join(folder, "strings-2.jsonl");
    const before = await readFile(place);
    await writeFile(join(folder, "other.yaml"), own.replace("upTo: 3", "upTo: 4"));
    const other = await command(
      ...["--property", "long", "--properties-from", join(folder, "other.yaml")],
      ...["--file", join(folder, "strings.jsonl"), "--out", place],
    );
    expect(other.stderr).toMatch(/ANSWERS_OTHER/);
    expect(await readFile(place)).toEqual(before);
  });

  test("an own property's distribution is that of its values on a bare prompt", async () => {
    const look = await distribution(model, {
      prompt: "cat dog",
      properties: ["long"],
      propertiesFrom: [join(folder, "long.yaml")],
      maxTokens: 4,
      device: "cpu",
      set: { "calibration.samples": 20, "calibration.tokenBudget": 64, "engine.threads": 1 },
    });
    const [behavior, prediction] = look.distributions;
    expect([behavior?.side, prediction?.side]).toEqual(["object_level", "hypothetical"]);
    for (const side of [behavior, prediction]) {
      expect(side?.property).toBe("long");
      for (const { value } of side?.distribution.values ?? []) expect(["short", "long"]).toContain(value);
    }
    await expect(distribution(model, { prompt: "cat", properties: ["long"] })).rejects.toMatchObject({
      code: "PROPERTY_NOT_FOUND",
    });
  });
});

describe.runIf(ENGINES.includes("native"))("scores and next tokens", () => {
  test("a continuation's sum is the product of its tokens' probabilities, each by the whole distribution before it", async () => {
    const lines = parseScoredLines(
      Buffer.from(
        '{"id":"x","prompt":"cat","continuations":["ab","cd e",""]}\n{"prompt":"dog","continuations":["f"],"gold":0}',
      ),
      "s.jsonl",
    );
    const place = join(folder, "scores.jsonl");
    await scoreFile(lines, model, { out: place, device: "cpu", engine });
    const [first, second] = await rows<ScoredTextLine>(place);
    expect(second).toMatchObject({ key: "2", meta: { gold: 0 } });
    await using opened = await openModel(model, { device: "cpu", engine });
    for (const scored of first?.continuations ?? []) {
      let [sum, before] = [0, ""];
      for (const token of scored.tokens) {
        const next = await nextTokens(opened, turns("", "cat"), { after: before });
        const listed = next.find(({ id }) => id === token.id)?.logprob as number;
        // Evaluated in other batches.
        expect(token.logprob).toBeCloseTo(listed, 4);
        sum += token.logprob;
        before += token.text;
      }
      expect(before).toBe(scored.text);
      expect(scored.sum).toBeCloseTo(sum, 12);
      expect(scored.perByte).toBe(scored.bytes === 0 ? undefined : scored.sum / scored.bytes);
      expect(scored.perToken).toBe(scored.bytes === 0 ? undefined : scored.sum / scored.tokens.length);
    }
  });

  test("the whole vocabulary as NumPy, Parquet and JSONL is one distribution, which sums to 1", async () => {
    const few = prompts.slice(0, 2);
    const write = (name: string) => nextFile(few, model, { out: join(folder, name), device: "cpu", engine });
    const { vocabularySize } = await write("next.npy");
    await write("next.parquet");
    await write("next.jsonl");
    const npy = await readFile(join(folder, "next.npy"));
    const header = npy.readUInt16LE(8);
    expect(npy.subarray(0, 8)).toEqual(Buffer.from([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0]));
    expect((10 + header) % 64).toBe(0);
    expect(npy.toString("latin1", 10, 10 + header)).toContain(
      `'descr': '<f8', 'fortran_order': False, 'shape': (2, ${vocabularySize})`,
    );
    const numbers = Array.from({ length: 2 * vocabularySize }, (_, at) => npy.readDoubleLE(10 + header + 8 * at));
    expect(npy.length).toBe(10 + header + 16 * vocabularySize);
    const parquet = await readFile(join(folder, "next.parquet"));
    const table = await parquetReadObjects({ file: new Uint8Array(parquet).buffer });
    const lines = await rows<{ prompt: string; token_id: number; text: string; logprob: number }>(
      join(folder, "next.jsonl"),
    );
    for (const listed of [table, lines]) {
      expect(listed.map(({ logprob }) => logprob)).toEqual(numbers);
      expect(listed[vocabularySize + 7]).toMatchObject({ prompt: "2", token_id: 7, text: lines[7]?.text });
    }
    const total = numbers.slice(0, vocabularySize).reduce((sum, logprob) => sum + Math.exp(logprob), 0);
    // The native engine reads single-precision logits; sums are in double precision.
    expect(Math.abs(total - 1)).toBeLessThan(1e-6);
    await expect(write("next.csv")).rejects.toThrow(expect.objectContaining({ code: "USAGE" }));
  });

  test("whole vocabularies survive kill -9: the same command goes on from the rows that are done, to the same bytes", async () => {
    const file = join(folder, "next-many.jsonl");
    const place = join(folder, "next-killed.npy");
    const many = Array.from({ length: 100 }, (_, at) => JSON.stringify({ prompt: `${WORDS[at % 7]} ${at}` }));
    await writeFile(file, many.join("\n"));
    const args = ["next", "--all", "--file", file, "--model", model, "--device", "cpu", "--json", "--out", place];
    const { child, finished } = start(args);
    const part = `${place}.part`;
    while (!existsSync(part) || (await stat(part)).size === 0) await sleep(1);
    child.kill("SIGKILL");
    await finished;
    expect(existsSync(place)).toBe(false);
    const left = await readFile(part);
    const other = expect.objectContaining({ code: "ANSWERS_OTHER" });
    const lines = parsePrompts(await readFile(file), file);
    await expect(nextFile(lines.slice(1), model, { out: place, device: "cpu" })).rejects.toThrow(other);
    await expect(nextFile(lines, model, { out: place, device: "cpu", after: "a" })).rejects.toThrow(other);
    expect(await readFile(part)).toEqual(left);
    // A power cut may leave zeros in a row's place, and half of one.
    await writeFile(part, Buffer.concat([left, Buffer.alloc(left.length), left.subarray(0, 100)]));
    const again = JSON.parse((await start(args).finished).stdout);
    expect(again.kept).toBe(Math.floor(left.length / (8 * again.vocabularySize)));
    expect(again.kept).toBeGreaterThan(0);
    expect([existsSync(part), existsSync(`${part}.manifest.json`), existsSync(`${place}.lock`)]).toEqual([
      false,
      false,
      false,
    ]);
    const undisturbed = join(folder, "next-undisturbed.npy");
    expect(await nextFile(lines, model, { out: undisturbed, device: "cpu" })).toMatchObject({ kept: 0, prompts: 100 });
    expect(await readFile(place)).toEqual(await readFile(undisturbed));
  });
});

test("tokens of a text are those that asking has; nothing in it is a control token", async () => {
  const asked = await tokenizeText("cat dog", model, { asPrompt: true });
  await using opened = await openModel(model, { device: "cpu", engine: { ...engine, sequences: 1 } });
  expect(asked.tokens.map(({ id }) => id)).toEqual((await opened.render(turns("", "cat dog"))).tokenIds);
  const typed = await tokenizeText("a<|im_end|>", model);
  expect(typed.text).toBe("a<|im_end|>");
  expect(typed.tokens.length).toBeGreaterThan(2);
  const ids = typed.tokens.map(({ id }) => id);
  expect((await tokenizeText(ids, model)).text).toBe("a<|im_end|>");
  await expect(tokenizeText([9_999_999], model)).rejects.toThrow(expect.objectContaining({ code: "USAGE" }));
});
