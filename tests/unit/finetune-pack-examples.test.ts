/** Packing loses nothing, shares only what may be shared, and never costs more than no packing. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { cutForest, type PackedMicrobatch, packExamples } from "../../src/finetune/batches.js";
import type { EncodedExample } from "../../src/model/language-model.js";

/** Few ids and short beginnings, so that examples share, contain and equal each other often. */
const example = fc
  .record({
    prompt: fc.array(fc.integer({ min: 0, max: 2 }), { minLength: 1, maxLength: 9 }),
    answer: fc.array(fc.integer({ min: 0, max: 2 }), { minLength: 1, maxLength: 4 }),
  })
  .map(({ prompt, answer }): EncodedExample => ({ tokenIds: [...prompt, ...answer], answerStart: prompt.length }));
const batch = fc.array(example, { maxLength: 14 });
const options = fc.record({ microbatchTokens: fc.integer({ min: 1, max: 40 }), treePacking: fc.boolean() });

interface Unpacked extends EncodedExample {
  /** Microbatch and segments from the root on. */
  readonly path: readonly number[];
}

/** Reads examples out of microbatches by nothing but index.d.ts: rows, and the ancestors of the segment that holds them. */
function unpack(packed: readonly PackedMicrobatch[]): Map<number, Unpacked[]> {
  const found = new Map<number, Unpacked[]>();
  for (const { microbatch, rowExamples } of packed) {
    const { tokenIds, positions, segmentStarts, segmentParents, lossRows, lossTargets } = microbatch;
    const endOf = (segment: number) => segmentStarts[segment + 1] ?? tokenIds.length;
    for (const example of new Set(rowExamples)) {
      const rows = [...rowExamples.keys()].filter((row) => rowExamples[row] === example);
      const last = lossRows[rows.at(-1) as number] as number;
      const path: number[] = [];
      for (let s = segmentStarts.findLastIndex((start) => start <= last); s !== -1; s = segmentParents[s] as number) {
        path.unshift(s);
      }
      const tokens = path.flatMap((segment) =>
        Array.from(
          { length: endOf(segment) - (segmentStarts[segment] as number) },
          (_, at) => (segmentStarts[segment] as number) + at,
        ),
      );
      // A path goes down to its example's last row and no further, at depths 0, 1, 2, …
      expect(tokens.at(-1)).toBe(last);
      expect(tokens.map((token) => positions[token])).toEqual([...tokens.keys()]);
      const places = rows.map((row) => tokens.indexOf(lossRows[row] as number));
      const targets = rows.map((row) => lossTargets[row] as number);
      const answerStart = (places[0] as number) + 1;
      expect(places).toEqual(places.map((_, at) => answerStart - 1 + at));
      const ids = [...tokens.map((token) => tokenIds[token] as number), targets.at(-1) as number];
      expect(ids.slice(answerStart)).toEqual(targets);
      found.set(example, [...(found.get(example) ?? []), { tokenIds: ids, answerStart, path }]);
    }
  }
  return found;
}

const evaluated = (packed: readonly PackedMicrobatch[]) => packed.reduce((sum, each) => sum + each.evaluatedTokens, 0);
const pack = (examples: readonly EncodedExample[], microbatchTokens: number, treePacking = true) =>
  packExamples(examples, { microbatchTokens, treePacking });

describe("packExamples", () => {
  test("unpacking gives back every example once: tokens, positions, loss rows", () => {
    fc.assert(
      fc.property(batch, options, (examples, chosen) => {
        const packed = packExamples(examples, chosen);
        const found = unpack(packed);
        expect([...found.keys()].sort((a, b) => a - b)).toEqual([...examples.keys()]);
        examples.forEach(({ tokenIds, answerStart }, index) => {
          expect(found.get(index)).toEqual([expect.objectContaining({ tokenIds: [...tokenIds], answerStart })]);
        });
        const whole = examples.reduce((sum, { tokenIds }) => sum + tokenIds.length, 0);
        expect(packed.reduce((sum, { exampleTokens }) => sum + exampleTokens, 0)).toBe(whole);
      }),
      { numRuns: 500 },
    );
  });

  test("every microbatch is a forest in depth-first order within the limit; only a long example stands above it, alone", () => {
    fc.assert(
      fc.property(batch, options, (examples, chosen) => {
        for (const { microbatch, rowExamples, evaluatedTokens } of packExamples(examples, chosen)) {
          const { tokenIds, positions, segmentStarts, segmentParents, lossRows, lossTargets, lossWeights } = microbatch;
          expect(evaluatedTokens).toBe(tokenIds.length);
          if (tokenIds.length > chosen.microbatchTokens) expect(new Set(rowExamples).size).toBe(1);
          expect(positions.length).toBe(tokenIds.length);
          expect([lossTargets.length, lossWeights.length, rowExamples.length]).toEqual(Array(3).fill(lossRows.length));
          expect(lossWeights.every((weight) => weight === 1)).toBe(true);
          expect(isAscending(lossRows)).toBe(true);
          expect(segmentStarts[0]).toBe(0);
          expect(isAscending(segmentStarts)).toBe(true);
          expect((segmentStarts.at(-1) as number) < tokenIds.length).toBe(true);
          const children = new Map<number, number>();
          const open: number[] = [];
          segmentParents.forEach((parent, segment) => {
            // Depth first: the parent is the segment before or one of its ancestors.
            while (open.length > 0 && open.at(-1) !== parent) open.pop();
            expect(open.at(-1) ?? -1).toBe(parent);
            open.push(segment);
            const before = (segmentStarts[parent + 1] as number) - 1;
            expect(positions[segmentStarts[segment] as number]).toBe(
              parent < 0 ? 0 : (positions[before] as number) + 1,
            );
            children.set(parent, (children.get(parent) ?? 0) + 1);
          });
          // Segments are maximal runs: where one ends, the tree parts.
          for (const [parent, count] of children) if (parent >= 0) expect(count).toBeGreaterThan(1);
        }
      }),
      { numRuns: 500 },
    );
  });

  test("a token is shared by exactly the examples that begin alike up to it, and only before their first loss rows", () => {
    fc.assert(
      fc.property(batch, fc.integer({ min: 1, max: 40 }), (examples, limit) => {
        const found = unpackByMicrobatch(pack(examples, limit));
        for (const paths of found) {
          for (const [a, one] of paths) {
            for (const [b, other] of paths) {
              if (a >= b) continue;
              const shared = one.tokens.filter((token, depth) => other.tokens[depth] === token).length;
              expect(shared).toBe(mayShare(examples[a] as EncodedExample, examples[b] as EncodedExample));
            }
          }
        }
      }),
      { numRuns: 300 },
    );
  });

  test("never more tokens than without packing, which evaluates all but the last of each", () => {
    fc.assert(
      fc.property(batch, fc.integer({ min: 1, max: 40 }), (examples, limit) => {
        const unpacked = pack(examples, limit, false);
        const separate = examples.reduce((sum, { tokenIds }) => sum + tokenIds.length - 1, 0);
        expect(evaluated(unpacked)).toBe(separate);
        expect(unpacked.every(({ microbatch }) => microbatch.segmentParents.every((parent) => parent === -1))).toBe(
          true,
        );
        expect(evaluated(pack(examples, limit))).toBeLessThanOrEqual(separate);
      }),
    );
  });

  test("a tree that fits is not cut: then there are as many tokens as the forest has", () => {
    fc.assert(
      fc.property(batch, (examples) => {
        // An example that begins with its loss row shares nothing: a tree of its own.
        const rootOf = ({ tokenIds, answerStart }: EncodedExample, at: number) =>
          answerStart > 1 ? (tokenIds[0] as number) : 100 + at;
        const roots = examples.map(rootOf);
        const sizes = [...new Set(roots)].map((root) =>
          evaluated(
            pack(
              examples.filter((_, at) => roots[at] === root),
              1e6,
            ),
          ),
        );
        const limit = Math.max(1, ...sizes);
        expect(evaluated(pack(examples, limit))).toBe(evaluated(pack(examples, 1e6)));
      }),
    );
  });

  test("a worked example", () => {
    const examples = [
      { tokenIds: [1, 2, 3, 4, 50, 9], answerStart: 4 },
      { tokenIds: [7, 8, 60, 9], answerStart: 2 },
      { tokenIds: [1, 2, 5, 70, 71, 9], answerStart: 3 },
      { tokenIds: [1, 2, 3, 4, 80, 9], answerStart: 4 },
    ];
    const [packed, ...others] = pack(examples, 100);
    expect(others).toEqual([]);
    expect(packed).toEqual({
      microbatch: {
        // 1 2 (5 70 71 | 3 (4 50 | 4 80)), 7 8 60: the 4 is each example's first loss row, so it is not shared.
        tokenIds: Int32Array.of(1, 2, 5, 70, 71, 3, 4, 50, 4, 80, 7, 8, 60),
        positions: Int32Array.of(0, 1, 2, 3, 4, 2, 3, 4, 3, 4, 0, 1, 2),
        segmentStarts: Int32Array.of(0, 2, 5, 6, 8, 10),
        segmentParents: Int32Array.of(-1, 0, 0, 2, 2, -1),
        lossRows: Int32Array.of(2, 3, 4, 6, 7, 8, 9, 11, 12),
        lossTargets: Int32Array.of(70, 71, 9, 50, 9, 80, 9, 60, 9),
        lossWeights: new Float32Array(9).fill(1),
      },
      rowExamples: Int32Array.of(2, 2, 2, 0, 0, 3, 3, 1, 1),
      exampleTokens: 22,
      evaluatedTokens: 13,
    });
  });

  test("a tree that is too large is cut where its branches share least", () => {
    const branch = (string: number, question: number) => ({
      tokenIds: [1, 2, string, string, question, 9, 9],
      answerStart: 5,
    });
    const examples = [10, 20, 30].flatMap((string) => [5, 6].map((question) => branch(string, question)));
    // 2 + 3 · (2 + 2 · 2) = 20 tokens; of 14 two strings with their beginning fit, and the third repeats that.
    expect(pack(examples, 14).map(({ evaluatedTokens }) => evaluatedTokens)).toEqual([14, 8]);
  });

  test.each([
    { tokenIds: [1, 2], answerStart: 2 },
    { tokenIds: [1, 2], answerStart: 0 },
    { tokenIds: [], answerStart: 0 },
  ])("an example without answer or prompt is refused: %j", (broken) => {
    const examples = [{ tokenIds: [1, 2], answerStart: 1 }, broken];
    expect(() => pack(examples, 10)).toThrow(
      expect.objectContaining({ code: "TRAIN_EXAMPLE", message: expect.stringContaining("Example 2") }),
    );
  });
});

describe("cutForest finds the best of all ways to cut the order", () => {
  const leaves = fc.array(fc.tuple(fc.integer({ min: 1, max: 9 }), fc.nat(8)), { minLength: 1, maxLength: 8 });
  test("tokens first, then microbatches, then evenness", () => {
    fc.assert(
      fc.property(leaves, fc.integer({ min: 1, max: 20 }), (drawn, most) => {
        const lengths = drawn.map(([length]) => length);
        const shared = drawn.map(([length, wish], at) =>
          at === 0 ? 0 : Math.min(wish, length - 1, (lengths[at - 1] as number) - 1),
        );
        const costOf = (starts: readonly number[]) => {
          const sizes = starts.map((start, at) =>
            lengths
              .slice(start, starts[at + 1])
              .reduce((sum, length, leaf) => sum + length - (leaf === 0 ? 0 : (shared[start + leaf] as number)), 0),
          );
          const isAllowed = sizes.every(
            (size, at) => size <= most || (starts[at + 1] ?? lengths.length) - (starts[at] as number) === 1,
          );
          return isAllowed ? [sum(sizes), sizes.length, sum(sizes.map((size) => size ** 2))] : undefined;
        };
        const all = Array.from({ length: 2 ** (lengths.length - 1) }, (_, bits) =>
          costOf([0, ...lengths.keys()].filter((leaf, at) => at === 0 || (leaf > 0 && (bits >> (leaf - 1)) & 1))),
        ).filter((cost) => cost !== undefined);
        const least = all.sort(
          (a, b) => a.map((part, at) => part - (b[at] as number)).find((part) => part !== 0) ?? 0,
        )[0];
        expect(costOf(cutForest(lengths, shared, most))).toEqual(least);
      }),
    );
  });
});

function unpackByMicrobatch(packed: readonly PackedMicrobatch[]): [number, { tokens: number[] }][][] {
  return packed.map((each) =>
    [...unpack([each])].map(([example, [only]]) => {
      const { segmentStarts, tokenIds } = each.microbatch;
      const tokens = (only as Unpacked).path.flatMap((segment) => {
        const start = segmentStarts[segment] as number;
        return Array.from({ length: (segmentStarts[segment + 1] ?? tokenIds.length) - start }, (_, at) => start + at);
      });
      return [example, { tokens }];
    }),
  );
}

function mayShare(a: EncodedExample, b: EncodedExample): number {
  const most = Math.min(a.answerStart, b.answerStart) - 1;
  const parting = a.tokenIds.slice(0, most).findIndex((id, at) => id !== b.tokenIds[at]);
  return parting < 0 ? most : parting;
}

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
const isAscending = (values: Int32Array) => values.every((value, at) => at === 0 || value > (values[at - 1] as number));
