/** Plain text as Markdown (GitHub's dialect): in a line, as code in a line, in a fence. */
import { visibleText } from "./visible-text.js";

/** Text in a line: in a paragraph, list item or table cell. */
export function escapeMarkdown(text: string): string {
  return visibleText(text, "mark")
    .replace(/[\\`*_{}[\]|~$]/g, "\\$&")
    .replace(/&/g, "&amp;")
    .replace(/</g, "&lt;")
    .replace(/>/g, "&gt;");
}

/** Escaped text that begins a line, so that it is no heading and no list. */
export function atLineStart(escaped: string): string {
  return escaped
    .replace(/^\s+/, "")
    .replace(/^(?:([#+=-])|(\d+)([.)]))/, (_, sign?: string, digits?: string, dot?: string) =>
      sign ? `\\${sign}` : `${digits}\\${dot}`,
    );
}

/** Code in a line. What a table could take for a border is written as plain text instead. */
export function markdownCode(text: string): string {
  const seen = visibleText(text, "mark");
  if (/[\\|]/.test(seen) || seen.trim() === "") return escapeMarkdown(text);
  const ticks = "`".repeat(longestRun(seen) + 1);
  const pad = seen.startsWith("`") || seen.endsWith("`") || ticks.length > 1 ? " " : "";
  return `${ticks}${pad}${seen}${pad}${ticks}`;
}

/** Preformatted text, whatever it contains. */
export function markdownFence(text: string): string {
  const seen = visibleText(text, "keep");
  const fence = "`".repeat(Math.max(3, longestRun(seen) + 1));
  return `${fence}text\n${seen}\n${fence}`;
}

function longestRun(text: string): number {
  return Math.max(0, ...[...text.matchAll(/`+/g)].map(([run]) => run.length));
}
