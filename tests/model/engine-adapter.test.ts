/** Asking with an adapter: what llama.cpp adds, what it leaves alone, and what is refused before llama.cpp sees it. */
import { mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { sha256OfFile } from "../../src/model/model-file.js";
import { checkAdapter } from "../../src/model/engines/check-adapter.js";
import { startEngine } from "../../src/model/engines/start-engine.js";
import type { AdapterChoice, AskRequest } from "../../src/model/language-model.js";
import { DEFAULT_ENGINE } from "../../src/study/load-study.js";
import type { Reply } from "../../src/tasks/answer.js";
import { ENGINES } from "../helpers/engines.js";
import { type TinyAdapterOptions, writeTinyAdapter } from "../helpers/tiny-adapter.js";
import { writeTinyModel } from "../helpers/tiny-model.js";

const requests: AskRequest[] = ["cat dog", "cat dog cow", "one two three"].map((content) => ({
  messages: [
    { role: "system", content: "" },
    { role: "user", content },
  ],
  maxTokens: 6,
  temperature: 0,
  topTokens: 300,
}));

describe.each(ENGINES)("%s", (kind) => {
  const engine = { ...DEFAULT_ENGINE, engine: kind, device: "cpu", threads: 1 } as const;
  let folder: string;
  let base: string;
  let unadapted: Reply[];
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "inward-adapter-"));
    base = join(folder, "tiny.gguf");
    await writeTinyModel(base, { seed: 3 });
    unadapted = await replies();
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  async function replies(adapter?: AdapterChoice): Promise<Reply[]> {
    const model = await startEngine(base, engine, adapter ? { adapter } : {});
    try {
      const first = await model.ask(requests);
      // A later group, in another context, has the adapter just as the first one had.
      expect(await model.ask(requests)).toEqual(first);
      return first;
    } finally {
      await model.dispose();
    }
  }

  async function adapter(name: string, options?: TinyAdapterOptions): Promise<string> {
    const path = join(folder, `${name}.gguf`);
    await writeTinyAdapter(path, options);
    return path;
  }

  describe("the adapter's part in the answer", () => {
    test("a random adapter changes the distribution; half its scale changes it otherwise", async () => {
      const path = await adapter("random");
      const whole = await replies({ path });
      const half = await replies({ path, scale: 0.5 });
      expect(whole.map(({ first }) => first.logSumExp)).not.toEqual(unadapted.map(({ first }) => first.logSumExp));
      expect(half.map(({ first }) => first.logSumExp)).not.toEqual(whole.map(({ first }) => first.logSumExp));
      expect(whole.map(({ tokenIds }) => tokenIds)).not.toEqual(unadapted.map(({ tokenIds }) => tokenIds));
    });

    test("its scale multiplies alpha / rank: twice the scale is twice alpha", async () => {
      const path = await adapter("alpha-8");
      const doubled = await adapter("alpha-16", { metadata: { "adapter.lora.alpha": { type: "f32", value: 16 } } });
      expect(await replies({ path, scale: 2 })).toEqual(await replies({ path: doubled }));
      // Without alpha nothing is divided by the rank of 4 either.
      const bare = await adapter("no-alpha", { metadata: { "adapter.lora.alpha": false } });
      expect(await replies({ path, scale: 0.5 })).toEqual(await replies({ path: bare }));
    });

    test("at scale 0, and with B zero as training starts, the base's own numbers come out to the last bit", async () => {
      expect(await replies({ path: await adapter("scaled-away"), scale: 0 })).toEqual(unadapted);
      expect(await replies({ path: await adapter("untrained", { b: 0 }) })).toEqual(unadapted);
    });

    test("the manifest names it; the base alone names none", async () => {
      const path = await adapter("named");
      const model = await startEngine(base, engine, { adapter: { path, scale: 0.25 } });
      expect(model.manifest.adapter).toEqual({ sha256: await sha256OfFile(path), scale: 0.25 });
      await model.dispose();
      const alone = await startEngine(base, engine);
      expect(alone.manifest).not.toHaveProperty("adapter");
      expect(alone.facts).toEqual({ vocabularySize: 265, contextTokens: 512, warnings: [] });
      await alone.dispose();
    });
  });

  describe("the same weights under one adapter after another", () => {
    test("what each state says is what it says when it is opened alone, to the last bit; a refused one changes nothing", async () => {
      const [one, two] = [{ path: await adapter("one") }, { path: await adapter("two", { b: 0.3 }), scale: 0.5 }];
      let model = await startEngine(base, engine);
      if (kind === "node-llama-cpp") {
        expect(model.withAdapter).toBeUndefined();
        await model.dispose();
        return;
      }
      const under = async (chosen?: AdapterChoice) => {
        model = (await model.withAdapter?.(chosen)) ?? expect.unreachable();
        return model.ask(requests);
      };
      const alone = { one: await replies(one), two: await replies(two) };
      expect(alone.one).not.toEqual(alone.two);
      expect(await model.ask(requests)).toEqual(unadapted);
      expect(await under(one)).toEqual(alone.one);
      expect(model.manifest.adapter).toEqual({ sha256: await sha256OfFile(one.path), scale: 1 });
      expect(await under(two)).toEqual(alone.two);
      await expect(under({ path: base })).rejects.toMatchObject({ code: "ADAPTER_INVALID" });
      expect(await model.ask(requests)).toEqual(alone.two);
      expect(await under()).toEqual(unadapted);
      expect(model.manifest).not.toHaveProperty("adapter");
      expect(await under(one)).toEqual(alone.one);
      await model.dispose();
    });
  });

  describe("what cannot be put on the base is refused", () => {
    const refused = async (path: string, code: string, message: RegExp) => {
      await expect(checkAdapter(path, base)).rejects.toThrow(
        expect.objectContaining({ code, message: expect.stringMatching(message) }),
      );
    };
    const q = "blk.0.attn_q.weight";

    test("a file that is not there, a folder, text, a truncated adapter, a whole model", async () => {
      await refused(join(folder, "none.gguf"), "ADAPTER_NOT_FOUND", /no such file/);
      await refused(folder, "ADAPTER_INVALID", /not a file/);
      const text = join(folder, "text.gguf");
      await writeFile(text, "not an adapter");
      await refused(text, "ADAPTER_INVALID", /not a GGUF/);
      const short = await adapter("short");
      await truncate(short, 4000);
      await refused(short, "ADAPTER_INVALID", /truncated/);
      await refused(base, "ADAPTER_INVALID", /general.type is missing, not "adapter"/);
    });

    const wrongShapes: [string, Record<string, readonly [number, number]>, RegExp][] = [
      ["a narrower base", { [q]: [32, 64] }, /\[32, 4\], \[4, 64\] does not fit blk.0.attn_q.weight \[64, 64\]/],
      ["other heads", { "blk.1.attn_k.weight": [64, 64] }, /does not fit blk.1.attn_k.weight \[64, 32\]/],
      ["more layers", { "blk.2.attn_q.weight": [64, 64] }, /has no such tensor/],
    ];
    test.each(wrongShapes)("the adapter of a model with %s", async (name, weights, message) => {
      await refused(await adapter(`shape-${name}`, { weights }), "ADAPTER_SHAPE", message);
    });

    const wrongMetadata: [string, NonNullable<TinyAdapterOptions["metadata"]>, string, RegExp][] = [
      [
        "another architecture",
        { "general.architecture": { type: "string", value: "qwen2" } },
        "ADAPTER_SHAPE",
        /qwen2/,
      ],
      ["another type", { "adapter.type": { type: "string", value: "dora" } }, "ADAPTER_INVALID", /"dora"/],
      // llama.cpp's own reader asserts that these have their types, which would end the process.
      ["a type that is no text", { "general.type": { type: "u32", value: 1 } }, "ADAPTER_INVALID", /general.type/],
      ["alpha as a double", { "adapter.lora.alpha": { type: "f64", value: 8 } }, "ADAPTER_INVALID", /8 \(f64\)/],
      ["a negative alpha", { "adapter.lora.alpha": { type: "f32", value: -1 } }, "ADAPTER_INVALID", /alpha is -1/],
    ];
    test.each(wrongMetadata)("an adapter with %s", async (name, metadata, code, message) => {
      await refused(await adapter(`metadata-${name}`, { metadata }), code, message);
    });

    test("by the engine with the same words, and this process and its other models live on", async () => {
      const path = await adapter("unfit", { weights: { [q]: [32, 64] } });
      for (const [unfit, code] of [
        [path, "ADAPTER_SHAPE"],
        [base, "ADAPTER_INVALID"],
        [join(folder, "none.gguf"), "ADAPTER_NOT_FOUND"],
      ] as const) {
        await expect(startEngine(base, engine, { adapter: { path: unfit } })).rejects.toMatchObject({ code });
      }
      expect(await replies()).toEqual(unadapted);
    });

    test("pairs beside weights that take none, and no pairs at all", async () => {
      const embedding = await adapter("embedding", { weights: { "token_embd.weight": [64, 265] } });
      await refused(embedding, "ADAPTER_INVALID", /token_embd.weight/);
      await refused(await adapter("empty", { weights: {} }), "ADAPTER_INVALID", /no LoRA pair/);
    });
  });
});
