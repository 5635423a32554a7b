/** Pictures and tables as files. */

import { csvLine, type Datum } from "../../src/exchange/csv-lines.js";

export function saveText(name: string, type: string, text: string): void {
  saveBlob(name, new Blob([text], { type }));
}

function saveBlob(name: string, blob: Blob): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

export function saveCsv(name: string, header: readonly string[], rows: readonly (readonly Datum[])[]): void {
  saveText(`${fileName(name)}.csv`, "text/csv;charset=utf-8", [header, ...rows].map(csvLine).join(""));
}

/** What of a style a picture needs where this page's sheet is not. */
const KEPT = [
  "fill",
  "stroke",
  "stroke-width",
  "stroke-dasharray",
  "font-size",
  "font-family",
  "font-weight",
  "opacity",
  "text-anchor",
];

function standingAlone(svg: SVGSVGElement): string {
  const copy = svg.cloneNode(true) as SVGSVGElement;
  const [own, copied] = [svg.querySelectorAll("*"), copy.querySelectorAll("*")];
  for (const [at, element] of own.entries()) {
    const style = getComputedStyle(element);
    for (const name of KEPT) copied[at]?.setAttribute(name, style.getPropertyValue(name));
    copied[at]?.removeAttribute("class");
  }
  const { width, height } = svg.getBoundingClientRect();
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copy.setAttribute("width", String(Math.round(width)));
  copy.setAttribute("height", String(Math.round(height)));
  const paper = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  for (const [name, value] of Object.entries({ width: "100%", height: "100%", fill: paperOf(svg) }))
    paper.setAttribute(name, value);
  copy.prepend(paper);
  return new XMLSerializer().serializeToString(copy);
}

function paperOf(svg: SVGSVGElement): string {
  return getComputedStyle(svg.closest("figure") ?? svg).backgroundColor;
}

export function saveSvg(name: string, svg: SVGSVGElement): void {
  saveText(`${fileName(name)}.svg`, "image/svg+xml", standingAlone(svg));
}

/** Twice as large as on the page: sharp where it is printed. */
const SCALE = 2;

export async function savePng(name: string, svg: SVGSVGElement): Promise<void> {
  const { width, height } = svg.getBoundingClientRect();
  const image = new Image();
  image.src = URL.createObjectURL(new Blob([standingAlone(svg)], { type: "image/svg+xml" }));
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(SCALE * width);
  canvas.height = Math.round(SCALE * height);
  canvas.getContext("2d")?.drawImage(image, 0, 0, canvas.width, canvas.height);
  URL.revokeObjectURL(image.src);
  canvas.toBlob((blob) => blob && saveBlob(`${fileName(name)}.png`, blob));
}

function fileName(text: string): string {
  return (
    text
      .replace(/[^A-Za-z0-9]+/g, "-")
      .replace(/^-|-$/g, "")
      .toLowerCase()
      .slice(0, 80) || "inward"
  );
}
