/** The device's trainer beside the processor's: gradients, sizes, steps, resuming, memory. */

import { createHash } from "node:crypto";
import type { NativeMemoryPlan, NativeMicrobatch, NativeState } from "../../../native/index.js";
import { lengthOfVector } from "../../base/vectors.js";
import { InwardError } from "../../errors.js";
import { initialParameters } from "../../finetune/initial-adapter.js";
import { type NativeTrainer, openNativeTrainer, type ProcessMemory, trainerOn } from "../../finetune/trainer.js";
import { lossScale } from "../../model/arithmetic.js";
import type { ResolvedDevice } from "../../model/device.js";
import { LORA_TARGETS } from "../../study/schema.js";
import {
  type DeviceCheck,
  held,
  holds,
  type ArithmeticMode,
  noted,
  tellStage,
  type Tolerance,
  trainingTolerance,
  type Verified,
} from "./check.js";

export const RANK = 16;
export const ALPHA = 2 * RANK;
const MOST_TOKENS = 512;
const MOST_ROWS = 128;
const ADAMW = { learningRate: 1e-3, weightDecay: 0, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, maxGradientNorm: 1 };
const STEPS = 20;
const KILLED_AFTER = 10;
const REPEATS = 10;

interface OpenedAs {
  readonly device: Pick<ResolvedDevice, "name" | "list">;
  readonly exact: boolean;
  readonly most?: number;
  /** On the processor: whether ggml's operations compute, and not our own kernels as in training. */
  readonly ggmlOperations?: boolean;
  readonly kernels?: Readonly<Record<string, string>>;
}

export function openDeviceTrainer(
  { found, settings }: Pick<Verified, "found" | "settings">,
  { device, exact, most = MOST_TOKENS, ggmlOperations = false, kernels }: OpenedAs,
): Promise<NativeTrainer> {
  return openNativeTrainer({
    modelPath: found.file.path,
    ...trainerOn(device, exact),
    ggmlOperations,
    threads: settings.threads,
    rank: RANK,
    alpha: ALPHA,
    dropout: 0,
    targets: LORA_TARGETS,
    activationCheckpointing: false,
    maxMicrobatchTokens: most,
    maxLossRows: Math.min(most, MOST_ROWS),
    ...(kernels ? { kernels } : {}),
  });
}

// What is trained on: any vocabulary has these tokens, a function of place alone.

function idsFor(count: number, vocabulary: number, salt: number): number[] {
  return Array.from({ length: count }, (_, at) => (((at + 1) * 2654435761 + salt * 40503) >>> 8) % vocabulary);
}

/** One sequence; the successors of its last rows are predicted, the first token's of the last one. */
export function sequence(ids: readonly number[], rows: number, weight = 1): NativeMicrobatch {
  const lossRows = Int32Array.from({ length: rows }, (_, at) => ids.length - rows + at);
  return {
    tokenIds: Int32Array.from(ids),
    positions: Int32Array.from(ids, (_, at) => at),
    segmentStarts: Int32Array.of(0),
    segmentParents: Int32Array.of(-1),
    lossRows,
    lossTargets: Int32Array.from(lossRows, (row) => ids[(row + 1) % ids.length] as number),
    lossWeights: new Float32Array(rows).fill(weight),
  };
}

/** Two answers after one beginning: as a tree, or the beginning twice. */
function twoAnswers(vocabulary: number, tree: boolean): NativeMicrobatch {
  const [common, each] = [20, 5];
  const beginning = idsFor(common, vocabulary, 3);
  const answers = [idsFor(each, vocabulary, 4), idsFor(each, vocabulary, 5)];
  const ids = tree ? [...beginning, ...answers.flat()] : answers.flatMap((answer) => [...beginning, ...answer]);
  const starts = tree ? [0, common, common + each] : [0, common + each];
  const own = tree ? [common, common + each] : [common, 2 * common + each];
  const rows = own.flatMap((start) => Array.from({ length: each - 1 }, (_, at) => start + at));
  const upTo = Array.from({ length: common + each }, (_, at) => at);
  return {
    tokenIds: Int32Array.from(ids),
    positions: Int32Array.from(tree ? [...upTo, ...upTo.slice(common)] : [...upTo, ...upTo]),
    segmentStarts: Int32Array.from(starts),
    segmentParents: tree ? Int32Array.of(-1, 0, 0) : Int32Array.of(-1, -1),
    lossRows: Int32Array.from(rows),
    lossTargets: Int32Array.from(rows, (row) => ids[row + 1] as number),
    lossWeights: new Float32Array(rows.length).fill(1),
  };
}

/** B is not zero: with B = 0 half of the gradient's paths carry nothing. */
async function begin(trainer: NativeTrainer): Promise<NativeState> {
  const { tensors, parameters } = trainer.description;
  const start = initialParameters(tensors, parameters, 0);
  for (const { name, dimensions, offset } of tensors) {
    if (!name.endsWith(".lora_b")) continue;
    for (let at = 0; at < dimensions[0] * dimensions[1]; at++) start[offset + at] = Math.sin(at) / 50;
  }
  const zero = new Float32Array(parameters);
  const state = { parameters: start, firstMoments: zero, secondMoments: zero };
  await trainer.setState(state);
  await trainer.zeroGradients();
  return state;
}

async function gradientOf(trainer: NativeTrainer, batch: NativeMicrobatch) {
  await trainer.zeroGradients();
  const loss = await trainer.accumulate(batch, 0);
  return { loss, gradient: await trainer.gradients() };
}

/** @param from the first step, from 1 @returns the losses */
async function takeSteps(trainer: NativeTrainer, from: number, upTo: number): Promise<number[]> {
  const { vocabulary } = trainer.description;
  const losses: number[] = [];
  for (let step = from; step <= upTo; step++) {
    losses.push(await trainer.accumulate(sequence(idsFor(40, vocabulary, step % 4), 12), 0));
    await trainer.update({ ...ADAMW, step, gradientScale: 1 / 12 });
  }
  return losses;
}

// Distances.

/** ‖one - other‖ / ‖one‖ */
function distanceOf(one: Float32Array, other: Float32Array, factor = 1): number {
  return lengthOfVector(one.map((value, at) => value - factor * (other[at] as number))) / lengthOfVector(one);
}

/** Of the worst tensor of an adapter. */
function worstTensor({ description }: NativeTrainer, one: Float32Array, other: Float32Array): number {
  // Not Math.max over a NaN's neighbours: one tensor without numbers makes the whole none.
  return description.tensors.reduce((worst, { dimensions, offset }) => {
    const end = offset + dimensions[0] * dimensions[1];
    return Math.max(worst, distanceOf(one.subarray(offset, end), other.subarray(offset, end)));
  }, 0);
}

function sameBytes(one: Float32Array, other: Float32Array): boolean {
  const bytes = ({ buffer, byteOffset, byteLength }: Float32Array) => Buffer.from(buffer, byteOffset, byteLength);
  return bytes(one).equals(bytes(other));
}

async function timed<Made>(work: () => Promise<Made>): Promise<{ readonly made: Made; readonly seconds: number }> {
  const begun = performance.now();
  const made = await work();
  return { made, seconds: (performance.now() - begun) / 1000 };
}

// The checks.

/** Where the twenty steps ended. */
export interface TrainedThere {
  readonly parameters: Float32Array;
  readonly kernels: Readonly<Record<string, string>>;
}

export interface TrainingVerified {
  readonly checks: readonly DeviceCheck[];
  /** Absent where the device cannot train so. */
  readonly trained?: TrainedThere;
  /** Tokens of a microbatch that take no longer than a few seconds. */
  readonly most: number;
}

/** @throws TRAIN_*, MODEL_* · INTERRUPTED */
export async function verifyTraining(verified: Verified, mode: ArithmeticMode): Promise<TrainingVerified> {
  const { device, summary } = verified;
  const named = (what: string) => `training, ${mode}: ${what}`;
  if (mode === "exact" && device.name === "metal") {
    return { checks: [noted(named("all"), "Metal has no exact products over many columns")], most: MOST_TOKENS };
  }
  const exact = mode === "exact";
  const tolerance = trainingTolerance(device.name, mode, summary);
  const checks: DeviceCheck[] = [];
  tellStage(verified, named("opening"));
  const opened: NativeTrainer[] = [];
  try {
    const tested = await openDeviceTrainer(verified, { device, exact });
    opened.push(tested);
    // With other kernels than the one that is tested, where that is the processor too.
    const reference = await openDeviceTrainer(verified, {
      device: { name: "cpu", list: "cpu" },
      exact: true,
      ggmlOperations: device.name === "cpu",
    });
    opened.push(reference);
    const missing = Object.keys(tested.description.fallbacks);
    checks.push(
      holds(
        named("operations that the device lacks"),
        missing.length === 0,
        missing.length === 0 ? "none" : missing.join(", "),
      ),
    );
    for (const trainer of opened) await begin(trainer);
    tellStage(verified, named("logits and gradients"));
    checks.push(...(await gradients(tested, reference, verified, mode, tolerance)));
    tellStage(verified, named("sizes"));
    const sized = await sizes(tested, named);
    checks.push(...sized.checks);
    tellStage(verified, named("the same again"));
    checks.push(await repeats(tested, named));
    tellStage(verified, named(`${STEPS} steps`));
    await begin(reference);
    const expected = await takeSteps(reference, 1, STEPS);
    await begin(tested);
    const losses = await takeSteps(tested, 1, KILLED_AFTER);
    const midway = await tested.state();
    losses.push(...(await takeSteps(tested, KILLED_AFTER + 1, STEPS)));
    const { parameters } = await tested.state();
    const worst = expected.reduce((most, loss, at) => Math.max(most, Math.abs((losses[at] as number) / loss - 1)), 0);
    checks.push(held(named(`losses of ${STEPS} steps`), worst, tolerance.steps));
    tellStage(verified, named("killed and resumed"));
    const { kernels, vocabulary } = tested.description;
    // In the middle of a step. Its process is gone, and with it what it had of that step.
    const unfinished = tested
      .accumulate(sequence(idsFor(MOST_TOKENS / 4, vocabulary, 9), 64), 0)
      .catch(() => undefined);
    await tested.kill();
    await unfinished;
    opened.splice(opened.indexOf(tested), 1);
    const successor = await openDeviceTrainer(verified, { device, exact, kernels });
    opened.push(successor);
    await successor.setState(midway);
    await successor.zeroGradients();
    await takeSteps(successor, KILLED_AFTER + 1, STEPS);
    const resumed = await successor.state();
    checks.push(
      holds(
        named(`killed after ${KILLED_AFTER} steps and resumed, the same bytes`),
        sameBytes(resumed.parameters, parameters),
        sameBytes(resumed.parameters, parameters)
          ? `all ${parameters.length} parameters`
          : `${distanceOf(parameters, resumed.parameters).toPrecision(2)} apart`,
      ),
    );
    return { checks, trained: { parameters, kernels }, most: sized.most };
  } finally {
    for (const trainer of opened) await trainer.dispose();
  }
}

async function gradients(
  tested: NativeTrainer,
  reference: NativeTrainer,
  { device }: Verified,
  mode: ArithmeticMode,
  tolerance: Tolerance,
): Promise<DeviceCheck[]> {
  const named = (what: string) => `training, ${mode}: ${what}`;
  const { vocabulary } = tested.description;
  const ids = idsFor(64, vocabulary, 0);
  const batch = sequence(ids, 33);
  const first = await timed(() => gradientOf(tested, batch));
  const again = await timed(() => gradientOf(tested, batch));
  const got = again.made;
  const expected = await gradientOf(reference, batch);
  const logits = [await reference.logits(batch), await tested.logits(batch)] as const;
  const checks = [
    noted(
      named("warm-up"),
      `the first microbatch ${first.seconds.toFixed(2)} s, the same again ${again.seconds.toFixed(2)} s: the difference is in no timing below`,
    ),
    held(named("logits against the processor's"), distanceOf(...logits), tolerance.numbers),
    held(
      named("gradient of the worst tensor"),
      worstTensor(tested, expected.gradient, got.gradient),
      tolerance.numbers,
    ),
    held(named("loss"), Math.abs(got.loss / expected.loss - 1), tolerance.numbers),
  ];
  // Where the loss is scaled for half precision, weights like a study's: 1, and a little more.
  for (const weight of [1e-4, lossScale(device.name, mode === "exact") > 1 ? 8 : 1e3]) {
    const scaled = await gradientOf(tested, sequence(ids, 33, weight));
    checks.push(
      held(
        named(`gradient at ${weight} of the loss`),
        distanceOf(got.gradient, scaled.gradient, 1 / weight),
        mode === "exact" ? 1e-3 : 1e-2,
      ),
    );
  }
  checks.push(held(named("slope of the loss along its gradient"), await slope(tested, batch, got), tolerance.slope));
  return checks;
}

/** A change of the loss that rounding hides nothing of, and curvature little. */
const SLOPE_STEP = 0.02;

/** The loss at both sides of where the parameters are, against what the gradient says. */
async function slope(trainer: NativeTrainer, batch: NativeMicrobatch, at: Awaited<ReturnType<typeof gradientOf>>) {
  const { parameters, firstMoments, secondMoments } = await trainer.state();
  const length = lengthOfVector(at.gradient);
  const step = (SLOPE_STEP * at.loss) / length;
  const losses: number[] = [];
  for (const sign of [1, -1]) {
    const moved = parameters.map((value, i) => value + (sign * step * (at.gradient[i] as number)) / length);
    await trainer.setState({ parameters: moved, firstMoments, secondMoments });
    losses.push(await trainer.accumulate(batch, 0));
  }
  await trainer.setState({ parameters, firstMoments, secondMoments });
  await trainer.zeroGradients();
  const [up, down] = losses as [number, number];
  return Math.abs((up - down) / (2 * step) / length - 1);
}

/** A GPU is told to train on so many by default. */
const GPU_TOKENS = 2048;
const SECONDS_AT_MOST = 10;

async function sizes(tested: NativeTrainer, named: (what: string) => string) {
  const { vocabulary, contextTokens } = tested.description;
  const [tree, beside] = [
    await gradientOf(tested, twoAnswers(vocabulary, true)),
    await gradientOf(tested, twoAnswers(vocabulary, false)),
  ];
  const checks = [held(named("a tree against side by side"), distanceOf(beside.gradient, tree.gradient), 2e-3)];
  const all = [
    [1, 1],
    [17, 15],
    [31, 16],
    [128, 64],
    [130, 65],
    [MOST_TOKENS, MOST_ROWS],
  ].filter(([tokens = 0]) => tokens <= contextTokens) as [number, number][];
  const wrong: string[] = [];
  for (const [tokens, rows] of all) {
    const one = await gradientOf(tested, sequence(idsFor(tokens, vocabulary, tokens), rows));
    if (!Number.isFinite(one.loss) || !Number.isFinite(lengthOfVector(one.gradient)))
      wrong.push(`${tokens} tokens, ${rows} rows`);
  }
  const told = all.map(([tokens, rows]) => `${tokens}/${rows}`).join(", ");
  checks.push(
    holds(
      named("finite at every size"),
      wrong.length === 0,
      wrong.length === 0 ? `tokens/rows ${told}` : wrong.join("; "),
    ),
  );
  const [tokens, rows] = all.at(-1) as [number, number];
  const { seconds } = await timed(() => gradientOf(tested, sequence(idsFor(tokens, vocabulary, tokens), rows)));
  checks.push(
    noted(
      named("speed"),
      `${Math.round(tokens / seconds)} tokens/s, microbatches of ${tokens} tokens and ${rows} loss rows`,
    ),
  );
  // Twice as many tokens take more than twice as long where attention is what takes it.
  const affordable = seconds * (GPU_TOKENS / tokens) * 2 <= SECONDS_AT_MOST;
  return { checks, most: Math.min(contextTokens, affordable ? GPU_TOKENS : MOST_TOKENS) };
}

async function repeats(tested: NativeTrainer, named: (what: string) => string): Promise<DeviceCheck> {
  const batch = sequence(idsFor(64, tested.description.vocabulary, 0), 33);
  const hashes = new Set<string>();
  for (let at = 0; at < REPEATS; at++) {
    const { loss, gradient } = await gradientOf(tested, batch);
    const bytes = new Uint8Array(gradient.buffer, gradient.byteOffset, gradient.byteLength);
    hashes.add(createHash("sha256").update(bytes).update(String(loss)).digest("hex"));
  }
  return holds(named(`${REPEATS} times the same bits`), hashes.size === 1, `${hashes.size} different`);
}

// Memory: what a process came to have beside what was planned, and what is refused.

/** What libraries take for themselves. */
const BESIDE_THE_PLAN = 768 * 2 ** 20;

/** @param most tokens of the microbatch that is planned for and computed */
export async function verifyMemory(verified: Verified, most: number): Promise<DeviceCheck[]> {
  const { device } = verified;
  tellStage(verified, "training, usual: memory");
  const trainer = await openDeviceTrainer(verified, { device, exact: false, most });
  const { memory: plan, vocabulary } = trainer.description;
  const checks: DeviceCheck[] = [];
  try {
    const rows = Math.min(most, MOST_ROWS);
    await begin(trainer);
    const { loss, gradient } = await gradientOf(trainer, sequence(idsFor(most, vocabulary, 1), rows));
    await trainer.update({ ...ADAMW, step: 1, gradientScale: 1 / rows });
    checks.push(peakRow(await trainer.memory(), plan, most));
    const finite = Number.isFinite(loss) && Number.isFinite(lengthOfVector(gradient));
    checks.push(holds(`training, usual: finite at ${most} tokens, the most`, finite, `loss ${loss.toPrecision(4)}`));
  } finally {
    await trainer.dispose();
  }
  tellStage(verified, "training, usual: too large");
  const available = Math.max(plan.hostAvailableBytes, ...plan.devices.map((one) => one.availableBytes));
  checks.push(await tooLarge(verified, (most * available) / plan.computeBytes));
  return checks;
}

function peakRow(
  { processBefore, processMost, devices }: ProcessMemory,
  plan: NativeMemoryPlan,
  most: number,
): DeviceCheck {
  const gpu = plan.devices.find(({ device }) => device !== "cpu");
  const of = gpu && devices[gpu.device];
  // What shares the machine's memory, or does not tellStage how much of it is free, is measured as the process.
  const apart = gpu !== undefined && of !== undefined && !of.integrated && of.freeBefore > of.free;
  const used = apart ? of.freeBefore - of.free : processMost - processBefore;
  const planned = apart ? gpu.neededBytes : plan.totalBytes;
  const where = apart ? `${gpu.device} gave away` : "the process took";
  const row = holds(
    `training, usual: peak memory at ${most} tokens, against the plan and 768 MiB`,
    used <= planned + BESIDE_THE_PLAN,
    `${where} ${mib(used)}, planned ${mib(planned)}`,
  );
  return { ...row, value: used / (planned + BESIDE_THE_PLAN), tolerance: 1 };
}

/** @param tokens that would have room if all memory were activations, and these grew with tokens alone */
async function tooLarge(verified: Verified, tokens: number): Promise<DeviceCheck> {
  const check = "training, usual: what does not fit is refused";
  let asked = 2048 * Math.ceil(tokens / 1024);
  for (let attempt = 0; attempt < 3; attempt++, asked *= 8) {
    try {
      const trainer = await openDeviceTrainer(verified, { device: verified.device, exact: false, most: asked });
      await trainer.dispose();
    } catch (error) {
      const code = error instanceof InwardError ? error.code : "no code";
      return holds(check, code === "TRAIN_MEMORY", `${asked} tokens at once: ${code}`);
    }
  }
  return noted(check, `${asked / 8} tokens at once fit`);
}

function mib(bytes: number): string {
  return `${Math.round(bytes / 2 ** 20)} MiB`;
}
