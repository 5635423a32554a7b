/** `inward verify`: proofs about this machine that anyone may ask for. */

import { Command, Option } from "commander";
import { compareReplies, type NoiseFloor } from "../ask/noise-floor.js";
import {
  type ComparedToken,
  compareEngines,
  type EngineComparison,
  type EngineDifference,
  firstApart,
  toleranceFrom,
  type VerificationQuestion,
  verificationQuestions,
} from "../ask/verify-engine.js";
import { InwardError } from "../errors.js";
import { startEngine } from "../model/engines/start-engine.js";
import type { LanguageModel } from "../model/language-model.js";
import { resolveModel } from "../model/resolve-model.js";
import { DEFAULT_ENGINE } from "../study/load-study.js";
import type { StudyEngine } from "../study/study.js";
import type { Reply } from "../tasks/answer.js";
import { type AdapterOptions, adapterOptions, chooseAdapter, modelOptions, type ModelOptions } from "./options.js";
import { abortOnInterrupt, print, printJson, table } from "./output.js";
import { type Progress, showProgress } from "./progress.js";

/** The two engines do not agree. */
const MISMATCH = 4;
const ENGINES = ["node-llama-cpp", "native"] as const;
const MODES = ["strict", "batched"] as const;
/** As node-llama-cpp keeps keys and values: in single precision, every logprob of a quantized model is another one. */
const CACHE_TYPE = "f16";
type Engine = (typeof ENGINES)[number];
type Mode = (typeof MODES)[number];

interface VerifyEngineOptions extends ModelOptions, AdapterOptions {
  readonly threads: string;
  readonly forward: NonNullable<StudyEngine["forward"]>;
  readonly json?: boolean;
}

/** @param open what opens each of the two engines on the model's file */
export function verifyCommand(open: typeof startEngine = startEngine): Command {
  const verify = new Command("verify").description("proofs about this machine");
  const engine = adapterOptions(modelOptions(new Command("engine")))
    .summary(
      "ask a fixed set of questions through both engines and compare tokens and logprobs; exit code 4 on a mismatch",
    )
    .description(
      "Asks some seventy fixed questions of the built-in tasks, greedily, through node-llama-cpp and through the native engine, each\n" +
        "one by one (strict) and many at once (batched), both with keys and values in half precision. What node-llama-cpp's two\n" +
        "modes differ by is the noise floor; twice that, and at least 0.001 nats, is the tolerance. Every other token is listed; it\n" +
        "is allowed where both engines' leads together are within the tolerance.",
    )
    .option("--threads <n>", "CPU threads of both", String(DEFAULT_ENGINE.threads))
    .addOption(
      new Option("--forward <who>", "who evaluates in the native engine, as engine.forward of a study")
        .choices(["auto", "llama.cpp", "own"])
        .default("auto"),
    )
    .option("--json", "print one JSON object")
    .action((options: VerifyEngineOptions) => verifyEngine(options, open));
  return verify.addCommand(engine);
}

async function verifyEngine(options: VerifyEngineOptions, open: typeof startEngine): Promise<void> {
  const threads = Number(options.threads);
  if (!Number.isInteger(threads) || threads < 1) {
    throw new InwardError("USAGE", `--threads wants a whole number from 1 on, not "${options.threads}".`);
  }
  const signal = abortOnInterrupt();
  const progress = showProgress();
  const questions = await verificationQuestions();
  const file = await resolveModel(options.model, {
    encoding: options.encoding,
    signal,
    onProgress: (step) => progress.update(step.stage, step.doneBytes, step.totalBytes ?? step.doneBytes),
  });
  const adapter = (await chooseAdapter(options, file.sha256))?.choice;
  const replies = {} as Record<Engine, Record<Mode, Reply[]>>;
  try {
    for (const engine of ENGINES) {
      replies[engine] = {} as Record<Mode, Reply[]>;
      for (const mode of MODES) {
        const forward = engine === "native" ? options.forward : "llama.cpp";
        const settings = {
          ...DEFAULT_ENGINE,
          device: options.device,
          threads,
          engine,
          forward,
          strict: mode === "strict",
        };
        replies[engine][mode] = await askAll(
          () => open(file.path, settings, { cacheType: CACHE_TYPE, ...(adapter ? { adapter } : {}) }),
          questions,
          `${engine} ${mode}`,
          progress,
          signal,
        );
      }
    }
  } finally {
    progress.end();
  }
  const floors = ENGINES.map((engine) => floorOf(engine, replies[engine]));
  const { strict, batched } = replies["node-llama-cpp"];
  const first = strict.map((before, index) => firstApart(before, batched[index] as Reply));
  const tolerance = toleranceFrom(floors[0] as NoiseFloor, Math.max(0, ...first));
  const keys = questions.map(({ key }) => key);
  const comparisons = Object.fromEntries(
    MODES.map((mode) => [mode, compareEngines(keys, replies["node-llama-cpp"][mode], replies.native[mode], tolerance)]),
  ) as Record<Mode, EngineComparison>;
  const agrees = MODES.every((mode) => comparisons[mode].agrees);
  if (!agrees) process.exitCode = MISMATCH;
  if (options.json) {
    const model = { source: file.source, encoding: file.encoding, sha256: file.sha256 };
    printJson({ model, ...(adapter ? { adapter } : {}), agrees, tolerance, floors, comparisons });
    return;
  }
  print(`${file.source}, ${file.encoding}, sha256 ${file.sha256.slice(0, 12)}…: ${questions.length} questions`);
  for (const floor of floors) print(floorLine(floor));
  print(`tolerance: ${nats(tolerance.logprob)} of a logprob, ${nats(tolerance.margin)} of a margin (nats)`);
  for (const mode of MODES) print(comparisonLines(mode, comparisons[mode]));
  print(agrees ? "The engines agree." : "THE ENGINES DO NOT AGREE.");
}

async function askAll(
  open: () => Promise<LanguageModel>,
  questions: readonly VerificationQuestion[],
  stage: string,
  progress: Progress,
  signal: AbortSignal,
): Promise<Reply[]> {
  const model = await open();
  let done = 0;
  try {
    return await model.ask(
      questions.map(({ request }) => request),
      { signal, onReply: () => progress.update(stage, ++done, questions.length) },
    );
  } finally {
    await model.dispose();
  }
}

function floorOf(engine: Engine, replies: Record<Mode, readonly Reply[]>): NoiseFloor {
  return compareReplies(
    engine,
    replies.strict.map((before, index) => ({ before, again: replies.batched[index] as Reply })),
  );
}

function floorLine({ state, questions, sameTokens, maxLogprobDifference, maxMarginDifference }: NoiseFloor): string {
  return (
    `${state}, batched against strict: ${sameTokens} of ${questions} answers the same, ` +
    `logprobs within ${nats(maxLogprobDifference)}, margins within ${nats(maxMarginDifference)} nats`
  );
}

function comparisonLines(mode: Mode, comparison: EngineComparison): string {
  const { questions, sameTokens, positions, meanLogprobDifference, maxLogprobDifference, differences } = comparison;
  const line =
    `native against node-llama-cpp, both ${mode}: ${sameTokens} of ${questions} answers the same; logprobs of ${positions} ` +
    `tokens differ by ${nats(meanLogprobDifference)} nats on average, ${nats(maxLogprobDifference)} at most`;
  if (differences.length === 0) return line;
  const header = ["question", "what", "token", "node-llama-cpp", "native", "apart", "verdict"];
  return `${line}\n${table(header, differences.map(differenceRow))}`;
}

function differenceRow({ key, kind, position, reference, tested, apart, allowed }: EngineDifference): string[] {
  const cell = (token?: ComparedToken) =>
    token ? `${token.tokenId} (${token.logprob.toFixed(4)}, lead ${token.margin.toFixed(4)})` : "ended";
  return [
    key,
    kind,
    String(position),
    cell(reference),
    cell(tested),
    apart === undefined ? "" : nats(apart),
    allowed ? "within the noise" : "MISMATCH",
  ];
}

function nats(value: number): string {
  return value === 0 ? "0" : value.toPrecision(2);
}
