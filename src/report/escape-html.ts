/** Plain text as HTML text, safe between tags and in double-quoted attributes. */
import { visibleText } from "./visible-text.js";

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
  "`": "&#96;",
};

export function escapeHtml(text: string, lines: "keep" | "mark" = "mark"): string {
  return visibleText(text, lines).replace(/[&<>"'`]/g, (character) => ENTITIES[character] as string);
}
