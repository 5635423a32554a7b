/** Proof 1: what the native engine says is what stock llama.cpp says, with and without an adapter. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openModel } from "../../src/model/engine/open-model.js";
import type { AskRequest } from "../../src/model/language-model.js";
import { DEFAULT_ENGINE } from "../../src/plan/default-engine.js";
import type { Reply } from "../../src/records/answer.js";
import { type LlamaCpp, startLlamaCpp } from "../helpers/llama-cpp-logits.js";
import { writeTinyAdapter } from "../helpers/tiny-adapter.js";
import { writeTinyModel } from "../helpers/tiny-model.js";

/** Both with keys and values as F32; what is left are sums in another order, and single-precision exponentials. */
const SAME_CACHE_NATS = 2e-5;
/** node-llama-cpp's engine keeps keys and values as F16. */
const OTHER_CACHE_NATS = 5e-3;
const PROMPTS = 24;

const folder = mkdtempSync(join(tmpdir(), "inward-agrees-"));
const adapter = join(folder, "adapter.gguf");
const engine = { ...DEFAULT_ENGINE, device: "cpu", threads: 1, sequences: 5 } as const;
const words = ["cat", "dog", "the hen", "zebra lion", "one", "two three", "and", "a"];
const requests: AskRequest[] = Array.from({ length: PROMPTS }, (_, index) => ({
  messages: [
    { role: "system", content: "" },
    { role: "user", content: words.slice(index % 8, (index % 8) + 1 + (index % 3)).join(" ") + "!".repeat(index % 5) },
  ],
  maxTokens: 10,
  temperature: 0,
  topTokens: 265,
}));

let llama: LlamaCpp;
beforeAll(async () => {
  await writeTinyAdapter(adapter, { a: 0.2, b: 0.2 });
  llama = await startLlamaCpp();
});
afterAll(() => llama.dispose());

describe.each(["chatml", "llama3"] as const)("%s", (chat) => {
  const path = join(folder, `${chat}.gguf`);
  beforeAll(() => writeTinyModel(path, { seed: 11, chat, normSpread: 0.1 }));

  describe.each([
    ["the base alone", undefined],
    ["under an adapter", { path: adapter }],
  ])("%s", (_, choice) => {
    async function replies(kind: "native" | "node-llama-cpp"): Promise<{ replies: Reply[]; prompts: number[][] }> {
      const model = await openModel(path, { ...engine, engine: kind }, choice ? { adapter: choice } : {});
      try {
        const prompts = await Promise.all(
          requests.map(async ({ messages }) => (await model.render(messages)).tokenIds),
        );
        return { replies: await model.ask(requests), prompts: prompts.map((ids) => [...ids]) };
      } finally {
        await model.dispose();
      }
    }

    test("node-llama-cpp's engine gives the same tokens, unless two are as good as equal", async () => {
      const native = await replies("native");
      const other = await replies("node-llama-cpp");
      expect(native.prompts).toEqual(other.prompts);
      const parted: string[] = [];
      native.replies.forEach((reply, index) => {
        const theirs = other.replies[index] as Reply;
        const same = reply.tokenIds.findIndex((id, at) => id !== theirs.tokenIds[at]);
        const upTo = same < 0 ? reply.tokenIds.length : same;
        for (let at = 0; at < upTo; at++) {
          const apart = (reply.logprobs[at] as number) - (theirs.logprobs[at] as number);
          expect(Math.abs(apart)).toBeLessThan(OTHER_CACHE_NATS);
        }
        if (same >= 0) parted.push(`${index}: margins ${reply.margins[same]}, ${theirs.margins[same]}`);
        if (same >= 0) expect((reply.margins[same] as number) + (theirs.margins[same] as number)).toBeLessThan(0.01);
        expect(reply.promptSha256).toBe(theirs.promptSha256);
        expect(reply.first.texts.length).toBe(theirs.first.texts.length);
      });
      expect(parted.length).toBeLessThanOrEqual(1);
    });

    test("stock llama.cpp's logits give the same token, logprob, margin and distribution at every position", async () => {
      const native = await replies("native");
      for (const [index, reply] of native.replies.entries()) {
        const prompt = native.prompts[index] as number[];
        const logits = (await llama.logits(path, [...prompt, ...reply.tokenIds.slice(0, -1)], choice?.path)).slice(
          prompt.length - 1,
        );
        reply.tokenIds.forEach((id, at) => {
          const row = Array.from(logits[at] as Float32Array);
          const best = row.reduce((most, value, other) => (value > (row[most] as number) ? other : most), 0);
          const second = Math.max(...row.filter((_, other) => other !== best));
          const total = logSumExp(row);
          expect(id).toBe(best);
          expect(Math.abs((reply.logprobs[at] as number) - (row[id] as number) + total)).toBeLessThan(SAME_CACHE_NATS);
          expect(Math.abs((reply.margins[at] as number) - (row[best] as number) + second)).toBeLessThan(
            SAME_CACHE_NATS,
          );
          if (at > 0) return;
          expect(Math.abs(reply.first.logSumExp - total)).toBeLessThan(SAME_CACHE_NATS);
          reply.first.tokenIds.forEach((top, rank) => {
            const apart = (reply.first.logprobs[rank] as number) - (row[top] as number) + total;
            expect(Math.abs(apart)).toBeLessThan(SAME_CACHE_NATS);
          });
        });
      }
    });
  });
});

function logSumExp(row: readonly number[]): number {
  const most = Math.max(...row);
  return most + Math.log(row.reduce((sum, value) => sum + Math.exp(value - most), 0));
}
