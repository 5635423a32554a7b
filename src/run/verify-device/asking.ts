/** The same greedy questions on the device and on the processor, and an adapter in both programs. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  compareEngines,
  firstApart,
  leastTolerance,
  type VerificationQuestion,
  verificationQuestions,
} from "../../ask/verify-engine.js";
import { InwardError } from "../../errors.js";
import { stateToAdapter, writeAdapter } from "../../finetune/adapter/adapter.js";
import { startEngine } from "../../model/engines/start-engine.js";
import type { AskCost, LanguageModel } from "../../model/language-model.js";
import { DEFAULT_ENGINE } from "../../study/load-study.js";
import type { StudyEngine } from "../../study/study.js";
import type { Reply } from "../../tasks/answer.js";
import {
  askingTolerance,
  type DeviceCheck,
  held,
  holds,
  noted,
  rowsOfPart,
  tellStage,
  type Verified,
} from "./check.js";
import { ALPHA, openDeviceTrainer, RANK, sequence, type TrainedThere } from "./training.js";

/** Answers in the making at once. Metal computes no more rows than eight exactly. */
const SEQUENCES = 16;
const EXACT_ON_METAL = 6;
/** Rows of an evaluation at which kernels change, up to what a GPU is asked with. */
const ROWS = [1, 3, 8, 17, 64] as const;
/** Of one round of questions. */
const SECONDS_AT_MOST = 20;
const FEWER = 8;
const FEWER_SEQUENCES = 4;
const READ_AT_MOST = 0.25;

/** One group after another on one engine. */
class Asker {
  readonly costs: AskCost[] = [];

  constructor(
    private readonly verified: Verified,
    readonly questions: readonly VerificationQuestion[],
  ) {}

  /** Of questions, as they stand. */
  get order(): number[] {
    return this.questions.map((_, at) => at);
  }

  /** @returns for each round, the replies by question */
  async ask(what: string, engine: Partial<StudyEngine>, rounds: readonly AskedRound[] = [{}]): Promise<Reply[][]> {
    const { onProgress, signal } = this.verified;
    const stage = `asking, ${what}`;
    tellStage(this.verified, stage);
    const model = await startModel(this.verified, engine);
    try {
      const asked: Reply[][] = [];
      for (const { order = this.order, sequences } of rounds) {
        const replies: Reply[] = [];
        let done = 0;
        const given = await model.ask(
          order.map((at) => (this.questions[at] as VerificationQuestion).request),
          {
            ...(signal ? { signal } : {}),
            ...(sequences === undefined ? {} : { sequences }),
            onCost: (cost) => this.costs.push(cost),
            onReply: () => onProgress?.({ stage, done: ++done, total: order.length, unit: "questions" }),
          },
        );
        order.forEach((at, index) => {
          replies[at] = given[index] as Reply;
        });
        asked.push(replies);
      }
      return asked;
    } finally {
      await model.dispose();
    }
  }
}

/** Questions in another order, or fewer of them; and, instead of the engine's own number, answers in the making at once. */
interface AskedRound {
  readonly order?: readonly number[];
  readonly sequences?: number;
}

function startModel(
  { found, settings }: Verified,
  engine: Partial<StudyEngine>,
  adapter?: string,
): Promise<LanguageModel> {
  return startEngine(
    found.file.path,
    { ...DEFAULT_ENGINE, ...settings, engine: "native", flashAttention: false, ...engine },
    { chat: found.chat, ...(adapter === undefined ? {} : { adapter: { path: adapter } }) },
  );
}

/**
 * @param most fewer questions of the fixed set
 * @throws ENGINE_*, MODEL_*, CHAT_* · INTERRUPTED
 */
export async function verifyAsking(verified: Verified, most: number | undefined): Promise<void> {
  const { device, found, summary } = verified;
  const asker = new Asker(verified, await verificationQuestions(found.chat.kind, most));
  const { order } = asker;
  const usual = askingTolerance(device.name, "usual", summary).asked;
  const [reference] = (await asker.ask("on the processor", { device: "cpu" })) as [Reply[]];
  const against = (what: string, replies: readonly Reply[], nats: number) =>
    againstReference(`asking, ${what}: against the processor`, asker, reference, replies, nats);
  // Enough rows for the most that are evaluated at once; where that would take minutes, fewer, said.
  let slow = true;
  await rowsOfPart(verified, "asking, as usual", async () => {
    const [replies, turned] = (await asker.ask("as usual", { sequences: SEQUENCES }, [
      {},
      { order: [...order].reverse() },
    ])) as [Reply[], Reply[]];
    const cost = asker.costs.at(-1);
    slow = cost !== undefined && cost.readSeconds + cost.decodeSeconds > SECONDS_AT_MOST;
    const moved = order.reduce((all, at) => Math.max(all, replyApart(replies[at] as Reply, turned[at] as Reply)), 0);
    const found = `logprobs differ by ${moved.toPrecision(2)} nats at most`;
    return [
      against("as usual", replies, usual),
      { ...noted("asking, as usual: in another order", found), value: moved },
      ...(cost ? costRows(cost) : []),
    ];
  });
  const few = slow ? order.slice(0, FEWER) : order;
  await rowsOfPart(verified, "asking, exact", () => askedExactly(verified, asker, against));
  await rowsOfPart(verified, "asking, floor", async () => [await floorRow(asker, few, usual)]);
  await rowsOfPart(verified, "asking, invariant", async () => {
    const half = few.filter((at) => at % 2 === 1);
    const sequences = slow ? FEWER_SEQUENCES : SEQUENCES;
    const orders = [{ order: few }, { order: [...few].reverse() }, { order: half }];
    const [invariant, ...others] = (await asker.ask("invariant", { sequences, invariant: true }, orders)) as Reply[][];
    // Replies lie where their questions are; those that were not asked are holes, which every() leaves out.
    const same = others.every((one) =>
      one.every((reply, at) => JSON.stringify(reply) === JSON.stringify(invariant?.[at])),
    );
    const check = "asking, invariant: the same bits in another order and with half of the others";
    const said = `${same ? "the same" : "they differ"}; ${few.length} questions, ${sequences} answers at once`;
    const asked = few.map((at) => invariant?.[at] as Reply);
    return [holds(check, same, said), against("invariant", asked, usual)];
  });
}

async function askedExactly(
  { device, summary }: Verified,
  asker: Asker,
  against: (what: string, replies: readonly Reply[], nats: number) => DeviceCheck,
): Promise<DeviceCheck[]> {
  // A GPU computes GELU, the processor looks it up by halves.
  const nats = Math.max(
    askingTolerance(device.name, "exact", summary).asked,
    leastTolerance(summary.architecture).nats,
  );
  try {
    const sequences = device.name === "metal" ? EXACT_ON_METAL : SEQUENCES;
    const [exact] = (await asker.ask("exact", { exact: true, sequences })) as [Reply[]];
    return [against("exact", exact, nats)];
  } catch (error) {
    if (!(error instanceof InwardError) || error.code !== "ENGINE_UNAVAILABLE") throw error;
    return [noted("asking, exact", error.message)];
  }
}

function againstReference(
  check: string,
  { questions }: Asker,
  reference: readonly Reply[],
  replies: readonly Reply[],
  nats: number,
): DeviceCheck {
  // Where fewer were asked, they are the first ones.
  const keys = questions.slice(0, replies.length).map(({ key }) => key);
  const asked = reference.slice(0, replies.length);
  const result = compareEngines(keys, asked, replies, { logprob: nats, margin: nats });
  const first = replies.reduce((most, reply, at) => Math.max(most, firstApart(reference[at] as Reply, reply)), 0);
  const row = held(check, Math.max(first, result.maxLogprobDifference), nats, "nats");
  const flips = result.questions - result.sameTokens;
  const found = `${row.found}; ${flips} of ${result.questions} answers are others, where two tokens are as close`;
  return { ...row, found: flips > 0 ? found : row.found, ...(result.agrees ? {} : { verdict: "mismatch" }) };
}

/** Nats, of what is likely first and of each token that both chose. */
function replyApart(one: Reply, other: Reply): number {
  let most = firstApart(one, other);
  for (let at = 0; one.tokenIds[at] !== undefined && one.tokenIds[at] === other.tokenIds[at]; at++) {
    most = Math.max(most, Math.abs((one.logprobs[at] as number) - (other.logprobs[at] as number)));
  }
  return most;
}

function costRows({ readSeconds, decodeSeconds, evaluatedTokens }: AskCost): DeviceCheck[] {
  const seconds = readSeconds + decodeSeconds;
  const share = readSeconds / seconds;
  return [
    {
      check: "asking, as usual: share of time in which the host reads logits",
      value: share,
      tolerance: READ_AT_MOST,
      found: `${(100 * share).toFixed(1)} %`,
      // Slow, and not wrong.
      verdict: share < READ_AT_MOST ? "ok" : "note",
    },
    noted("asking, as usual: speed", `${Math.round(evaluatedTokens / seconds)} tokens/s, ${SEQUENCES} answers at once`),
  ];
}

/** What the same question comes to when fewer or more are evaluated with it. */
async function floorRow(asker: Asker, order: readonly number[], nats: number): Promise<DeviceCheck> {
  const rounds = ROWS.map((sequences) => ({ order, sequences }));
  const [alone, ...others] = await asker.ask("floor", { sequences: Math.max(...ROWS) }, rounds);
  const each = others.map((replies) =>
    order.reduce((most, at) => Math.max(most, replyApart(alone?.[at] as Reply, replies[at] as Reply)), 0),
  );
  const worst = Math.max(...each);
  const found = each.map((most, at) => `${ROWS[at + 1]}: ${most === 0 ? "0" : most.toPrecision(2)}`);
  return {
    ...held("asking, as usual: floor at 1 to 64 rows", worst, nats, "nats"),
    found: `logprobs against one at a time, nats, by rows: ${found.join(", ")}; ${order.length} questions`,
  };
}

const ADAPTER_QUESTIONS = 3;
/** Said after a question, whatever it asks: what counts is that both programs read the same tokens. */
const SAID = "blue and green";

/** The adapter that training ended with, by the trainer and by llama.cpp, both on the device. */
export async function verifyAdapter(verified: Verified, trained: TrainedThere): Promise<DeviceCheck> {
  const { device, found, summary } = verified;
  const check = "the trained adapter, in the trainer and in the engine";
  tellStage(verified, check);
  const trainer = await openDeviceTrainer(verified, { device, exact: false, kernels: trained.kernels });
  const folder = await mkdtemp(join(tmpdir(), "inward-verify-device-"));
  try {
    const { tensors, parameters, architecture, contextTokens } = trainer.description;
    const zero = new Float32Array(parameters);
    await trainer.setState({ parameters: trained.parameters, firstMoments: zero, secondMoments: zero });
    const path = join(folder, "adapter.gguf");
    const state = { architecture, layout: tensors, parameters: trained.parameters, alpha: ALPHA, rank: RANK };
    await writeAdapter(path, stateToAdapter(state));
    const model = await startModel(verified, {}, path);
    try {
      let [worst, tokens, moved] = [0, 0, 0];
      const questions = await verificationQuestions(found.chat.kind, ADAPTER_QUESTIONS);
      for (const { request } of questions) {
        const { messages } = request;
        const prompt = (await model.render(messages)).tokenIds;
        const [[score] = []] = await model.score([{ messages, continuations: [SAID] }]);
        if (!score || prompt.length + score.tokenIds.length > Math.min(contextTokens, 512)) continue;
        // The last row's successor is none of the text's.
        const rows = score.tokenIds.length + 1;
        const { logprobs } = await trainer.evaluate(sequence([...prompt, ...score.tokenIds], rows));
        score.logprobs.forEach((logprob, at) => {
          worst = Math.max(worst, Math.abs(logprob - (logprobs[at] as number)));
          moved = Math.min(moved, logprob);
          tokens++;
        });
      }
      if (tokens === 0) return noted(check, "no question is short enough");
      const row = held(check, worst, askingTolerance(device.name, "usual", summary).asked, "nats");
      return { ...row, found: `${row.found}; ${tokens} tokens, down to ${moved.toFixed(1)} nats` };
    } finally {
      await model.dispose();
    }
  } finally {
    await trainer.dispose();
    await rm(folder, { recursive: true, force: true });
  }
}
