/** Entry of a process that opens files one after the other, keeps the logits of one in memory and holds the others' against them. */

import { open as openFile } from "node:fs/promises";
import { setImmediate } from "node:timers/promises";
import type { LogitRows, NativeAnswers, NativeWork } from "../../../native/index.js";
import { InwardError } from "../../errors.js";
import { findBinaries, loadAddon, nativeCode } from "../native/addon.js";
import { type ServedCall, serveParent } from "../worker-process.js";
import { BaseFile, encodeBaseRow } from "./base-file.js";
import {
  COMPARISON_FIELDS,
  type ComparedItem,
  type CompareMethods,
  positionsOf,
  type SpeedSample,
} from "./compare-logits.js";
import { type NativeModel, openNativeEngine } from "./native.js";

let model: NativeModel | undefined;
let rows: LogitRows | undefined;

serveParent<CompareMethods, number>(
  (call) => ({
    async open(modelPath, settings, choices) {
      await model?.dispose();
      model = undefined;
      model = await openNativeEngine(modelPath, settings, choices);
      return { manifest: model.manifest, facts: model.facts };
    },
    async close() {
      await model?.dispose();
      model = undefined;
    },
    fileIds: (text) => opened().fileIds(text),
    async prompts(prompts) {
      const rendered: number[][] = [];
      for (const { messages, ...options } of prompts) {
        rendered.push([...(await opened().render(messages, options)).tokenIds]);
      }
      return rendered;
    },
    async keep(items) {
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
    async compare(items, sequences = 0) {
      const kept = keptRows();
      kept.compareAnew();
      await evaluate(items, { rows: kept, compares: true, sequences }, call);
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
    speed: (prompt, answerTokens) => timeSpeed(prompt, answerTokens, call),
    memory: () => ({ peakBytes: 1024 * process.resourceUsage().maxRSS }),
  }),
  (error) => nativeCode(error) ?? "ENGINE_CRASHED",
);

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
  const { LogitRows } = await loadAddon(findBinaries(model?.manifest.device ?? "cpu").folder);
  rows = new LogitRows(positions, vocabulary);
  return rows;
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

const SHORT = 8;
const MOST_BEGINNINGS = 64;

async function timed(work: () => Promise<void>): Promise<number> {
  const begun = performance.now();
  await work();
  return (performance.now() - begun) / 1000;
}
