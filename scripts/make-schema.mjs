// Writes schemas/*.schema.json from the zod schemas in the built sources: node scripts/make-schema.mjs
import { writeFileSync } from "node:fs";
import { z } from "zod";
import { prepare } from "./prepare.mjs";

prepare();
const { studySchema } = await import("../dist/study/schema.js");
const { benchmarkSchema } = await import("../dist/quantize/benchmark.js");
const { taskFileSchema } = await import("../dist/tasks/strings.js");
for (const [name, schema] of Object.entries({ study: studySchema, task: taskFileSchema, quantize: benchmarkSchema })) {
  const path = new URL(`../schemas/${name}.schema.json`, import.meta.url);
  writeFileSync(path, `${JSON.stringify(z.toJSONSchema(schema, { io: "input" }), null, 2)}\n`);
}
