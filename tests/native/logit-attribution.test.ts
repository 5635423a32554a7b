/** Direct logit attribution: parts are those of float64, sum to what the model says, and show what was planted and nothing else. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { readGguf } from "../../src/gguf/read-gguf.js";
import { siteName, stateShapeOf } from "../../src/model/sites.js";
import { type AttributedLogits, attributionSites, LogitAttribution } from "../../src/probe/logit-attribution.js";
import { partEffects } from "../../src/probe/part-effects.js";
import { writePlantedModel } from "../../src/probe/planted-model.js";
import { PLANTED_PROPERTY_QUESTION, PLANTED_QUESTION } from "../../src/probe/planted-vocabulary.js";
import { hypotheticalVariant } from "../../src/properties/wordings.js";
import type { AttributedFile, AttributedLine } from "../../src/run/attribute-logits.js";
import { ARCHITECTURE_VARIANTS, loudGates } from "../helpers/architecture-variants.js";
import { capture } from "../helpers/captured-states.js";
import { inwardHere } from "../helpers/command-line.js";
import { byId } from "../helpers/intervened.js";
import { type Answered, openEngine } from "../helpers/native-engine.js";
import { normal } from "../helpers/normal.js";
import { randomAdapter, type ReferenceAdapter } from "../helpers/reference/adapter.js";
import { Matrix } from "../helpers/reference/matrix.js";
import { project } from "../helpers/reference/project.js";
import { readReferenceModel, type ReferenceModel } from "../helpers/reference/reference-model.js";
import { referenceResiduals } from "../helpers/reference/reference-pass.js";
import { rmsNorm } from "../helpers/reference/rms-norm.js";
import { writeReferenceAdapter } from "../helpers/reference/write-adapter.js";
import { writeTinyModel } from "../helpers/tiny-model.js";
import { tinyVocabulary } from "../helpers/tiny-vocabulary.js";

const folder = mkdtempSync(join(tmpdir(), "inward-attribution-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const PROMPT = [1, ...Array.from({ length: 11 }, (_, at) => 20 + ((at * 37) % 200))];
/** Those that the tiny models may say: rows of others are 0. */
const TOKENS = tinyVocabulary("chatml").speakableIds.slice(3, 6);
/** Single precision, of logits of size 10 at most. */
const APART = 1e-4;

/** The same in float64, once more: a norm is what it makes of each number, and a head what is left when all others are 0. */
function referenceParts(model: ReferenceModel, adapter?: ReferenceAdapter): Map<string, number[]> {
  const seen = new Map<string, number[]>();
  const { afterLayers, embedded } = referenceResiduals(
    model,
    PROMPT,
    (site, states) => {
      seen.set(siteName(site), lastRow(states));
      return states;
    },
    adapter,
  );
  const end = lastRow(afterLayers.at(-1) as Matrix);
  const made = lastRow(rmsNorm(rowOf(end), model.outputNorm, model.normEpsilon).output);
  const logitsOf = (part: readonly number[]) =>
    TOKENS.map((token) => {
      const weights = part.map(
        (one, at) => ((one * (made[at] as number)) / (end[at] as number)) * model.output.at(token, at),
      );
      return model.logitScale * weights.reduce((sum, one) => sum + one, 0);
    });
  const parts = new Map([["embedding", logitsOf(lastRow(embedded))]]);
  for (const [layer, block] of model.blocks.entries()) {
    parts.set(`attention.${layer}`, logitsOf(seen.get(`attention_output.${layer}`) as number[]));
    parts.set(`mlp.${layer}`, logitsOf(seen.get(`mlp_output.${layer}`) as number[]));
    const values = seen.get(`head_values.${layer}`) as number[];
    const whole = lastRow(project(rowOf(values), block.o, adapter).output);
    const normed = lastRow(rmsNorm(rowOf(whole), block.attentionPostNorm, model.normEpsilon).output);
    const bias = lastRow(project(rowOf(values.map(() => 0)), block.o, adapter).output);
    const added = (part: readonly number[]) =>
      logitsOf(part.map((one, at) => (one * model.residualScale * (normed[at] as number)) / (whole[at] as number)));
    for (let head = 0; head < model.heads; head++) {
      const alone = values.map((one, at) => (Math.floor(at / model.headWidth) === head ? one : 0));
      const out = lastRow(project(rowOf(alone), block.o, adapter).output);
      parts.set(`head.${layer}.${head}`, added(out.map((one, at) => one - (bias[at] as number))));
    }
    if (block.o.bias) parts.set(`attention_bias.${layer}`, added(bias));
  }
  if (model.outputBias) {
    const bias = TOKENS.map((token) => model.logitScale * (model.outputBias?.at(0, token) as number));
    parts.set("output_bias", bias);
  }
  return parts;
}

const lastRow = ({ values, columns, rows }: Matrix) =>
  Array.from(values.subarray((rows - 1) * columns, rows * columns));
const rowOf = (values: readonly number[]) => new Matrix(1, values.length, Float64Array.from(values));

async function attributed(path: string, adapter?: string) {
  const shape = stateShapeOf(await readGguf(path), path);
  const engine = await openEngine(path, { forward: "own" });
  if (adapter !== undefined) engine.setAdapters([{ path: adapter, scale: 0.5 }]);
  const isLast = (_: number, token: number) => token === PROMPT.length - 1;
  const sites = attributionSites(shape).map(siteName).join(",");
  const { answers, states } = capture(engine, [{ ids: PROMPT }], shape, sites, { topTokens: 265 }, isLast);
  engine.dispose();
  const attribution = await LogitAttribution.open(
    path,
    adapter === undefined ? undefined : { path: adapter, scale: 0.5 },
  );
  const statesOf = (site: string) => states[0]?.sites[site]?.[0] as Float32Array;
  const asked = { name: "the prompt", states: statesOf, tokenIds: TOKENS };
  try {
    const [parts] = await attribution.attribute([asked]);
    const said = byId(answers[0] as Answered);
    return { parts: parts as AttributedLogits, said, attribution, asked, hasCap: attribution.hasCap };
  } finally {
    await attribution.close();
  }
}

function expectSame({ parts, heads }: AttributedLogits, reference: Map<string, number[]>): void {
  const all = [...parts, ...heads];
  for (const { component, logits } of all)
    expect([component, Math.max(...logits.map(Math.abs)) > 1e-3]).toEqual([component, true]);
  expect(all.map(({ component }) => component).sort()).toEqual([...reference.keys()].sort());
  for (const { component, logits } of all) {
    for (const [at, logit] of logits.entries())
      expect(Math.abs(logit - (reference.get(component)?.[at] as number))).toBeLessThan(APART);
  }
}

/** How positions are turned is in no part. */
const VARIANTS = ARCHITECTURE_VARIANTS.filter(([name]) => !/YaRN|RoPE|factor|window|period|local/.test(name));

test.each(VARIANTS)("%s: parts are float64's, and sum to what the model says", async (name, options) => {
  const path = join(folder, `${name.replaceAll(" ", "-")}.gguf`);
  const adjust = options.architecture?.startsWith("gemma") ? { adjust: loudGates } : {};
  await writeTinyModel(path, { ...options, ...adjust });
  const { parts, said, hasCap } = await attributed(path);
  expectSame(parts, referenceParts(await readReferenceModel(path, { halfGelu: true })));
  const sums = TOKENS.map((_, at) => parts.parts.reduce((sum, { logits }) => sum + (logits[at] as number), 0));
  for (const at of [1, 2]) {
    const difference = (of: ArrayLike<number>, [one, other]: readonly [number, number]) =>
      (of[one] as number) - (of[other] as number);
    const own = difference(said, [TOKENS[0] as number, TOKENS[at] as number]);
    expect(Math.abs(difference(parts.logits, [0, at]) - own)).toBeLessThan(APART);
    if (!hasCap) expect(Math.abs(difference(sums, [0, at]) - own)).toBeLessThan(APART);
  }
  expect(hasCap).toBe(name.startsWith("gemma2") || name.includes("with a cap"));
  expect(parts.apart).toBeLessThanOrEqual(parts.rounding);
  expect(parts.rounding).toBeLessThan(APART);
});

test("under an adapter heads are those of the matrix that it makes", async () => {
  const [path, file] = [join(folder, "base.gguf"), join(folder, "adapter.gguf")];
  await writeTinyModel(path, { architecture: "llama", blocks: 2, seed: 5 });
  const reference = await readReferenceModel(path);
  const adapter = randomAdapter(reference, { rank: 4, alpha: 4, targets: ["q", "v", "o", "down"] }, 0.3);
  await writeReferenceAdapter(file, adapter, 4);
  expectSame(
    (await attributed(path, file)).parts,
    referenceParts(reference, { ...adapter, scale: adapter.scale * 0.5 }),
  );
});

test("states of another layer, or of other weights, are noticed and not summed", async () => {
  const [path, other] = [join(folder, "one.gguf"), join(folder, "other.gguf")];
  await writeTinyModel(path, { architecture: "llama", blocks: 3, seed: 5 });
  await writeTinyModel(other, { architecture: "llama", blocks: 3, seed: 6 });
  const { asked } = await attributed(path);
  const refusal = async (model: string, states: (site: string) => Float32Array, words: string) => {
    const attribution = await LogitAttribution.open(model);
    const refused = attribution.attribute([{ ...asked, states }]);
    await expect(refused).rejects.toMatchObject({ code: "PROBE_PARTS", message: expect.stringContaining(words) });
    await attribution.close();
  };
  const instead = (wanted: string, given: string) => (site: string) => asked.states(site === wanted ? given : site);
  await refusal(path, instead("mlp_output.1", "mlp_output.2"), "what layers add");
  await refusal(path, instead("head_values.1", "head_values.0"), "heads of layer 1");
  await refusal(other, asked.states, "heads of layer 0");
});

describe("planted models", () => {
  const wording = hypotheticalVariant("minimal").template;
  const asked = (text: string) =>
    wording
      .replace("{prompt}", PLANTED_QUESTION.replace("{string}", text))
      .replace("{property}", PLANTED_PROPERTY_QUESTION);
  test("the command: a file and its effects, and what is refused", async () => {
    const path = join(folder, "planted.gguf");
    const { strings } = await writePlantedModel(path, { mechanism: "A", items: 4, seed: 7 });
    const [file, out] = [join(folder, "prompts.jsonl"), join(folder, "parts.jsonl")];
    const lines = strings.map(({ text, value }) => JSON.stringify({ prompt: asked(text), value }));
    writeFileSync(file, lines.join("\n"));
    const command = (...more: string[]) =>
      inwardHere(["probe", "attribution", "--file", file, "-m", path, "--device", "cpu", "-o", out, ...more]);
    const whole = await command("--choices", "yes,no", "--value-key", "value", "--json");
    expect(whole).toMatchObject({ code: 0 });
    const made = JSON.parse(whole.stdout) as AttributedFile;
    expect(made.lines).toBe(16 * (1 + 2 * 4 + 4 * 4));
    const written = readFileSync(out, "utf8").trim().split("\n");
    const rows = written.map((line) => JSON.parse(line) as AttributedLine);
    expect(rows).toHaveLength(made.lines);
    const sum = rows
      .filter(({ id, kind }) => id === "3" && kind === "part")
      .reduce((all, { logits }) => all + (logits.yes as number), 0);
    expect(sum).toBeCloseTo(made.prompts[2]?.uncapped[0] as number, 4);
    expect(existsSync(`${out}.states`)).toBe(false);
    const largest = made.effects.reduce((one, other) => ((other.meanGain ?? 0) > (one.meanGain ?? 0) ? other : one));
    expect(largest).toMatchObject({ component: "mlp.1", adjusted: { ok: true, p: 0.001 } });
    for (const [given, words] of [
      [["--choices", "yes"], /USAGE.*two or more/],
      [["--choices", "yes,yes!"], /PROBE_INVALID.*begin with the same token/],
      [["--choices", "yes,no", "--value-key", "answer"], /PROBE_INVALID.*has no answer/],
      [["--choices", "yes,maybe", "--value-key", "value"], /PROBE_INVALID.*value: "no"/],
    ] as const) {
      expect((await command(...given)).stderr).toMatch(words);
    }
  });
});

test("of 200 made-up models that know nothing, about one in twenty shows anything at all", () => {
  const draw = normal(11);
  const settings = { cs: [], folds: 0, permutations: 199, confidence: 0.95, bootstrapReplicates: 1, bootstrapSeed: 3 };
  let found = 0;
  for (let study = 0; study < 200; study++) {
    const liking = Array.from({ length: 3 }, () => [draw(), draw()]);
    const prompts = Array.from({ length: 16 }, (_, string) => {
      // Some components like one choice whatever the prompt, and own choices are not even.
      const parts = liking.map((own, at) => ({ component: `${at}`, logits: own.map((one) => 3 * one + draw()) }));
      return { string: `${string}`, own: Number(draw() > 0.4), parts };
    });
    const effects = partEffects(prompts, 2, settings);
    if (effects.some(({ adjusted }) => adjusted.ok && adjusted.p <= 0.05)) found++;
  }
  // 10 of 200 are expected where all are exact; 19 and more happen once in 200 times.
  expect(found).toBeLessThanOrEqual(18);
});
