/** What a command writes to stdout, run in this process. */
import type { Command } from "commander";
import { vi } from "vitest";

export async function printed(command: Command, ...args: string[]): Promise<string> {
  let text = "";
  const write = vi.spyOn(process.stdout, "write").mockImplementation((chunk) => {
    text += chunk;
    return true;
  });
  try {
    await command.parseAsync(args, { from: "user" });
  } finally {
    write.mockRestore();
  }
  return text;
}
