/** An engine's process that is started before it is known what it will open: taken once, by whoever wants its environment; never in the way. */
import { spawnSync } from "node:child_process";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { arithmeticEnvironment } from "../../src/model/arithmetic.js";
import { startEngineProcess, takeEngineProcess } from "../../src/model/engines/engine-process.js";

const folder = mkdtempSync(join(tmpdir(), "inward-engine-process-"));
let started = 0;
const count = () => {
  started++;
};
beforeAll(() => subscribe("child_process", count));
afterAll(() => {
  unsubscribe("child_process", count);
  rmSync(folder, { recursive: true, force: true });
});

/** Answers as an engine does that has nothing open. */
const serves = async (process: ReturnType<typeof takeEngineProcess>) => {
  await expect(process.remote.render([], {})).rejects.toMatchObject({ code: "INTERNAL" });
  await process.end();
};

test("it is taken once, and only for what its libraries read when they start", async () => {
  const usual = arithmeticEnvironment(false);
  startEngineProcess();
  expect(started).toBe(1);
  await serves(takeEngineProcess(usual));
  expect(started).toBe(1);
  await serves(takeEngineProcess(usual));
  expect(started).toBe(2);
  startEngineProcess();
  await serves(takeEngineProcess(arithmeticEnvironment(true)));
  expect(started).toBe(4);
});

test("who never takes it ends all the same, and so does it", () => {
  const script = join(folder, "untaken.mjs");
  const module = (path: string) => pathToFileURL(join(process.cwd(), "dist/model", path)).href;
  writeFileSync(
    script,
    `import { subscribe } from "node:diagnostics_channel";
     import { startEngineProcess } from "${module("engines/engine-process.js")}";
     let child;
     subscribe("child_process", (made) => { child = made.process; });
     startEngineProcess();
     console.log(child.pid);`,
  );
  const { status, stdout } = spawnSync(process.execPath, [script], { encoding: "utf8", timeout: 60_000 });
  expect(status).toBe(0);
  const pid = Number(stdout);
  expect(pid).toBeGreaterThan(1);
  const isGone = () => {
    try {
      process.kill(pid, 0);
      return false;
    } catch {
      return true;
    }
  };
  for (let tries = 0; !isGone() && tries < 300; tries++)
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
  expect(isGone()).toBe(true);
});
