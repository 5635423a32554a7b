import { z } from "zod";
import { Heap } from "../base/heap.js";
import { InwardError } from "../errors.js";
import type { NextTokens, NextTokensReply } from "../model/language-model.js";
import type { Decision, TextDecider } from "../properties/deciders.js";
import { byReasonSchema, type Extraction, MISSING_REASONS, type MissingReason } from "../properties/property.js";

/** A value of a property and its probability at temperature 1: at least `probability`, at most `upper`. */
export interface ExpandedValue {
  readonly value: string;
  readonly probability: number;
  /** probability + tail, at most 1. */
  readonly upper: number;
}

/** A text that was followed until it was decided, token by token. */
export interface FollowedText {
  /** What each token adds; nothing is what ends the turn. */
  readonly texts: readonly string[];
  readonly probability: number;
  /** What it shows, or why it shows none. */
  readonly value?: string;
  readonly reason?: MissingReason;
}

/** Probability of texts that show no value, by reason; reasons that never occurred are left out. */
export type NotCompliant = Readonly<Partial<Record<MissingReason, number>>>;

/** By expanding the tree of continuations. Values, notCompliant and tail sum to 1. */
export interface ExpandedDistribution {
  readonly method: "expansion";
  /** Most likely first, equal ones by code unit. */
  readonly values: readonly ExpandedValue[];
  readonly notCompliant: NotCompliant;
  /** Probability that was not looked into: any value may have it. */
  readonly tail: number;
  /** Texts whose next tokens were asked for. */
  readonly expandedNodes: number;
  /** Prompt included, as often as it was evaluated. */
  readonly evaluatedTokens: number;
  /** `whole`: nothing is left · `epsilon`: the tail fell below it · `budget`: one more evaluation would have gone over it. */
  readonly stoppedBy: "whole" | "epsilon" | "budget";
  /** The likeliest of the texts that make up values and notCompliant, most likely first; absent where none were to be kept. */
  readonly followed?: readonly FollowedText[];
}

export interface SampledValue {
  readonly value: string;
  /** Share of the samples. */
  readonly probability: number;
  /** √(p(1 − p) / samples); 0 for a share of 1, which is no certainty. */
  readonly standardError: number;
}

/** By seeded samples at temperature 1. Values and notCompliant sum to 1. */
export interface SampledDistribution {
  readonly method: "samples";
  /** What an expansion that left too much open had evaluated before; absent where none was tried. Of the samples, `samples` is the cost. */
  readonly evaluatedTokens?: number;
  /**
   * Why not by expansion. `long_answer` the property is decided late · `tail` the budget left too much of the tree ·
   * `engine` the engine cannot list next tokens.
   */
  readonly because: "long_answer" | "tail" | "engine";
  readonly values: readonly SampledValue[];
  readonly notCompliant: NotCompliant;
  readonly samples: number;
}

export type Distribution = ExpandedDistribution | SampledDistribution;

const share = z.number().min(0);
export const storedDistributionSchema: z.ZodType<Distribution> = z.discriminatedUnion("method", [
  z.object({
    method: z.literal("expansion"),
    values: z.array(z.object({ value: z.string(), probability: share, upper: share })),
    notCompliant: byReasonSchema,
    tail: share,
    expandedNodes: z.number(),
    evaluatedTokens: z.number(),
    stoppedBy: z.enum(["whole", "epsilon", "budget"]),
    followed: z
      .array(
        z.object({
          texts: z.array(z.string()),
          probability: share,
          value: z.string().optional(),
          reason: z.enum(MISSING_REASONS).optional(),
        }),
      )
      .optional(),
  }),
  z.object({
    method: z.literal("samples"),
    evaluatedTokens: z.number().optional(),
    because: z.enum(["long_answer", "tail", "engine"]),
    values: z.array(z.object({ value: z.string(), probability: share, standardError: share })),
    notCompliant: byReasonSchema,
    samples: z.number(),
  }),
]);

// Open branches, the most likely first, equal masses in the order in which they came.

/** Continuations of one text that were not looked into yet. */
export interface Branch {
  /** Generated token ids. */
  readonly path: readonly number[];
  readonly text: string;
  /** Probability of these continuations together. */
  readonly mass: number;
  /** How many next tokens to ask for. */
  readonly topTokens: number;
  /** Next tokens that were followed already. */
  readonly followed: ReadonlySet<number>;
  /** The one before its last token; absent of the first. */
  readonly before?: Branch;
}

interface Queued {
  readonly branch: Branch;
  readonly order: number;
}

export class BranchQueue {
  readonly #heap = new Heap<Queued>(before);
  #pushed = 0;

  get size(): number {
    return this.#heap.size;
  }

  /** Sum of all masses, smallest first so that nothing is lost in rounding. */
  mass(): number {
    return this.#heap
      .items()
      .map(({ branch }) => branch.mass)
      .sort((a, b) => a - b)
      .reduce((sum, mass) => sum + mass, 0);
  }

  first(): Branch | undefined {
    return this.#heap.first()?.branch;
  }

  push(branch: Branch): void {
    this.#heap.push({ branch, order: this.#pushed++ });
  }

  pop(): Branch | undefined {
    return this.#heap.pop()?.branch;
  }
}

function before(a: Queued, b: Queued): boolean {
  return a.branch.mass > b.branch.mass || (a.branch.mass === b.branch.mass && a.order < b.order);
}

/** Factor on the tokens listed when a text is asked about again. */
const WIDEN = 8;

export interface SharedMass {
  /** Next tokens that were not followed before: where they stand in the step, and their probability after this branch. */
  readonly tokens: readonly { readonly at: number; readonly mass: number }[];
  /** The tokens that were not listed, as a branch to ask about again, more widely. */
  readonly rest?: Branch;
}

/**
 * Shares a branch's mass out over its next tokens so that nothing is lost or invented: the masses sum to the branch's, also where
 * the same text gets other last bits in another batch.
 */
export function shareMass(branch: Branch, step: NextTokens, vocabularySize: number): SharedMass {
  const probabilities = Array.from(step.logprobs, (logprob) => Math.exp(logprob));
  const fresh = probabilities.flatMap((_, at) => (branch.followed.has(step.ids[at] as number) ? [] : [at]));
  const listed = sum(probabilities);
  const freshListed = sum(fresh.map((at) => probabilities[at] as number));
  const whole = branch.topTokens >= vocabularySize;
  const total = whole ? freshListed : Math.max(freshListed, 1 - (listed - freshListed));
  const tokens = fresh
    .map((at) => ({ at, mass: branch.mass * ((probabilities[at] as number) / total) }))
    .filter(({ mass }) => mass > 0);
  const left = branch.mass - sum(tokens.map(({ mass }) => mass));
  if (whole || left <= 0) return { tokens };
  const followed = new Set([...branch.followed, ...fresh.map((at) => step.ids[at] as number)]);
  return { tokens, rest: { ...branch, mass: left, topTokens: branch.topTokens * WIDEN, followed } };
}

/** Most likely first is what comes in; added from the end, so that small numbers are not lost. */
function sum(numbers: readonly number[]): number {
  return numbers.reduceRight((total, number) => total + number, 0);
}

/** Probability by value and by reason, as branches or samples come in. */
export class ValueMasses {
  readonly #values = new Map<string, number>();
  readonly #reasons = new Map<MissingReason, number>();

  add(extraction: Extraction, mass: number): void {
    if (extraction.ok) this.#values.set(extraction.value, (this.#values.get(extraction.value) ?? 0) + mass);
    else this.#reasons.set(extraction.reason, (this.#reasons.get(extraction.reason) ?? 0) + mass);
  }

  /** Most likely first, equal ones by code unit. @param divisor what 1 is */
  values(divisor = 1): { readonly value: string; readonly probability: number }[] {
    return [...this.#values]
      .map(([value, mass]) => ({ value, probability: mass / divisor }))
      .sort((a, b) => b.probability - a.probability || (a.value < b.value ? -1 : 1));
  }

  upTo(tail: number): ExpandedValue[] {
    return this.values().map((row) => ({ ...row, upper: Math.min(1, row.probability + tail) }));
  }

  /** Reasons in alphabetical order. */
  notCompliant(divisor = 1): NotCompliant {
    const rows = [...this.#reasons].sort(([a], [b]) => (a < b ? -1 : 1));
    return Object.fromEntries(rows.map(([reason, mass]) => [reason, mass / divisor]));
  }
}

// The distribution of a property at temperature 1 by expanding the tree of continuations, the most likely text first. A branch
// closes when the decider decides it, when the turn ends, or at the longest answer; what stays open is the tail.

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
  /** The likeliest texts are kept, so many. Default 0. */
  readonly keep?: number;
  readonly signal?: AbortSignal;
}

const DEFAULTS = { epsilon: 1e-3, tokenBudget: 4096, batch: 32, topTokens: 2048, keep: 0 };
/** To look at this many tokens costs less than to evaluate one again because fewer were listed. */
const FEWEST_TOKENS = 512;
const NONE: ReadonlySet<number> = new Set();

/** @throws INTERRUPTED, and what the source throws */
export async function expandDistribution(
  source: ContinuationSource,
  decider: TextDecider,
  options: ExpansionOptions,
): Promise<ExpandedDistribution> {
  const expansion = new Expansion(source, decider, options);
  for (let asked = expansion.next(); asked !== undefined; asked = expansion.next()) {
    expansion.take(await source.next(asked.paths, asked.topTokens));
  }
  return expansion.result();
}

/** What is looked into next. */
export interface AskedPaths {
  readonly paths: readonly (readonly number[])[];
  /** [paths] as ContinuationSource has it */
  readonly topTokens: readonly number[];
}

/** One that goes on step by step, so that several can be asked together. */
export class Expansion {
  private readonly options: ExpansionOptions & typeof DEFAULTS;
  private readonly tree: OpenTree;
  private chosen: readonly Branch[] = [];
  private expandedNodes = 0;
  private evaluatedTokens = 0;
  private stoppedBy: ExpandedDistribution["stoppedBy"] = "whole";

  constructor(
    private readonly source: Omit<ContinuationSource, "next">,
    decider: TextDecider,
    options: ExpansionOptions,
  ) {
    this.options = { ...DEFAULTS, ...options };
    this.tree = new OpenTree(source, decider, this.options);
  }

  /** @returns undefined when it is over @throws INTERRUPTED */
  next(): AskedPaths | undefined {
    const { epsilon, tokenBudget, batch, signal } = this.options;
    if (this.tree.queue.size === 0) return undefined;
    if (signal?.aborted) throw new InwardError("INTERRUPTED", "Expanding a distribution was interrupted.");
    const above = this.tree.openAbove(epsilon);
    if (above <= 0) return this.stop("epsilon");
    const tokens = tokenBudget - this.evaluatedTokens;
    this.chosen = takeBatch(this.tree.queue, this.source, { batch, enough: above, tokens });
    if (this.chosen.length === 0) return this.stop("budget");
    return {
      paths: this.chosen.map(({ path }) => path),
      topTokens: this.chosen.map(({ topTokens }) => Math.min(topTokens, this.source.vocabularySize)),
    };
  }

  /** The answer to what `next` gave last. */
  take({ steps, evaluatedTokens }: NextTokensReply): void {
    for (const [index, branch] of this.chosen.entries()) this.tree.grow(branch, steps[index] as NextTokens);
    this.expandedNodes += this.chosen.length;
    this.evaluatedTokens += evaluatedTokens;
  }

  result(): ExpandedDistribution {
    const { queue, masses, kept } = this.tree;
    const tail = queue.mass();
    return {
      method: "expansion",
      values: masses.upTo(tail),
      notCompliant: masses.notCompliant(),
      tail,
      expandedNodes: this.expandedNodes,
      evaluatedTokens: this.evaluatedTokens,
      stoppedBy: this.stoppedBy,
      ...(this.options.keep > 0 ? { followed: kept.texts() } : {}),
    };
  }

  private stop(by: "epsilon" | "budget"): undefined {
    this.stoppedBy = by;
    return undefined;
  }
}

interface ClosedText {
  readonly before: Branch;
  readonly text: string;
  readonly mass: number;
}

/** The likeliest closed texts; equal ones as they came. */
class KeptTexts {
  #all: (ClosedText & { readonly extraction: Extraction })[] = [];
  /** What is not above it would be cut: of thousands of tokens after each text few are. */
  #least = 0;

  constructor(private readonly most: number) {}

  add(extraction: Extraction, closed: ClosedText): void {
    if (this.most === 0 || closed.mass <= this.#least) return;
    this.#all.push({ ...closed, extraction });
    if (this.#all.length >= 16 * this.most) this.#cut();
  }

  texts(): FollowedText[] {
    this.#cut();
    return this.#all.map(({ before, text, mass, extraction }) => ({
      texts: piecesOf(before, text),
      probability: mass,
      ...(extraction.ok ? { value: extraction.value } : { reason: extraction.reason }),
    }));
  }

  #cut(): void {
    this.#all.sort((a, b) => b.mass - a.mass);
    this.#all.length = Math.min(this.#all.length, this.most);
    if (this.#all.length === this.most) this.#least = this.#all.at(-1)?.mass ?? 0;
  }
}

/** What each token adds. One that completes a character adds what the half of it before had not said. */
function piecesOf(before: Branch, text: string): string[] {
  const texts = [text];
  for (let at: Branch | undefined = before; at?.before !== undefined; at = at.before) texts.unshift(at.text);
  return texts.map((one, at) => {
    const earlier = texts[at - 1] ?? "";
    let same = 0;
    while (same < earlier.length && earlier[same] === one[same]) same++;
    return one.slice(same);
  });
}

class OpenTree {
  readonly queue = new BranchQueue();
  readonly masses = new ValueMasses();
  readonly kept: KeptTexts;
  readonly #source: Omit<ContinuationSource, "next">;
  readonly #decider: TextDecider;
  readonly #maxTokens: number;
  readonly #topTokens: number;
  /** Running sum of the queue. */
  #open = 0;

  constructor(
    source: Omit<ContinuationSource, "next">,
    decider: TextDecider,
    { maxTokens, topTokens, keep }: ExpansionOptions & typeof DEFAULTS,
  ) {
    this.kept = new KeptTexts(keep);
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
        const text = step.texts[at] as string;
        this.#close(this.#decider.atEnd(text, "end_of_generation"), { before: branch, text, mass });
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
          before: branch,
        });
      } else this.#close(decided, { before: branch, text, mass });
    }
    if (rest) this.#leaveOpen(rest);
  }

  #decide(path: readonly number[], text: string): Decision {
    if (path.length >= this.#maxTokens) return this.#decider.atEnd(text, "max_tokens");
    return this.#decider.decidedBy(this.#source.settled(text));
  }

  #close(extraction: Extraction, closed: ClosedText): void {
    this.masses.add(extraction, closed.mass);
    this.kept.add(extraction, closed);
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
function takeBatch(
  queue: BranchQueue,
  source: Pick<ContinuationSource, "tokensFor">,
  { batch, enough, tokens }: Allowance,
): Branch[] {
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

/** The tree of continuations of one prompt, as expansion needs it: a model, or a table in a test. */
export interface ContinuationSource {
  readonly vocabularySize: number;
  /** @param topTokens [paths] most tokens listed of each; `vocabularySize` lists all */
  next(paths: readonly (readonly number[])[], topTokens: readonly number[]): Promise<NextTokensReply>;
  /** The most tokens that `next` would evaluate for these paths. */
  tokensFor(paths: readonly (readonly number[])[]): number;
  /** The beginning of a text that no further token changes. */
  settled(text: string): string;
}

/**
 * What further tokens cannot change of a text: a token may hold part of a character, which reads as U+FFFD until the rest is there.
 * @returns a beginning of the text
 */
export function settledText(text: string): string {
  return text.replace(/\ufffd+$/, "");
}
