/**
 * The distribution of a property at temperature 1 by expanding the tree of continuations, the most likely text first. A branch
 * closes when the decider decides it, when the turn ends, or at the longest answer; what stays open is the tail.
 */
import { InwardError } from "../errors.js";
import type { NextTokens } from "../model/next-tokens.js";
import type { Decision, TextDecider } from "../properties/text-decider.js";
import type { ExpandedDistribution } from "../records/distribution.js";
import { type Branch, BranchQueue } from "./branch-queue.js";
import type { ContinuationSource } from "./continuation-source.js";
import { shareMass } from "./share-mass.js";
import { ValueMasses } from "./value-masses.js";

export interface ExpansionOptions {
  /** Longest answer in tokens, counted as in asking: the text then ends with `max_tokens`. */
  readonly maxTokens: number;
  /** Expansion stops when at most this much probability is open. Default 0.001. */
  readonly epsilon?: number;
  /** Tokens that may be evaluated, the prompt's included each time it is. Default 4096. */
  readonly tokenBudget?: number;
  /** Most texts that are evaluated together. Default 32. */
  readonly batch?: number;
  /**
   * Next tokens asked for after the prompt at first, and of a less likely text in proportion fewer; where the others together matter, more
   * are asked for. Default 2048.
   */
  readonly topTokens?: number;
  readonly signal?: AbortSignal;
}

const DEFAULTS = { epsilon: 1e-3, tokenBudget: 4096, batch: 32, topTokens: 2048 };
/** To look at this many tokens costs less than to evaluate one again because fewer were listed. */
const FEWEST_TOKENS = 512;
const NONE: ReadonlySet<number> = new Set();

/** @throws INTERRUPTED, and what the source throws */
export async function expandDistribution(
  source: ContinuationSource,
  decider: TextDecider,
  options: ExpansionOptions,
): Promise<ExpandedDistribution> {
  const { maxTokens, epsilon, tokenBudget, batch, topTokens, signal } = { ...DEFAULTS, ...options };
  const tree = new OpenTree(source, decider, maxTokens, topTokens);
  let expandedNodes = 0;
  let evaluatedTokens = 0;
  let stoppedBy: ExpandedDistribution["stoppedBy"] = "whole";
  while (tree.queue.size > 0) {
    if (signal?.aborted) throw new InwardError("INTERRUPTED", "Expanding a distribution was interrupted.");
    const above = tree.openAbove(epsilon);
    if (above <= 0) {
      stoppedBy = "epsilon";
      break;
    }
    const tokens = tokenBudget - evaluatedTokens;
    const chosen = takeBatch(tree.queue, source, { batch, enough: above, tokens });
    if (chosen.length === 0) {
      stoppedBy = "budget";
      break;
    }
    const paths = chosen.map(({ path }) => path);
    const listed = chosen.map((branch) => Math.min(branch.topTokens, source.vocabularySize));
    const reply = await source.next(paths, listed);
    for (const [index, branch] of chosen.entries()) tree.grow(branch, reply.steps[index] as NextTokens);
    expandedNodes += chosen.length;
    evaluatedTokens += reply.evaluatedTokens;
  }
  const tail = tree.queue.mass();
  return {
    method: "expansion",
    values: tree.masses.upTo(tail),
    notCompliant: tree.masses.notCompliant(),
    tail,
    expandedNodes,
    evaluatedTokens,
    stoppedBy,
  };
}

class OpenTree {
  readonly queue = new BranchQueue();
  readonly masses = new ValueMasses();
  readonly #source: ContinuationSource;
  readonly #decider: TextDecider;
  readonly #maxTokens: number;
  readonly #topTokens: number;
  /** Running sum of the queue. */
  #open = 0;

  constructor(source: ContinuationSource, decider: TextDecider, maxTokens: number, topTokens: number) {
    this.#source = source;
    this.#decider = decider;
    this.#maxTokens = maxTokens;
    this.#topTokens = topTokens;
    this.#leaveOpen({ path: [], text: "", mass: 1, topTokens, followed: NONE });
  }

  /** How much more than epsilon is open. */
  openAbove(epsilon: number): number {
    // The running sum collects rounding: where it would decide, it is made afresh.
    if (this.#open <= epsilon) this.#open = this.queue.mass();
    return this.#open - epsilon;
  }

  /** Closes or queues what comes after a branch that was taken from the queue. */
  grow(branch: Branch, step: NextTokens): void {
    this.#open -= branch.mass;
    const { tokens, rest } = shareMass(branch, step, this.#source.vocabularySize);
    for (const { at, mass } of tokens) {
      if (step.ends[at] === 1) {
        this.masses.add(this.#decider.atEnd(branch.text, "end_of_generation"), mass);
        continue;
      }
      const path = [...branch.path, step.ids[at] as number];
      const text = step.texts[at] as string;
      const decided = this.#decide(path, text);
      if (decided === "open") {
        this.#leaveOpen({
          path,
          text,
          mass,
          topTokens: Math.min(this.#topTokens, Math.max(FEWEST_TOKENS, Math.ceil(this.#topTokens * mass))),
          followed: NONE,
        });
      } else this.masses.add(decided, mass);
    }
    if (rest) this.#leaveOpen(rest);
  }

  #decide(path: readonly number[], text: string): Decision {
    if (path.length >= this.#maxTokens) return this.#decider.atEnd(text, "max_tokens");
    return this.#decider.decidedBy(this.#source.settled(text));
  }

  #leaveOpen(branch: Branch): void {
    this.#open += branch.mass;
    this.queue.push(branch);
  }
}

interface Allowance {
  readonly batch: number;
  /** No more branches than it takes to look into this much probability. */
  readonly enough: number;
  readonly tokens: number;
}

/** The most likely branches. */
function takeBatch(queue: BranchQueue, source: ContinuationSource, { batch, enough, tokens }: Allowance): Branch[] {
  const chosen: Branch[] = [];
  let mass = 0;
  for (let next = queue.first(); next !== undefined && chosen.length < batch; next = queue.first()) {
    if (chosen.length > 0 && mass >= enough) break;
    if (source.tokensFor([...chosen, next].map(({ path }) => path)) > tokens) break;
    chosen.push(next);
    mass += next.mass;
    queue.pop();
  }
  return chosen;
}
