/** What a schema finds wrong with what people wrote: of all of it the one thing that says most, and where a value may have several forms, which they are. */

import type { z } from "zod";
import { shown } from "./untrusted.js";

type Issue = z.core.$ZodIssue;

/** A key written wrong is missing under its right name too: the first says more. */
export function mostTelling({ issues }: z.ZodError): Issue {
  return tellingAmong(issues);
}

function tellingAmong(issues: readonly Issue[]): Issue {
  return withForms((issues.find(({ code }) => code === "unrecognized_keys") ?? issues[0]) as Issue);
}

/** As zod says it of a choice of forms that has no words of its own. */
const NO_WORDS = "Invalid input";

/**
 * An issue of a value that has none of several forms: what is wrong in the one form that was meant, where that can be told; else a message
 * that names all of them.
 */
export function withForms(issue: Issue): Issue {
  if (issue.code === "invalid_type" && issue.message.startsWith(NO_WORDS)) {
    const kind = KINDS[issue.expected] ?? issue.expected;
    // zod tells of a key that is not there by these words alone.
    const isMissing = issue.message.endsWith("received undefined");
    return { ...issue, message: isMissing ? `is missing; it must be ${kind}` : `must be ${kind}` };
  }
  if (issue.code !== "invalid_union" || issue.message !== NO_WORDS) return issue;
  const fitting = issue.errors.filter((form) => !form.some(isOtherKind));
  const meant = fitting.length > 1 ? fitting.filter((form) => !form.some(hasOtherKeys)) : fitting;
  if (meant.length !== 1) return { ...issue, message: `must be ${formsText(issue.errors)}` };
  const inner = tellingAmong(meant[0] as Issue[]);
  return { ...inner, path: [...issue.path, ...inner.path] };
}

/** A text where a list is wanted, and the like: the form was not meant. */
function isOtherKind({ code, path }: Issue): boolean {
  return code === "invalid_type" && path.length === 0;
}

function hasOtherKeys({ code, path }: Issue): boolean {
  return code === "unrecognized_keys" && path.length === 0;
}

const KINDS: Readonly<Record<string, string>> = {
  string: "a text",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  array: "a list",
  object: "a mapping",
  record: "a mapping",
};

function formsText(forms: readonly (readonly Issue[])[]): string {
  const words = [...new Set(forms.flatMap(formWords))];
  return words.length < 2 ? (words[0] ?? "of another form") : `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`;
}

function formWords(issues: readonly Issue[]): string[] {
  const whole = issues.find(isOtherKind);
  if (whole?.code === "invalid_type") return [KINDS[whole.expected] ?? whole.expected];
  const missing = issues.flatMap((issue) =>
    issue.code !== "unrecognized_keys" && issue.path.length === 1 && issue.input === undefined
      ? [String(issue.path[0])]
      : [],
  );
  if (missing.length > 0) return [`a mapping with ${missing.join(" and ")}`];
  const [first] = issues;
  if (first?.code === "invalid_value" && first.path.length === 0) return first.values.map(shown);
  return first?.code === "invalid_union" ? [formsText(first.errors)] : [];
}
