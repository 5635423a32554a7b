/** `npx inward` in a checkout that was set up: what every text of ours tells a user to type, offline and without asking. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { INWARD_VERSION } from "../../src/base/version.js";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

test.each([".", "docs"])("runs the build from %s, with an empty cache and no network", (folder) => {
  const cache = mkdtempSync(join(tmpdir(), "inward-npx-"));
  try {
    const { status, stdout, stderr } = spawnSync("npx", ["inward", "--version"], {
      cwd: join(ROOT, folder),
      // Without a cache and a registry, what is not found here is an error.
      env: { ...process.env, npm_config_cache: cache, npm_config_offline: "true" },
      encoding: "utf8",
      shell: process.platform === "win32",
      input: "",
    });
    expect([status, stdout.trim(), stderr]).toEqual([0, INWARD_VERSION, expect.not.stringContaining("install")]);
  } finally {
    rmSync(cache, { recursive: true, force: true });
  }
});
