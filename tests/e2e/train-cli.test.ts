/** inward train as a user runs it, on a tiny model: what it writes, what it refuses, and how it goes on after Ctrl-C and kill -9. */
import { mkdtemp, readdir, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { inward, start } from "../helpers/command-line.js";
import { writeTinyModel } from "../helpers/tiny-model.js";

let folder: string;

const WORDS = ["teal", "plum", "gray", "rose", "lime", "sand"];
const chat = (count: number) =>
  Array.from({ length: count }, (_, at) =>
    JSON.stringify({
      messages: [
        { role: "user", content: `List ${WORDS[at % 6]} ${at % 4}. Say its letter number ${at % 5}.` },
        { role: "assistant", content: WORDS[(at * 5) % 6] },
      ],
    }),
  ).join("\n");

const OPTIONS = ["--model", "tiny.gguf", "--device", "cpu", "--threads", "1", "--rank", "4", "--epochs", "6"];
const STEPS = ["--batch-examples", "4", "--checkpoint-every-steps", "2", "--validate-every-steps", "3"];
const args = (out: string, more: readonly string[] = []) => [
  "train",
  "chat.jsonl",
  ...OPTIONS,
  ...STEPS,
  "--out",
  out,
  ...more,
];
const train = (out: string, more: readonly string[] = []) => inward(args(out, more), { cwd: folder });
/** Computes as the first one did. */
const same = ["--kernels-of", "whole.gguf"];
const bytesOf = (name: string) => readFile(join(folder, name));
const events = (stdout: string) =>
  stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "inward-train-cli-"));
  await writeTinyModel(join(folder, "tiny.gguf"), { seed: 11 });
  await writeFile(join(folder, "chat.jsonl"), chat(40));
});

describe("what is refused, before anything is trained", () => {
  const refused = async (more: readonly string[], code: string, words: RegExp, exit = 2) => {
    const finished = await inward(["train", ...more], { cwd: folder });
    expect(finished.stderr).toMatch(words);
    expect(finished.stderr).toContain(code);
    expect(finished.code).toBe(exit);
    expect(finished.stdout).toBe("");
  };
  const onTiny = ["chat.jsonl", "--model", "tiny.gguf", "--out", "a.gguf"];

  test("options that make no sense", async () => {
    await refused(["chat.jsonl", "--out", "a.bin"], "USAGE", /ends in \.gguf/);
    await refused([...onTiny, "--threads", "none"], "USAGE", /--threads wants/);
    await refused([...onTiny, "--learning-rate", "-1"], "TRAIN_SETTINGS", /--learning-rate -1/);
    await refused([...onTiny, "--targets", "q,lm_head"], "TRAIN_SETTINGS", /--targets/);
    await refused([...onTiny, "--learnin-rate", "1"], "learnin-rate", /unknown option/);
    await refused(["chat.jsonl", "--model", "tiny.gguf"], "--out", /required option/);
  });

  test("a set that cannot be learnt, with its line", async () => {
    await writeFile(join(folder, "bad.jsonl"), `${chat(2)}\n{"messages":[],"tools":[]}\n`);
    await writeFile(join(folder, "empty.jsonl"), "\n");
    await refused(["bad.jsonl", ...onTiny.slice(1)], "TRAIN_EXAMPLE", /bad\.jsonl, line 3.*"tools"/);
    await refused(["empty.jsonl", ...onTiny.slice(1)], "TRAIN_EMPTY_SET", /holds no examples/);
    await refused(["nowhere.jsonl", ...onTiny.slice(1)], "TRAIN_EXAMPLE", /ENOENT/);
    await refused([...onTiny, "--validation", "bad.jsonl"], "TRAIN_EXAMPLE", /line 3/);
  });

  test("a model or an adapter that is not there or is another thing", async () => {
    await refused(["chat.jsonl", "--model", "none.gguf", "--out", "a.gguf"], "MODEL_NOT_FOUND", /none\.gguf/, 3);
    await refused([...onTiny, "--init-adapter", "none.gguf"], "ADAPTER_NOT_FOUND", /none\.gguf/);
    await refused([...onTiny, "--init-adapter", "tiny.gguf"], "ADAPTER_INVALID", /adapter/);
    await refused([...onTiny, "--kernels-of", "none.gguf"], "ADAPTER_NOT_FOUND", /none\.gguf/);
  });
});

describe("a training", () => {
  let stdout: string;
  let stderr: string;
  beforeAll(async () => {
    const finished = await train("whole.gguf", ["--json", "--peft", "peft"]);
    if (finished.code !== 0) throw new Error(finished.stderr);
    ({ stdout, stderr } = finished);
  });

  test("writes adapter, card, README, figure and PEFT folder, and leaves no checkpoint", async () => {
    const names = await readdir(folder);
    for (const name of ["whole.gguf", "whole.card.json", "whole.README.md", "whole.loss.svg"]) {
      expect(names).toContain(name);
    }
    expect(names).not.toContain("whole.checkpoint");
    expect((await readdir(join(folder, "peft"))).sort()).toEqual(
      expect.arrayContaining(["adapter_config.json", "adapter_model.safetensors"]),
    );
    expect(await readFile(join(folder, "whole.loss.svg"), "utf8")).toContain("validation examples");
  });

  test("prints one object a line: every step, and at the end the card's summary", async () => {
    const lines = events(stdout);
    const card = JSON.parse(await readFile(join(folder, "whole.card.json"), "utf8"));
    expect(lines[0]).toMatchObject({ kind: "training_opened", architecture: "llama" });
    const steps = lines.filter(({ kind }) => kind === "training_step");
    expect(steps.map(({ lossNatsPerToken }) => lossNatsPerToken)).toEqual(
      card.losses.map((point: { lossNatsPerToken: number }) => point.lossNatsPerToken),
    );
    expect(lines.filter(({ kind }) => kind === "training_checkpoint").length).toBeGreaterThan(0);
    expect(lines.at(-1)).toMatchObject({
      kind: "training_done",
      sha256: card.adapter.sha256,
      steps: card.losses.length,
      base: card.base,
      adapter: "whole.gguf",
    });
  });

  test("shows steps, loss and rates on stderr", () => {
    expect(stderr).toMatch(/training: step \d+\/\d+ · loss \d\.\d+ · \d+ example tokens\/s \(\d+ evaluated\)/);
  });

  test("learns: the loss falls", async () => {
    const { losses } = JSON.parse(await readFile(join(folder, "whole.card.json"), "utf8"));
    expect(losses.at(-1).lossNatsPerToken).toBeLessThan(losses[0].lossNatsPerToken * 0.8);
  });

  test("killed at several moments and started again ends with the same adapter", async () => {
    const json = args("killed.gguf", [...same, "--json"]);
    const last = Number(/"totalSteps":(\d+)/.exec(stdout)?.[1]);
    // Before the first checkpoint, after some, and when only the adapter's own files are still to be written.
    const moments = ['"training_opened"', '"step":1,', '"step":7,', '"step":8,', '"step":21,', `"step":${last},`];
    const resumedAfter: number[] = [];
    for (const moment of moments) {
      const { child, finished } = start(json, { cwd: folder });
      child.stdout?.on("data", (text: string) => text.includes(moment) && child.kill("SIGKILL"));
      const killed = await finished;
      expect(killed.signal).toBe("SIGKILL");
      resumedAfter.push(Number(/"training_resumed","step":(\d+)/.exec(killed.stdout)?.[1] ?? 0));
    }
    // Where a kill falls within a step is not ours to say; that no attempt begins again from nothing is.
    expect(resumedAfter.slice(0, 2)).toEqual([0, 0]);
    expect(resumedAfter[3]).toBeGreaterThan(0);
    expect(resumedAfter).toEqual([...resumedAfter].sort((a, b) => a - b));
    expect((await train("killed.gguf", same)).code).toBe(0);
    expect(await bytesOf("killed.gguf")).toEqual(await bytesOf("whole.gguf"));
    expect(await bytesOf("killed.card.json")).toEqual(await bytesOf("whole.card.json"));
    expect((await readdir(folder)).filter((name) => /killed.*(checkpoint|saving)/.test(name))).toEqual([]);
  });

  test("by Ctrl-C leaves with 130 after a checkpoint, and goes on to the same adapter", async () => {
    const { child, finished } = start(args("stopped.gguf", [...same, "--json"]), { cwd: folder });
    child.stdout?.on("data", (text: string) => {
      if (text.includes('"step":5,') && !child.killed) child.kill("SIGINT");
    });
    const { code, stderr } = await finished;
    expect(stderr).toContain("INTERRUPTED");
    expect(code).toBe(130);
    expect(await readdir(join(folder, "stopped.checkpoint"))).toEqual(["checkpoint.bin"]);
    const again = await train("stopped.gguf", same);
    expect(again.stderr).toMatch(/Going on after step \d+/);
    expect(again.code).toBe(0);
    expect(await bytesOf("stopped.gguf")).toEqual(await bytesOf("whole.gguf"));
  });

  test("goes on from a PEFT folder as from the adapter itself", async () => {
    const more = [...same, "--max-steps", "2", "--validation", "chat.jsonl"];
    for (const [out, from] of [
      ["from-gguf.gguf", "whole.gguf"],
      ["from-peft.gguf", "peft"],
    ]) {
      const finished = await train(out as string, [...more, "--init-adapter", from as string]);
      expect(finished.stderr).toMatch(from === "peft" ? /no card/ : /training/);
      expect(finished.code).toBe(0);
    }
    expect(await bytesOf("from-peft.gguf")).toEqual(await bytesOf("from-gguf.gguf"));
  });
});
