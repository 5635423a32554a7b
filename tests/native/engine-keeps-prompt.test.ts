/** A prompt stays evaluated from one group of paths to the next of the same prompt, and reaches nothing else. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Engine } from "../../native/index.js";
import { answer, type Item, openEngine, FORWARDS, workOf } from "../helpers/native-engine.js";
import { writeTinyModel } from "../helpers/tiny-model.js";

const VOCABULARY = 265;
/** Single-precision sums over keys in another order. */
const ROUNDING_NATS = 2e-5;
const path = join(mkdtempSync(join(tmpdir(), "inward-keeps-")), "tiny.gguf");
const prompt = [1, 70, 80, 90, 60, 75];
const following = (...paths: number[][]): Item[] => paths.map((ids) => ({ ids: [...prompt, ...ids] }));

describe.each(FORWARDS)("forward %s", (forward) => {
  let engine: Engine;
  beforeAll(async () => {
    await writeTinyModel(path, { seed: 3 });
    engine = await openEngine(path, { forward });
  });
  afterAll(() => engine.dispose());

  function look(items: readonly Item[], keep = prompt.length, sequences = 0) {
    return answer(engine, workOf(items, { topTokens: VOCABULARY, keep, sequences }));
  }

  function expectClose(kept: ReturnType<typeof look>, fresh: ReturnType<typeof look>): void {
    kept.answers.forEach(({ topIds, topLogprobs }, index) => {
      const other = new Map(fresh.answers[index]?.topIds.map((id, at) => [id, fresh.answers[index]?.topLogprobs[at]]));
      topIds.forEach((id, at) => {
        expect(Math.abs((topLogprobs[at] as number) - (other.get(id) as number))).toBeLessThan(ROUNDING_NATS);
      });
    });
  }

  test("the next paths cost their own tokens only, and come out as they would alone", () => {
    const paths = following([61], [62], [61, 63], [64, 65, 66]);
    const fresh = look(paths, 0);
    expect(fresh.counts.evaluatedTokens).toBe(prompt.length + 6);
    expect(look(following([])).counts.evaluatedTokens).toBe(prompt.length);
    const kept = look(paths);
    expect(kept.counts.evaluatedTokens).toBe(6);
    expect(kept.counts.distinctTokens).toBe(6);
    expectClose(kept, fresh);
    // And again: what was evaluated for those paths is gone, the prompt is not. An empty path reads after the prompt's last token.
    const more = look(following([], [67]));
    expect(more.counts.evaluatedTokens).toBe(2);
    expectClose(more, look(following([], [67]), 0));
  });

  test.each([
    ["a group that keeps nothing", () => look(following([61]), 0)],
    ["another prompt", () => look([{ ids: [1, 70, 81, 90, 60, 75] }])],
    ["a shorter one", () => look(following([61]), prompt.length - 1)],
    ["another number of sequences", () => look(following([61]), prompt.length, 2)],
    ["other adapters", () => engine.setAdapters([])],
    [
      "a group that was cancelled",
      () => {
        engine.begin(workOf(following([61]), { topTokens: 1, keep: prompt.length }));
        engine.cancel();
      },
    ],
  ])("forgotten after %s", (_, between) => {
    look(following([]));
    expect(look(following([62])).counts.evaluatedTokens).toBe(1);
    between();
    expect(look(following([62])).counts.evaluatedTokens).toBe(prompt.length + 1);
  });

  test("strict keeps nothing", async () => {
    const strict = await openEngine(path, { forward, strict: true });
    const work = workOf(following([61]), { keep: prompt.length });
    answer(strict, work);
    expect(answer(strict, work).counts.evaluatedTokens).toBe(prompt.length + 1);
    strict.dispose();
  });

  test("paths too long for the cache make a new one, and the prompt is evaluated again", () => {
    look(following([]));
    const long = Array.from({ length: 200 }, (_, at) => 60 + (at % 20));
    const { counts } = look(following(long));
    expect(counts.evaluatedTokens).toBe(prompt.length + long.length);
  });

  test("a prompt that does not begin with what is to be kept is refused", () => {
    const work = workOf([...following([61]), { ids: [1, 70] }], { keep: prompt.length });
    expect(() => answer(engine, work)).toThrow(/does not begin with the 6 tokens/);
    expect(look(following([61])).answers).toHaveLength(1);
  });

  test("a group's own number of sequences", () => {
    const items = Array.from({ length: 9 }, (_, at) => ({ ids: [1, 60 + at], maxTokens: 4 }));
    const most = (sequences: number) => answer(engine, workOf(items, { sequences })).counts.mostSequences;
    expect([most(0), most(2), most(7), most(0)]).toEqual([4, 2, 7, 4]);
  });

  test("log-sum-exp and entropy are double precision's: all probabilities sum to 1 within 1e-13", () => {
    for (const { topLogprobs, logSumExp, topIds } of look(following([], [61], [62, 63])).answers) {
      expect(topIds).toHaveLength(VOCABULARY);
      const total = [...topLogprobs].reverse().reduce((sum, logprob) => sum + Math.exp(logprob), 0);
      expect(Math.abs(total - 1)).toBeLessThan(1e-13);
      expect(Number.isFinite(logSumExp)).toBe(true);
    }
    const [generated] = answer(engine, workOf([{ ids: prompt, maxTokens: 1 }], { topTokens: VOCABULARY })).answers;
    const entropy = generated?.topLogprobs.reduce((sum, logprob) => sum - logprob * Math.exp(logprob), 0) as number;
    expect(Math.abs((generated?.entropies[0] as number) - entropy)).toBeLessThan(1e-12);
  });
});
