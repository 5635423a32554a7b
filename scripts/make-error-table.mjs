// Writes the table of errors in docs/errors.md from src/errors.ts (built): node scripts/make-error-table.mjs
import { readFileSync, writeFileSync } from "node:fs";
import { prepare } from "./prepare.mjs";

prepare();
const { ERRORS } = await import("../dist/errors.js");
const rows = Object.entries(ERRORS).map(([code, { exit, hint }]) => `| \`${code}\` | ${exit} | ${hint} |`);
const table = ["| code | exit | what to do |", "|---|---|---|", ...rows].join("\n");
const path = new URL("../docs/errors.md", import.meta.url);
const readme = readFileSync(path, "utf8");
writeFileSync(path, readme.replace(/ERRORTABLE|\| code \| exit \|[\s\S]*?(?=\n\n)/, table));
