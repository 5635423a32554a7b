// A second implementation of a benchmark of quantized files: the figures of Q8_0 against F32, by NumPy, from logits that onnxruntime computed of
// the same files and tokens. Nothing of ours has a part in it but the tokens and the graphs' weights.
// INWARD_ONNX=<packages> node validation/recompute-quantize.mjs [python with numpy]: python3 unless given. Asks SmolLM2, 8 windows and 24 strings:
// some minutes. Not in npm test, because onnxruntime's packages and NumPy are installed apart (npm run test:onnx installs the first).
import { spawnSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { prepare } from "../scripts/prepare.mjs";

prepare();
const { startCompareProcess } = await import("../dist/model/engines/compare-logits.js");
const { onnxVariant } = await import("../dist/onnx/onnx-engine.js");
const { runQuantize } = await import("../dist/quantize/run-quantize.js");
const { cutWindows, readTextFile } = await import("../dist/quantize/text-windows.js");
const { modelFolder } = await import("../dist/model/model-file.js");

const python = process.argv[2] ?? "python3";
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
source: { source: smollm2-135m-instruct, encoding: f32 }
types: [q8_0]
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
  const comparison = startCompareProcess(plan.engine);
  await comparison.call("open", [source, plan.engine, {}]);
  const { windows } = cutWindows(await comparison.call("fileIds", [readTextFile(text).text]), CONTEXT, WINDOWS);
  await comparison.end();
  for (const [name, path, quantization] of [
    ["source", source, "none"],
    ["q8_0", rounded, "blocks"],
  ]) {
    const variant = await onnxVariant(path, join(graphs, name), { quantization });
    const open = await variant.open({ threads: plan.engine.threads });
    const file = openSync(join(folder, `${name}.npy`), "w");
    try {
      for (const [at, { ids, scoreFrom }] of windows.entries()) {
        // The last token is looked at and says nothing further.
        const rows = await open.logits(ids.slice(0, -1), ids.length - scoreFrom);
        if (at === 0) writeSync(file, npyHeader(windows.length * rows.length, rows[0].length));
        for (const row of rows) writeSync(file, new Uint8Array(row.buffer, row.byteOffset, row.byteLength));
      }
    } finally {
      closeSync(file);
      await open.dispose();
    }
  }
  const targets = windows.map(({ ids, scoreFrom }) => ids.slice(scoreFrom));
  writeFileSync(join(folder, "targets.json"), JSON.stringify(targets));
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
