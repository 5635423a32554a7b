/** How likely given texts are after a prompt: exact log-probabilities, token by token, of one prompt or of a file of them. */

import { z } from "zod";
import type { QuestionKind } from "../ask/groups.js";
import { scorePlainly } from "../ask/plain-question.js";
import { InwardError } from "../errors.js";
import type { ContinuationScore, LanguageModel, ScoreRequest } from "../model/language-model.js";
import { type ChatMessage, type SetAsideReason, setAsideSchema } from "../tasks/answer.js";
import type { TokenText } from "../tasks/answer-tokens.js";
import { type AnswerFileOptions, type AnswersFile, writeAnswers } from "./answers-file.js";
import { namingTheLine } from "./ask-file.js";
import type { ScoredLine } from "./prompt-lines.js";

export interface ScoringSettings {
  /**
   * How continuations are meant. `generated`: from the first character after the prompt, as a model would write it. `written`: as
   * people write an answer; the blank that a model sets before one is set before it. Default `generated`.
   */
  readonly continuations?: "generated" | "written";
}

export interface ScoreFileOptions extends AnswerFileOptions, ScoringSettings {}

/** Natural logs at temperature 1 over the full vocabulary. */
export interface ScoredContinuation {
  readonly text: string;
  readonly tokens: readonly (TokenText & { readonly id: number; readonly logprob: number })[];
  /** Σ logprob of its tokens: how likely it is that an answer begins so. */
  readonly sum: number;
  /** Added to the sum: that the answer is exactly this. In plain text it may be positive, where one token is a last mark and the line's end. */
  readonly endOfTurn: number;
  /** UTF-8 bytes of the text. */
  readonly bytes: number;
  /** sum / bytes, and sum / tokens; absent for an empty text. */
  readonly perByte?: number;
  readonly perToken?: number;
}

interface ScoredPlace {
  /** The line's id. */
  readonly key: string;
  /** The model, as it was named. */
  readonly state: string;
  readonly id: string;
  readonly meta?: Readonly<Record<string, unknown>>;
}

/** A line of the file that scoreFile writes. */
export type ScoredTextLine = ScoredPlace &
  (
    | {
        readonly continuations: readonly ScoredContinuation[];
        readonly promptTokens: number;
        readonly setAside?: undefined;
      }
    | { readonly setAside: SetAsideReason; readonly continuations?: undefined }
  );

const lineSchema = z
  .looseObject({
    key: z.string(),
    state: z.string(),
    continuations: z.array(z.looseObject({ text: z.string(), sum: z.number(), endOfTurn: z.number() })).optional(),
    setAside: setAsideSchema.optional(),
  })
  .refine(
    ({ continuations, setAside }) => (continuations === undefined) !== (setAside === undefined),
    "neither scores nor set aside",
  );

/**
 * @param continuations texts that may follow
 * @returns in the order of the continuations
 * @throws InwardError ENGINE_UNAVAILABLE by an engine that cannot · ENGINE_CONTEXT, CHAT_*, MODEL_TEMPLATE · INTERRUPTED
 */
export async function scoreText(
  model: Pick<LanguageModel, "score" | "tokenTexts">,
  messages: readonly ChatMessage[],
  continuations: readonly string[],
  { signal, ...settings }: ScoringSettings & { readonly signal?: AbortSignal } = {},
): Promise<ScoredContinuation[]> {
  const [scores = []] = await model.score([requestOf({ messages, continuations }, settings)], { signal });
  return describeScores(model, [{ continuations, scores }]).then(([one = []]) => one);
}

interface AskedScore extends ScoredPlace, Pick<ScoredLine, "messages" | "continuations"> {}

/**
 * Scores every line's continuations and writes a line for each. The same call goes on where an earlier one ended.
 * @param lines such as those of a file: parseScoredLines
 * @param source registry name, `hf:` URI, or path of a GGUF
 * @throws InwardError what askFile throws · ENGINE_UNAVAILABLE by an engine that cannot
 */
export async function scoreFile(
  lines: readonly ScoredLine[],
  source: string,
  options: ScoreFileOptions,
): Promise<AnswersFile> {
  const { continuations = "generated" } = options;
  return writeAnswers(
    source,
    {
      what: "scores",
      kind: scoredLines({ continuations }),
      settings: { continuations },
      lines,
      questions: (state) => lines.map((line): AskedScore => ({ key: line.id, state, ...line })),
    },
    options,
  );
}

function scoredLines(settings: ScoringSettings): QuestionKind<AskedScore, ScoredTextLine> {
  const promptTokens = (model: LanguageModel, group: readonly AskedScore[]) =>
    model.check(group.map(({ messages }) => ({ messages, maxTokens: 1, temperature: 0, topTokens: 1 })));
  return {
    rowSchema: lineSchema,
    check: (model, group) => namingTheLine(group, (part) => promptTokens(model, part)),
    ask: async (model, group, { heard, onAnswered, signal }) => {
      const lengths = await promptTokens(model, group);
      const requests = group.map((line) => requestOf(line, settings));
      const scores = await model.score(requests, { onScored: heard, signal });
      const described = await describeScores(
        model,
        group.map(({ continuations }, at) => ({ continuations, scores: scores[at] ?? [] })),
      );
      return group.map(({ messages: _, continuations: __, ...place }, at): ScoredTextLine => {
        onAnswered();
        return {
          ...place,
          continuations: described[at] as ScoredContinuation[],
          promptTokens: lengths[at] as number,
        };
      });
    },
    setAside: ({ messages: _, continuations: __, ...place }, setAside) => ({ ...place, setAside }),
    askPlain: (model, { messages }, hooks) => scorePlainly(model, messages, hooks),
  };
}

function requestOf(
  { messages, continuations }: Pick<ScoredLine, "messages" | "continuations">,
  settings: ScoringSettings,
): ScoreRequest {
  const isWritten = settings.continuations === "written";
  return { messages, continuations: isWritten ? continuations.map((written) => ({ written })) : continuations };
}

interface Scored {
  readonly continuations: readonly string[];
  readonly scores: readonly ContinuationScore[];
}

/** The texts of all tokens are asked for at once. */
async function describeScores(
  model: Pick<LanguageModel, "tokenTexts">,
  lines: readonly Scored[],
): Promise<ScoredContinuation[][]> {
  const ids = lines.flatMap(({ scores }) => scores.flatMap(({ tokenIds }) => tokenIds));
  const texts = await model.tokenTexts(ids);
  let next = 0;
  return lines.map(({ continuations, scores }) =>
    continuations.map((text, at): ScoredContinuation => {
      const score = scores[at];
      if (!score) throw new InwardError("INTERNAL", "The engine gave no score to a continuation.");
      const tokens = score.tokenIds.map((id, place) => ({
        id,
        ...(texts[next++] as TokenText),
        logprob: score.logprobs[place] as number,
      }));
      const sum = score.logprobs.reduce((total, one) => total + one, 0);
      const bytes = Buffer.byteLength(text);
      const { endOfTurnLogprob: endOfTurn } = score;
      return {
        text,
        tokens,
        sum,
        endOfTurn,
        bytes,
        ...(bytes === 0 ? {} : { perByte: sum / bytes }),
        ...(tokens.length === 0 ? {} : { perToken: sum / tokens.length }),
      };
    }),
  );
}
