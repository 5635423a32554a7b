/** Finds the compiled addon (trainer and engine), which scripts/build-native.mjs puts into native/build. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { InwardError } from "../../errors.js";
import { engineReleases } from "../engine/releases.js";

export interface AddonFound {
  /** Absolute. */
  readonly path: string;
  /** The releases it was built with; llama.cpp's equals the installed one. */
  readonly llamaCpp: string;
  readonly nodeLlamaCpp: string;
}

/** native/build; the same depth from src and from dist. */
export const BUILD_FOLDER = fileURLToPath(new URL("../../../native/build", import.meta.url));
const LOG_LINES = 4;

const stampSchema = z.object({ llamaCpp: z.string(), nodeLlamaCpp: z.string(), platform: z.string() });

/** @throws InwardError TRAIN_ADDON, with what the last build's log says when there is one */
export async function findAddon(buildFolder: string = BUILD_FOLDER): Promise<AddonFound> {
  const path = join(buildFolder, "inward-native.node");
  if (!existsSync(path)) throw new InwardError("TRAIN_ADDON", `the native addon is not built${lastBuild(buildFolder)}`);
  const { llamaCpp, nodeLlamaCpp, platform } = readStamp(join(buildFolder, "stamp.json"));
  const here = `${process.platform}-${process.arch}`;
  if (platform !== here) throw new InwardError("TRAIN_ADDON", `${path} was built for ${platform}, this is ${here}`);
  const installed = (await engineReleases()).llamaCpp;
  if (llamaCpp !== installed) {
    throw new InwardError(
      "TRAIN_ADDON",
      `${path} was built for llama.cpp ${llamaCpp}, but node-llama-cpp brings ${installed}`,
    );
  }
  return { path, llamaCpp, nodeLlamaCpp };
}

function readStamp(path: string): z.infer<typeof stampSchema> {
  try {
    return stampSchema.parse(JSON.parse(readFileSync(path, "utf8")));
  } catch (error) {
    throw new InwardError("TRAIN_ADDON", `${path}, which tells what the addon was built for, cannot be read`, {
      cause: error,
    });
  }
}

function lastBuild(buildFolder: string): string {
  const log = join(buildFolder, "build.log");
  if (!existsSync(log)) return "";
  const lines = readFileSync(log, "utf8")
    .split("\n")
    .filter((line) => line.trim() !== "");
  // Compilers go on after the first error, and several run at once: the end alone may tell nothing.
  const errors = lines.filter((line) => /\berror\b/i.test(line)).slice(0, LOG_LINES);
  const telling = [...new Set([...errors, ...lines.slice(errors.length > 0 ? -1 : -LOG_LINES)])];
  return telling.length === 0 ? "" : `; its last build failed:\n  ${telling.join("\n  ")}`;
}
