import { defineConfig } from "vitest/config";

export default defineConfig({
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
