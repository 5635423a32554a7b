/** inward probe: looking inside. Models whose mechanism is known, to hold a detector against. */

import { Command } from "commander";
import { type PlantedOptions, writePlantedStudy } from "../probe/planted-model.js";
import { MOST_PLANTED_ITEMS } from "../probe/planted-vocabulary.js";
import { LEARNER, MECHANISMS } from "../probe/planted-weights.js";
import { jsonOption, type JsonOption, number, wholeNumber } from "./options.js";
import { print, printJson } from "./output.js";
import { probeAttributionCommand } from "./probe-attribution.js";
import { probeHeadsCommand } from "./probe-heads.js";
import { probeLayersCommand } from "./probe-layers.js";
import { probePatchscopeCommand } from "./probe-patchscope.js";
import { probeSpansCommand } from "./probe-spans.js";
import { probeSubspaceCommand } from "./probe-subspace.js";

interface PlantedCommandOptions extends JsonOption {
  readonly mechanism: string;
  readonly items: string;
  readonly seed: string;
  readonly dose?: string;
  readonly out: string;
}

export function probeCommand(): Command {
  const command = new Command("probe").description("Look inside a model, and make models to try a detector on.");
  const planted = command
    .command("planted")
    .description(
      "Make a model whose mechanism is known, with its task and a study that asks it: the color that goes with two items, and a\n" +
        "property of that color. All mechanisms say the same to every prompt. A writes the answer where the unembedding reads it, and\n" +
        "computes the property from it; B looks the property up, the answer never written; C as B, with the answer written beside,\n" +
        "unread, and erased; D as A, in a rotated basis; E as B, with the answer written after the property; dose: a share through A; learner: A's\n" +
        "answer, read by nothing until an adapter is trained.",
    )
    .requiredOption("--mechanism <name>", `${MECHANISMS.join(", ")}, dose or ${LEARNER}`)
    .option("--items <n>", `items of each slot, and answers: 2 to ${MOST_PLANTED_ITEMS}`, "8")
    .option("--seed <seed>", "which answers have the property, D's rotation, which strings a dose is of", "1")
    .option("--dose <share>", "of the strings, from 0 to 1; with --mechanism dose")
    .requiredOption("-o, --out <folder>", "for planted.gguf, planted.yaml with its strings, and study.yaml");
  jsonOption(planted).action(makePlanted);
  command.addCommand(probeSpansCommand());
  command.addCommand(probeAttributionCommand());
  command.addCommand(probeHeadsCommand());
  command.addCommand(probeLayersCommand());
  command.addCommand(probeSubspaceCommand());
  command.addCommand(probePatchscopeCommand());
  return command;
}

async function makePlanted({ json, out, ...options }: PlantedCommandOptions): Promise<void> {
  const made = await writePlantedStudy(out, {
    mechanism: options.mechanism as PlantedOptions["mechanism"],
    items: wholeNumber("--items", options.items),
    seed: number("--seed", options.seed),
    ...(options.dose === undefined ? {} : { dose: number("--dose", options.dose) }),
  });
  const { path, sha256, bytes, strings, truth, study, task } = made;
  if (json) {
    const { items, answerOf, propertyOf, answerDirections, valueDirections } = truth;
    const known = { items, answers: made.answers, answerOf, propertyOf, answerDirections, valueDirections };
    printJson({ model: path, sha256, bytes, task, study, strings, truth: known });
    return;
  }
  const through = strings.filter(({ viaAnswer }) => viaAnswer).length;
  print(`${path} (${bytes} bytes, sha256 ${sha256.slice(0, 12)}…)\n${task}\n${study}`);
  print(`${strings.length} strings, ${through} of them by way of the answer. Next: npx inward run ${study}`);
}
