// Downloads that go wrong: a hub that is silent, stalls, or does not have the file. Each ends soon, with its reason.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { downloadFromHuggingFace } from "../../src/model/sources/hugging-face.js";
import { type MadeHub, makeHub } from "../helpers/made-hub.js";

let hub: MadeHub | undefined;
afterEach(async () => {
  await hub?.close();
  hub = undefined;
});

const PATIENCE = { connectMilliseconds: 700, stallMilliseconds: 2_000 };
const content = new Uint8Array(500_000).map((_, index) => index % 253);
const URI = "hf:user/repo/m.gguf";

function download(url: string, signal?: AbortSignal) {
  const folder = mkdtempSync(join(tmpdir(), "inward-download-"));
  const env = { ...process.env, HF_ENDPOINT: url };
  return downloadFromHuggingFace(URI, { id: "m", folder, offline: false, env, signal }, PATIENCE);
}

describe("downloadFromHuggingFace", () => {
  it("gives the whole file, as inward's own", async () => {
    hub = await makeHub({ "m.gguf": content });
    const found = await download(hub.url);
    if (!found.ok) throw new Error(found.reason);
    expect(found).toMatchObject({ owned: true, origin: URI });
    expect(readFileSync(found.path).equals(content)).toBe(true);
  });

  it("gives up soon on a hub that does not answer", async () => {
    hub = await makeHub({}, "silent");
    expect(await download(hub.url)).toEqual({ ok: false, reason: "the hub did not answer within 0.7 s" });
  });

  it("gives up on a download that stalls", async () => {
    hub = await makeHub({ "m.gguf": content }, "stalling");
    const found = await download(hub.url);
    expect(found).toMatchObject({ ok: false, reason: expect.stringContaining("no byte came for 2 s") });
  }, 15_000);

  it("gives up on a file that the hub does not have", async () => {
    hub = await makeHub({});
    const found = await download(hub.url);
    expect(found.ok).toBe(false);
  }, 15_000);

  it("does not go on with a file that has another size than is expected", async () => {
    hub = await makeHub({ "m.gguf": content }, "stalling");
    const folder = mkdtempSync(join(tmpdir(), "inward-download-"));
    const request = { id: "m", folder, offline: false, bytes: 499_999, env: { ...process.env, HF_ENDPOINT: hub.url } };
    expect(await downloadFromHuggingFace(URI, request, PATIENCE)).toEqual({
      ok: false,
      reason: "the hub's file has 500000 bytes, but 499999 are expected",
    });
  }, 15_000);

  it("stops when it is told to", async () => {
    hub = await makeHub({ "m.gguf": content }, "stalling");
    const stopping = download(hub.url, AbortSignal.timeout(1_000));
    await expect(stopping).rejects.toMatchObject({ code: "INTERRUPTED" });
  }, 15_000);

  it("refuses to share a download with a process that is alive", async () => {
    hub = await makeHub({ "m.gguf": content });
    const folder = mkdtempSync(join(tmpdir(), "inward-download-"));
    const request = { id: "m", folder, offline: false, env: { HF_ENDPOINT: hub.url } };
    mkdirSync(join(folder, "downloads", "m"), { recursive: true });
    writeFileSync(join(folder, "downloads", "m", "pid"), String(process.ppid));
    expect(await downloadFromHuggingFace(URI, request, PATIENCE)).toMatchObject({
      reason: expect.stringContaining(String(process.ppid)),
    });
    expect(readdirSync(join(folder, "downloads", "m"))).toEqual(["pid"]);
  });
});
