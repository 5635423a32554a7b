// The viewer and its page in a real headless Chromium: what scripts that watch it share.
import { spawn } from "node:child_process";
import { chromium } from "playwright-core";
import { findOrFetchChromium } from "../scripts/fetch-chromium.mjs";
import { MAIN } from "./inward-processes.mjs";

/**
 * @param runs a run, or a folder of runs
 * @param options.cwd of the viewer; options.viewport of the page
 * @returns the viewer's address, the browser and a page of it, which has loaded nothing, and what ends them all
 */
export async function openViewer(runs, { cwd, viewport } = {}) {
  const { path, missing } = findOrFetchChromium();
  if (missing) throw new Error(`no Chromium: ${missing}`);
  const viewer = spawn(process.execPath, [MAIN, "view", runs, "--json"], { cwd, stdio: ["ignore", "pipe", "inherit"] });
  try {
    const address = await addressOf(viewer);
    const browser = await chromium.launch({ executablePath: path, args: ["--no-sandbox"] });
    const page = await browser.newPage({ viewport });
    const close = async () => {
      await browser.close();
      viewer.kill("SIGINT");
    };
    return { address, browser, page, close };
  } catch (error) {
    viewer.kill("SIGINT");
    throw error;
  }
}

function addressOf(viewer) {
  let said = "";
  return new Promise((done, failed) => {
    viewer.once("close", (status) => failed(new Error(`the viewer ended with ${status} and no address`)));
    viewer.stdout.on("data", (text) => {
      said += text;
      if (said.includes("}\n")) done(JSON.parse(said).address);
    });
  });
}
