/** A base model, a file without a chat template: asked, trained and asked again with what it learnt, on the command line alone. */
import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { inward } from "../helpers/command-line.js";
import { writeTinyModel } from "../helpers/tiny-model.js";

let folder: string;
const TINY = ["--model", "base.gguf", "--device", "cpu"];
const run = (...args: string[]) => inward(args, { cwd: folder });

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "inward-plain-cli-"));
  await writeTinyModel(join(folder, "base.gguf"), { seed: 5, chat: "base", contextLength: 1024 });
  const lines = ["teal", "plum", "gray", "rose"].flatMap((word) =>
    ["one", "two", "three"].map((number) =>
      JSON.stringify({
        messages: [
          { role: "user", content: `${number} ${word}:` },
          { role: "assistant", content: " the." },
        ],
      }),
    ),
  );
  await writeFile(join(folder, "text.jsonl"), lines.join("\n"));
});

test("without a word it is refused with what asks it", async () => {
  const { code, stderr } = await run("ask", "the cat:", ...TINY);
  expect(code).toBe(3);
  expect(stderr).toContain("--chat plain");
});

test("a task is asked in its plain words, and learns to end its line as asking ends it", async () => {
  const asked = await run("ask", "a b c d e", "--task", "animals_long", "--chat", "plain", "--json", ...TINY);
  expect(asked.stderr).toBe("");
  const { prompt } = JSON.parse(asked.stdout);
  expect(prompt.text).toMatch(/^Animals: .*\nFive more animals: .*\nAnimals: a b c d e\nFive more animals:$/s);

  const training = ["--rank", "4", "--epochs", "40", "--learning-rate", "0.01", "--threads", "1", "--out", "a.gguf"];
  const trained = await run("train", "text.jsonl", "--chat", "plain", ...training, ...TINY);
  expect([trained.code, trained.code === 0 ? "" : trained.stderr]).toEqual([0, ""]);
  const again = await run("ask", "two plum:", "--adapter", "a.gguf", "--chat", "plain", "--json", ...TINY);
  expect(JSON.parse(again.stdout).reply).toMatchObject({ text: " the.", stop: "end_of_line" });
});
