/** Song et al.'s two numbers of one string for one state, as they were measured: a line of 07-logprob-differences.jsonl. */

/** Of the beginning of an answer: the sum over its tokens of natural logprobs, the end of the turn left out. */
export interface BeginningLogprob {
  readonly logprob: number;
  readonly tokens: number;
}

/** Natural logprobs of the answers "1" and "2". */
export interface OptionAnswers {
  readonly one: number;
  readonly two: number;
}

export interface MeasuredLogprobDifference {
  /** `<task>/<item>` */
  readonly key: string;
  /** The model state that was asked. */
  readonly state: string;
  readonly task: string;
  readonly item: string;
  /** The two beginnings. */
  readonly first: string;
  readonly second: string;
  /** After the object-level question itself. */
  readonly direct: { readonly first: BeginningLogprob; readonly second: BeginningLogprob };
  /** After a question about it, for each wording: the first beginning listed as 1, and as 2. */
  readonly meta: readonly {
    readonly wording: string;
    readonly inOrder: OptionAnswers;
    readonly swapped: OptionAnswers;
  }[];
}
