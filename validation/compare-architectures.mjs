// Holds tiny models of every architecture that can be trained, with and without an adapter, against transformers and PEFT: whether inward,
// its float64 reference and llama.cpp misread one together, and whether PEFT computes what an exported adapter is meant to.
// node validation/compare-architectures.mjs [--threads 2] [--write] [--json]
// --write keeps transformers' logprobs for tests/native/transformers.test.ts. Exit code 4 when a logprob differs by more than 1e-4 nats, or
// an adapter that PEFT writes is not read as the one that it has read.
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { createViteServer } from "vitest/node";
import { runPeer } from "../bench/train/peft-environment.mjs";
import { ROOT } from "../scripts/prepare.mjs";

const { values: options } = parseArgs({
  options: {
    threads: { type: "string", default: "2" },
    write: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
});
const REFERENCE = fileURLToPath(new URL("architectures_reference.py", import.meta.url));
const KEPT = join(ROOT, "tests", "fixtures", "transformers", "logprobs.json");
/** Single precision on their side; an adapter's effect is a thousand times as large. */
const GREATEST_DIFFERENCE = 1e-4;
const VERIFICATION_MISMATCH = 4;

const server = await createViteServer({
  root: ROOT,
  configFile: false,
  server: { middlewareMode: true },
  logLevel: "error",
});
const work = mkdtempSync(join(tmpdir(), "inward-transformers-"));
let rows;
try {
  rows = await compare();
} finally {
  await server.close();
  rmSync(work, { recursive: true, force: true });
}
process.stdout.write(options.json ? `${JSON.stringify(rows, null, 2)}\n` : table(rows));
const right = ({ base, adapted, imported }) => imported && Math.max(base, adapted) <= GREATEST_DIFFERENCE;
process.exit(rows.every(right) ? 0 : VERIFICATION_MISMATCH);

async function compare() {
  const helper = (name) => server.ssrLoadModule(`/tests/helpers/${name}.ts`);
  const { TINY_ARCHITECTURES } = await helper("tiny-architectures");
  const { KEPT_IDS, keptLogprobs, TOKEN_IDS, writeTransformersCase } = await helper("transformers-cases");
  const cases = [];
  for (const architecture of TINY_ARCHITECTURES) cases.push(await writeTransformersCase(work, architecture));
  const asked = cases.flatMap(({ modelPath, peft }) => [
    { gguf: modelPath, tokenIds: TOKEN_IDS },
    { gguf: modelPath, tokenIds: TOKEN_IDS, adapter: peft, again: `${peft}-again` },
  ]);
  const { logprobs, versions } = runPeer(REFERENCE, { cases: asked, keptIds: KEPT_IDS }, join(work, "request.json"), {
    threads: Number(options.threads),
  });
  const { importPeft } = await server.ssrLoadModule("/src/finetune/adapter/peft.ts");
  const found = [];
  for (const [at, { architecture, modelSha256, peft, model, adapter }] of cases.entries()) {
    const { heads, keyValueHeads } = model;
    const both = [peft, `${peft}-again`].map((path) => importPeft(path, { architecture, heads, keyValueHeads }));
    const [ours, theirs] = await Promise.all(both);
    const [base, adapted] = [logprobs[2 * at], logprobs[2 * at + 1]];
    found.push({
      kept: {
        architecture,
        modelSha256,
        adapterSha256: sha256(join(peft, "adapter_model.safetensors")),
        base,
        adapted,
      },
      row: {
        architecture,
        base: furthest(base, keptLogprobs(model)),
        adapted: furthest(adapted, keptLogprobs(model, adapter)),
        moved: furthest(base, adapted),
        // Names, shapes and every bit, as PEFT writes the adapter itself.
        imported: JSON.stringify(plain(ours)) === JSON.stringify(plain(theirs)),
      },
    });
  }
  if (options.write) {
    const lines = found.map(({ kept }) => `    ${JSON.stringify(rounded(kept))}`);
    writeFileSync(KEPT, `{\n  "versions": ${JSON.stringify(versions)},\n  "cases": [\n${lines.join(",\n")}\n  ]\n}\n`);
  }
  process.stderr.write(`== torch ${versions.torch}, transformers ${versions.transformers}, peft ${versions.peft}\n`);
  return found.map(({ row }) => row);
}

function plain({ alpha, rank, tensors }) {
  const sorted = [...tensors].sort(([a], [b]) => (a < b ? -1 : 1));
  return [alpha, rank, sorted.map(([name, { dimensions, values }]) => [name, dimensions, [...values]])];
}

function furthest(x, y) {
  return Math.max(...x.flatMap((row, at) => row.map((value, id) => Math.abs(value - y[at][id]))));
}

function rounded({ base, adapted, ...rest }) {
  const short = (rows) => rows.map((row) => row.map((value) => Number(value.toFixed(6))));
  return { ...rest, base: short(base), adapted: short(adapted) };
}

function sha256(path) {
  return createHash("sha256").update(readFileSync(path)).digest("hex");
}

function table(rows) {
  const cells = [
    ["architecture", "transformers", "with PEFT's adapter", "the adapter moves", "PEFT's file is read"],
    ...rows.map(({ architecture, base, adapted, moved, imported }) => [
      architecture,
      base.toExponential(1),
      adapted.toExponential(1),
      moved.toFixed(2),
      imported ? "the same" : "differs",
    ]),
  ];
  return `Largest difference of a logprob from the float64 reference, nats.\n${cells
    .map((row) =>
      row
        .map((cell) => cell.padEnd(22))
        .join("")
        .trimEnd(),
    )
    .join("\n")}\n`;
}
