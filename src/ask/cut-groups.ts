/** Cuts the questions of a stage into the groups that are asked as one unit. A function of the plan alone. */
import type { Question } from "./question.js";

/**
 * One state per group; questions about one string are never parted unless they alone exceed the limit.
 * @param most questions in a group
 */
export function cutGroups(questions: readonly Question[], most: number): Question[][] {
  const groups: Question[][] = [];
  let group: Question[] = [];
  for (let start = 0; start < questions.length; ) {
    const first = questions[start] as Question;
    let end = start;
    while (end < questions.length && end - start < most && isSameString(questions[end] as Question, first)) end++;
    const fits = group.length + (end - start) <= most && (group.length === 0 || group[0]?.state === first.state);
    if (!fits) {
      groups.push(group);
      group = [];
    }
    group.push(...questions.slice(start, end));
    start = end;
  }
  if (group.length > 0) groups.push(group);
  return groups;
}

export function isSameString(a: Question, b: Question): boolean {
  return a.state === b.state && a.task === b.task && a.item === b.item && a.variant === b.variant;
}
