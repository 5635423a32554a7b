/** What the viewer's server says and its page reads: the shapes of the files under `data/`, the same from a server and in a bundle. */

import type {
  InsideAttribution,
  InsideHeads,
  InsidePatchscope,
  InsideSubspace,
  InsideSubspaceSite,
} from "../probe/inside-results.js";
import type { LensResults } from "../probe/lens-results.js";
import type { ProbeResults } from "../probe/probe-results.js";
import type { RunProblem, Shown } from "../run/trials/trial-shapes.js";
import type { InjectionResults } from "../score/injection/injection-scores.js";
import type { SimulationResults } from "../score/simulation/simulation.js";
import type { CalibrationRow } from "../score/calibration/score-calibration.js";
import type { Estimate } from "../score/interval.js";
import type { ObservedCell } from "../score/matrix/cells.js";
import type { AverageScore, CellScore, Scores } from "../score/scores.js";
import type { Scope } from "../score/scope.js";
import type { InsideReading } from "../study/inside-schema.js";
import type { RunDifferenceOfPair } from "../score/comparison/between-runs.js";

/** `finished` everything its plan has is there · `running` a process works in it · `stopped` it is neither · `damaged` it has no plan that can be read. */
export type RunState = "finished" | "running" | "stopped" | "damaged";

/** A row of the list. */
export interface ListedRun {
  /** Of this run in addresses. */
  readonly id: string;
  readonly kind: "study" | "quantize" | "unknown";
  readonly folder: string;
  readonly study: string;
  readonly state: RunState;
  /** ISO 8601, of the newest of its files. */
  readonly changed: string;
  readonly models: readonly string[];
  /** One line for each experiment. */
  readonly answers: readonly { readonly experiment: string; readonly answer: string }[];
  readonly problems: readonly RunProblem[];
}

export interface RunList {
  readonly inward: string;
  /** What the server was told to look in. */
  readonly folders: readonly string[];
  readonly runs: readonly ListedRun[];
  /** What was passed over in looking for runs, and why. */
  readonly passedOver: readonly string[];
}

/** Which trials stand behind something: what they have in common. */
export type TrialChoice = Readonly<Partial<Record<TrialFilterName, readonly string[]>>>;
export type TrialFilterName = "task" | "property" | "predictor" | "target" | "variant" | "scope";

/** One number of a verdict, as it is written. */
export interface VerdictLine {
  readonly label: string;
  readonly text: string;
  /** The number behind it. */
  readonly estimate: Estimate;
  readonly unit: "share" | "difference" | "plain";
  /** What it has to beat, or the two sides of a difference. */
  readonly baselines: readonly { readonly name: string; readonly text: string }[];
  /** Whether the finding rests on it. */
  readonly decides: boolean;
}

export interface VerdictCard {
  /** Yes, No, Cannot be told, Not known, with its standing. */
  readonly answer: string;
  readonly finding: "exceeds" | "does_not_exceed" | "cannot_tell" | "unknown";
  readonly about: string;
  /** The comparison that decided. */
  readonly lead: string;
  readonly more: readonly string[];
  readonly numbers: readonly VerdictLine[];
  readonly intervalMethod: string;
  readonly trials: TrialChoice;
}

export interface ExperimentCard {
  readonly name: string;
  readonly title: string;
  readonly question: string;
  /** Why nothing was judged. */
  readonly missing?: string;
  readonly verdicts: readonly VerdictCard[];
}

/** `done` written, and unchanged since · `changed` not what its stage wrote · `absent` not there, or not finished */
export interface StageView {
  readonly name: string;
  readonly kind: string;
  readonly state: "done" | "changed" | "absent";
  readonly files: readonly string[];
}

export interface StateView {
  readonly name: string;
  readonly words: string;
  readonly model: string;
  /** predictor, control, changed, … */
  readonly role: string;
  readonly trained: boolean;
  /** The same weights before they were trained, where it is a state of its own. */
  readonly before?: string;
}

export interface LossLine {
  readonly adapter: string;
  readonly steps: readonly { readonly step: number; readonly nats: number }[];
  readonly validation: readonly { readonly step: number; readonly nats: number }[];
  readonly totalSteps?: number;
}

export interface RunView {
  readonly summary: ListedRun;
  readonly inwardVersion: string;
  /** Facts of the plan, as label and text. */
  readonly facts: readonly { readonly name: string; readonly value: string }[];
  readonly states: readonly StateView[];
  readonly tasks: readonly {
    readonly name: string;
    readonly train: number;
    readonly heldOut: number;
    readonly properties: readonly string[];
  }[];
  readonly stages: readonly StageView[];
  /** What the study is judged by, or that it names none. */
  readonly standing: Shown<string>;
  readonly experiments: Shown<readonly ExperimentCard[]>;
  readonly scores: Shown<{
    readonly confidence: number;
    readonly intervalMethod: string;
    readonly noiseFloorNats: number;
    readonly averages: readonly (AverageScore & { readonly scope: Scope })[];
    readonly cells: readonly CellScore[];
    /** Cells that hardly vary: in no average and no verdict. */
    readonly notAveraged: readonly { readonly target: string; readonly task: string; readonly property: string }[];
    readonly exclusions: Scores["exclusions"];
  }>;
  /** Of every scope, the main one first; so are the squares and series. */
  readonly calibration: Shown<readonly (CalibrationRow & { readonly scope: Scope })[]>;
  readonly matrix: Shown<readonly MatrixSquare[]>;
  readonly series: Shown<readonly SizeSeries[]>;
  readonly probes: Shown<ProbeResults>;
  readonly lenses: Shown<LensResults>;
  readonly simulation: Shown<SimulationResults>;
  readonly injection: Shown<InjectionResults>;
  /** Questions whose answers were taken apart; what that came to is read by itself. */
  readonly inside: Shown<number>;
  readonly losses: readonly LossLine[];
  readonly trials: Shown<{ readonly bytes: number }>;
  readonly report: Shown<string>;
}

export interface MatrixSquare extends ObservedCell {
  readonly scope: Scope;
}

export interface SizeSeries {
  readonly scope: Scope;
  readonly kind: string;
  readonly model: string;
  readonly target: string;
  readonly points: readonly { readonly size: number; readonly accuracy: Estimate }[];
}

/** A reading of one question: the report's words, and whether each row is found. */
type Told<Question, Rows extends keyof Question, Row> = Omit<Question, Rows> & {
  readonly words: { readonly title: string; readonly sentence: string; readonly strings: string };
} & Readonly<Record<Rows, readonly (Row & { readonly found: boolean })[]>>;

/** Answers taken apart. */
export interface InsideView {
  readonly tests: string;
  readonly methods: Readonly<Record<InsideReading, { readonly name: string; readonly text: string }>>;
  /** What stands beside a subspace, in words. */
  readonly controls: Readonly<Record<string, string>>;
  readonly attribution: readonly Told<InsideAttribution, "effects", InsideAttribution["effects"][number]>[];
  readonly heads: readonly Told<
    InsideHeads,
    "effects",
    InsideHeads["effects"][number] & { readonly looksAt: string }
  >[];
  readonly subspace: readonly (Omit<InsideSubspace, "sites"> & {
    readonly words: InsideView["heads"][number]["words"];
    readonly sites: readonly (
      | (Extract<InsideSubspaceSite, { readonly ok: true }> & { readonly found: boolean })
      | Extract<InsideSubspaceSite, { readonly ok: false }>
    )[];
  })[];
  readonly patchscope: readonly Told<InsidePatchscope, "pairs", InsidePatchscope["pairs"][number]>[];
}

/** How a study that is under way gets on. */
export interface RunProgress {
  readonly state: RunState;
  /** Of the process that works in it. */
  readonly by?: string;
  readonly stages: readonly {
    readonly name: string;
    readonly state: "done" | "under way" | "to come";
    readonly asked?: number;
    readonly questions?: number;
    /** Questions a second, over the last groups. */
    readonly perSecond?: number;
    readonly secondsLeft?: number;
    readonly seconds?: number;
  }[];
  readonly losses: readonly LossLine[];
  /** The newest events that say what went wrong. */
  readonly incidents: readonly { readonly time: string; readonly what: string }[];
  /** Grows whenever a file of the run is finished: what a page has read is old then. */
  readonly finishedFiles: number;
  /** Of a run that several processes do in units; absent where one does. */
  readonly units?: UnitsUnderWay;
}

/** How far the units of a run are; stages without units are left out. */
export interface UnitsUnderWay {
  readonly stages: readonly {
    readonly stage: string;
    readonly finished: boolean;
    readonly waiting: number;
    readonly running: number;
    readonly done: number;
    readonly failed: number;
  }[];
  /** Those that somebody is at, and those that nobody is at again since they failed. */
  readonly told: readonly {
    readonly id: string;
    readonly state: "running" | "failed";
    /** `process 12 on node7`. */
    readonly by: string;
    /** ISO 8601, by the clock of whoever is, or was, at it. */
    readonly since?: string;
    readonly heard?: string;
    readonly done?: number;
    readonly total?: number;
    readonly failure?: string;
  }[];
}

export interface CompareView {
  readonly first: string;
  readonly second: string;
  readonly compared: Shown<{
    readonly samePlan: boolean;
    readonly differences: readonly { readonly key: string; readonly first: string; readonly second: string }[];
    readonly strings: readonly {
      readonly task: string;
      readonly split: string;
      readonly shared: number;
      readonly firstOnly: number;
      readonly secondOnly: number;
    }[];
    readonly pairs: readonly RunDifferenceOfPair[];
    readonly notes: readonly string[];
  }>;
}

/** What one quantized file has lost, or costs. */
export interface QuantizeMeasure {
  readonly key: string;
  readonly label: string;
  readonly unit: "nats" | "share" | "difference" | "tokens_per_second";
  readonly estimate:
    | Estimate
    | { readonly ok: true; readonly value: number; readonly low: number; readonly high: number };
  /** How far the file is from itself in another order and batch. */
  readonly floor?: Shown<number>;
}

export interface QuantizedFile {
  readonly name: string;
  readonly kind: "source" | "made" | "given";
  /** What evaluates it: the runtime, where it is an ONNX graph. */
  readonly engine: string;
  /** Which arithmetic it was evaluated in, where that is known. */
  readonly arithmetic?: string;
  readonly bytes: number;
  readonly bitsPerWeight: number;
  readonly withImatrix: boolean;
  readonly measures: readonly QuantizeMeasure[];
}

export interface QuantizeView {
  readonly summary: ListedRun;
  readonly facts: readonly { readonly name: string; readonly value: string }[];
  readonly files: Shown<readonly QuantizedFile[]>;
  readonly notes: readonly string[];
  readonly report: Shown<string>;
}

/** `data/view.json`: what the page is served by. */
export interface ViewFacts {
  readonly inward: string;
  /** Absent from a server, which answers for runs as they are now. */
  readonly bundledAt?: string;
  /** Trials in a file of a bundle. */
  readonly trialsAFile?: number;
}
