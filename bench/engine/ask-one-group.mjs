// One group of object-level questions through the whole native engine, text to replies, in this process: what a study's worker does but
// for the messages to its parent.
import { readFileSync } from "node:fs";

const { openNativeEngine } = await import("../../dist/model/engines/native.js");
const { settleEngine } = await import("../../dist/model/engines/settings.js");
const { DEFAULT_ENGINE } = await import("../../dist/study/load-study.js");
const { loadTask } = await import("../../dist/study/load-task.js");
const { objectLevelMessages } = await import("../../dist/tasks/task.js");

const { modelPath, items, threads } = JSON.parse(readFileSync(process.argv[2], "utf8"));
const { definition, train, heldOut } = await loadTask("animals_long");
const strings = [...train, ...heldOut];
if (strings.length < items) throw new Error(`animals_long has ${strings.length} strings, not ${items}.`);
const settings = await settleEngine({ ...DEFAULT_ENGINE, engine: "native", device: "cpu", threads }, [modelPath]);
const requests = strings.slice(0, items).map((item) => ({
  messages: objectLevelMessages(definition, item, { examples: true, system: "" }),
  maxTokens: definition.maxTokens,
  temperature: 0,
  topTokens: settings.topTokens,
  shares: "one",
}));
const engine = await openNativeEngine(modelPath, settings);
// Warms up, and tells what tokenizing takes: ask() does it again.
await engine.ask(requests.slice(0, Math.min(8, items)));
const openBytes = process.resourceUsage().maxRSS * 1024;
const tokenizing = await timed(() => engine.check(requests));
let cost;
const cpuBegun = process.cpuUsage();
const asking = await timed(() => engine.ask(requests, { onCost: (one) => (cost = one) }));
const cpu = process.cpuUsage(cpuBegun);
if (cost?.decodeSeconds === undefined) throw new Error("This build of the engine does not count seconds.");
process.stdout.write(
  `${JSON.stringify({
    seconds: asking.seconds,
    cpuSeconds: (cpu.user + cpu.system) / 1e6,
    tokenizeSeconds: tokenizing.seconds,
    ...cost,
    generatedTokens: asking.value.reduce((sum, { tokenIds }) => sum + tokenIds.length, 0),
    openBytes,
    peakBytes: process.resourceUsage().maxRSS * 1024,
  })}\n`,
);
process.exit(0);

async function timed(act) {
  const begun = performance.now();
  const value = await act();
  return { value, seconds: (performance.now() - begun) / 1000 };
}
