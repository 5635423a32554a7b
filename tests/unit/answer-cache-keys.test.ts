/** The key of an answer has everything that the answer can depend on: changed alone, each ingredient makes another key. */
import { expect, test } from "vitest";
import { answersAlone, askKey, evaluationOf, scoreKey } from "../../src/ask/answer-cache.js";
import { hashOf } from "../../src/base/files.js";
import type { ChatFormat } from "../../src/model/chat/format.js";
import type { Intervention } from "../../src/model/interventions.js";
import type { AskRequest, ModelFacts, RenderedPrompt, ScoreRequest } from "../../src/model/language-model.js";
import type { EngineManifest } from "../../src/study/plan.js";

const INTERVENTIONS: Required<Intervention>[] = [
  {
    site: { part: "head_values", layer: 3 },
    tokens: [1, 2],
    operation: "add",
    values: Float32Array.of(1, 2, 3),
    factor: 2,
    heads: [0],
  },
];
/** Every field there is: the compiler asks for one that is added, and the laws below then hold it to the key. */
const REQUEST: Required<AskRequest> = {
  messages: [{ role: "user", content: "cat" }],
  maxTokens: 8,
  temperature: 0.7,
  seed: "1/m/animals/x/0",
  topTokens: 10,
  positions: 2,
  shares: "m/animals/x",
  thinking: true,
  interventions: INTERVENTIONS,
};
const PROMPT: Required<RenderedPrompt> = { text: "cat", tokenIds: [1, 2, 3], opened: "<think>" };
const SCORE: Required<ScoreRequest> = {
  messages: [{ role: "user", content: "cat" }],
  continuations: ["a", { written: "b" }, { tokenIds: [4] }],
  interventions: INTERVENTIONS,
};
const MANIFEST: Required<EngineManifest> = {
  engine: "native",
  nodeLlamaCpp: "3",
  llamaCpp: "b1",
  device: "cpu",
  deviceNames: ["one"],
  placement: [{ device: "cuda:0", layers: [0, 1], output: true }],
  cpu: "a",
  cpuFlags: ["avx2"],
  threads: 2,
  sequences: 32,
  contextTokens: 512,
  batchTokens: 512,
  flashAttention: false,
  kvUnified: true,
  window: 4,
  wholePrompts: true,
  cacheType: "f32",
  strict: false,
  exact: false,
  invariant: false,
  arithmetic: "floats",
  forward: "own",
  kernels: "avx2",
  blasPlugin: { sha256: "b" },
  adapter: { sha256: "d", scale: 1 },
  chatTemplateSha256: "c",
  beginOfSequence: "none",
  logprobs: "natural",
};
const CHAT: Required<ChatFormat> = {
  kind: "template",
  template: "{{ messages }}",
  system: { kind: "text", text: "" },
  variables: { enable_thinking: false },
  thinking: { enable_thinking: true },
};
const FACTS: ModelFacts = { vocabularySize: 100, contextTokens: 512, warnings: [] };

/** Each leaf of a value with another one in its place, by its path. */
function changed(value: unknown, path = ""): { readonly path: string; readonly value: unknown }[] {
  if (value === null || typeof value !== "object") {
    const other =
      typeof value === "number" ? value + 1 : typeof value === "boolean" ? !value : `${String(value)} and another`;
    return [{ path, value: other }];
  }
  return Object.entries(value).flatMap(([key, inner]) =>
    changed(inner, `${path}.${key}`).map((one) => {
      const copy = structuredClone(value) as Record<string, unknown>;
      copy[key] = one.value;
      return { path: one.path, value: Array.isArray(value) ? Object.values(copy) : copy };
    }),
  );
}

function expectAllDifferent(keys: readonly { readonly path: string; readonly key: string }[], base: string): void {
  const known = new Map([[base, "nothing changed"]]);
  for (const { path, key } of keys) {
    expect(known.get(key), `${path} has the key of`).toBeUndefined();
    known.set(key, path);
  }
}

test("of a reply: every setting of the request, and the prompt's tokens", () => {
  const requests = changed(REQUEST).map(({ path, value }) => ({ path, key: askKey(value as AskRequest, PROMPT) }));
  // What becomes of messages and thinking is the prompt; shares orders a group, whose key has it.
  const rendered = requests.filter(({ path }) => /^\.(messages|thinking|shares)/.test(path));
  const own = askKey(REQUEST, PROMPT);
  expect(rendered.length).toBeGreaterThan(2);
  for (const { key } of rendered) expect(key).toBe(own);
  const prompts = changed(PROMPT).filter(({ path }) => path !== ".text");
  expectAllDifferent(
    [
      ...requests.filter((one) => !rendered.includes(one)),
      ...prompts.map(({ path, value }) => ({ path, key: askKey(REQUEST, value as RenderedPrompt) })),
      { path: "without a seed", key: askKey({ ...REQUEST, seed: undefined }, PROMPT) },
      { path: "without positions", key: askKey({ ...REQUEST, positions: undefined }, PROMPT) },
      { path: "one token fewer", key: askKey(REQUEST, { ...PROMPT, tokenIds: [1, 2] }) },
      { path: "nothing opened", key: askKey(REQUEST, { text: PROMPT.text, tokenIds: PROMPT.tokenIds }) },
    ],
    own,
  );
});

test("of scores: the messages, the prompt's tokens, each continuation, how it is meant, and their order", () => {
  const own = scoreKey(SCORE, PROMPT);
  const [a, b] = SCORE.continuations;
  expectAllDifferent(
    [
      ...changed(SCORE).map(({ path, value }) => ({ path, key: scoreKey(value as ScoreRequest, PROMPT) })),
      { path: "tokens", key: scoreKey(SCORE, { ...PROMPT, tokenIds: [1, 2, 4] }) },
      { path: "order", key: scoreKey({ ...SCORE, continuations: [b ?? "", a ?? ""] }, PROMPT) },
      { path: "meant otherwise", key: scoreKey({ ...SCORE, continuations: [{ written: "a" }] }, PROMPT) },
      { path: "one alone", key: scoreKey({ ...SCORE, continuations: ["a"] }, PROMPT) },
    ],
    own,
  );
});

test("of a way of evaluating: file, chat, everything that the engine says of itself, programs, and what libraries read", () => {
  const model = { sha256: "e", chat: CHAT };
  const env = { GGML_VK_DISABLE_F16: "1", OMP_NUM_THREADS: "2", HOME: "/h" };
  const keyOf = (
    { manifest = MANIFEST, facts = FACTS }: { manifest?: EngineManifest; facts?: ModelFacts },
    of = model,
    code = "f",
    from: NodeJS.ProcessEnv = env,
  ) => hashOf(evaluationOf({ manifest, facts }, of, code, from));
  const own = keyOf({});
  expect(keyOf({ facts: { ...FACTS, warnings: ["w"] } })).toBe(own);
  expect(keyOf({}, model, "f", { ...env, HOME: "/other" })).toBe(own);
  const { adapter: _, ...bare } = MANIFEST;
  expectAllDifferent(
    [
      ...changed(MANIFEST).map(({ path, value }) => ({ path, key: keyOf({ manifest: value as EngineManifest }) })),
      { path: "no adapter", key: keyOf({ manifest: bare }) },
      ...changed(model).map(({ path, value }) => ({ path: `model${path}`, key: keyOf({}, value as typeof model) })),
      { path: "vocabulary", key: keyOf({ facts: { ...FACTS, vocabularySize: 101 } }) },
      { path: "context", key: keyOf({ facts: { ...FACTS, contextTokens: 513 } }) },
      { path: "code", key: keyOf({}, model, "g") },
      { path: "GGML_", key: keyOf({}, model, "f", { ...env, GGML_VK_DISABLE_F16: "0" }) },
      { path: "OMP_", key: keyOf({}, model, "f", { ...env, OMP_NUM_THREADS: "4" }) },
      { path: "unset", key: keyOf({}, model, "f", { HOME: "/h" }) },
    ],
    own,
  );
});

test("an answer is kept without its group only where it depends on nobody else", () => {
  const batched = { ...MANIFEST, forward: "llama.cpp", strict: false, invariant: false } as const;
  expect(answersAlone({ ...batched, forward: "own" })).toBe(true);
  expect(answersAlone({ ...batched, strict: true })).toBe(true);
  expect(answersAlone({ ...batched, invariant: true })).toBe(true);
  expect(answersAlone(batched)).toBe(false);
  // Its contexts are as long as their group's longest prompt.
  expect(answersAlone({ ...batched, engine: "node-llama-cpp", strict: true })).toBe(false);
});
