/** The page around the report: one file, nothing to load, no script but that of its list of trials; light and dark, phone and paper. */

import type { Block, Card, Figure, Inline, ReportDocument, Section, Table, TableCell, TableRow } from "./document.js";
import { escapeHtml, followPageColours, PALETTE } from "./figures/draw.js";
import { type TrialsPage, trialsPageHtml } from "./trials-in-page.js";

/** In the dark the same hues, lighter. */
const DARK: Readonly<Record<keyof typeof PALETTE, string>> = {
  ink: "#e3e7ec",
  muted: "#9aa6b2",
  grid: "#2b333d",
  paper: "#14191f",
  blue: "#56b4e9",
  orange: "#f0824a",
  amber: "#f0c04a",
  green: "#3cc79a",
  pale: "#35647f",
};

function variables(colours: Readonly<Record<string, string>>): string {
  return Object.entries(colours)
    .map(([name, colour]) => `--figure-${name}:${colour};`)
    .join("");
}

const STYLE = `
:root { color-scheme: light dark; ${variables(PALETTE)} --soft:#f5f7f9; --line:#dfe3e8; --accent:#0b5c8a; --good:#00704f; --bad:#a84300; }
@media (prefers-color-scheme: dark) { :root { ${variables(DARK)} --soft:#1b222a; --line:#2f3842; --accent:#7cc4ee; --good:#4fd0a5; --bad:#f39a6b; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-behavior: smooth; }
body { margin: 0 auto; max-width: 84rem; padding: 2.5rem 1.25rem 5rem; background: var(--figure-paper); color: var(--figure-ink);
  font: 1rem/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.9rem; line-height: 1.2; font-weight: 650; letter-spacing: -0.015em; margin: 0.2rem 0 1rem; max-width: 62rem; }
h2 { font-size: 1.35rem; line-height: 1.3; font-weight: 650; letter-spacing: -0.01em; margin: 3.5rem 0 1rem; padding-top: 1.2rem; border-top: 1px solid var(--line); }
h3 { font-size: 1rem; line-height: 1.4; font-weight: 650; margin: 2rem 0 0.5rem; }
h3::first-letter, figcaption::first-letter { text-transform: uppercase; }
p, ul, figcaption { max-width: 44rem; margin: 0 0 1rem; }
ul { padding-left: 1.2rem; } li { margin-bottom: 0.4rem; }
a { color: var(--accent); text-decoration-thickness: 1px; text-underline-offset: 0.2em; }
.subtitle { margin: 0; color: var(--figure-muted); font-size: 0.85rem; letter-spacing: 0.02em; }
.lead { font-size: 1.08rem; }
.verdict { max-width: 50rem; padding: 1rem 1.25rem; background: var(--soft); border-left: 3px solid var(--accent); border-radius: 0 6px 6px 0; }
.verdict { margin: 0 0 1.2rem; } .verdict p { max-width: none; margin: 0 0 0.4rem; } .verdict ul { margin: 0.5rem 0 0; max-width: none; font-size: 0.9rem; }
.answer strong { font-size: 1.08rem; font-weight: 650; }
.ids { color: var(--figure-muted); font-size: 0.85rem; } th .ids, td .ids { display: block; font-weight: 400; font-size: 0.75rem; }
summary { cursor: pointer; } .verdict summary, .fold > summary { color: var(--accent); font-size: 0.875rem; }
.section { border-top: 1px solid var(--line); } .section + .section { margin-top: 0; }
.section > summary { padding: 0.9rem 0; list-style-position: outside; margin-left: 1.1rem; color: var(--figure-muted); }
.section > summary h2 { display: inline; margin: 0; padding: 0; border: 0; color: var(--figure-ink); font-size: 1.15rem; }
.section > summary:hover h2 { color: var(--accent); } .section[open] > summary h2 { font-size: 1.35rem; }
.section > section { padding-bottom: 2rem; scroll-margin-top: 4rem; }
.first h2 { margin-top: 1.2rem; padding-top: 0; border: 0; } .first figure { margin-bottom: 1rem; }
.unprinted { display: none; }
.note, figcaption, .footnotes, .label { color: var(--figure-muted); font-size: 0.875rem; line-height: 1.5; }
nav { margin: 1.5rem 0 2rem; font-size: 0.9rem; } .contents { font-size: 1rem; font-weight: 650; margin: 0 0 0.4rem; }
nav ol { columns: 15rem; column-gap: 2rem; margin: 0; padding-left: 1.5rem; max-width: 60rem; } nav li { margin: 0 0 0.2rem; break-inside: avoid; }
nav a { text-decoration: none; } nav a:hover { text-decoration: underline; }
.scroll { overflow-x: auto; margin: 0 0 0.75rem; background: linear-gradient(to left, var(--figure-paper) 30%, transparent) right / 3rem 100% no-repeat local,
  linear-gradient(to left, var(--line), transparent) right / 0.9rem 100% no-repeat scroll; }
.scroll:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
table { border-collapse: collapse; font-size: 0.85rem; line-height: 1.4; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
caption { caption-side: top; text-align: left; color: var(--figure-muted); padding: 0 0 0.5rem; }
caption span { display: inline-block; position: sticky; left: 0; max-width: min(44rem, calc(100vw - 2.5rem)); }
th, td { padding: 0.42rem 0.75rem; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); font-weight: 400; }
th:first-child, td:first-child { padding-left: 0; }
thead th { vertical-align: bottom; font-weight: 600; border-bottom: 1.5px solid var(--figure-muted); }
tbody th { min-width: 8.5rem; position: sticky; left: 0; background: var(--figure-paper); }
.right { text-align: right; }
td.right:not(.missing) { white-space: nowrap; }
td.right small { display: block; white-space: nowrap; }
small { color: var(--figure-muted); font-size: 0.78rem; }
.missing { color: var(--figure-muted); font-style: italic; font-size: 0.78rem; min-width: 7rem; }
tr.group th { padding-top: 1rem; font-weight: 650; border-bottom-color: var(--figure-muted); position: static; }
tr.group span { position: sticky; left: 0; }
sup { color: var(--accent); font-size: 0.72em; line-height: 0; margin-left: 0.2em; }
.footnotes { list-style: none; padding: 0; max-width: 50rem; } .footnotes li { margin-bottom: 0.15rem; }
figure { margin: 0 0 2.5rem; } figure h3 { margin-top: 1.5rem; }
figure svg { display: block; width: 100%; height: auto; }
dl { max-width: 60rem; margin: 0 0 1.5rem; font-size: 0.9rem; } dl div { display: grid; grid-template-columns: 11rem 1fr; gap: 0 1rem; padding: 0.3rem 0; border-bottom: 1px solid var(--line); }
dt { color: var(--figure-muted); } dd { margin: 0; min-width: 0; }
code, pre { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace; font-size: 0.84em; }
table code { word-break: break-all; }
pre { margin: 0; padding: 0.6rem 0.8rem; background: var(--soft); border-radius: 5px; white-space: pre-wrap; font-size: 0.82rem; line-height: 1.5; tab-size: 4; }
.label { margin: 0 0 0.2rem; font-size: 0.8rem; } .empty { margin: 0; color: var(--figure-muted); font-style: italic; font-size: 0.85rem; }
.verbatim { max-width: 50rem; margin: 0 0 1rem; }
.card { max-width: 68rem; border: 1px solid var(--line); border-left-width: 3px; border-radius: 6px; padding: 0.9rem 1.1rem 1.1rem; margin: 0 0 1.1rem; break-inside: avoid; }
.card h3 { margin: 0; } .card code { color: var(--figure-muted); font-weight: 400; }
.outcome { margin: 0.1rem 0 0.8rem; font-size: 0.9rem; } .good { border-left-color: var(--good); } .bad { border-left-color: var(--bad); }
.good .outcome { color: var(--good); } .bad .outcome { color: var(--bad); }
.texts { display: grid; grid-template-columns: 1fr 1fr; gap: 0.8rem 1.1rem; } .texts > div { min-width: 0; }
@media (max-width: 40rem) { body { padding: 1.5rem 1rem 3rem; } h1 { font-size: 1.5rem; } .texts { grid-template-columns: 1fr; } dl div { grid-template-columns: 1fr; } .verdict { padding: 0.8rem 1rem; }
  .cards, .cards tbody, .cards tr, .cards th, .cards td { display: block; } .cards thead { display: none; }
  .cards caption { display: block; } .cards tr:not(.group) { border: 1px solid var(--line); border-radius: 6px; padding: 0.5rem 0.8rem; margin: 0 0 0.7rem; }
  .cards th, .cards td { border: 0; padding: 0.2rem 0; text-align: left; min-width: 0; white-space: normal !important; } .cards tr:not(.group) th { position: static; font-weight: 650; }
  .cards td::before { content: attr(data-label); display: block; color: var(--figure-muted); font-size: 0.75rem; } .cards tr.group th { padding: 0.8rem 0 0.4rem; } }
@page { size: A4 landscape; margin: 14mm; }
@media print { html { font-size: 75%; } :root { ${variables(PALETTE)} --soft:#f5f7f9; --line:#cfd4da; } body { max-width: none; padding: 0; font-size: 9.5pt; } nav, .trials { display: none; }
  .scroll { overflow: visible; background: none; } table { font-size: 6.8pt; } th, td { padding: 0.2rem 0.3rem; } tbody th { min-width: 0; position: static; } .missing { min-width: 0; font-size: 6pt; } small { font-size: 6pt; }
  figure, tr { break-inside: avoid; } h2, h3 { break-after: avoid; }
  /* What is folded on a screen is printed, whether it was opened or not. */
  details::details-content { content-visibility: visible; display: block; height: auto; } summary { list-style: none; } .section > summary { margin-left: 0; } .verdict summary { display: none; } }
@supports not selector(::details-content) { @media print { .unprinted { display: block; font-weight: 650; } } }
`.trim();

/** Trials as JSON, and what lists them. */
export interface ListedTrials {
  readonly json: string;
  readonly page: TrialsPage;
}

/** @param body HTML that is escaped already */
export function htmlPage(title: string, body: string, listed?: ListedTrials): string {
  const trials = listed && trialsPageHtml(listed.json, listed.page);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'${trials ? `; ${trials.policy}` : ""}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title>
<style>
${STYLE}
</style>
</head>
<body>
${body}${trials ? `\n${trials.html}` : ""}
</body>
</html>
`;
}

// A report document as the body of an HTML page. Every text is escaped here; only the figures' SVG passes as it is.

export function renderHtmlBody(document: ReportDocument): string {
  const [first, ...others] = document.sections;
  const links = document.sections.map(({ id, title }) => `<li><a href="#${id}">${escapeHtml(title)}</a></li>`);
  return [
    "<header>",
    `<p class="subtitle">${escapeHtml(document.subtitle)}</p>`,
    `<h1>${escapeHtml(document.title)}</h1>`,
    // Where an answer stands first, what was asked is folded: the table names it.
    ...(document.hasFirstPage
      ? [
          '<details class="fold"><summary>What was asked, of whom</summary>',
          ...document.opening.map(renderBlock),
          "</details>",
        ]
      : document.opening.map(renderBlock)),
    `<p class="unprinted">This browser prints only the sections that are open: open them all first, or print the .md file of the same name beside it.</p>`,
    "</header>",
    "<main>",
    ...(first ? [renderFirstSection(first)] : []),
    `<nav aria-label="Contents"><p class="contents">Contents</p><ol>${links.join("\n")}</ol></nav>`,
    ...others.map(renderSection),
    "</main>",
  ].join("\n");
}

function renderFirstSection({ id, title, blocks }: Section): string {
  return [
    `<section id="${id}" class="first">`,
    `<h2>${escapeHtml(title)}</h2>`,
    ...blocks.map(renderBlock),
    "</section>",
  ].join("\n");
}

/** Folded. A browser opens it where a link leads into it, or where a search finds something in it. */
function renderSection({ id, title, blocks }: Section): string {
  return [
    `<details class="section"><summary><h2>${escapeHtml(title)}</h2></summary>`,
    `<section id="${id}">`,
    ...blocks.map(renderBlock),
    "</section></details>",
  ].join("\n");
}

function renderBlock(block: Block): string {
  switch (block.kind) {
    case "paragraph":
      return `<p${block.tone ? ` class="${block.tone}"` : ""}>${renderInlines(block.text)}</p>`;
    case "verdict":
      return renderVerdict(block);
    case "subheading":
      return `<h3>${escapeHtml(block.title)}</h3>`;
    case "list":
      return `<ul>\n${block.items.map((item) => `<li>${renderInlines(item)}</li>`).join("\n")}\n</ul>`;
    case "facts":
      return `<dl>\n${block.facts.map(({ name, value }) => `<div><dt>${escapeHtml(name)}</dt><dd>${renderInlines(value)}</dd></div>`).join("\n")}\n</dl>`;
    case "verbatim":
      return `<div class="verbatim"><p class="label">${escapeHtml(block.label)}</p>${preformatted(block.text)}</div>`;
    case "trials":
      return `<div id="trials-here" class="trials"><p class="note">${escapeHtml(block.words)}</p></div>`;
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
      if ("link" in inline) return `<a href="#${inline.link}">${escapeHtml(inline.text)}</a>`;
      return "code" in inline
        ? `<code>${escapeHtml(inline.code)}</code>`
        : `<strong>${escapeHtml(inline.strong)}</strong>`;
    })
    .join("");
}

function renderVerdict({ title, ids, lead, more }: Extract<Block, { kind: "verdict" }>): string {
  const head = title.length > 0 ? [`<p class="answer"><strong>${renderInlines(title)}</strong>${idList(ids)}</p>`] : [];
  const rest =
    more.length > 0
      ? [
          `<details><summary>What else bears on it (${more.length})</summary><ul>\n${more.map((text) => `<li>${renderInlines(text)}</li>`).join("\n")}\n</ul></details>`,
        ]
      : [];
  return ['<div class="verdict">', ...head, `<p>${renderInlines(lead)}</p>`, ...rest, "</div>"].join("\n");
}

function idList(ids: readonly string[] | undefined): string {
  return ids && ids.length > 0
    ? ` <span class="ids">${ids.map((id) => `<code>${escapeHtml(id)}</code>`).join(" ")}</span>`
    : "";
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
    table.isCards ? '<table class="cards">' : "<table>",
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
    const label = table.isCards && index > 0 ? ` data-label="${escapeHtml(table.columns[index]?.title ?? "")}"` : "";
    return `<${kind} class="${classes}"${label}>${cellContent(cell)}</${index === 0 ? "th" : "td"}>`;
  });
  return `<tr>${cells.join("")}</tr>`;
}

function cellContent({ text, small, marks, ids }: TableCell): string {
  const main = typeof text === "string" ? escapeHtml(text) : renderInlines(text);
  const beside = small === undefined ? "" : ` <small>${escapeHtml(small)}</small>`;
  const noted = marks && marks.length > 0 ? `<sup>${marks.map((mark) => escapeHtml(mark)).join(" ")}</sup>` : "";
  return `${main}${noted}${beside}${idList(ids)}`;
}
