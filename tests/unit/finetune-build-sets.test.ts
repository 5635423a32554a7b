import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { buildSet, type SetCandidate, type SetInput } from "../../src/finetune/set.js";
import { type Behavior, missing, value } from "../../src/properties/property.js";
import type { Split } from "../../src/tasks/task.js";

interface Wanted {
  readonly task?: string;
  readonly item: string;
  readonly property?: string;
  readonly text?: string;
  readonly split?: Split;
  readonly behavior?: Partial<Behavior>;
  readonly readable?: boolean;
}

function candidate({ task = "animals", item, property = "first_word", ...rest }: Wanted): SetCandidate {
  const split = rest.split ?? "train";
  return {
    item: { id: item, split, text: rest.text ?? `string ${task} ${item}` },
    behavior: {
      state: "m",
      task,
      item,
      split,
      sample: 0,
      property,
      extraction: value(`${property} of ${item}`),
      compliance: { ok: true },
      ...rest.behavior,
    },
    readable: rest.readable ?? true,
  };
}

function build(candidates: readonly SetCandidate[], rest: Partial<SetInput> = {}) {
  return buildSet({
    candidates,
    heldOutTexts: [],
    heldOutTasks: [],
    variants: ["minimal"],
    examplesPerProperty: 1000,
    seed: 3,
    prompt: ({ task, item, property }, variant) => [
      { role: "system", content: "" },
      { role: "user", content: `${variant}: ${task}/${item} ${property}?` },
    ],
    ...rest,
  });
}

const grid = (strings: number, properties: readonly string[], task = "animals") =>
  Array.from({ length: strings }, (_, at) =>
    properties.map((property) => candidate({ task, item: `train-${at}`, property })),
  ).flat();
const code = (name: string, text?: RegExp) =>
  expect.objectContaining({ code: name, ...(text ? { message: expect.stringMatching(text) } : {}) });

describe("a finetune set", () => {
  test("is the asked prompt and the behavior as its answer, with where it comes from", () => {
    const { examples, cells } = build([candidate({ item: "train-4" })]);
    expect(examples).toEqual([
      {
        messages: [
          { role: "system", content: "" },
          { role: "user", content: "minimal: animals/train-4 first_word?" },
          { role: "assistant", content: "first_word of train-4" },
        ],
        metadata: { task: "animals", item: "train-4", property: "first_word", variant: "minimal" },
      },
    ]);
    expect(cells).toEqual([
      {
        task: "animals",
        property: "first_word",
        strings: 1,
        excluded: {},
        notDrawn: 0,
        drawn: 1,
        examples: 1,
        duplicates: 0,
      },
    ]);
  });

  test("leaves out answers that do not comply or lack the property, and counts why", () => {
    const { examples, cells } = build(
      [
        candidate({ item: "a", behavior: { compliance: { ok: false, reason: "refusal" } } }),
        candidate({ item: "b", behavior: { extraction: missing("too_short") } }),
        candidate({ item: "c", behavior: { extraction: missing("too_short") } }),
        candidate({ item: "d", readable: false }),
        candidate({ item: "e", text: "lion  bear " }),
        candidate({ item: "f" }),
      ],
      { heldOutTexts: ["lion bear"] },
    );
    expect(examples.map(({ metadata }) => metadata.item)).toEqual(["f"]);
    expect(cells[0]?.excluded).toEqual({ refusal: 1, too_short: 2, not_readable: 1, held_out_string: 1 });
    expect(cells[0]).toMatchObject({ strings: 6, drawn: 1, notDrawn: 0 });
  });

  test("takes the same strings for every property, without replacement, and more keeps those taken before", () => {
    const properties = ["first_word", "second_word", "starts_with_vowel"];
    const itemsOf = (examplesPerProperty: number, property: string, seed = 3) =>
      build(grid(40, properties), { examplesPerProperty, seed })
        .examples.filter(({ metadata }) => metadata.property === property)
        .map(({ metadata }) => metadata.item)
        .sort();
    const [first, second, third] = properties.map((property) => itemsOf(10, property)) as [
      string[],
      string[],
      string[],
    ];
    expect(new Set(first).size).toBe(10);
    expect(second).toEqual(first);
    expect(third).toEqual(first);
    expect(itemsOf(20, "first_word")).toEqual(expect.arrayContaining(first));
    expect(itemsOf(10, "first_word", 4)).not.toEqual(first);
  });

  test("holds every wording of a string, and an example that stands twice only once", () => {
    const both = build([candidate({ item: "a" }), candidate({ item: "b" })], { variants: ["minimal", "past"] });
    expect(both.examples.map(({ metadata }) => `${metadata.item} ${metadata.variant}`).sort()).toEqual([
      "a minimal",
      "a past",
      "b minimal",
      "b past",
    ]);
    // Two properties with one wording and one value ask for the same thing.
    const twice = build(
      [
        candidate({ item: "a", behavior: { extraction: value("x") } }),
        candidate({ item: "a", property: "other", behavior: { extraction: value("x") } }),
      ],
      { prompt: () => [{ role: "user", content: "same" }] },
    );
    expect(twice.examples).toHaveLength(1);
    expect(twice.cells.map(({ duplicates }) => duplicates)).toEqual([0, 1]);
    const unlike = build([candidate({ item: "a" }), candidate({ item: "b" })], {
      prompt: () => [{ role: "user", content: "same" }],
    });
    expect(unlike.examples).toHaveLength(2);
  });

  test.each<[string, Wanted]>([
    ["a held-out string", { item: "held_out-1", split: "held_out" }],
    ["a behavior on a held-out string", { item: "train-1", behavior: { split: "held_out" } }],
    ["a string of a held-out task", { task: "words", item: "train-1" }],
  ])("refuses %s as a defect", (_, wanted) => {
    expect(() => build([candidate(wanted)], { heldOutTasks: ["words"] })).toThrow(code("INTERNAL", /held-out/));
  });

  test("of nothing is refused with the reasons of each task", () => {
    const empty = [
      candidate({ item: "a", behavior: { compliance: { ok: false, reason: "refusal" } } }),
      candidate({ item: "b", behavior: { extraction: missing("too_short") } }),
      candidate({ task: "words", item: "c", readable: false }),
    ];
    expect(() => build(empty)).toThrow(
      code("TRAIN_EMPTY_SET", /animals \(refusal 1, too_short 1\); words \(not_readable 1\)/),
    );
    expect(() => build([])).toThrow(code("TRAIN_EMPTY_SET", /no task has train strings/));
  });
});

describe("laws", () => {
  const wanted = fc.uniqueArray(
    fc.record({
      task: fc.constantFrom("animals", "colors"),
      item: fc.integer({ min: 0, max: 30 }).map(String),
      property: fc.constantFrom("first_word", "second_word"),
      text: fc.constantFrom("a", "b", "c", "d", "e", "f"),
      said: fc.constantFrom("x", "y", undefined),
      complies: fc.boolean(),
      readable: fc.boolean(),
    }),
    { selector: ({ task, item, property }) => `${task}/${item}/${property}`, maxLength: 60 },
  );
  const toCandidate = ({ said, complies, ...rest }: { said: string | undefined; complies: boolean } & Wanted) =>
    candidate({
      ...rest,
      behavior: {
        extraction: said === undefined ? missing("empty") : value(said),
        compliance: complies ? { ok: true } : { ok: false, reason: "repetition" },
      },
    });

  test("no held-out text, nothing without a behavior, nothing twice, and every string is accounted for", () => {
    fc.assert(
      fc.property(
        wanted,
        fc.subarray(["a", "b", "c"]),
        fc.integer({ min: 1, max: 8 }),
        fc.subarray(["minimal", "past"], { minLength: 1 }),
        (rows, heldOutTexts, examplesPerProperty, variants) => {
          const candidates = rows.map(toCandidate);
          const options = { heldOutTexts, examplesPerProperty, variants };
          const eligible = candidates.filter(
            ({ behavior, readable, item }) =>
              behavior.compliance.ok && behavior.extraction.ok && readable && !heldOutTexts.includes(item.text),
          );
          if (eligible.length === 0) {
            expect(() => build(candidates, options)).toThrow(code("TRAIN_EMPTY_SET"));
            return;
          }
          const { examples, cells } = build(candidates, options);
          const names = new Set(
            eligible.map(({ behavior }) => `${behavior.task}/${behavior.item}/${behavior.property}`),
          );
          for (const { metadata } of examples) {
            expect(names).toContain(`${metadata.task}/${metadata.item}/${metadata.property}`);
          }
          expect(new Set(examples.map(({ messages }) => JSON.stringify(messages))).size).toBe(examples.length);
          for (const cell of cells) {
            const excluded = Object.values(cell.excluded).reduce((sum, count) => sum + count, 0);
            expect(excluded + cell.notDrawn + cell.drawn).toBe(cell.strings);
            expect(cell.drawn).toBeLessThanOrEqual(examplesPerProperty);
            expect(cell.examples + cell.duplicates).toBe(cell.drawn * variants.length);
          }
          expect(cells.reduce((sum, cell) => sum + cell.examples, 0)).toBe(examples.length);
        },
      ),
    );
  });

  test("the order of candidates never shows, and the seed does", () => {
    fc.assert(
      fc.property(fc.shuffledSubarray(grid(12, ["first_word", "second_word"]), { minLength: 24 }), (shuffled) => {
        expect(build(shuffled, { examplesPerProperty: 6 }).examples).toEqual(
          build(grid(12, ["first_word", "second_word"]), { examplesPerProperty: 6 }).examples,
        );
      }),
      { numRuns: 20 },
    );
    const order = (seed: number) =>
      build(grid(12, ["first_word"]), { seed }).examples.map(({ metadata }) => metadata.item);
    expect(order(1)).not.toEqual(order(2));
    expect([...order(1)].sort()).toEqual([...order(2)].sort());
  });
});
