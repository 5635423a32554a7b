/** The messages between a run and the worker process that holds its engine. */
import type { ErrorCode } from "../../errors.js";
import type { ChatMessage, Reply } from "../../records/answer.js";
import type { EngineManifest } from "../../records/model-state.js";
import type { StudyEngine } from "../../records/study.js";
import type { AskRequest, RenderedPrompt } from "../language-model.js";

export type WorkerCall =
  | { readonly call: "open"; readonly modelPath: string; readonly settings: StudyEngine }
  | { readonly call: "render"; readonly messages: readonly ChatMessage[] }
  | { readonly call: "check"; readonly requests: readonly AskRequest[] }
  | { readonly call: "ask"; readonly requests: readonly AskRequest[]; readonly sequences?: number }
  | { readonly call: "dispose" };

export type WorkerRequest = (WorkerCall & { readonly id: number }) | { readonly abort: number };

export interface WorkerResults {
  readonly open: EngineManifest;
  readonly render: RenderedPrompt;
  readonly check: number[];
  readonly ask: Reply[];
  readonly dispose: null;
}

export type WorkerResponse =
  | { readonly id: number; readonly result: WorkerResults[keyof WorkerResults] }
  | { readonly id: number; readonly reply: Reply; readonly index: number }
  | { readonly id: number; readonly error: { readonly code: ErrorCode; readonly message: string } };
