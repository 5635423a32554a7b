/** Colours of the figures (after Okabe and Ito: told apart with every common colour vision), each with the page variable it becomes. */

export const PALETTE = {
  ink: "#1d2733",
  muted: "#5b6673",
  grid: "#e4e7eb",
  paper: "#ffffff",
  blue: "#0072b2",
  orange: "#d55e00",
  amber: "#e69f00",
  green: "#009e73",
  pale: "#9cc7e3",
} as const;

/** A figure for the page: its colours follow the page's light or dark scheme, and nothing in it names an address. */
export function followPageColours(svg: string): string {
  let page = svg.replace(/^<svg[^>]*>/, (tag) => tag.replace(/ xmlns(:xlink)?="[^"]*"/g, ""));
  for (const [name, colour] of Object.entries(PALETTE)) {
    page = page.replace(/<[^>]+>/g, (tag) => tag.replaceAll(`="${colour}"`, `="var(--figure-${name})"`));
  }
  return page;
}
