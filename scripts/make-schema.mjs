// Writes schemas/study.schema.json from the zod schema in the built sources: node scripts/make-schema.mjs
import { writeFileSync } from "node:fs";
import { z } from "zod";
import { prepare } from "./prepare.mjs";

prepare();
const { studySchema } = await import("../dist/study/schema.js");
const schema = z.toJSONSchema(studySchema, { io: "input" });
writeFileSync(new URL("../schemas/study.schema.json", import.meta.url), `${JSON.stringify(schema, null, 2)}\n`);
