/// <reference types="node" preserve="true" />
/** inward as a library: one call does one job. docs/library.md shows each. */

export { INWARD_VERSION } from "./base/version.js";
export { ERRORS, type ErrorCode, type ExitCode, InwardError } from "./errors.js";

// A study: planned, counted, run, calibrated, scored and reported again.
export {
  type AuthoredStudy,
  calibrate,
  type CalibratedRun,
  type FinishedRun,
  type PlannedStudy,
  planStudy,
  report,
  type ReportPaths,
  type RunFiles,
  runStudy,
  score,
  type StudyOptions,
} from "./run/run-study.js";
export { type ComparedRuns, type CompareOptions, compareRuns } from "./run/compare-runs.js";
export { type Exported, type ExportFormat, type ExportOptions, exportRun } from "./exchange/export-run.js";
export type { EarlierRun } from "./run/planning.js";
export { type DryRun, dryRun, type DryRunOptions } from "./run/dry-run.js";
export { RUN_FILES } from "./run/folder.js";

// The same study by several processes.
export { type PreparedUnits, prepareUnits, runWithWorkers, type WorkersOptions } from "./cluster/launch-workers.js";
export { type UnitOptions, type UnitOutcome, UnitSession } from "./cluster/run-unit.js";
export { type MergedUnits, mergeUnits } from "./cluster/merge.js";
export { type UnitProgress, type UnitsProgress, unitsProgress } from "./cluster/units-progress.js";
export type { RunUnit, UnitCut } from "./cluster/units.js";

// A model: opened and asked, its distributions measured.
export {
  type AnswerOptions,
  openModel,
  type OpenModel,
  type OpenModelOptions,
  type WornAdapter,
  type WorkOptions,
  type WorkProgress,
} from "./run/open-model.js";
export { type AnsweredLine, type AnsweredToken, askFile, type AskFileOptions } from "./run/ask-file.js";
export {
  type ScoredContinuation,
  type ScoredTextLine,
  scoreFile,
  type ScoreFileOptions,
  scoreText,
} from "./run/score-file.js";
export type { AnswersFile } from "./run/answers-file.js";
export { parsePrompts, parseScoredLines, type PromptLine, type ScoredLine } from "./run/prompt-lines.js";
export { type NextFile, nextFile, type NextFileOptions, type NextToken, nextTokens } from "./exchange/next-file.js";
export { tokenizeText, type TokenizedText } from "./run/text-tokens.js";
export { distribution, type QuickLook, type QuickLookOptions } from "./run/quick-look.js";
export {
  captureStates,
  estimateStates,
  type FinishedStates,
  type StatesEstimate,
  type StatesManifest,
  type StatesOptions,
  type StatesPrompt,
  type StatesSettings,
} from "./run/states-file.js";
export {
  type ContrastOptions,
  type ContrastPair,
  makeContrast,
  type MadeContrast,
  parsePairs,
} from "./run/contrast-vectors.js";
export {
  type Steered,
  type SteeredLine,
  type SteerOptions,
  type SteerPrompt,
  type SteerSettings,
  steer,
} from "./run/steer-prompts.js";
export { type Directions, type DirectionsCard, readDirections } from "./probe/direction-file.js";
export { type SteeredRow, type SteeringEffect, steeringEffects } from "./probe/steering.js";
export {
  type AttributedFile,
  type AttributedLine,
  attributeLogits,
  type AttributionOptions,
  estimateAttribution,
} from "./run/attribute-logits.js";
export {
  parsePatchPairs,
  type PatchedSubspaces,
  patchSubspace,
  type PatchPair,
  type SubspaceEffect,
  type SubspaceOptions,
} from "./run/patch-subspace.js";
export { type Patchscope, patchscope, type PatchscopeLine, type PatchscopeOptions } from "./run/patchscope.js";
export {
  probeDirections,
  readSubspaces,
  type Subspace,
  subspaceOf,
  type SubspacePatch,
  subspacePatch,
} from "./probe/subspace.js";
export type { HeadEffect } from "./probe/written-effects.js";
export { type HeadsOptions, type KnockedOutHeads, knockOutHeads } from "./run/knock-out-heads.js";
export {
  type LayerEffect,
  type SwitchedLayers,
  switchAdapterLayers,
  type SwitchLayersOptions,
} from "./run/switch-adapter-layers.js";
export {
  type AttributedLogits,
  attributionSites,
  LogitAttribution,
  type LogitPart,
} from "./probe/logit-attribution.js";
export { type PartEffect, partEffects } from "./probe/part-effects.js";
export { type AttentionToSpan, attentionToSpans } from "./probe/attention-spans.js";
export { type WrittenEffect, writtenEffects, type WrittenRow } from "./probe/written-effects.js";
export { patchPrompt, type PatchedPrompt, type PatchedToken, type PatchOptions } from "./run/patch-prompt.js";
export type { Intervened, Intervention, InterventionOperation } from "./model/interventions.js";
export type { AskRequest, ContinuationScore, LanguageModel, ScoreRequest } from "./model/language-model.js";

// An adapter: trained on chat JSONL.
export {
  type AuthoredTraining,
  train,
  type Trained,
  type TrainedFiles,
  type TrainOptions,
} from "./run/train-from-file.js";

// What is asked, and what is read from answers.
export {
  type PlantedModel,
  type PlantedOptions,
  type PlantedStudy,
  writePlantedModel,
  writePlantedStudy,
} from "./probe/planted-model.js";
export {
  type ControlVector,
  controlInterventions,
  readControlVector,
  type SteeringOptions,
  writeControlVector,
} from "./probe/control-vector.js";
export { type Noticer, type PlantedNoticer, writePlantedNoticer } from "./probe/planted-noticer.js";
export { type InsideResults, type InsideRow, insideResults } from "./probe/inside-results.js";
export type { InjectionResults } from "./score/injection/injection-scores.js";
export { fitProbe, type LinearProbe, probeLogprobs, type RowMatrix } from "./probe/linear-probe.js";
export {
  bagOfTokens,
  compareProbes,
  controlTask,
  holmOverSites,
  PROBE_SETTINGS,
  type ProbeExample,
  type ProbeScore,
  type ProbeSettings,
  scoreProbe,
  withShuffledLabels,
} from "./probe/linear-probe-score.js";
export {
  type LensReading,
  type LensTarget,
  lensDivergences,
  lensTargets,
  readLens,
  targetLead,
  Unembedding,
} from "./probe/lens-readings.js";
export { LensFile } from "./probe/lens-file.js";
export { affineLens, TunedLens, tuneLens } from "./probe/lens-tuned.js";
export { shareOfRows } from "./probe/string-estimates.js";
export { randomVector } from "./base/vectors.js";
export { alignTokens, chooseDonors, type DonorString } from "./probe/donors.js";
export type { PatchedRow } from "./ask/patched-distributions.js";
export {
  scoreSimulation,
  type SimulationInput,
  type SimulationResults,
  type SimulationScores,
} from "./score/simulation/simulation.js";
export { logitDifferenceChange, type ValueEffect, valueEffects } from "./score/simulation/patch-effects.js";
export { alignSpans, findSpans, markHypothetical, markObjectLevel, type TokenSpan } from "./probe/spans.js";
export { ALL_PROPERTIES, propertyNamed } from "./properties/all-properties.js";
export type { Behavior, BehaviorProperty, Extraction } from "./properties/property.js";
export { ALL_TASKS } from "./tasks/built-in.js";
export { loadTask } from "./study/load-task.js";
export type { Task, TaskDefinition, TaskItem } from "./tasks/task.js";
export { importTask } from "./exchange/import-task.js";
export type { TaskImport } from "./exchange/read-source.js";
export { type ImportedTask, type TaskCard, writeTask } from "./exchange/task-folder.js";
export type { Answer, ChatMessage, Reply } from "./tasks/answer.js";
export type { AnswerPosition, MarkedToken, TokenMark, TokenOfLog, TokenText } from "./tasks/answer-tokens.js";

// The content of a run's files.
export type { Distribution } from "./ask/expand-distribution.js";
export type { MeasuredDistribution } from "./ask/measure-distribution.js";
export type { ExperimentResults } from "./score/verdicts/experiments.js";
export type { Verdict, VerdictNumber } from "./score/verdicts/verdict.js";
export type { CalibrationScores } from "./score/calibration/score-calibration.js";
export type { Scores } from "./score/scores.js";
export type { Trial } from "./score/trial.js";
export type { EngineManifest, ModelFile, Plan } from "./study/plan.js";
export { adapterLayers, writeAdapterLayers } from "./finetune/adapter/adapter-layers.js";
export { type AdapterVector, type AdapterVectors, adapterVectors } from "./probe/adapter-vectors.js";
export type { AdapterCard } from "./finetune/adapter/card.js";
export type { TrainingExample } from "./finetune/chat-jsonl.js";
