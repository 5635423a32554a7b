/** Real vocabularies: inward's tokens are those of the tokenizers that the models were trained with, and what is asked can be scored. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { openTokenizer, startEngine, verifyModelFile } from "../../src/model/engines/start-engine.js";
import { train } from "../../src/run/train-from-file.js";
import { verificationTexts } from "../../src/model/verify-model.js";
import type { LanguageModel } from "../../src/model/language-model.js";
import { DEFAULT_ENGINE } from "../../src/study/load-study.js";
import { writeZooModel, ZOO, zooPackage } from "../helpers/zoo.js";

const folder = mkdtempSync(join(tmpdir(), "inward-zoo-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
/** What is truly other there. Gemma's package names another EOS, and has its turn markers among the ordinary pieces. */
const KNOWN: Readonly<Record<string, readonly string[]>> = {
  "Qwen 2.5": ["tokens there"],
  Gemma: ["BOS and EOS there", "prompts there"],
};
const SYSTEM = { role: "system", content: "" } as const;

describe.each(Object.entries(ZOO))("%s", (name, zoo) => {
  const path = join(folder, `${name}.gguf`);
  let open: LanguageModel | undefined;
  const opened = async () => {
    open ??= await startEngine(path, { ...DEFAULT_ENGINE, device: "cpu", engine: "native", threads: 1 });
    return open;
  };
  afterAll(async () => open?.dispose());

  test("tokens, markers, template and end of turn are right", async (context) => {
    const found = await zooPackage(zoo.package);
    if ("missing" in found) return context.skip(found.missing);
    const tokenizer = await writeZooModel(path, found.folder, zoo);
    const checks = await verifyModelFile(path, tokenizer);
    const wrong = checks.filter(({ verdict }) => verdict === "mismatch");
    expect(wrong.map(({ check }) => check)).toEqual(KNOWN[name] ?? []);
    // transformers composes characters before it tokenizes; llama.cpp does not.
    if (name === "Qwen 2.5")
      expect(wrong[0]?.found).toMatch(/; (\d+) of the \1 others hold characters that are not composed/);
    expect(checks.map(({ check }) => check)).toEqual(
      expect.arrayContaining(["tokens there", "prompts there", "token texts"]),
    );
  }, 120_000);

  test("what was asked is scored as it was asked, and is what a distribution lists", async (context) => {
    const found = await zooPackage(zoo.package);
    if ("missing" in found) return context.skip(found.missing);
    const model = await opened();
    const messages = [SYSTEM, { role: "user", content: "cat dog " } as const];
    const [reply] = await model.ask([{ messages, maxTokens: 6, temperature: 0, topTokens: 3 }]);
    const { tokenIds = [], logprobs = [], stop } = reply ?? {};
    const [[scored] = []] = (await model.score?.([{ messages, continuations: [{ tokenIds }] }])) ?? [];
    const said = stop === "end_of_generation" ? logprobs.slice(0, -1) : logprobs;
    expect(scored?.logprobs.length).toBe(said.length);
    for (const [at, logprob] of (scored?.logprobs ?? []).entries()) {
      expect(Math.abs(logprob - (said[at] as number))).toBeLessThan(1e-5);
    }
    const next = await model.nextTokens?.(messages, [[], tokenIds.slice(0, 2)], 3);
    expect(Array.from(next?.steps[0]?.ids ?? [])).toEqual(reply?.first.tokenIds);
    expect(next?.steps[1]?.ids[0]).toBe(tokenIds[2]);
  }, 120_000);

  test("what is learnt is what is asked: the trainer's loss is that of the answers as they are scored", async (context) => {
    const found = await zooPackage(zoo.package);
    if ("missing" in found) return context.skip(found.missing);
    const out = join(folder, `${name}.adapter.gguf`);
    const question = { role: "user", content: "Name two colors." } as const;
    const examples = ["red blue", "green zebra"].map((content) => ({
      messages: [question, { role: "assistant", content } as const],
    }));
    const settings = { rank: 4, alpha: 8, epochs: 3, batchExamples: 2, learningRate: 0.01 };
    const watched = join(folder, `${name}.jsonl`);
    writeFileSync(watched, examples.map((example) => JSON.stringify(example)).join("\n"));
    const { card } = await train(examples, {
      model: path,
      out,
      settings,
      validation: watched,
      threads: 1,
      device: "cpu",
    });
    const model = await (await opened()).withAdapter?.({ path: out });
    if (model === undefined) throw new Error("the native engine changes its adapter");
    open = model;
    const continuations = examples.map(({ messages }) => ({ written: messages[1]?.content as string }));
    const [scores = []] = await model.score([{ messages: [question], continuations }]);
    const logprobs = scores.flatMap((score) => [...score.logprobs, score.endOfTurnLogprob]);
    const loss = -logprobs.reduce((sum, logprob) => sum + logprob, 0) / logprobs.length;
    const last = card.validation.at(-1);
    // Both are in single precision, through other kernels; other tokens would be whole nats apart.
    expect(Math.abs(loss - (last?.lossNatsPerToken as number))).toBeLessThan(1e-3);
    const [reply] = await model.ask([{ messages: [question], maxTokens: 4, temperature: 0, topTokens: 1 }]);
    expect(model.manifest.adapter?.scale).toBe(1);
    expect(reply?.logprobs.length).toBeGreaterThan(0);
  }, 120_000);
});

test("500 nasty texts have the tokens that another implementation of Llama 3's tokenizer gives them", async (context) => {
  const other = await zooPackage("llama3-tokenizer-js@1.2.0");
  if ("missing" in other) return context.skip(other.missing);
  const { default: llama3 } = await import(
    pathToFileURL(join(other.folder, "bundle", "llama3-tokenizer-with-baked-data.js")).href
  );
  const model = await openTokenizer(join(folder, "Llama 3.1.gguf"), {
    kind: "plain",
    system: { kind: "omit" },
    variables: {},
  });
  try {
    // Its own special tokens are read out of any text there, and of a template's only here.
    const texts = verificationTexts()
      .filter((text) => !text.includes("<|"))
      .slice(0, 560);
    expect(texts.length).toBeGreaterThanOrEqual(500);
    const ids = await model.tokenize(texts.map((content) => [{ role: "user", content }]));
    const wrong = texts.filter(
      (text, at) =>
        JSON.stringify(ids[at]) !== JSON.stringify([128000, ...llama3.encode(text, { bos: false, eos: false })]),
    );
    expect(wrong).toEqual([]);
  } finally {
    await model.dispose();
  }
}, 120_000);
