/** The calls between a run and the worker process that holds its engine. */
import type { ChatMessage, Reply } from "../../records/answer.js";
import type { EngineManifest } from "../../records/model-state.js";
import type { SettledEngine } from "../../records/study.js";
import type {
  AdapterChoice,
  AskCost,
  AskRequest,
  ContinuationScore,
  EncodedConversation,
  ModelFacts,
  RenderedPrompt,
  ScoreRequest,
} from "../language-model.js";
import type { NextTokensReply } from "../next-tokens.js";

export type EngineCall =
  | {
      readonly call: "open";
      readonly modelPath: string;
      readonly settings: SettledEngine;
      readonly adapter?: AdapterChoice;
      /** Native only. */
      readonly cacheType?: "f32" | "f16";
    }
  | { readonly call: "render"; readonly messages: readonly ChatMessage[] }
  | { readonly call: "encode"; readonly conversations: readonly (readonly ChatMessage[])[] }
  | { readonly call: "check"; readonly requests: readonly AskRequest[] }
  | { readonly call: "ask"; readonly requests: readonly AskRequest[]; readonly sequences?: number }
  | { readonly call: "score"; readonly requests: readonly ScoreRequest[] }
  | {
      readonly call: "nextTokens";
      readonly messages: readonly ChatMessage[];
      readonly paths: readonly (readonly number[])[];
      readonly topTokens: number | readonly number[];
    }
  | { readonly call: "adapt"; readonly adapter?: AdapterChoice }
  | { readonly call: "dispose" };

export interface OpenedModel {
  readonly manifest: EngineManifest;
  readonly facts: ModelFacts;
  /** Whether it can change its adapter. */
  readonly adapts: boolean;
}

export interface EngineResults {
  readonly open: OpenedModel;
  readonly adapt: OpenedModel;
  readonly render: RenderedPrompt;
  readonly encode: EncodedConversation[];
  readonly check: number[];
  readonly ask: Reply[];
  readonly score: ContinuationScore[][];
  readonly nextTokens: NextTokensReply;
  readonly dispose: null;
}

/** A reply that is complete while others of its group are not, or what the group took. */
export type EngineNote = { readonly index: number; readonly reply: Reply } | { readonly cost: AskCost };
