// Do inward's statistics keep their promises where the truth is known? 1,000 made-up studies for each scenario, fixed seeds.
// node validation/validate-statistics.mjs [--replications 1000] [--bootstrap 400] [--only <part of a scenario's name>] [--fresh] [--print]
// Needs dist/ (npm run build). Finished scenarios stand in bench/results/validate-statistics.json and are not run again with as many studies unless --fresh;
// the tables between the marks in docs/validation.md are written from there. --print writes nothing and prints instead.
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { loadScoring } from "./load-scoring.mjs";
import { runScenario } from "./run-scenario.mjs";
import { SCENARIOS } from "./scenarios.mjs";
import { tablesOf } from "./tables.mjs";

const RESULTS = fileURLToPath(new URL("../bench/results/validate-statistics.json", import.meta.url));
const PAGE = fileURLToPath(new URL("../docs/validation.md", import.meta.url));
const MARKS = ["<!-- tables -->", "<!-- end of tables -->"];

const { values: options } = parseArgs({
  options: {
    replications: { type: "string", default: "1000" },
    bootstrap: { type: "string", default: "400" },
    only: { type: "string" },
    fresh: { type: "boolean", default: false },
    print: { type: "boolean", default: false },
  },
});
const settings = {
  replications: Number(options.replications),
  bootstrapReplicates: Number(options.bootstrap),
  confidence: 0.95,
};
const scoring = await loadScoring();
let known = options.fresh || options.print ? [] : earlier();
for (const [place, scenario] of SCENARIOS.entries()) {
  if (options.only !== undefined && !scenario.name.includes(options.only)) continue;
  // A scenario that asks something else of the same world is run again.
  const same = (one) =>
    one.name === scenario.name &&
    JSON.stringify(one.world) === JSON.stringify(scenario.world) &&
    one.measures.map(({ name }) => name).join() === Object.keys(scenario.measures).join() &&
    one.settings.confidence === settings.confidence &&
    one.settings.replications >= settings.replications &&
    one.settings.bootstrapReplicates >= settings.bootstrapReplicates;
  if (known.some(same)) continue;
  const started = process.hrtime.bigint();
  // Seeds of scenarios lie apart, so that no two share a study.
  const result = {
    ...runScenario(scoring, scenario, { ...settings, firstSeed: place * 100_000 }),
    world: scenario.world,
    settings,
  };
  known = [...known.filter(({ name }) => name !== scenario.name), result];
  const seconds = Number(process.hrtime.bigint() - started) / 1e9;
  const shares = result.measures.map(
    ({ name, share, ok }) => `${name} ${share?.toFixed(3)}${ok === false ? " (!)" : ""}`,
  );
  process.stderr.write(`${scenario.name} (${seconds.toFixed(0)} s): ${shares.join("; ")}\n`);
  if (!options.print) save();
}
const ordered = SCENARIOS.flatMap(({ name }) => known.filter((one) => one.name === name));
if (options.print) process.stdout.write(`${tablesOf(ordered)}\n`);
else {
  const page = readFileSync(PAGE, "utf8");
  const [before, rest] = page.split(MARKS[0]);
  const after = rest.split(MARKS[1])[1];
  writeFileSync(PAGE, `${before}${MARKS[0]}\n\n${tablesOf(ordered)}\n\n${MARKS[1]}${after}`);
}

/** Each with the settings that it was made with: a scenario may have had fewer studies than the others. */
function earlier() {
  return JSON.parse(readFileSync(RESULTS, "utf8")).scenarios;
}

function save() {
  const scenarios = SCENARIOS.flatMap(({ name }) => known.filter((one) => one.name === name));
  writeFileSync(RESULTS, `${JSON.stringify({ scenarios }, null, 1)}\n`);
}
