/** Everything that a training run's every bit depends on: a checkpoint is taken up only by a run of the same. Pure. */
import { InwardError } from "../errors.js";
import type { TrainingSettings } from "../records/training.js";
import { canonicalJson } from "../store/canonical-json.js";

export interface TrainingIdentity {
  readonly settings: TrainingSettings;
  /** sha256 of the encoded examples, validation included. */
  readonly data: string;
  readonly subjects: string | null;
  readonly validationData: string | null;
  readonly base: string;
  readonly initialAdapter: string | null;
  readonly device: string;
  readonly threads: number;
  /** Path of the library, or null for none. */
  readonly blas: string | null;
  readonly llamaCpp: string;
}

/** @throws TRAIN_CHECKPOINT, which names the first difference */
export function requireSameRun(folder: string, saved: TrainingIdentity, now: TrainingIdentity): void {
  const difference = firstDifference(saved, now, "");
  if (difference === undefined) return;
  throw new InwardError(
    "TRAIN_CHECKPOINT",
    `${folder} holds the checkpoint of another training: its ${difference.key} is ${difference.saved}, now it is ${difference.now}.`,
  );
}

function firstDifference(
  saved: unknown,
  now: unknown,
  key: string,
): { key: string; saved: string; now: string } | undefined {
  if (isPlain(saved) && isPlain(now)) {
    for (const name of new Set([...Object.keys(saved), ...Object.keys(now)])) {
      const inner = firstDifference(saved[name], now[name], key === "" ? name : `${key}.${name}`);
      if (inner) return inner;
    }
    return undefined;
  }
  const [before, after] = [saved, now].map((value) => (value === undefined ? "absent" : canonicalJson(value)));
  return before === after ? undefined : { key, saved: before as string, now: after as string };
}

function isPlain(value: unknown): value is Readonly<Record<string, unknown>> {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}
