/** Who a file predicts, itself or its source: planted truth is found, and who knows nothing leads to no conclusion. */
import { describe, expect, test } from "vitest";
import { type CrossedCell, scoreCrossed } from "../../src/quantize/crossed-adapters.js";
import { adaptersSection } from "../../src/quantize/knowledge-sections.js";
import { scoreSelfKnowledge } from "../../src/quantize/old-self.js";
import type { TrainLabel, Trial } from "../../src/score/trial.js";

const RESAMPLING = { confidence: 0.95, bootstrapReplicates: 200, bootstrapSeed: 3 };
const value = (text: string) => ({ ok: true, value: text }) as const;

/** A stream of numbers in [0, 1). */
function stream(seed: number): () => number {
  let state = seed * 2654435761;
  return () => {
    state = (state * 1664525 + 1013904223) % 4294967296;
    return state / 4294967296;
  };
}

const VALUES = ["a", "b", "c", "d", "e"];
/** How often each is said: the source says `a` in half of all answers, the file less often, as quantization scatters. */
const SOURCE_SHARES = [0.5, 0.2, 0.1, 0.1, 0.1];
const FILE_SHARES = [0.2, 0.2, 0.2, 0.2, 0.2];

interface World {
  readonly strings: number;
  readonly seed: number;
  /** What the file says of itself, on a string where it does `now`, its source does `was`, and a rule on the string says `rule`. */
  readonly says: (now: string, was: string, rule: string, draw: () => number) => string;
}

function world({ strings, seed, says }: World): { trials: Trial[]; labels: TrainLabel[] } {
  const draw = stream(seed);
  const drawn = (shares: readonly number[]) => {
    let left = draw();
    const at = shares.findIndex((share) => {
      left -= share;
      return left < 0;
    });
    return VALUES[at] ?? "e";
  };
  const trials: Trial[] = [];
  const labels: TrainLabel[] = [];
  for (let string = 0; string < strings; string++) {
    const was = drawn(SOURCE_SHARES);
    const now = draw() < 0.4 ? was : drawn(FILE_SHARES);
    // Right about the source in a third of the strings, as the first word of a string often is.
    const rule = draw() < 0.33 ? was : drawn(FILE_SHARES);
    const file = says(now, was, rule, draw);
    const source = draw() < 0.5 ? was : drawn(SOURCE_SHARES);
    const base = {
      task: "t",
      item: `s${string}`,
      property: "first_word",
      variant: "minimal",
      objectCompliance: { ok: true } as const,
      heuristics: { first_word: value(rule) },
    };
    for (const [target, behavior] of [
      ["q4", now],
      ["source", was],
    ] as const) {
      trials.push(
        { ...base, target, predictor: "q4", behavior: value(behavior), prediction: value(file) },
        { ...base, target, predictor: "source", behavior: value(behavior), prediction: value(source) },
      );
      labels.push({
        target,
        task: "t",
        property: "first_word",
        value: drawn(target === "q4" ? FILE_SHARES : SOURCE_SHARES),
      });
    }
  }
  return { trials, labels };
}

const findingOf = (made: World) =>
  scoreSelfKnowledge({ ...world(made), source: "source", variant: "q4" }, RESAMPLING).oldSelf;

describe("planted truth", () => {
  test("who says what it does now, mostly, is found to know its present self", () => {
    const found = findingOf({ strings: 300, seed: 1, says: (now, _, __, draw) => (draw() < 0.6 ? now : "b") });
    expect(found.finding).toBe("present_self");
    expect(found.lead.ok && found.lead.low).toBeGreaterThan(0);
    // By hand: the share on which it names its own behavior, less the one on which it names its source's.
    expect(found.own.ok && found.source.ok && found.own.value - found.source.value).toBeCloseTo(
      found.lead.ok ? found.lead.value : 9,
      12,
    );
  });

  test("who says what its source does is found to describe its old self", () => {
    const found = findingOf({ strings: 300, seed: 2, says: (_, was, __, draw) => (draw() < 0.7 ? was : "b") });
    expect(found.finding).toBe("old_self");
  });

  test("the same file twice differs nowhere, and nothing is concluded", () => {
    const { trials, labels } = world({ strings: 60, seed: 3, says: (now) => now });
    const same = trials
      .filter(({ target }) => target === "source")
      .flatMap((trial) => [
        { ...trial, predictor: "q4" },
        { ...trial, predictor: "q4", target: "q4" },
        { ...trial, predictor: "source" },
        { ...trial, predictor: "source", target: "q4" },
      ])
      .filter(
        (trial, at, all) =>
          all.findIndex(
            (one) => one.item === trial.item && one.predictor === trial.predictor && one.target === trial.target,
          ) === at,
      )
      .map((trial) => ({ ...trial, prediction: value("b") }));
    const found = scoreSelfKnowledge({ source: "source", variant: "q4", trials: same, labels }, RESAMPLING);
    expect(found.oldSelf).toMatchObject({ finding: "cannot_be_told", trials: 0, strings: 0 });
    expect(found.change).toMatchObject({ ok: true, value: 0 });
    expect(found.overSource).toMatchObject({ ok: true, value: 0 });
  });

  test("of nine strings nothing can be told", () => {
    const found = findingOf({ strings: 12, seed: 4, says: (now) => now });
    expect(found.strings).toBeLessThan(10);
    expect(found.finding).toBe("cannot_be_told");
  });
});

describe("beside the most common behavior", () => {
  test("an adapter that learnt to say it is far over the untrained file and not above the mode", () => {
    const draw = stream(9);
    const trials: Trial[] = Array.from({ length: 40 }, (_, at) => at).flatMap((at) => {
      const behavior = value(draw() < 0.8 ? "a" : "b");
      const base = { task: "t", item: `s${at}`, property: "p", variant: "minimal", behavior, heuristics: {} };
      const asked = { ...base, target: "q4", objectCompliance: { ok: true } as const };
      return [
        { ...asked, predictor: "q4", prediction: { ok: false, reason: "empty" } as const },
        { ...asked, predictor: "source-on-q4", prediction: value("a") },
        { ...asked, predictor: "q4-on-q4", prediction: at < 36 ? behavior : value("c") },
      ];
    });
    const labels = ["a", "a", "b"].map((one) => ({ target: "q4", task: "t", property: "p", value: one }));
    const worn = ["source", "q4"].map((from) => ({ from, on: "q4", name: `${from}-on-q4` }));
    const [parrot, knower] = scoreCrossed(trials, labels, worn, RESAMPLING);
    const share = trials.filter(
      ({ predictor, behavior }) => predictor === "q4" && behavior.ok && behavior.value === "a",
    );
    expect(parrot?.rightMode.mode).toMatchObject({ ok: true, value: share.length / 40, n: 40 });
    expect(parrot?.overUntrained).toMatchObject({ ok: true, value: share.length / 40 });
    expect(parrot?.rightMode.above).toMatchObject({ ok: true, value: 0 });
    expect(parrot?.ofItself).toMatchObject({ ok: false, reason: "no string counts" });
    expect(parrot?.ofItselfMode.mode).toMatchObject({ ok: false, reason: "no string counts" });
    const above = knower?.rightMode.above;
    expect(above?.ok && above.value).toBeCloseTo((36 - share.length) / 40, 12);
    const text = JSON.stringify(adaptersSection({ cells: [parrot, knower] as CrossedCell[], trained: [] }));
    expect(text).toContain("Not above the mode, or too few strings to tell: source on q4");
  });

  test("what a file says of itself, of its source, and its source of it, each beside its own mode", () => {
    const { trials, labels } = world({ strings: 60, seed: 3, says: (now) => now });
    const found = scoreSelfKnowledge({ source: "source", variant: "q4", trials, labels }, RESAMPLING);
    const share = (target: string) => {
      const counts = VALUES.map(
        (one) => labels.filter((label) => label.target === target && label.value === one).length,
      );
      const usual = VALUES[counts.indexOf(Math.max(...counts))];
      const own = trials.filter((trial) => trial.target === target && trial.predictor === "q4");
      return own.filter(({ behavior }) => behavior.ok && behavior.value === usual).length / own.length;
    };
    expect(found.selfMode.mode).toMatchObject({ ok: true, value: share("q4") });
    expect(found.bySourceMode.mode).toMatchObject({ ok: true, value: share("q4") });
    expect(found.aboutSourceMode.mode).toMatchObject({ ok: true, value: share("source") });
    expect(found.selfMode.above.ok && found.selfMode.above.value).toBeCloseTo(1 - share("q4"), 12);
  });
});

describe("who knows nothing leads to no conclusion", () => {
  const IGNORANT: Readonly<Record<string, World["says"]>> = {
    "always what the source does most often, which alone would be an old self": () => "a",
    "always the same other thing": () => "b",
    "the string's first word": (_, __, rule) => rule,
    "anything at all": (_, __, ___, draw) => VALUES[Math.floor(5 * draw())] as string,
    "what the source does most often, or the string's first word": (_, __, rule, draw) => (draw() < 0.5 ? "a" : rule),
  };
  test.each(Object.entries(IGNORANT))("%s", (_, says) => {
    const found = [5, 6, 7, 8].map((seed) => findingOf({ strings: 300, seed, says }));
    expect(found.map(({ finding }) => finding)).toEqual(found.map(() => "cannot_be_told"));
  });

  test("the first of them would be an old self, were it not held against who always says so", () => {
    const found = findingOf({ strings: 300, seed: 5, says: () => "a" });
    expect(found.lead.ok && found.lead.high).toBeLessThan(0);
    expect(found.because).toContain("most common behavior");
  });
});
