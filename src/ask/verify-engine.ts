/** Two engines' replies to the same greedy questions, held against what the reference differs from itself. */

import { InwardError } from "../errors.js";
import { looksUpGelu } from "../gguf/architectures.js";
import type { AskRequest } from "../model/language-model.js";
import { propertyNamed } from "../properties/all-properties.js";
import { hypotheticalAbout, hypotheticalVariant, wordedFor } from "../properties/wordings.js";
import { loadTask } from "../study/load-task.js";
import type { Reply } from "../tasks/answer.js";
import { type ChatKind, inFormOf } from "../tasks/plain-form.js";
import { objectLevelMessages, type TaskDefinition, type TaskItem } from "../tasks/task.js";
import type { NoiseFloor } from "./noise-floor.js";

/** What is compared of a reply. */
export interface ComparedReply extends Pick<Reply, "promptSha256" | "tokenIds" | "logprobs" | "margins"> {
  readonly first: Pick<Reply["first"], "tokenIds" | "logprobs">;
}

/** How far two engines may be apart, nats. */
export interface EngineTolerance {
  /** Of a token's logprob. */
  readonly logprob: number;
  /** Of a top-1/top-2 margin: a token may differ where both leads together are no greater. */
  readonly margin: number;
  /** Set where the model's architecture allows for more than rounding in single precision. */
  readonly because?: string;
}

/** What one engine has at a position. */
export interface ComparedToken {
  readonly tokenId: number;
  readonly logprob: number;
  /** Lead of the best token over the second best, nats. */
  readonly margin: number;
}

/**
 * `token`: another one was chosen. `length`: one answer goes on where the other ends. `logprob`: of the same token.
 * `first_logprobs`: of the most likely tokens at the first position. The latter two are listed only beyond the tolerance.
 */
export interface EngineDifference {
  readonly key: string;
  readonly kind: "token" | "length" | "logprob" | "first_logprobs";
  /** Of the answer's tokens, from 1. */
  readonly position: number;
  /** Absent where this engine's answer has ended. */
  readonly reference?: ComparedToken;
  readonly tested?: ComparedToken;
  /** What is held against the tolerance, nats: of a token both leads together, of logprobs their difference. A length has nothing. */
  readonly apart?: number;
  readonly allowed: boolean;
}

export interface EngineComparison {
  readonly questions: number;
  /** Questions whose generated token ids are the same. */
  readonly sameTokens: number;
  /** Token positions whose logprobs were compared: those before the first difference. */
  readonly positions: number;
  readonly meanLogprobDifference: number;
  readonly maxLogprobDifference: number;
  readonly differences: readonly EngineDifference[];
  /** Whether every difference is within the tolerance. */
  readonly agrees: boolean;
}

/** A difference that no machine's noise explains is no smaller than this, nats. */
const LEAST_TOLERANCE = 1e-3;
/**
 * Where llama.cpp's CPU kernels look GELU up by halves, nats: its own kernels for AVX-512, AVX2 and SSE are up to 3e-3 apart on tiny Gemmas and
 * 1.5e-3 on Gemma 3 270M, and an exact GELU 6e-3 and 3.4e-3 from them.
 */
const LEAST_WITH_GELU = 1e-2;
/** The greatest of a few hundred differences is a little below what the next few hundred may reach. */
const TIMES_THE_FLOOR = 2;

/** What two correct evaluators of one architecture may be apart for. */
export interface LeastTolerance {
  readonly nats: number;
  /** Why it is more than rounding in single precision. */
  readonly because?: string;
}

/** @param architecture as general.architecture has it */
export function leastTolerance(architecture: string): LeastTolerance {
  if (!looksUpGelu(architecture)) return { nats: LEAST_TOLERANCE };
  const because = `${architecture}: llama.cpp's CPU kernels round GELU to half precision, where the last bit of a sum decides; no less than ${LEAST_WITH_GELU} nats`;
  return { nats: LEAST_WITH_GELU, because };
}

/**
 * @param floor what the reference differs from itself when it is asked in another batch composition
 * @param first the same of the most likely tokens at the first position: less likely ones move more than those that were chosen
 */
export function toleranceFrom(
  floor: NoiseFloor,
  first: number,
  least: LeastTolerance = { nats: LEAST_TOLERANCE },
): EngineTolerance {
  return {
    logprob: Math.max(least.nats, TIMES_THE_FLOOR * floor.maxLogprobDifference, TIMES_THE_FLOOR * first),
    margin: Math.max(least.nats, TIMES_THE_FLOOR * floor.maxMarginDifference),
    ...(least.because === undefined ? {} : { because: least.because }),
  };
}

/**
 * @param keys names of the questions, in the replies' order
 * @throws INTERNAL when the two were not asked the same
 */
export function compareEngines(
  keys: readonly string[],
  reference: readonly ComparedReply[],
  tested: readonly ComparedReply[],
  tolerance: EngineTolerance,
): EngineComparison {
  const differences: EngineDifference[] = [];
  let sameTokens = 0;
  let positions = 0;
  let sum = 0;
  let most = 0;
  keys.forEach((key, index) => {
    const [before, after] = [reference[index] as ComparedReply, tested[index] as ComparedReply];
    if (before.promptSha256 !== after.promptSha256) {
      throw new InwardError("INTERNAL", `The engines read other tokens for ${key}.`);
    }
    const first = firstApart(before, after);
    // NaN is within no tolerance.
    if (!(first <= tolerance.logprob)) {
      differences.push({ key, kind: "first_logprobs", ...both(before, after, 0), apart: first, allowed: false });
    }
    let at = 0;
    for (; before.tokenIds[at] !== undefined && before.tokenIds[at] === after.tokenIds[at]; at++) {
      const apart = Math.abs((before.logprobs[at] as number) - (after.logprobs[at] as number));
      positions++;
      sum += apart;
      most = Math.max(most, apart);
      if (!(apart <= tolerance.logprob)) {
        differences.push({ key, kind: "logprob", ...both(before, after, at), apart, allowed: false });
      }
    }
    if (at === before.tokenIds.length && at === after.tokenIds.length) sameTokens++;
    else differences.push(parting(key, both(before, after, at), tolerance));
  });
  return {
    questions: keys.length,
    sameTokens,
    positions,
    meanLogprobDifference: positions === 0 ? 0 : sum / positions,
    maxLogprobDifference: most,
    differences,
    agrees: differences.every((difference) => difference.allowed),
  };
}

/**
 * Over the likeliest tokens at the first answer position, by logprob. A token that only one of the two lists is no likelier in the other
 * than the least of its list, and so at least that far apart.
 */
export function firstApart(before: ComparedReply, after: ComparedReply): number {
  return Math.max(0, ...apartFrom(before.first, after.first), ...apartFrom(after.first, before.first));
}

function apartFrom(one: ComparedReply["first"], other: ComparedReply["first"]): number[] {
  const known = new Map(other.tokenIds.map((id, at) => [id, other.logprobs[at] as number]));
  const least = Math.min(...other.logprobs);
  return one.tokenIds.map((id, at) => {
    const [logprob, there] = [one.logprobs[at] as number, known.get(id)];
    return there === undefined ? logprob - least : Math.abs(logprob - there);
  });
}

type Both = Pick<EngineDifference, "position" | "reference" | "tested">;

function both(before: ComparedReply, after: ComparedReply, at: number): Both {
  const [reference, tested] = [tokenAt(before, at), tokenAt(after, at)];
  return { position: at + 1, ...(reference ? { reference } : {}), ...(tested ? { tested } : {}) };
}

function tokenAt(reply: ComparedReply, at: number): ComparedToken | undefined {
  const [tokenId, logprob, margin] = [reply.tokenIds[at], reply.logprobs[at], reply.margins[at]];
  if (tokenId === undefined || logprob === undefined || margin === undefined) return undefined;
  return { tokenId, logprob, margin };
}

/** The best token lost its lead and another took one: the margin moved through zero, by at least both leads together. */
function parting(key: string, there: Both, tolerance: EngineTolerance): EngineDifference {
  const { reference, tested } = there;
  // Both stop by the same rules: no margin excuses equal tokens up to the end of one answer only.
  if (!reference || !tested) return { key, kind: "length", ...there, allowed: false };
  const apart = reference.margin + tested.margin;
  return { key, kind: "token", ...there, apart, allowed: apart <= tolerance.margin };
}

// The fixed questions with which two engines are compared: both kinds, every built-in task, long prompts and short answers.

export interface VerificationQuestion {
  /** `<task>/<item>`, with `/<property>` when hypothetical. */
  readonly key: string;
  readonly request: AskRequest;
}

/** Fixed, so that what was measured before stays comparable: one task at least of each kind, form of answer and length. */
const ASKED_TASKS = [
  "animals_long",
  "countries_long",
  "colors_long",
  "english_words_long",
  "numbers",
  "number_triplets",
  "stories_sentences",
  "myopic_reward",
  "survival_instinct",
  "wealth_seeking",
  "power_seeking",
  "story_names",
  "arithmetic",
  "are_you_sure",
  "kept_syllable",
  "syllable_choice",
  "pick_letter",
  "pick_number",
  "two_hop_facts",
];
const OBJECT_LEVEL_STRINGS = 3;
const MOST_PROPERTIES = 3;
const MOST_TOKENS = 12;
const TOP_TOKENS = 10;

/**
 * Three object-level questions of each of these tasks, with its solved examples; and one string of each with up to three properties.
 * @param kind how the model is spoken to
 * @param most fewer of them, evenly spread over the tasks and both kinds of questions
 */
export async function verificationQuestions(
  kind: ChatKind = "template",
  most = Number.POSITIVE_INFINITY,
): Promise<VerificationQuestion[]> {
  const questions: VerificationQuestion[] = [];
  for (const name of ASKED_TASKS) {
    const task = await loadTask(name);
    const { heldOut } = task;
    const definition = inFormOf(kind, task.definition);
    for (const item of heldOut.slice(0, OBJECT_LEVEL_STRINGS)) questions.push(objectLevel(definition, item));
    for (const item of heldOut.slice(0, 1)) {
      for (const property of definition.properties.slice(0, MOST_PROPERTIES)) {
        questions.push(hypothetical(kind, definition, item, property));
      }
    }
  }
  const count = Math.min(most, questions.length);
  return Array.from({ length: count }, (_, at) => Math.floor((at * questions.length) / count)).map(
    (at) => questions[at] as VerificationQuestion,
  );
}

function objectLevel(definition: TaskDefinition, item: TaskItem): VerificationQuestion {
  return {
    key: `${definition.name}/${item.id}`,
    request: {
      messages: objectLevelMessages(definition, item, { examples: true, system: "" }),
      maxTokens: Math.min(definition.maxTokens, MOST_TOKENS),
      temperature: 0,
      topTokens: TOP_TOKENS,
    },
  };
}

function hypothetical(
  kind: ChatKind,
  definition: TaskDefinition,
  item: TaskItem,
  property: string,
): VerificationQuestion {
  const asked = propertyNamed(property);
  const turns = hypotheticalAbout(definition, item, asked, {
    template: wordedFor(kind, hypotheticalVariant("minimal")),
    question: asked.question,
    examples: true,
  });
  return {
    key: `${definition.name}/${item.id}/${property}`,
    request: {
      messages: [{ role: "system", content: "" }, ...turns],
      maxTokens: Math.min(definition.maxTokens, MOST_TOKENS),
      temperature: 0,
      topTokens: TOP_TOKENS,
      shares: `${definition.name}/${item.id}`,
    },
  };
}
