/** A report document as Markdown: tables in GitHub's dialect, figures as files beside it. */

import {
  type Block,
  type Card,
  type Inline,
  type ReportDocument,
  type Table,
  type TableCell,
  visibleText,
} from "./document.js";

// Plain text as Markdown (GitHub's dialect): in a line, as code in a line, in a fence.

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

export function renderMarkdown(document: ReportDocument): string {
  const parts = [
    `# ${escapeMarkdown(document.title)}`,
    escapeMarkdown(document.subtitle),
    ...document.opening.map(renderBlock),
    ...document.sections.flatMap((section) => [
      `<a id="${section.id}"></a>`,
      `## ${escapeMarkdown(section.title)}`,
      ...section.blocks.map(renderBlock),
    ]),
  ];
  return `${parts.join("\n\n")}\n`;
}

function renderBlock(block: Block): string {
  switch (block.kind) {
    case "paragraph":
      return atLineStart(renderInlines(block.text));
    case "verdict":
      return renderVerdict(block);
    case "subheading":
      return `### ${escapeMarkdown(block.title)}`;
    case "list":
      return block.items.map((item) => `- ${atLineStart(renderInlines(item))}`).join("\n");
    case "facts":
      return block.facts.map(({ name, value }) => `- **${escapeMarkdown(name)}**: ${renderInlines(value)}`).join("\n");
    case "verbatim":
      return `${atLineStart(escapeMarkdown(block.label))}:\n\n${markdownFence(block.text)}`;
    case "trials":
      return escapeMarkdown(block.words);
    case "figure":
      return `**${escapeMarkdown(block.title)}**\n\n![${escapeMarkdown(block.title)}](figures/${block.name}.svg)\n\n${atLineStart(escapeMarkdown(block.caption))}`;
    case "card":
      return renderCard(block);
    case "table":
      return renderTable(block);
  }
}

function renderInlines(inlines: readonly Inline[]): string {
  return inlines.map(renderInline).join("");
}

function renderInline(inline: Inline): string {
  if (typeof inline === "string") return escapeMarkdown(inline);
  if ("code" in inline) return markdownCode(inline.code);
  if ("link" in inline) return `[${escapeMarkdown(inline.text)}](#${inline.link})`;
  const text = inline.strong.trimEnd();
  return text === "" ? "" : `**${escapeMarkdown(text)}**${escapeMarkdown(inline.strong.slice(text.length))}`;
}

function renderVerdict({ title, ids, lead, more }: Extract<Block, { kind: "verdict" }>): string {
  const head = title.length > 0 ? [`**${renderInlines(title)}**${idList(ids)}`, ""] : [];
  const rest = more.length > 0 ? ["", ...more.map((text) => `- ${atLineStart(renderInlines(text))}`)] : [];
  return [...head, renderInlines(lead), ...rest].map((line) => `> ${line}`.trimEnd()).join("\n");
}

function idList(ids: readonly string[] | undefined): string {
  return ids && ids.length > 0 ? ` (${ids.map(markdownCode).join(", ")})` : "";
}

function renderCard({ title, verdict, texts }: Card): string {
  const parts = texts.map(({ label, text }) =>
    text === "" ? `${escapeMarkdown(label)}: (empty)` : `${escapeMarkdown(label)}:\n\n${markdownFence(text)}`,
  );
  return [`#### ${renderInlines(title)}`, atLineStart(escapeMarkdown(verdict)), ...parts].join("\n\n");
}

function renderTable(table: Table): string {
  const columns =
    table.groupTitle === undefined
      ? table.columns
      : [{ title: table.groupTitle, align: "left" as const }, ...table.columns];
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  const lines = [
    line(columns.map(({ title }) => escapeMarkdown(title))),
    line(columns.map(({ align }) => (align === "right" ? "---:" : ":---"))),
    ...table.rows.map((row) =>
      line([
        ...(table.groupTitle === undefined ? [] : [escapeMarkdown(row.group ?? "")]),
        ...row.cells.map(renderCell),
      ]),
    ),
  ];
  const notes = (table.footnotes ?? []).map(({ mark, text }) => `- (${mark}) ${escapeMarkdown(text)}`);
  return [
    atLineStart(escapeMarkdown(table.caption)),
    lines.join("\n"),
    ...(notes.length > 0 ? [notes.join("\n")] : []),
  ].join("\n\n");
}

function renderCell({ text, small, marks, ids }: TableCell): string {
  const main = typeof text === "string" ? escapeMarkdown(text) : renderInlines(text);
  const beside = small === undefined ? "" : ` ${escapeMarkdown(small)}`;
  const noted = marks && marks.length > 0 ? ` (${marks.join(", ")})` : "";
  return `${main}${beside}${noted}${idList(ids)}`;
}
