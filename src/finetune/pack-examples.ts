/** Packs the examples of one optimizer step into microbatches: shared beginnings are evaluated once. Pure. */
import type { NativeMicrobatch } from "../../native/index.js";
import { InwardError } from "../errors.js";
import type { EncodedExample } from "../records/training.js";
import { cutForest } from "./cut-forest.js";
import { prefixOrder } from "./prefix-order.js";

export interface PackingOptions {
  /** Most tokens of a microbatch; an example that is longer stands alone in one. */
  readonly microbatchTokens: number;
  /** Whether examples that begin alike share that beginning's evaluation; otherwise each is a segment of its own. */
  readonly treePacking: boolean;
}

export interface PackedMicrobatch {
  readonly microbatch: NativeMicrobatch;
  /** [rows] index, among the packed examples, of the one that a loss row belongs to. */
  readonly rowExamples: Int32Array;
  /** Tokens of its examples, each counted whole. */
  readonly exampleTokens: number;
  /** Tokens that are evaluated for them. */
  readonly evaluatedTokens: number;
}

/**
 * Evaluated are an example's tokens but the last: nothing is predicted after that, so it is a target only. Shared is what
 * stands before an example's first loss row (answerStart - 1), so that every loss row belongs to one example; all rows weigh 1.
 * A function of the examples in their order. Every example stands in one microbatch.
 * @throws TRAIN_EXAMPLE an example without answer or prompt
 */
export function packExamples(examples: readonly EncodedExample[], options: PackingOptions): PackedMicrobatch[] {
  examples.forEach(requireAnswer);
  const { order, shared } = options.treePacking
    ? prefixOrder(examples.map(({ tokenIds, answerStart }) => tokenIds.slice(0, answerStart - 1)))
    : { order: [...examples.keys()], shared: examples.map(() => 0) };
  const lengths = order.map((index) => evaluatedLength(examples[index] as EncodedExample));
  const starts = cutForest(lengths, shared, options.microbatchTokens);
  return starts.map((start, at) => {
    const end = starts[at + 1] ?? order.length;
    return packForest(examples, order.slice(start, end), shared.slice(start, end));
  });
}

/** Leaves from `from` to before `end` that share their first `depth` tokens; `parent` holds the last of these. */
interface Branch {
  readonly from: number;
  readonly end: number;
  readonly depth: number;
  readonly parent: number;
}

/** @param leaves indices of examples in prefix order @param shared as in PrefixOrder; the first is not read */
function packForest(
  examples: readonly EncodedExample[],
  leaves: readonly number[],
  shared: readonly number[],
): PackedMicrobatch {
  const example = (leaf: number) => examples[leaves[leaf] as number] as EncodedExample;
  const tokenIds: number[] = [];
  const positions: number[] = [];
  const segmentStarts: number[] = [];
  const segmentParents: number[] = [];
  const lossRows: number[] = [];
  const lossTargets: number[] = [];
  const rowExamples: number[] = [];
  // A stack and no recursion: branches can be nested as deep as a microbatch has tokens.
  const open: Branch[] = [{ from: 0, end: leaves.length, depth: 0, parent: -1 }];
  for (let branch = open.pop(); branch; branch = open.pop()) {
    const { from, end, depth, parent } = branch;
    const first = example(from);
    const fork = end - from === 1 ? evaluatedLength(first) : leastShared(shared, from, end);
    let segment = parent;
    if (fork > depth) {
      segment = segmentStarts.push(tokenIds.length) - 1;
      segmentParents.push(parent);
    }
    for (let position = depth; position < fork; position++) {
      if (position >= first.answerStart - 1) {
        lossRows.push(tokenIds.length);
        lossTargets.push(first.tokenIds[position + 1] as number);
        rowExamples.push(leaves[from] as number);
      }
      tokenIds.push(first.tokenIds[position] as number);
      positions.push(position);
    }
    if (end - from > 1) open.push(...forksAt(fork, branch, segment, shared).reverse());
  }

  return {
    microbatch: {
      tokenIds: Int32Array.from(tokenIds),
      positions: Int32Array.from(positions),
      segmentStarts: Int32Array.from(segmentStarts),
      segmentParents: Int32Array.from(segmentParents),
      lossRows: Int32Array.from(lossRows),
      lossTargets: Int32Array.from(lossTargets),
      lossWeights: new Float32Array(lossRows.length).fill(1),
    },
    rowExamples: Int32Array.from(rowExamples),
    exampleTokens: leaves.reduce((sum, index) => sum + (examples[index] as EncodedExample).tokenIds.length, 0),
    evaluatedTokens: tokenIds.length,
  };
}

function leastShared(shared: readonly number[], from: number, end: number): number {
  let least = shared[from + 1] as number;
  for (let leaf = from + 2; leaf < end; leaf++) least = Math.min(least, shared[leaf] as number);
  return least;
}

/** The branches into which a branch parts at depth `fork`, in order. */
function forksAt(fork: number, { from, end }: Branch, parent: number, shared: readonly number[]): Branch[] {
  const forks: Branch[] = [];
  let start = from;
  for (let leaf = from + 1; leaf <= end; leaf++) {
    if (leaf < end && shared[leaf] !== fork) continue;
    forks.push({ from: start, end: leaf, depth: fork, parent });
    start = leaf;
  }
  return forks;
}

function evaluatedLength({ tokenIds }: EncodedExample): number {
  return tokenIds.length - 1;
}

function requireAnswer({ tokenIds, answerStart }: EncodedExample, index: number): void {
  if (answerStart >= 1 && answerStart < tokenIds.length) return;
  throw new InwardError(
    "TRAIN_EXAMPLE",
    `Example ${index + 1} has ${tokenIds.length} tokens and its answer begins at ${answerStart}: it needs a prompt and an answer.`,
  );
}
