/** From a path to the answers in it: samples of lm-evaluation-harness, or a log of inspect_ai. */

import { checkedLog, type ChosenBy, type ForeignLog, logFile } from "./foreign-answers.js";
import { readInspectLog } from "./inspect-log.js";
import { readSamples } from "./lm-eval-samples.js";

/**
 * @param path `samples_*.jsonl` of lm-evaluation-harness, or an inspect_ai log (`.json`, `.eval`)
 * @param choose by which of the harness' metrics an option is chosen that was scored by log-likelihood
 * @param alternatives likely tokens that are taken of each position; none, and no tokens, where absent
 * @throws InwardError IMPORT_SOURCE cannot be read, or is neither · IMPORT_INVALID with the line or the sample · IMPORT_EMPTY
 */
export async function readForeignLog(
  path: string,
  choose: ChosenBy = "acc",
  alternatives?: number,
): Promise<ForeignLog> {
  const file = logFile(path);
  const read = /\.(eval|json)$/i.test(path) ? await readInspectLog(path, alternatives) : readSamples(path, choose);
  return checkedLog({ ...file, ...read });
}
