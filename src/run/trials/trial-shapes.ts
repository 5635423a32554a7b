/** The trials of a run as people look at them, in the viewer and in the report: a table of all of them, and one in full. */

import type { Distribution } from "../../ask/expand-distribution.js";
import type { PatchKind } from "../../ask/patched-distributions.js";
import type { LensedPrompt, LensedTokens } from "../../probe/lens-results.js";
import type { BehaviorOption, Extraction } from "../../properties/property.js";
import type { Estimate } from "../../score/interval.js";
import type { Scope } from "../../score/scope.js";
import type { TrialRow } from "../../score/trial-rows.js";
import type { ChatMessage, RecordedReply, SetAsideReason } from "../../tasks/answer.js";
import type { MarkedToken, TokenMark, TokenText } from "../../tasks/answer-tokens.js";

/** A value, or why there is none. */
export type Shown<Value> =
  | { readonly ok: true; readonly value: Value }
  | { readonly ok: false; readonly reason: string };

/** Something of a run that is not as inward writes it. */
export interface RunProblem {
  /** Name within the run's folder; the folder itself where empty. */
  readonly file: string;
  readonly what: string;
}

/**
 * The trials of a run as columns of equal length. Numbers in columns that end with `Of` are places in the list of that name; −1 is none.
 * Probabilities are natural logarithms. A number that is not there is null; `why` says for the whole column why that may be.
 */
export interface TrialTable {
  readonly rows: number;
  /** Lines of the file that were passed over, the first of them with the reason. */
  readonly passedOver: { readonly count: number; readonly first: readonly string[] };
  readonly problems: readonly RunProblem[];
  /** Texts are cut at so many characters in this table, and so many are longer. */
  readonly cut: { readonly at: number; readonly texts: number };
  readonly states: readonly string[];
  readonly properties: readonly string[];
  readonly variants: readonly string[];
  /** What of trials was held out of training; `all` alone where nothing was trained. */
  readonly scopes: readonly Scope[];
  readonly items: readonly TrialItem[];
  readonly texts: readonly string[];
  /** Reasons, and rules by which trials count. */
  readonly words: readonly string[];
  /** [words] for people. */
  readonly says: readonly string[];
  readonly extractions: readonly Extraction[];
  readonly columns: {
    /** Line of 08-trials.jsonl, from 0. */
    readonly line: readonly number[];
    readonly targetOf: readonly number[];
    readonly predictorOf: readonly number[];
    readonly itemOf: readonly number[];
    readonly propertyOf: readonly number[];
    readonly variantOf: readonly number[];
    readonly scopeOf: readonly number[];
    readonly sample: readonly number[];
    /** 0 right, 1 wrong, 2 excluded. */
    readonly outcome: readonly number[];
    readonly becauseOf: readonly number[];
    /** Of the words: what is missing, where something is. */
    readonly reasonOf: readonly number[];
    readonly behaviorOf: readonly number[];
    readonly predictionOf: readonly number[];
    readonly answerAsked: readonly number[];
    readonly replyOf: readonly number[];
    readonly minMargin: readonly (number | null)[];
    /** 1 above the noise floor, 0 not, −1 not known. */
    readonly aboveNoiseFloor: readonly number[];
    readonly answerLogprob: readonly (number | null)[];
    readonly replyLogprob: readonly (number | null)[];
    /** Total variation between the measured distributions of both sides. */
    readonly disagreement: readonly (number | null)[];
  };
  readonly why: {
    readonly minMargin: string;
    readonly probability: string;
    readonly disagreement: string;
  };
}

export interface TrialItem {
  readonly task: string;
  readonly id: string;
  readonly text: string;
  readonly target?: string;
  readonly cluster?: string;
  readonly meta?: Readonly<Record<string, string | number | boolean>>;
}

/** One prompt and what was said to it. */
export interface AskedView {
  readonly state: string;
  readonly stateWords: string;
  readonly file: string;
  readonly key: string;
  readonly messages: Shown<readonly ChatMessage[]>;
  readonly reply?: RecordedReply;
  readonly setAside?: SetAsideReason;
  /** Why neither is there. */
  readonly missing?: string;
}

/** The same string and property, by another predictor or about another target. */
export interface BesideTrial {
  readonly line: number;
  readonly predictor: string;
  readonly target: string;
  readonly variant: string;
  readonly sample: number;
  readonly outcome: TrialRow["outcome"];
  readonly because: string;
  readonly behavior: Extraction;
  readonly prediction: Extraction;
  readonly answer: string;
  readonly reply: string;
  readonly relation: string;
}

export interface TrialView {
  readonly line: number;
  readonly row: TrialRow;
  /** By which rule it counts, in words. */
  readonly because: string;
  readonly item: Shown<TrialItem & { readonly split: string }>;
  readonly property: {
    readonly name: string;
    readonly question: string;
    readonly summary: string;
    readonly rule: string;
  };
  readonly answer: AskedView;
  /** The final answer, where the first was doubted. */
  readonly challenged?: AskedView;
  readonly reply: AskedView;
  readonly option?: BehaviorOption;
  readonly judged: Shown<{ readonly probability: number; readonly lead: number }>;
  readonly beside: readonly BesideTrial[];
  readonly distributions: { readonly behavior: Shown<Distribution>; readonly prediction: Shown<Distribution> };
  /** What lenses read of its prompts, probes of its string, and what patches did to it. */
  readonly inside: {
    readonly lenses: Shown<readonly TrialLens[]>;
    /** Of its prompts those that lenses read at every token: their maps are read by themselves. */
    readonly whole: Shown<readonly TokenLens["prompt"][]>;
    readonly probes: Shown<readonly TrialProbe[]>;
    readonly patches: Shown<readonly TrialPatch[]>;
  };
}

/** A lens on one prompt of a trial: at each site and span the values that were done and said. */
export interface TrialLens {
  readonly prompt: "object_level" | "hypothetical";
  readonly state: string;
  readonly lens: string;
  readonly values: readonly string[];
  /** Values that no lens tells: they begin as others do, or were not looked for. */
  readonly untold: readonly string[];
  /** Values that were looked for. */
  readonly among: number;
  readonly cells: readonly {
    readonly site: string;
    readonly span: string;
    readonly entropyNats: number;
    /** [values] ln P of the tokens that the value may begin with. */
    readonly logprobs: readonly (number | null)[];
    /** [values] place among all tokens, from 1. */
    readonly ranks: readonly (number | null)[];
    /** The likeliest of all values that were looked for. */
    readonly leads?: string;
  }[];
}

/** A lens on one prompt of a trial at every token. */
export interface TokenLens
  extends Pick<TrialLens, "prompt" | "state" | "lens" | "values" | "untold">,
    Pick<LensedPrompt, "tokens" | "vocabulary"> {
  /** Columns of the file's line; values are this map's. */
  readonly sites: readonly (
    | ({ readonly site: string; readonly ok: true } & LensColumns)
    | { readonly site: string; readonly ok: false; readonly reason: string }
  )[];
  /** Over all sites. */
  readonly besideSpans: NonNullable<LensedTokens["besideSpans"]>;
}

type LensColumns = Pick<
  LensedTokens,
  "entropyNats" | "likeliest" | "likeliestAt" | "likeliestLogprobs" | "logprobs" | "ranks"
>;

/** What probes read off one kind of prompt of one string. */
export interface TrialProbe {
  readonly prompt: "object_level" | "hypothetical";
  readonly label: string;
  readonly cells: readonly {
    readonly site: string;
    readonly span: string;
    /** 1 right, 0 wrong; between, where the string stands for several prompts. */
    readonly right: number;
    /** Over all held-out strings. */
    readonly accuracy: Estimate;
  }[];
}

/** What a patch did to one question: the likelihood of what the string shows by itself, and of what it was moved to. */
export interface TrialPatch {
  readonly side: "object_level" | "hypothetical";
  readonly kind: PatchKind;
  readonly site: string;
  readonly span: string;
  readonly number: number;
  readonly donor?: string;
  readonly toward?: string;
  readonly own: { readonly value: string; readonly before: Shown<number>; readonly after: Shown<number> };
  readonly moved?: TrialPatch["own"];
  readonly setAside?: SetAsideReason;
}

export interface ShownToken extends TokenText {
  readonly id: number;
  /** `content` of a message · `template` around it · `control` a token that no text can be. */
  readonly kind: "content" | "template" | "control";
  /** Of the message, where it is content. */
  readonly role?: string;
}

/** A prompt as the model read it. */
export interface PromptTokens {
  readonly tokens: readonly ShownToken[];
  /** Whether the hash of these ids is the one that was recorded when it was asked; absent where none was recorded. */
  readonly isRecorded?: boolean;
}

/** What was said, as tokens. */
export interface SaidTokens {
  readonly tokens: readonly MarkedToken[];
  /** Of the likely tokens at its first place, as the reply lists them, those whose text is not all that they are. */
  readonly firstMarks: readonly TokenMark[];
}

export interface TrialTokens {
  readonly answerPrompt: Shown<PromptTokens>;
  readonly replyPrompt: Shown<PromptTokens>;
  readonly answer: Shown<SaidTokens>;
  readonly reply: Shown<SaidTokens>;
}
