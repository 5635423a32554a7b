/** Real models' templates, from the llama.cpp source that node-llama-cpp brings, against what transformers renders from them. */

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { renderChat } from "../../src/model/chat/render.js";
import type { ChatMessage } from "../../src/tasks/answer.js";

/** Made by validation/jinja-renderings.py: for each template 8 digits of each rendering's sha256, `-` where jinja2 raises. */
const expected = JSON.parse(readFileSync(new URL("../fixtures/jinja/renderings.json", import.meta.url), "utf8")) as {
  conversations: [ChatMessage["role"], string][][];
  templates: Record<string, string>;
};
const bundle = fileURLToPath(new URL("../../node_modules/node-llama-cpp/llama/gitRelease.bundle", import.meta.url));

test.skipIf(!existsSync(bundle))(
  "70 templates render 45 conversations as transformers does, with and without the next turn",
  () => {
    const folder = mkdtempSync(join(tmpdir(), "inward-templates-"));
    try {
      execFileSync("git", ["clone", "-q", "--no-checkout", bundle, folder], { stdio: "pipe" });
      const differ: string[] = [];
      let compared = 0;
      for (const [name, hashes] of Object.entries(expected.templates)) {
        const template = execFileSync("git", ["-C", folder, "show", `HEAD:models/templates/${name}`], {
          encoding: "utf8",
        });
        const renderings = [true, false].flatMap((generationPrompt) =>
          expected.conversations.map((turns) => {
            const messages = turns.map(([role, content]) => ({ role, content }));
            try {
              const parts = renderChat(template, messages, { bosToken: "<s>", eosToken: "</s>" }, { generationPrompt });
              const text = parts.map((part) => part.text).join("");
              return createHash("sha256").update(text).digest("hex").slice(0, 8);
            } catch {
              return "-";
            }
          }),
        );
        compared += renderings.length;
        hashes.split(" ").forEach((hash, index) => {
          if (renderings[index] !== hash) differ.push(`${name} ${index}: ${renderings[index]} for ${hash}`);
        });
      }
      expect(compared).toBe(70 * 45 * 2);
      expect(differ).toEqual([]);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
  120_000,
);
