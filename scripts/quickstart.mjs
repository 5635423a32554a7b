// npm run quickstart: from a fresh checkout to a report on the default model. Run it again and it goes on where it stopped.
import { prepare, run } from "./prepare.mjs";

prepare();
run("running studies/quickstart.yaml", process.execPath, [
  "dist/cli/main.js",
  "run",
  "studies/quickstart.yaml",
  ...process.argv.slice(2),
]);
