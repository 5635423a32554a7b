/** The calls between a run and the worker process that holds its engine. */
import type { ChatMessage, Reply } from "../../records/answer.js";
import type { EngineManifest } from "../../records/model-state.js";
import type { StudyEngine } from "../../records/study.js";
import type { AdapterChoice, AskRequest, EncodedConversation, ModelFacts, RenderedPrompt } from "../language-model.js";

export type EngineCall =
  | {
      readonly call: "open";
      readonly modelPath: string;
      readonly settings: StudyEngine;
      readonly adapter?: AdapterChoice;
    }
  | { readonly call: "render"; readonly messages: readonly ChatMessage[] }
  | { readonly call: "encode"; readonly conversations: readonly (readonly ChatMessage[])[] }
  | { readonly call: "check"; readonly requests: readonly AskRequest[] }
  | { readonly call: "ask"; readonly requests: readonly AskRequest[]; readonly sequences?: number }
  | { readonly call: "dispose" };

export interface EngineResults {
  readonly open: { readonly manifest: EngineManifest; readonly facts: ModelFacts };
  readonly render: RenderedPrompt;
  readonly encode: EncodedConversation[];
  readonly check: number[];
  readonly ask: Reply[];
  readonly dispose: null;
}

/** A reply that is complete while others of its group are not. */
export interface EngineNote {
  readonly index: number;
  readonly reply: Reply;
}
