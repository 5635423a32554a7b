// A second implementation of a benchmark of quantized files: the figures of Q8_0 and of ONNX graphs against F32, by NumPy, from logits that onnxruntime
// computed of the same files and tokens. Nothing of ours has a part in it but the tokens and the graphs' weights.
// INWARD_ONNX=<packages> node validation/recompute-quantize.mjs [python with numpy] [--model smollm2-135m-instruct]: python3 unless given. 8 windows and
// 24 strings: some minutes. Not in npm test, because onnxruntime's packages and NumPy are installed apart (npm run test:onnx installs the first).
import { spawnSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { prepare } from "../scripts/prepare.mjs";

prepare();
const { startCompareProcess } = await import("../dist/quantize/compare-logits.js");
const { onnxVariant } = await import("../dist/onnx/onnx-engine.js");
const { runQuantize } = await import("../dist/quantize/run-quantize.js");
const { cutWindows, readTextFile } = await import("../dist/quantize/text-windows.js");
const { modelFolder } = await import("../dist/model/model-file.js");

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { model: { type: "string", default: "smollm2-135m-instruct" } },
});
const python = positionals[0] ?? "python3";
/** Rows, and how their logits are computed here. */
const ROWS = [
  ["source", "none", 0],
  ["q8_0", "blocks", 0],
  ["onnx_f32", "none", 0],
  ["onnx_int8", "nbits8", 0],
  ["onnx_int4", "nbits4", 0],
  ["onnx_int4_a8", "nbits4", 4],
  ["onnx_dynamic_int8", "int8", 0],
];
const [CONTEXT, WINDOWS] = [128, 8];
const text = fileURLToPath(new URL("../docs/experiments.md", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "inward-recompute-quantize-"));
// Beside the models, so that an F32 graph may point into the GGUF.
const graphs = join(modelFolder(), `onnx-recompute.partial-${process.pid}`);
try {
  const yaml = join(folder, "study.yaml");
  writeFileSync(
    yaml,
    `quantize: recompute
source: { source: ${JSON.stringify(options.model)}, encoding: f32 }
types: [${ROWS.slice(1)
      .map(([name]) => name)
      .join(", ")}]
text: { file: ${JSON.stringify(text)}, context: ${CONTEXT}, windows: ${WINDOWS} }
tasks: [{ task: animals_long, trainStrings: 4, heldOutStrings: 12 }, { task: wealth_seeking, trainStrings: 4, heldOutStrings: 12 }]
noiseFloor: { questions: 0 }
speed: false
floorTexts: 1
`,
  );
  const run = join(folder, "run");
  const { plan, results } = await runQuantize(yaml, { out: run });
  const [source, rounded] = results.rows.map(({ variant }) => variant.path);
  // Without tasks, so that the text is what each file is read of a token at a time.
  const stepped = join(folder, "steps.yaml");
  writeFileSync(
    stepped,
    readFileSync(yaml, "utf8")
      .replace(/^(tasks|noiseFloor): .*$/gm, "")
      .replace("windows: 8", "windows: 2"),
  );
  await runQuantize(stepped, { out: join(folder, "steps") });
  const comparison = startCompareProcess(plan.engine);
  await comparison.call("open", [source, plan.engine, {}]);
  const { windows } = cutWindows(await comparison.call("fileIds", [readTextFile(text).text]), CONTEXT, WINDOWS);
  await comparison.end();
  const readings = {};
  for (const [name, quantization, accuracyLevel] of ROWS) {
    const path = name === "q8_0" ? rounded : source;
    const variant = await onnxVariant(path, join(graphs, name), { quantization, accuracyLevel });
    const open = await variant.open({ threads: plan.engine.threads });
    const file = openSync(join(folder, `${name}.npy`), "w");
    try {
      for (const [at, { ids, scoreFrom }] of windows.entries()) {
        // The last token is looked at and says nothing further.
        const rows = await open.logits(ids.slice(0, -1), ids.length - scoreFrom);
        if (at === 0) writeSync(file, npyHeader(windows.length * rows.length, rows[0].length));
        for (const row of rows) writeSync(file, new Uint8Array(row.buffer, row.byteOffset, row.byteLength));
      }
      const sequences = windows.slice(0, 1).map(({ ids, scoreFrom }) => ({
        promptIds: ids.slice(0, scoreFrom),
        answerIds: ids.slice(scoreFrom),
      }));
      const [whole, steps] = [await open.logprobs(sequences, "whole"), await open.logprobs(sequences, "steps")];
      readings[name] = { whole: whole[0].logprobs, steps: steps[0].logprobs };
    } finally {
      closeSync(file);
      await open.dispose();
    }
  }
  const targets = windows.map(({ ids, scoreFrom }) => ids.slice(scoreFrom));
  writeFileSync(join(folder, "targets.json"), JSON.stringify(targets));
  writeFileSync(join(folder, "readings.json"), JSON.stringify(readings));
  const script = fileURLToPath(new URL("recompute-quantize.py", import.meta.url));
  const { status } = spawnSync(python, [script, run, folder], { stdio: "inherit" });
  process.exitCode = status ?? 1;
} finally {
  rmSync(graphs, { recursive: true, force: true });
  rmSync(folder, { recursive: true, force: true });
}

/** Version 1.0, little-endian floats by rows. */
function npyHeader(rows, columns) {
  const text = `{'descr': '<f4', 'fortran_order': False, 'shape': (${rows}, ${columns}), }`;
  const length = 64 * Math.ceil((10 + text.length + 1) / 64) - 10;
  const header = Buffer.alloc(10 + length, " ");
  header.write("\x93NUMPY\x01\x00", 0, "latin1");
  header.writeUInt16LE(length, 8);
  header.write(text, 10, "latin1");
  header.write("\n", 10 + length - 1, "latin1");
  return header;
}
