/** A file of pairs of prompts, one pair a line: of contrasts, and of prompts with their donors. Strict: what would be passed over is refused. */

import { z } from "zod";
import { canonicalJson } from "../base/files.js";
import { mostTelling } from "../base/schema-issue.js";
import { decodeUtf8, linesOf, parseStrictJson } from "../base/untrusted.js";
import { InwardError } from "../errors.js";
import type { ChatMessage } from "../tasks/answer.js";
import { turns } from "./open-model.js";

const message = z.strictObject({ role: z.enum(["system", "user", "assistant"]), content: z.string() });
const side = z.union([z.string("must be text, or a list of messages"), z.array(message).min(1, "is empty")]);
const idSchema = z.union([z.string().min(1, "is empty"), z.int()]).optional();
const systemSchema = z.string("must be text").optional();

/** Two prompts by the names of their sides. */
export type PromptPair<Name extends string> = { readonly id: string } & {
  readonly [name in Name]: readonly ChatMessage[];
};

export interface PairRules {
  /** Whether a line may have a `system` message for both sides. */
  readonly system?: boolean;
  /** Whether both sides may be one prompt. */
  readonly same?: boolean;
}

/**
 * @param bytes JSONL: both sides, each a prompt or its messages; `id` where wanted, which no two lines share
 * @param path for messages @throws PROMPTS_INVALID with the line
 */
export function parsePromptPairs<Name extends string>(
  bytes: Uint8Array,
  path: string,
  [first, second]: readonly [Name, Name],
  { system: mayHaveSystem = false, same = false }: PairRules = {},
): PromptPair<Name>[] {
  const schema = z.strictObject({
    id: idSchema,
    ...(mayHaveSystem ? { system: systemSchema } : {}),
    ...{ [first]: side, [second]: side },
  });
  const name = path === "-" ? "standard input" : path;
  const known = new Set<string>();
  const pairs = linesOf(decodeUtf8(bytes, { code: "PROMPTS_INVALID", place: name }), name).map(
    ({ text, place }, at) => {
      const invalid = (what: string) => new InwardError("PROMPTS_INVALID", `${place}: ${what}.`);
      const parsed = schema.safeParse(parseStrictJson(text, { code: "PROMPTS_INVALID", place }));
      if (!parsed.success) {
        const issue = mostTelling(parsed.error);
        throw invalid(`${issue.path.join(".") || "the line"}: ${issue.message}`);
      }
      const line = parsed.data as { id?: string | number; system?: string } & Record<Name, z.infer<typeof side>>;
      const { id = at + 1, system } = line;
      if (known.has(String(id))) throw invalid(`the id ${JSON.stringify(id)} stands twice`);
      known.add(String(id));
      const messagesOf = (given: z.infer<typeof side>): ChatMessage[] => {
        if (typeof given === "string") return turns(system ?? "", given);
        if (system !== undefined) throw invalid("system stands beside messages; make it their first");
        if (given.at(-1)?.role !== "user") throw invalid("the last message of a side is the user's");
        if (given.some(({ role }, number) => role === "system" && number > 0))
          throw invalid("only the first message may be the system's");
        return given[0]?.role === "system" ? given : [{ role: "system", content: "" }, ...given];
      };
      const [one, other] = [messagesOf(line[first]), messagesOf(line[second])];
      if (!same && canonicalJson(one) === canonicalJson(other)) throw invalid("both sides are the same prompt");
      return { id: String(id), [first]: one, [second]: other } as PromptPair<Name>;
    },
  );
  if (pairs.length === 0) throw new InwardError("PROMPTS_INVALID", `${name} holds no pairs.`);
  return pairs;
}
