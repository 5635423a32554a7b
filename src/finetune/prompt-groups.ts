/** Which examples ask about the same thing. Pure. */
import type { EncodedExample } from "../records/training.js";
import { prefixOrder } from "./prefix-order.js";

/** A branch of the prompts' prefix tree: prompts order[from…end-1] part after `depth` common tokens. */
interface PromptBranch {
  readonly from: number;
  readonly end: number;
  readonly depth: number;
  readonly children: readonly PromptBranch[];
}

/**
 * Where subjects are given (the task and string that a prompt quotes), a group is the examples of one subject.
 *
 * Where they are not, a string is found by its questions: it is a beginning that several endings follow, and the same endings
 * follow other beginnings too. Precisely: a branch of the prompts' prefix tree names questions when its set of two or more
 * endings is exactly another branch's. A group is the largest branch whose every ending is in one of these sets. So prompts
 * that share only an instruction are not together, however long it is, nor are prompts that differ in their strings' ends.
 * No branch of more than max(16, √examples) examples counts, for under two wordings of all prompts a wording looks like a
 * string. Equal prompts are always together; whatever is left is alone. One string under two wordings is two groups: tokens
 * cannot tell that, subjects can.
 * @param subjects [examples]
 * @returns indices of examples, each once; in a group neighbours begin alike; groups stand in the order of their beginnings
 */
export function promptGroups(examples: readonly EncodedExample[], subjects?: readonly string[]): number[][] {
  const prompts = examples.map(({ tokenIds, answerStart }) => tokenIds.slice(0, answerStart));
  const { order, shared } = prefixOrder(prompts);
  if (subjects) return bySubject(order, subjects);
  if (order.length === 0) return [];
  const most = Math.max(16, Math.ceil(Math.sqrt(examples.length)));
  const endings = ({ from, end, depth }: PromptBranch) =>
    new Set(order.slice(from, end).map((index) => (prompts[index] as number[]).slice(depth).join(" ")));
  const root = branchOf(0, order.length, shared, (at) => (prompts[order[at] as number] as number[]).length);
  const questions = recurring(root, most, endings);
  const groups: number[][] = [];
  const open: PromptBranch[] = [root];
  for (let branch = open.pop(); branch; branch = open.pop()) {
    const { from, end, children } = branch;
    const isGroup =
      children.length === 0 || (end - from <= most && [...endings(branch)].every((ending) => questions.has(ending)));
    if (isGroup) groups.push(order.slice(from, end));
    else open.push(...children.toReversed());
  }
  return groups;
}

function bySubject(order: readonly number[], subjects: readonly string[]): number[][] {
  const groups = new Map<string, number[]>();
  for (const index of order) {
    const subject = subjects[index] as string;
    const group = groups.get(subject);
    if (group) group.push(index);
    else groups.set(subject, [index]);
  }
  return [...groups.values()];
}

/** Endings of all branches that have the same set of endings as another one. */
function recurring(
  root: PromptBranch,
  most: number,
  endings: (branch: PromptBranch) => ReadonlySet<string>,
): ReadonlySet<string> {
  const seen = new Map<string, number>();
  const found = new Set<string>();
  const open: PromptBranch[] = [root];
  for (let branch = open.pop(); branch; branch = open.pop()) {
    open.push(...branch.children);
    if (branch.children.length === 0 || branch.end - branch.from > most) continue;
    const set = endings(branch);
    const key = [...set].sort().join("\n");
    const times = (seen.get(key) ?? 0) + 1;
    seen.set(key, times);
    if (times === 2) for (const ending of set) found.add(ending);
  }
  return found;
}

/** @param lengthAt of the prompt at a place in the order; equal prompts are one leaf, without children */
function branchOf(
  from: number,
  end: number,
  shared: readonly number[],
  lengthAt: (at: number) => number,
): PromptBranch {
  let depth = lengthAt(from);
  for (let at = from + 1; at < end; at++) depth = Math.min(depth, shared[at] as number);
  const starts = [from];
  for (let at = from + 1; at < end; at++) {
    const isEqual = shared[at] === lengthAt(at - 1) && shared[at] === lengthAt(at);
    if (shared[at] === depth && !isEqual) starts.push(at);
  }
  const children =
    starts.length === 1
      ? []
      : starts.map((start, which) => branchOf(start, starts[which + 1] ?? end, shared, lengthAt));
  return { from, end, depth, children };
}
