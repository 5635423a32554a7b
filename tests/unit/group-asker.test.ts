/** Asking through crashes: with models that are written down, and crash where the test says so. */
import { mkdtemp, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  answeredQuestions,
  askGroups,
  cutGroups,
  type EngineCrash,
  GroupAsker,
  type GroupAskerOptions,
  stallLimitSeconds,
} from "../../src/ask/groups.js";
import { measureNoiseFloor } from "../../src/ask/noise-floor.js";
import type { Question } from "../../src/ask/questions.js";
import { InwardError } from "../../src/errors.js";
import type { Answer } from "../../src/tasks/answer.js";
import type { LanguageModel } from "../../src/model/language-model.js";
import { replyOf, scriptedModel } from "../helpers/scripted-model.js";

const question = (item: string): Question => ({
  key: `t/${item}`,
  state: "m",
  task: "t",
  item,
  split: "held_out",
  sample: 0,
  messages: [{ role: "user", content: item }],
  maxTokens: 4,
  temperature: 0,
});
const crash = () =>
  new InwardError("ENGINE_CRASHED", "The engine's worker process is gone: SIGKILL. Its last words:\n  GGML_ASSERT");

/** Engines opened one after another; `crashesOn` knows the text and which engine, from 1, is asked. */
function engines(crashesOn: (text: string, engine: number) => boolean, more: Partial<GroupAskerOptions> = {}) {
  const opened: ReturnType<typeof scriptedModel>[] = [];
  const crashes: EngineCrash[] = [];
  const setAside: string[] = [];
  const open = async (): Promise<LanguageModel> => {
    const engine = opened.length + 1;
    const model = scriptedModel((text) => {
      if (crashesOn(text, engine)) throw crash();
      return text.toUpperCase();
    });
    opened.push(model);
    return model;
  };
  const asker = new GroupAsker(answeredQuestions({ topTokens: 1 }), {
    modelFor: async () => opened.at(-1) ?? open(),
    reopenModel: open,
    onCrash: (one) => crashes.push(one),
    onSetAside: ({ key }) => setAside.push(key),
    ...more,
  });
  return { asker, opened, crashes, setAside };
}

const texts = (answers: readonly { reply?: { text: string } | undefined; setAside?: string | undefined }[]) =>
  answers.map(({ reply, setAside }) => reply?.text ?? setAside);
const group = ["a", "b", "c", "d"].map(question);

describe("a crash", () => {
  test("that comes once: the group is asked again whole, in a new engine, and gives what it would have given", async () => {
    const { asker, opened, crashes, setAside } = engines((text, engine) => engine === 1 && text === "c");
    const counts: number[] = [];
    const answers = await asker.ask(group, { onAnswered: (count) => counts.push(count) });
    expect(answers).toEqual(await engines(() => false).asker.ask(group));
    expect(opened.map(({ asked }) => asked)).toEqual([
      ["a", "b", "c"],
      ["a", "b", "c", "d"],
    ]);
    expect(counts).toEqual([0, 1, 2, 0, 1, 2, 3, 4]);
    expect(crashes).toEqual([
      { state: "m", attempt: 1, questions: 4, message: expect.stringContaining("GGML_ASSERT") },
    ]);
    expect(setAside).toEqual([]);
  });

  test("that comes again: question by question, and the third crash of one sets it aside, the others being answered", async () => {
    const { asker, opened, crashes, setAside } = engines((text) => text === "c");
    const answers = await asker.ask(group);
    expect(texts(answers)).toEqual(["A", "B", "engine_crashed", "D"]);
    expect(answers[2]).toEqual({
      key: "t/c",
      state: "m",
      task: "t",
      item: "c",
      split: "held_out",
      sample: 0,
      setAside: "engine_crashed",
    });
    expect(opened.map(({ asked }) => asked)).toEqual([
      ["a", "b", "c"],
      ["a", "b", "c"],
      ["a", "b", "c"],
      ["Say yes.", "d"],
    ]);
    expect(crashes.map(({ attempt, questions, key }) => [attempt, questions, key])).toEqual([
      [1, 4, undefined],
      [2, 4, undefined],
      [3, 1, "t/c"],
    ]);
    expect(setAside).toEqual(["t/c"]);
  });

  test("of a group of one question: three crashes as well", async () => {
    const { asker, crashes } = engines((text) => text === "c");
    expect(texts(await asker.ask([question("c")]))).toEqual(["engine_crashed"]);
    expect(crashes.map(({ attempt }) => attempt)).toEqual([1, 2, 3]);
  });

  test("sets aside exactly the questions that crash, whichever they are, in order (law)", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.boolean(), { minLength: 1, maxLength: 8 }), async (bad) => {
        const { asker, opened } = engines((text) => bad[Number(text)] === true);
        const answers = await asker.ask(bad.map((_, at) => question(String(at))));
        expect(texts(answers)).toEqual(bad.map((isBad, at) => (isBad ? "engine_crashed" : String(at))));
        const crashes = bad.filter(Boolean).length;
        expect(opened).toHaveLength(crashes === 0 ? 1 : 3 + crashes);
      }),
    );
  });

  test("on anything sets nothing aside: the engine itself is broken", async () => {
    const { asker, setAside } = engines(() => true);
    const asked = asker.ask(group);
    await expect(asked).rejects.toMatchObject({
      code: "ENGINE_CRASHED",
      message: expect.stringMatching(/plain question as well as on t\/a\. .*GGML_ASSERT/s),
    });
    expect(setAside).toEqual([]);
  });

  test("after which the engine cannot be opened again is the run's own error", async () => {
    const { asker } = engines((text) => text === "c", {
      reopenModel: async () => {
        throw new InwardError("ENGINE_MEMORY", "no memory for the weights");
      },
    });
    await expect(asker.ask(group)).rejects.toMatchObject({ code: "ENGINE_MEMORY" });
  });

  test("under Ctrl-C is an interruption: what ends a process group ends the worker too", async () => {
    const controller = new AbortController();
    const { asker, opened } = engines(
      (text) => {
        if (text === "c") controller.abort();
        return text === "c";
      },
      { signal: controller.signal },
    );
    await expect(asker.ask(group)).rejects.toMatchObject({ code: "INTERRUPTED" });
    expect(opened).toHaveLength(1);
  });

  test.each([1, 2])(
    "%d times while questions are only being checked: checked again in another engine",
    async (times) => {
      let left = times;
      const check = async () => {
        if (left-- > 0) throw crash();
        return group.map(() => 1);
      };
      const fragile: LanguageModel = { ...scriptedModel(() => "x"), check };
      const { asker, crashes, setAside } = engines(() => false, {
        modelFor: async () => fragile,
        reopenModel: async () => fragile,
      });
      await asker.check(group);
      expect(crashes).toHaveLength(times);
      expect(setAside).toEqual([]);
      expect(texts(await asker.ask(group))).toEqual(["x", "x", "x", "x"]);
    },
  );

  test("on one question while it is only being checked: set aside with its reason, never asked, the others answered", async () => {
    const model = scriptedModel((text) => text.toUpperCase());
    const { check } = model;
    const fragile: LanguageModel = {
      ...model,
      check: (requests) => {
        if (requests.some(({ messages }) => messages.at(-1)?.content === "c")) throw crash();
        return check(requests);
      },
    };
    const { asker, crashes, setAside } = engines(() => false, {
      modelFor: async () => fragile,
      reopenModel: async () => fragile,
    });
    await asker.check(group);
    expect(crashes.map(({ attempt, key }) => [attempt, key])).toEqual([
      [1, undefined],
      [2, undefined],
      [3, "t/c"],
    ]);
    expect(setAside).toEqual(["t/c"]);
    expect(texts(await asker.ask(group))).toEqual(["A", "B", "engine_crashed", "D"]);
    expect(model.asked).toEqual(["Say yes.", "a", "b", "d"]);
  });

  test("on everything while it is only being checked: the engine is broken, and nothing is set aside", async () => {
    const broken: LanguageModel = {
      ...scriptedModel(() => {
        throw crash();
      }),
      check: async () => {
        throw crash();
      },
    };
    const { asker, setAside } = engines(() => false, { modelFor: async () => broken, reopenModel: async () => broken });
    await expect(asker.check(group)).rejects.toMatchObject({
      code: "ENGINE_CRASHED",
      message: expect.stringContaining("crashes on a plain question as well as on t/a"),
    });
    expect(setAside).toEqual([]);
  });
});

describe("an engine that says nothing", () => {
  test("counts as crashed, and the group is asked again in another", async () => {
    const hung: LanguageModel = { ...scriptedModel(() => ""), ask: () => new Promise(() => {}) };
    let open = hung;
    const { asker, crashes } = engines(() => false, {
      stallSeconds: 0.2,
      modelFor: async () => open,
      reopenModel: async () => {
        open = scriptedModel((text) => text.toUpperCase());
        return open;
      },
    });
    expect(texts(await asker.ask(group))).toEqual(["A", "B", "C", "D"]);
    expect(crashes).toEqual([expect.objectContaining({ message: expect.stringContaining("no reply for 0.2 s") })]);
  });

  test("is waited for as long as replies come, however slowly", async () => {
    const sound = scriptedModel((text) => text.toUpperCase());
    const slow: LanguageModel = {
      ...sound,
      ask: async (requests, options) => {
        const replies = await sound.ask(requests);
        for (const [index, reply] of replies.entries()) {
          await new Promise((resolve) => setTimeout(resolve, 250));
          options?.onReply?.(index, reply);
        }
        return replies;
      },
    };
    const { asker, crashes } = engines(() => false, { stallSeconds: 0.8, modelFor: async () => slow });
    expect(texts(await asker.ask(group))).toEqual(["A", "B", "C", "D"]);
    expect(crashes).toEqual([]);
  });

  test.each([
    [{}, 1800],
    [{ INWARD_STALL_SECONDS: "" }, 1800],
    [{ INWARD_STALL_SECONDS: "0" }, 0],
    [{ INWARD_STALL_SECONDS: "7200.5" }, 7200.5],
  ])("with %o for %d s", (env, seconds) => {
    expect(stallLimitSeconds(env)).toBe(seconds);
  });

  test.each(["soon", "-1", "Infinity"])("not for %s", (given) => {
    expect(() => stallLimitSeconds({ INWARD_STALL_SECONDS: given })).toThrow(
      expect.objectContaining({ code: "USAGE" }),
    );
  });
});

describe("a stage", () => {
  const questions = Array.from({ length: 7 }, (_, at) => question(String(at)));
  const stage = async (asker: GroupAsker<Question, Answer>) => {
    const path = join(await mkdtemp(join(tmpdir(), "inward-crash-")), "answers.jsonl");
    await askGroups(cutGroups(questions, 3), { path, asker });
    return readFile(path, "utf8");
  };

  test("through one crash gives the bytes of an undisturbed one", async () => {
    const { asker, crashes } = engines((text, engine) => engine === 1 && text === "4");
    expect(await stage(asker)).toBe(await stage(engines(() => false).asker));
    expect(crashes).toHaveLength(1);
  });

  test("writes a line for a question that was set aside, and its other groups as ever", async () => {
    const lines = (await stage(engines((text) => text === "4").asker)).trim().split("\n");
    const undisturbed = (await stage(engines(() => false).asker)).trim().split("\n");
    expect(lines).toHaveLength(7);
    expect(JSON.parse(lines[4] as string)).toMatchObject({ key: "t/4", setAside: "engine_crashed" });
    expect(lines.filter((_, at) => at !== 4)).toEqual(undisturbed.filter((_, at) => at !== 4));
  });
});

test("the noise floor leaves out a question without a reply, then or now", async () => {
  const { asker } = engines((text) => text === "c");
  const answered = new Map(["b", "c", "d"].map((item) => [`t/${item}`, replyOf(item.toUpperCase())]));
  const floor = await measureNoiseFloor("m", group, answered, asker);
  expect(floor).toMatchObject({ questions: 2, sameTokens: 2, maxLogprobDifference: 0 });
});
