// npm test: types, style, then every test. Arguments go to vitest, e.g. npm test -- tests/unit
import { prepare, run } from "./prepare.mjs";

prepare();
run("checking types", process.execPath, ["node_modules/typescript/bin/tsc", "--noEmit"]);
run("checking style", process.execPath, ["node_modules/@biomejs/biome/bin/biome", "check", "."]);
// Every kernel is tested, those on a BLAS too.
run("getting a BLAS for training", process.execPath, ["dist/cli/main.js", "blas", "pull", "--if-none"]);
run("running tests", process.execPath, ["node_modules/vitest/vitest.mjs", "run", ...process.argv.slice(2)]);
