/** Entry of the process that captures: one model, and files of states that it writes while it asks. */

import type { NativeAnswers } from "../../native/index.js";
import { WorkQueue } from "../base/work-queue.js";
import { InwardError } from "../errors.js";
import { hashTokens } from "../model/engines/engine.js";
import { askingWork, type NativeModel, openNativeEngine, readReplies } from "../model/engines/native.js";
import { nativeCode } from "../model/native/addon.js";
import { withInterventions } from "../model/interventions.js";
import { type ServedCall, serveParent } from "../model/worker-process.js";
import type { Reply } from "../tasks/answer.js";
import {
  type CapturedText,
  type CaptureJob,
  type CaptureMethods,
  chosenTokens,
  type PositionChoice,
  type MadeShard,
  type ShardJob,
} from "./capture.js";
import { captureOf } from "../model/sites.js";
import { tokenBytes } from "./states-shard.js";
import { type StatesRoom, StatesWriter, type PlacedText } from "./states-writer.js";

let model: NativeModel | undefined;
/** Evaluations, one after the other; a file is written while the next one's states are evaluated. */
const evaluations = new WorkQueue();
const writer = new StatesWriter();
// A limit of a file's size is an error of the write, not the end of the process.
process.on("SIGXFSZ", () => {});

serveParent<CaptureMethods, number>(
  (call) => ({
    async open(modelPath, { settings, adapter, chat }) {
      model = await openNativeEngine(modelPath, settings, { adapter, chat });
      return { manifest: model.manifest, facts: model.facts };
    },
    shard: (job) => makeShard(job, call),
    async evaluate(job) {
      await evaluations.run(() => evaluate(job, call));
    },
    memory: () => ({ peakBytes: 1024 * process.resourceUsage().maxRSS }),
  }),
  (error) => nativeCode(error) ?? "ENGINE_CRASHED",
);

async function makeShard(job: ShardJob, call: ServedCall<number>): Promise<MadeShard> {
  const { texts, places, room } = await evaluations.run(() => evaluate(job, call));
  const rows = places.reduce((sum, { positions }) => sum + positions.length, 0);
  return { texts, rows, ...(await writer.write(job.path, job.capture, places, room)) };
}

/** @throws ENGINE_UNAVAILABLE */
function capturedIn({ siteStates }: NativeAnswers): Uint8Array {
  if (siteStates) return siteStates;
  throw new InwardError(
    "ENGINE_UNAVAILABLE",
    "the native addon was built when it gave states in another order; build it again: node scripts/build-native.mjs",
  );
}

async function evaluate(
  { requests, capture, positions, oneByOne = false }: CaptureJob,
  { signal, note }: ServedCall<number>,
): Promise<{ texts: CapturedText[]; places: PlacedText[]; room: StatesRoom }> {
  if (!model) throw new InwardError("INTERNAL", "The worker was asked before it opened a model.");
  const { tokens: chat, evaluator } = model;
  const tokenized = chat.tokenize(requests);
  const masks = tokenized.map(({ promptIds }, at) =>
    chosenTokens(positions[at] as PositionChoice, promptIds.length, `Prompt ${at + 1}`),
  );
  await evaluator.setCapture(captureOf(capture.sites, capture.shape, capture.dtype));
  const bytesAt = tokenBytes(capture);
  const most = masks.reduce((sum, mask, at) => {
    const replied = positions[at]?.reply ? Math.max(0, (requests[at]?.maxTokens ?? 0) - 1) : 0;
    for (let place = 0; place < mask.length; place++) if (mask[place]) sum += bytesAt(place);
    for (let token = 0; token < replied; token++) sum += bytesAt(mask.length + token);
    return sum;
  }, 0);
  const room = writer.room(most);
  const places: PlacedText[] = [];
  const replies: Reply[] = [];
  let done = 0;
  const whole = [...tokenized.keys()];
  for (const asked of oneByOne ? whole.map((at) => [at]) : whole.length > 0 ? [whole] : []) {
    const own = asked.map((at) => tokenized[at] as (typeof tokenized)[number]);
    const take = (answers: NativeAnswers) => {
      for (const { index, reply } of readReplies(answers, own, chat)) {
        replies[asked[index] as number] = reply;
      }
      let [row, byte] = [0, room.put(capturedIn(answers))];
      answers.items.forEach((item, at) => {
        const end = row + (answers.stateCounts[at] as number);
        const taken = Array.from(answers.statePositions.subarray(row, end));
        const length = taken.reduce((sum, position) => sum + bytesAt(position), 0);
        places[asked[item] as number] = { positions: taken, begin: byte, end: byte + length };
        [row, byte] = [end, byte + length];
      });
      done += answers.items.length;
      if (answers.items.length > 0) note(done);
    };
    await evaluator.run(
      {
        ...withInterventions(askingWork(own, chat.endIds()), own, () => capture.shape),
        capture: Buffer.concat(asked.map((at) => masks[at] as Uint8Array)),
        captureAnswers: Uint8Array.from(asked, (at) => (positions[at]?.reply ? 1 : 0)),
      },
      take,
      signal,
      () => room.rest(),
    );
  }
  const texts = tokenized.map(({ promptIds, maxTokens }, index): CapturedText => {
    const { tokenIds, logprobs, text, stop } = replies[index] as Reply;
    const read = [...promptIds, ...tokenIds];
    const { positions: taken } = places[index] as PlacedText;
    const texted = chat.tokenTexts(taken.map((position) => read[position] as number));
    return {
      promptTokens: promptIds.length,
      promptSha256: hashTokens(promptIds),
      tokens: taken.map((position, at) => ({
        position,
        id: read[position] as number,
        ...(texted[at] as (typeof texted)[number]),
      })),
      ...(maxTokens > 0 ? { reply: { text, stop, tokenIds, logprobs } } : {}),
    };
  });
  return { texts, places, room };
}
