// The fuzzers of tests/fuzz with other seeds and more cases: node validation/fuzz.mjs --seed 7 --n 5000 [study|task|run]
import { spawnSync } from "node:child_process";
import { parseArgs } from "node:util";

const { values, positionals } = parseArgs({
  options: { seed: { type: "string", default: "1" }, n: { type: "string", default: "2000" } },
  allowPositionals: true,
});
for (const [name, value] of Object.entries(values)) {
  if (!/^\d{1,9}$/.test(value)) throw new Error(`--${name} wants a whole number, not "${value}"`);
}
const files = positionals.length === 0 ? ["tests/fuzz"] : positionals.map((name) => `tests/fuzz/${name}.test.ts`);
const { status } = spawnSync(
  process.execPath,
  ["node_modules/vitest/vitest.mjs", "run", "--testTimeout=3600000", ...files],
  { stdio: "inherit", env: { ...process.env, FUZZ_SEED: values.seed, FUZZ_N: values.n } },
);
process.exitCode = status ?? 1;
