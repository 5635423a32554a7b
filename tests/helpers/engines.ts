/** Every engine that runs here: the native one only where the addon is built. */
import { settleEngine } from "../../src/model/engines/settings.js";
import { DEFAULT_ENGINE } from "../../src/study/load-study.js";
import type { SettledEngine } from "../../src/study/study.js";

export const ENGINES: readonly SettledEngine["engine"][] =
  (await settleEngine(DEFAULT_ENGINE)).engine === "native" ? ["native", "node-llama-cpp"] : ["node-llama-cpp"];
