/** Entry of a process that opens files one after the other, keeps the logits of one in memory and holds the others' against them. */

import { open as openFile } from "node:fs/promises";
import { setImmediate } from "node:timers/promises";
import type { LogitRows, NativeAnswers, NativeWork } from "../../native/index.js";
import { InwardError } from "../errors.js";
import type { DeviceName } from "../model/device.js";
import { type NativeModel, openNativeEngine } from "../model/engines/native.js";
import type { RenderedPrompt } from "../model/language-model.js";
import { findBinaries, loadAddon, nativeCode } from "../model/native/addon.js";
import { type ServedCall, serveParent } from "../model/worker-process.js";
import { type OnnxReading, OnnxSession } from "../onnx/onnx-session.js";
import { BaseFile, encodeBaseRow } from "./base-file.js";
import {
  COMPARISON_FIELDS,
  type ComparedItem,
  type CompareMethods,
  type GraphFile,
  positionsOf,
  type Reading,
  type SpeedSample,
} from "./compare-logits.js";

/** One of both is open at a time. */
let model: NativeModel | undefined;
let graph: (OnnxSession & Pick<GraphFile, "vocabulary">) | undefined;
let reading: Reading = "usual";
let rows: LogitRows | undefined;
/** Whose libraries this process has. */
let device: DeviceName = "cpu";

serveParent<CompareMethods, number>(
  (call) => ({
    async open(modelPath, settings, choices) {
      await close();
      const { chat, reading: wanted = "usual" } = choices;
      model = await openNativeEngine(modelPath, settings, { ...(chat ? { chat } : {}), ...rowsAtOnce(wanted) });
      reading = wanted;
      device = model.manifest.device;
      return { manifest: model.manifest, facts: model.facts };
    },
    async openGraph({ path, cacheShape, vocabulary }, settings, wanted) {
      await close();
      graph = Object.assign(await OnnxSession.open(path, settings, cacheShape), { vocabulary });
      reading = wanted;
    },
    close,
    fileIds: (text) => opened().fileIds(text),
    async prompts(prompts) {
      const rendered: Pick<RenderedPrompt, "tokenIds" | "opened">[] = [];
      for (const { messages, ...options } of prompts) {
        const { tokenIds, opened: mark } = await opened().render(messages, options);
        rendered.push({ tokenIds: [...tokenIds], ...(mark === undefined ? {} : { opened: mark }) });
      }
      return rendered;
    },
    async keep(items) {
      if (graph) {
        const kept = await room(positionsOf(items), graph.vocabulary);
        await readGraph(graph, items, (row, logits) => kept.keep(row, logits), call);
        return;
      }
      await evaluate(
        items,
        { rows: await room(positionsOf(items), opened().facts.vocabularySize), compares: false },
        call,
      );
    },
    async keepBase(path, firstWindow, windows) {
      const base = await BaseFile.open(path);
      try {
        const kept = await room(windows * base.header.positions, base.header.vocabulary);
        let row = 0;
        for await (const logprobs of base.rows(firstWindow, windows)) kept.keepLogprobs(row++, logprobs);
      } finally {
        await base.close();
      }
    },
    async compare(items) {
      const kept = keptRows();
      kept.compareAnew();
      if (graph) await readGraph(graph, items, (row, logits, id) => kept.compare(row, logits, id), call);
      else await evaluate(items, { rows: kept, compares: true, sequences: reading === "usual" ? 0 : 1 }, call);
      return kept.compared().slice(0, COMPARISON_FIELDS * positionsOf(items));
    },
    async appendBase(path, positions) {
      const kept = keptRows();
      const file = await openFile(path, "a");
      try {
        for (let row = 0; row < positions; row++) await file.appendFile(encodeBaseRow(kept.kept(row)));
      } finally {
        await file.close();
      }
    },
    generate: (questions) => {
      if (!graph) throw new InwardError("INTERNAL", "The worker was asked before it opened a graph.");
      let done = 0;
      return graph.generate(questions, () => call.note(++done), call.signal);
    },
    speed: (prompt, answerTokens) =>
      graph ? timeGraph(graph, prompt, answerTokens) : timeSpeed(prompt, answerTokens, call),
    memory: () => ({ peakBytes: 1024 * process.resourceUsage().maxRSS }),
  }),
  (error) => nativeCode(error) ?? "ENGINE_CRASHED",
);

async function close(): Promise<void> {
  await model?.dispose();
  await graph?.release();
  model = undefined;
  graph = undefined;
}

/** No power of two, so that pieces end elsewhere. */
const OTHER_ROWS = 193;
/** Of a graph, which reads one text at a time: short, so that answers are cut too. */
const PIECE_OF_GRAPH = 19;

function rowsAtOnce(how: Reading): { readonly batchTokens?: number } {
  return how === "usual" ? {} : { batchTokens: how === "steps" ? 1 : OTHER_ROWS };
}

function opened(): NativeModel {
  if (!model) throw new InwardError("INTERNAL", "The worker was asked before it opened a model.");
  return model;
}

function keptRows(): LogitRows {
  if (!rows) throw new InwardError("INTERNAL", "The worker was asked to compare before it kept anything.");
  return rows;
}

/** In the place of what was kept before. The libraries are those that the process has already, or the CPU's. */
async function room(positions: number, vocabulary: number): Promise<LogitRows> {
  rows?.dispose();
  rows = undefined;
  const { LogitRows } = await loadAddon(findBinaries(device).folder);
  rows = new LogitRows(positions, vocabulary);
  return rows;
}

/** @param take row by row, in the items' order: raw logits, and the token that follows */
async function readGraph(
  session: OnnxSession,
  items: readonly ComparedItem[],
  take: (row: number, logits: Float32Array, id: number) => void,
  { signal, note }: ServedCall<number>,
): Promise<void> {
  const how: OnnxReading = reading === "usual" ? "whole" : reading === "steps" ? "steps" : { pieces: PIECE_OF_GRAPH };
  let row = 0;
  for (const [at, { ids, scoreFrom }] of items.entries()) {
    if (signal.aborted) throw new InwardError("INTERRUPTED", "onnxruntime was interrupted.");
    let position = scoreFrom;
    for await (const logits of session.read(ids, scoreFrom, how)) take(row++, logits, ids[position++] as number);
    note(at + 1);
  }
}

async function evaluate(
  items: readonly ComparedItem[],
  aim: Pick<NativeWork, "rows" | "compares" | "sequences">,
  { signal, note }: ServedCall<number>,
): Promise<void> {
  let done = 0;
  const take = ({ items: finished }: NativeAnswers) => {
    done += finished.length;
    if (finished.length > 0) note(done);
  };
  await opened().evaluator.run({ ...workOf(items, 0), ...aim }, take, signal);
}

/** @param answerTokens of each; 0 generates nothing */
function workOf(items: readonly ComparedItem[], answerTokens: number): NativeWork {
  const starts = new Int32Array(items.length + 1);
  items.forEach(({ ids }, item) => {
    starts[item + 1] = (starts[item] as number) + ids.length;
  });
  return {
    tokenIds: Int32Array.from(items.flatMap(({ ids }) => ids)),
    starts,
    scoreFrom: Int32Array.from(items, ({ scoreFrom }) => scoreFrom),
    maxTokens: new Int32Array(items.length).fill(answerTokens),
    draws: new Float64Array(0),
    topTokens: 0,
    readIds: new Int32Array(0),
  };
}

/**
 * One prompt, read by itself; then an answer to its beginning, a token at a time, begun anew where it ends before it is long enough. Time
 * in evaluating and in reading the logits, as every answer takes it.
 */
async function timeSpeed(
  prompt: readonly number[],
  answerTokens: number,
  { signal }: ServedCall<number>,
): Promise<SpeedSample> {
  const { evaluator } = opened();
  // Its last token is read, so that the whole of it is evaluated.
  const read = { ...workOf([{ ids: prompt, scoreFrom: prompt.length }], 0), topTokens: 1 };
  const readSeconds = await timed(async () => {
    await evaluator.run(read, () => {}, signal);
  });
  let [generated, generatingSeconds] = [0, 0];
  // A different beginning each time: an answer that ends soon would else end as soon again.
  for (let begin = 0; generated < answerTokens; begin++) {
    const short = prompt.slice(begin % prompt.length, (begin % prompt.length) + SHORT);
    const ids = short.length > 0 ? short : prompt.slice(0, 1);
    // Each step ends with a token: the first with the prompt's, whose time is not counted.
    const times: number[] = [];
    await evaluator.run(
      workOf([{ ids, scoreFrom: ids.length }], answerTokens - generated + 1),
      () => times.push(performance.now()),
      signal,
    );
    generated += Math.max(0, times.length - 1);
    generatingSeconds += times.length > 1 ? ((times.at(-1) as number) - (times[0] as number)) / 1000 : 0;
    if (begin > MOST_BEGINNINGS) break;
    await setImmediate();
  }
  return { promptTokens: prompt.length, readSeconds, generatedTokens: generated, generatingSeconds };
}

/** As of a file: a prompt by itself, then an answer to its beginning; what ends an answer elsewhere is a token like any other here. */
async function timeGraph(session: OnnxSession, prompt: readonly number[], answerTokens: number): Promise<SpeedSample> {
  const { promptSeconds: readSeconds } = await session.time([prompt], 1);
  const { answerSeconds: generatingSeconds } = await session.time([prompt.slice(0, SHORT)], answerTokens + 1);
  return { promptTokens: prompt.length, readSeconds, generatedTokens: answerTokens, generatingSeconds };
}

const SHORT = 8;
const MOST_BEGINNINGS = 64;

async function timed(work: () => Promise<void>): Promise<number> {
  const begun = performance.now();
  await work();
  return (performance.now() - begun) / 1000;
}
