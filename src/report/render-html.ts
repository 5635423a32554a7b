/** A report document as the body of an HTML page. Every text is escaped here; only the figures' SVG passes as it is. */
import type { Block, Card, Figure, Inline, ReportDocument, Section, Table, TableCell, TableRow } from "./document.js";
import { escapeHtml } from "./escape-html.js";
import { followPageColours } from "./figures/palette.js";

export function renderHtmlBody(document: ReportDocument): string {
  const links = document.sections.map(({ id, title }) => `<a href="#${id}">${escapeHtml(title)}</a>`);
  return [
    "<header>",
    `<p class="subtitle">${escapeHtml(document.subtitle)}</p>`,
    `<h1>${escapeHtml(document.title)}</h1>`,
    ...document.opening.map(renderBlock),
    "</header>",
    `<nav aria-label="Sections">${links.join(" ")}</nav>`,
    "<main>",
    ...document.sections.map(renderSection),
    "</main>",
  ].join("\n");
}

function renderSection({ id, title, blocks }: Section): string {
  return [`<section id="${id}">`, `<h2>${escapeHtml(title)}</h2>`, ...blocks.map(renderBlock), "</section>"].join("\n");
}

function renderBlock(block: Block): string {
  switch (block.kind) {
    case "paragraph":
      return `<p${block.tone ? ` class="${block.tone}"` : ""}>${renderInlines(block.text)}</p>`;
    case "subheading":
      return `<h3>${escapeHtml(block.title)}</h3>`;
    case "list":
      return `<ul>\n${block.items.map((item) => `<li>${renderInlines(item)}</li>`).join("\n")}\n</ul>`;
    case "facts":
      return `<dl>\n${block.facts.map(({ name, value }) => `<div><dt>${escapeHtml(name)}</dt><dd>${renderInlines(value)}</dd></div>`).join("\n")}\n</dl>`;
    case "verbatim":
      return `<div class="verbatim"><p class="label">${escapeHtml(block.label)}</p>${preformatted(block.text)}</div>`;
    case "figure":
      return renderFigure(block);
    case "card":
      return renderCard(block);
    case "table":
      return renderTable(block);
  }
}

function renderInlines(inlines: readonly Inline[]): string {
  return inlines
    .map((inline) => {
      if (typeof inline === "string") return escapeHtml(inline);
      return "code" in inline
        ? `<code>${escapeHtml(inline.code)}</code>`
        : `<strong>${escapeHtml(inline.strong)}</strong>`;
    })
    .join("");
}

/** A browser drops the first line feed of a pre element, so one is given to drop. */
function preformatted(text: string): string {
  return text === "" ? '<p class="empty">(empty)</p>' : `<pre>\n${escapeHtml(text, "keep")}</pre>`;
}

function renderFigure({ name, title, svg, caption }: Figure): string {
  return [
    `<figure id="figure-${escapeHtml(name)}">`,
    `<h3>${escapeHtml(title)}</h3>`,
    `<div class="scroll">${followPageColours(svg)}</div>`,
    `<figcaption>${escapeHtml(caption)}</figcaption>`,
    "</figure>",
  ].join("\n");
}

function renderCard({ title, tone, verdict, texts }: Card): string {
  const [question, ...others] = texts;
  return [
    `<article class="card ${tone}">`,
    `<h3>${renderInlines(title)}</h3>`,
    `<p class="outcome">${escapeHtml(verdict)}</p>`,
    '<div class="texts">',
    ...[question, ...others].flatMap((text) =>
      text ? [`<div><p class="label">${escapeHtml(text.label)}</p>${preformatted(text.text)}</div>`] : [],
    ),
    "</div>",
    "</article>",
  ].join("\n");
}

function renderTable(table: Table): string {
  const notes = (table.footnotes ?? []).map(
    ({ mark, text }) => `<li><sup>${escapeHtml(mark)}</sup> ${escapeHtml(text)}</li>`,
  );
  return [
    '<div class="scroll" tabindex="0" role="region" aria-label="Table">',
    "<table>",
    `<caption><span>${escapeHtml(table.caption)}</span></caption>`,
    `<thead><tr>${table.columns.map(({ title, align }) => `<th scope="col" class="${align}">${escapeHtml(title)}</th>`).join("")}</tr></thead>`,
    "<tbody>",
    ...table.rows.map((row, index) => groupRow(table, row, table.rows[index - 1]) + bodyRow(table, row)),
    "</tbody>",
    "</table>",
    "</div>",
    ...(notes.length > 0 ? [`<ul class="footnotes">${notes.join("\n")}</ul>`] : []),
  ].join("\n");
}

function groupRow(table: Table, row: TableRow, before: TableRow | undefined): string {
  if (row.group === undefined || row.group === before?.group) return "";
  return `<tr class="group"><th scope="colgroup" colspan="${table.columns.length}"><span>${escapeHtml(row.group)}</span></th></tr>\n`;
}

function bodyRow(table: Table, row: TableRow): string {
  const cells = row.cells.map((cell, index) => {
    const kind = index === 0 ? 'th scope="row"' : "td";
    const classes = [table.columns[index]?.align ?? "left", ...(cell.missing ? ["missing"] : [])].join(" ");
    return `<${kind} class="${classes}">${cellContent(cell)}</${index === 0 ? "th" : "td"}>`;
  });
  return `<tr>${cells.join("")}</tr>`;
}

function cellContent({ text, small, marks }: TableCell): string {
  const main = typeof text === "string" ? escapeHtml(text) : renderInlines(text);
  const beside = small === undefined ? "" : ` <small>${escapeHtml(small)}</small>`;
  const noted = marks && marks.length > 0 ? `<sup>${marks.map((mark) => escapeHtml(mark)).join(" ")}</sup>` : "";
  return `${main}${noted}${beside}`;
}
