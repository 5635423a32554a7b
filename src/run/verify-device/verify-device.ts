/** What a device computes beside what the processor computes, on one model: operations, training, asking, and the same again. */

import { InwardError } from "../../errors.js";
import { inspectGguf } from "../../gguf/inspect-gguf.js";
import { arithmeticEnvironment, askingArithmetic, trainingArithmetic } from "../../model/arithmetic.js";
import { resolveDevice } from "../../model/device.js";
import { engineReleases } from "../../model/native/addon.js";
import type { StudyEngine } from "../../study/study.js";
import type { FoundModel, OnWorkProgress } from "../open-model.js";
import { verifyAdapter, verifyAsking } from "./asking.js";
import { type DeviceCheck, type ArithmeticMode, MODES, noted, rowsOfPart, type Verified } from "./check.js";
import { type DeviceFacts, type MeasuredOperation, type OperationsVerified, verifyOperations } from "./operations.js";
import { type TrainingVerified, verifyMemory, verifyTraining } from "./training.js";

export const PARTS = ["operations", "training", "asking"] as const;
export type Part = (typeof PARTS)[number];

/** What a user sends. */
export interface DeviceVerification {
  readonly device: string;
  readonly deviceNames: readonly string[];
  readonly llamaCpp: string;
  readonly nodeLlamaCpp: string;
  readonly platform: string;
  /** Absent where no single operations were computed. */
  readonly facts?: DeviceFacts;
  readonly environment: Readonly<Record<ArithmeticMode, Readonly<Record<string, string>>>>;
  readonly model: { readonly source: string; readonly sha256: string; readonly encoding: string };
  readonly arithmetic: Readonly<Record<string, string>>;
  /** What was tried. */
  readonly parts: readonly Part[];
  /** Whether it was stopped before all of that was done. */
  readonly interrupted: boolean;
  readonly checks: readonly DeviceCheck[];
  /** Each single operation; the table has them by kind. */
  readonly operations: readonly MeasuredOperation[];
  readonly agrees: boolean;
  readonly seconds: number;
}

interface VerifyDeviceOptions {
  readonly settings: Pick<StudyEngine, "device" | "split" | "threads">;
  /** Default: all. */
  readonly parts?: readonly Part[];
  /** Fewer questions of the fixed set; all when absent. */
  readonly questions?: number;
  readonly onProgress?: OnWorkProgress;
  readonly signal?: AbortSignal;
}

/**
 * What was found before an interruption stands in the result.
 * @throws ENGINE_* · TRAIN_* · MODEL_*
 */
export async function verifyDevice(found: FoundModel, options: VerifyDeviceOptions): Promise<DeviceVerification> {
  const { questions, parts = PARTS, ...rest } = options;
  const begun = performance.now();
  const device = await resolveDevice(options.settings);
  const summary = await inspectGguf(found.file.path);
  const checks: DeviceCheck[] = PARTS.filter((part) => !parts.includes(part)).map((part) =>
    noted(part, "not tried, because only other parts were asked for"),
  );
  const verified: Verified = { found, device, summary, checks, ...rest };
  const has = (part: Part) => parts.includes(part);
  let single: OperationsVerified | undefined;
  let interrupted = false;
  try {
    if (has("operations")) single = await verifyOperations(verified);
    let usual: TrainingVerified | undefined;
    for (const mode of has("training") ? MODES : []) {
      await rowsOfPart(verified, `training, ${mode}`, async () => {
        const one = await verifyTraining(verified, mode);
        if (mode === "usual") usual = one;
        return one.checks;
      });
    }
    const { most, trained } = usual ?? {};
    if (most !== undefined) await rowsOfPart(verified, "training, usual: memory", () => verifyMemory(verified, most));
    if (has("asking")) await verifyAsking(verified, questions);
    if (has("asking") && trained) {
      await rowsOfPart(verified, "the trained adapter", async () => [await verifyAdapter(verified, trained)]);
    }
  } catch (error) {
    if (!(error instanceof InwardError) || error.code !== "INTERRUPTED") throw error;
    interrupted = true;
    checks.push(noted("the rest", "not tried, because the verification was interrupted"));
  }
  const { source, sha256, encoding } = found.file;
  return {
    device: device.list,
    deviceNames: device.deviceNames,
    ...(await engineReleases()),
    platform: `${process.platform}-${process.arch}`,
    ...(single ? { facts: single.facts } : {}),
    environment: { usual: arithmeticEnvironment(false), exact: arithmeticEnvironment(true) },
    model: { source, sha256, encoding },
    arithmetic: {
      asking: askingArithmetic(device.name, false, "llama.cpp", summary),
      training: trainingArithmetic(device.name, false),
    },
    parts,
    interrupted,
    checks,
    operations: single?.measured ?? [],
    agrees: checks.every(({ verdict }) => verdict !== "mismatch"),
    seconds: Math.round((performance.now() - begun) / 1000),
  };
}
