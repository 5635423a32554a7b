// npm run test:onnx: our own forward pass, tokens, prompts and answers beside onnxruntime and transformers.js. The two packages take
// 475 MB and go into a cache folder, not into node_modules: see docs/onnx.md. Some three minutes on two cores, most of them the default model's.
import { spawnSync } from "node:child_process";
import { prepare, run } from "./prepare.mjs";

prepare();
const { hasOnnxPackages, installWords } = await import("../dist/onnx/onnx-packages.js");
if (!hasOnnxPackages()) {
  const [npm, ...words] = installWords();
  process.stderr.write(`== ${npm} ${words.join(" ")}\n`);
  const shell = process.platform === "win32";
  const { status } = spawnSync(shell ? "npm.cmd" : npm, words, { stdio: "inherit", shell });
  if (status !== 0) process.exit(status ?? 130);
}
run("tiny models, real vocabularies", process.execPath, [
  "node_modules/vitest/vitest.mjs",
  "run",
  "tests/native/onnx.test.ts",
  "tests/native/onnx-benchmark.test.ts",
  "tests/model/onnx-tokenizer.test.ts",
]);
run("the default model, F32", process.execPath, [
  "dist/cli/main.js",
  ...["verify", "engine", "--against", "onnx", "--encoding", "f32"],
]);
