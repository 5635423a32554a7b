/** Processes with native code end with their parent, and when they are told to, whatever they are doing. */
import { spawn } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect, test, vi } from "vitest";
import { builtScript, WorkerProcess } from "../../src/model/worker-process.js";

const folder = mkdtempSync(join(tmpdir(), "inward-worker-"));
const built = pathToFileURL(builtScript("../../src/model/worker-process.js", import.meta.url).replace("/tests/", "/"));

/** Never hears of anything again once it spins. */
const worker = join(folder, "worker.mjs");
writeFileSync(
  worker,
  `import { serveParent } from ${JSON.stringify(built.href)};
   serveParent(({ signal, note }) => ({ pid: () => process.pid, spin: () => { for (;;); }, speak: async () => { for (let at = 0; at < 100 && !signal.aborted; at++) { note(at); await new Promise((done) => setTimeout(done, 50)); } }, names: () => Object.keys(process.env) }), () => "ENGINE_CRASHED");`,
);
const options = { script: worker, owner: "spinner", crashCode: "ENGINE_CRASHED" } as const;
type Methods = { pid(): number; spin(): void; speak(): void; names(): string[] };

const isAlive = (pid: number) => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

async function gone(pid: number, seconds: number): Promise<boolean> {
  for (const end = Date.now() + 1000 * seconds; Date.now() < end; ) {
    if (!isAlive(pid)) return true;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return false;
}

test.each(["SIGKILL", "SIGTERM"] as const)("a worker in an endless loop ends after its parent's %s", async (signal) => {
  const parent = join(folder, "parent.mjs");
  writeFileSync(
    parent,
    `import { WorkerProcess } from ${JSON.stringify(built.href)};
     const worker = new WorkerProcess(${JSON.stringify(options)});
     const pid = await worker.remote.pid();
     worker.remote.spin();
     process.stdout.write(String(pid) + "\\n");
     setInterval(() => {}, 1000);`,
  );
  const child = spawn(process.execPath, [parent], { stdio: ["ignore", "pipe", "inherit"] });
  const pid = Number(await new Promise((resolve) => child.stdout.once("data", resolve)));
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(isAlive(pid)).toBe(true);
  child.kill(signal);
  expect(await gone(pid, 5)).toBe(true);
});

test("no token of the environment goes along, and all else does", async () => {
  const secret = [
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
    "OPENAI_API_KEY",
    "AWS_SECRET_ACCESS_KEY",
    "PIP_INDEX_URL",
    "NPM_CONFIG__AUTH",
  ];
  const plain = ["CUDA_VISIBLE_DEVICES", "LD_LIBRARY_PATH", "INWARD_MODELS", "XDG_CACHE_HOME", "OMP_NUM_THREADS"];
  for (const name of [...secret, ...plain]) vi.stubEnv(name, process.env[name] ?? "marker");
  const own = new WorkerProcess<Methods>(options);
  const names = await own.remote.names();
  await own.end();
  vi.unstubAllEnvs();
  expect(names.filter((name) => secret.includes(name))).toEqual([]);
  expect(names).toEqual(expect.arrayContaining(plain));
});

test("who throws where notes are heard has thrown in the call: the process goes on", async () => {
  const own = new WorkerProcess<Methods, number>(options);
  let heard = 0;
  const onNote = () => {
    heard++;
    throw new Error("no more of that");
  };
  await expect(own.call("speak", [], { onNote })).rejects.toThrow("no more of that");
  expect(await own.remote.pid()).toBeGreaterThan(1);
  expect(heard).toBe(1);
  await own.end();
});

test("one that does not stop when it is told to is ended, and the call was interrupted", async () => {
  const spinner = new WorkerProcess<Methods>({ ...options, stopSeconds: 0.5 });
  const pid = await spinner.remote.pid();
  const controller = new AbortController();
  const spinning = spinner.call("spin", [], { signal: controller.signal });
  setTimeout(() => controller.abort(), 100);
  await expect(spinning).rejects.toMatchObject({ code: "INTERRUPTED", message: expect.stringContaining("spinner") });
  expect(await gone(pid, 5)).toBe(true);
});
