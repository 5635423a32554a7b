/** The options that every command with one model shares. */
import { type Command, Option } from "commander";

export interface ModelOptions {
  readonly model: string;
  readonly encoding: "as_shipped" | "f16" | "f32";
  readonly device: "auto" | "cpu" | "cuda" | "vulkan" | "metal";
}

export function modelOptions(command: Command): Command {
  return command
    .option("-m, --model <model>", "registry name, hf: URI or path of a GGUF", "smollm2-135m-instruct")
    .addOption(
      new Option("--encoding <encoding>", "weights as they are, or re-encoded")
        .choices(["as_shipped", "f16", "f32"])
        .default("as_shipped"),
    )
    .addOption(
      new Option("--device <device>", "where to run")
        .choices(["auto", "cpu", "cuda", "vulkan", "metal"])
        .default("auto"),
    );
}
