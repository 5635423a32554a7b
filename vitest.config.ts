import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

export default defineConfig({
  // Tests import what users import.
  resolve: { alias: { inward: fileURLToPath(new URL("src/index.ts", import.meta.url)) } },
  test: {
    include: ["tests/**/*.test.ts"],
    reporters: ["default", "./tests/helpers/closing-line.ts"],
    testTimeout: 120_000,
    hookTimeout: 300_000,
    // Two cores, one model in memory at a time: files that load a model run one after another.
    fileParallelism: false,
    pool: "forks",
  },
});
