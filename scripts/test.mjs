// npm test: types, style, then every test. Arguments go to vitest, e.g. npm test -- tests/unit
import { prepare, run } from "./prepare.mjs";

prepare();
run("checking types", process.execPath, ["node_modules/typescript/bin/tsc", "--noEmit"]);
run("checking the page's types", process.execPath, ["node_modules/typescript/bin/tsc", "-p", "page"]);
run("checking style", process.execPath, ["node_modules/@biomejs/biome/bin/biome", "check", "."]);
run("running tests", process.execPath, ["node_modules/vitest/vitest.mjs", "run", ...process.argv.slice(2)]);
