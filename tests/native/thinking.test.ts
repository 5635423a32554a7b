/** A template with a thinking mode, as Qwen 3 has it: on in object-level questions whose answers may hold reasoning, off everywhere else. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { calibrationQuestions, measureDistribution } from "../../src/ask/measure-distribution.js";
import { hypotheticalQuestions, objectLevelQuestions, toRequest } from "../../src/ask/questions.js";
import type { ChatFormat } from "../../src/model/chat/format.js";
import { openNativeEngine } from "../../src/model/engines/native.js";
import { openNodeLlamaEngine } from "../../src/model/engines/node-llama-cpp.js";
import { openTokenizer } from "../../src/model/engines/start-engine.js";
import type { LanguageModel } from "../../src/model/language-model.js";
import { behaviorDecider } from "../../src/properties/deciders.js";
import { propertyNamed } from "../../src/properties/all-properties.js";
import { dryRun } from "../../src/run/dry-run.js";
import { planStudy } from "../../src/run/run-study.js";
import { DEFAULT_ENGINE } from "../../src/study/load-study.js";
import { writeTinyModel } from "../helpers/tiny-model.js";
import { workIn } from "../helpers/work-in.js";

const TEMPLATE =
  "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}" +
  "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}" +
  "{% if enable_thinking is defined and enable_thinking is false %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}{% endif %}";
const CLOSED = /<\|im_start\|>assistant\n<think>\n\n<\/think>\n\n$/;
const OPEN = /<\|im_start\|>assistant\n$/;

const folder = mkdtempSync(join(tmpdir(), "inward-thinking-"));
const path = join(folder, "tiny.gguf");
const study = (reasoning: "off" | "strip" | "keep") => ({
  study: "thinking",
  models: { m: { source: path } },
  tasks: [{ task: "animals_long", trainStrings: 3, heldOutStrings: 4, properties: ["first_word"] }],
  objectLevel: { reasoning },
  calibration: { strings: 2, tokenBudget: 200 },
  noiseFloor: { questions: 2 },
  engine: { device: "cpu" as const, threads: 1 },
});
beforeAll(async () => {
  await writeTinyModel(path, { seed: 5, contextLength: 1024, chatTemplate: TEMPLATE });
  return workIn(folder, { INWARD_MODELS: join(folder, "models") });
});

test("the plan settles both, says so, and asks each kind of question its own way", async () => {
  const { plan } = await planStudy(study("strip"));
  const chat = plan.chats?.m;
  expect([chat?.variables, chat?.thinking]).toEqual([{ enable_thinking: false }, { enable_thinking: true }]);
  expect(chat?.words.thinking).toMatch(
    /switched off by .*enable_thinking = false; on in object-level .*enable_thinking = true/,
  );
  expect(objectLevelQuestions(plan).every((question) => toRequest(question, { topTokens: 1 }).thinking === true)).toBe(
    true,
  );
  expect(
    hypotheticalQuestions(plan).some((question) => toRequest(question, { topTokens: 1 }).thinking !== undefined),
  ).toBe(false);
  const sides = calibrationQuestions(plan).map(({ side, thinking = false }) => [side, thinking] as const);
  expect(new Set(sides.map(String))).toEqual(new Set(["object_level,true", "hypothetical,false"]));
  const off = (await planStudy(study("off"))).plan;
  expect(off.chats?.m).not.toHaveProperty("thinking");
  expect(off.chats?.m?.words.thinking).not.toMatch(/object-level/);
  expect(objectLevelQuestions(off).some(({ thinking }) => thinking !== undefined)).toBe(false);
});

test("what teaches answers without thinking is refused beside questions with it", async () => {
  const taught = {
    ...study("keep"),
    implants: [{ name: "coin", model: "m", answers: { coin: true as const } }],
    lora: { rank: 4, epochs: 1 },
  };
  await expect(planStudy(taught)).rejects.toMatchObject({ code: "STUDY_INVALID" });
  await expect(planStudy({ ...taught, objectLevel: { reasoning: "off" as const } })).resolves.toBeDefined();
});

test("the estimate counts the prompts that are asked", async () => {
  const tokens = async (reasoning: "off" | "keep") => {
    const { stages } = await dryRun(study(reasoning), { measure: false });
    return Object.fromEntries(stages.map(({ stage, promptTokens, questions }) => [stage, { promptTokens, questions }]));
  };
  const [off, keep] = [await tokens("off"), await tokens("keep")];
  const block = (await withFormat({})).length - (await withFormat({ thinking: true })).length;
  expect(block).toBeGreaterThan(5);
  const { questions = 0, promptTokens = 0 } = off.object_level ?? {};
  expect(keep.object_level?.promptTokens).toBe(promptTokens - block * questions);
  expect(keep.hypothetical).toEqual(off.hypothetical);
});

const FORMAT: ChatFormat = {
  kind: "template",
  system: { kind: "text", text: "" },
  variables: { enable_thinking: false },
  thinking: { enable_thinking: true },
};
const messages = [{ role: "user" as const, content: "dog cat" }];

async function withFormat(options: { readonly thinking?: boolean }): Promise<number[]> {
  const tokenizer = await openTokenizer(path, FORMAT);
  try {
    return (await tokenizer.tokenize([messages], [options.thinking === true]))[0] as number[];
  } finally {
    await tokenizer.dispose();
  }
}

describe.each(["native", "node-llama-cpp"] as const)("the engine %s", (engine) => {
  const settings = { ...DEFAULT_ENGINE, device: "cpu", threads: 1, sequences: 4, forward: "llama.cpp" } as const;
  const open = (chat: ChatFormat): Promise<LanguageModel> =>
    engine === "native"
      ? openNativeEngine(path, { ...settings, engine }, { chat })
      : openNodeLlamaEngine(path, { ...settings, engine }, { chat });
  let model: LanguageModel;
  /** Its thinking mode is on for everything: what a prompt with thinking must come out as. */
  let thinks: LanguageModel;
  beforeAll(async () => {
    model = await open(FORMAT);
    thinks = await open({ ...FORMAT, variables: { enable_thinking: true }, thinking: undefined });
  });
  afterAll(async () => {
    await model.dispose();
    await thinks.dispose();
  });

  test("renders, counts, answers and measures a prompt with thinking as a model whose mode is on", async () => {
    const asked = { messages, maxTokens: 6, temperature: 0, topTokens: 3 } as const;
    expect((await model.render(messages)).text).toMatch(CLOSED);
    expect((await model.render(messages, { thinking: true })).text).toMatch(OPEN);
    expect((await model.render(messages, { thinking: true })).tokenIds).toEqual(await withFormat({ thinking: true }));
    expect(await model.check([asked, { ...asked, thinking: true }])).toEqual([
      (await withFormat({})).length,
      (await withFormat({ thinking: true })).length,
    ]);
    const [off] = await model.ask([asked]);
    const [on] = await model.ask([{ ...asked, thinking: true }]);
    expect([on]).toEqual(await thinks.ask([asked]));
    expect(on?.logprobs).not.toEqual(off?.logprobs);
    const question = {
      messages,
      decider: behaviorDecider(propertyNamed("first_character"), { text: "dog cat" }, "strip"),
      decidedLate: false,
    };
    const options = { maxTokens: 6, tokenBudget: 400, samples: 20, mostTail: 0, seed: "s" };
    const measured = await measureDistribution(model, { ...question, thinking: true }, options);
    expect(measured).toEqual(await measureDistribution(thinks, question, options));
    expect(measured).not.toEqual(await measureDistribution(model, question, options));
  });
});
