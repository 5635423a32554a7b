/** The figures of every predictor about every target, drawn, with what a reader needs to read them. */

import { type Block, type Figure, formatCount, aside, type Section } from "../document.js";
import { accuracyFigure, complianceFigure } from "../figures/accuracy.js";
import { behaviorsFigure, variedCells } from "../figures/behaviors-figure.js";
import type { StateNames } from "../state-names.js";
import { pairTitle, plural } from "../terms.js";
import type { Pair } from "./headline.js";

/** @throws InwardError REPORT_FAILED */
export async function figuresSection(pairs: readonly Pair[], names: StateNames): Promise<Section> {
  const blocks: Block[] = [];
  const withCells = pairs.filter((pair) => pair.cells.length > 0);
  for (const [index, pair] of withCells.entries()) {
    const suffix = withCells.length > 1 ? `-${index + 1}` : "";
    const who = withCells.length > 1 ? pairTitle(pair, names) : "";
    blocks.push(await accuracy(pair, `accuracy${suffix}`, who));
    blocks.push(...(await behaviors(pair, `behaviors${suffix}`, who)));
    blocks.push(await compliance(pair, `compliance${suffix}`, who));
  }
  return {
    id: "figures",
    title: "In pictures",
    blocks: blocks.length > 0 ? blocks : [aside("There is nothing to draw.")],
  };
}

export function figuresOf(section: Section): Figure[] {
  return section.blocks.flatMap((block) => (block.kind === "figure" ? [block] : []));
}

async function accuracy({ cells }: Pair, name: string, who: string): Promise<Figure> {
  const title = titled(who, "Predictions against the baselines");
  const missing = cells.filter((cell) => !cell.accuracy.ok).length;
  const without = cells.filter((cell) => cell.accuracy.ok && !cell.modeBaselineTrain.ok).length;
  const caption = [
    "Share of trials that are right, per task and property. Upright marks: what always giving one answer would reach. The table below gives the paired difference from the train mode, with its interval.",
    ...(missing > 0
      ? [
          `${plural(missing, "line", formatCount(missing))} of ${formatCount(cells.length)} without accuracy; the table gives the reasons.`,
        ]
      : []),
    ...(without > 0 ? [`${plural(without, "line", formatCount(without))} without a train-label mode.`] : []),
  ].join(" ");
  return { kind: "figure", name, title, caption, svg: await accuracyFigure(title, cells) };
}

async function behaviors({ cells }: Pair, name: string, who: string): Promise<Figure[]> {
  const shown = variedCells(cells).length;
  if (shown === 0) return [];
  const title = titled(who, "What was done, and how often it was predicted");
  const scored = cells.filter((cell) => cell.behaviors.length > 0).length;
  const which =
    shown < scored ? `The ${shown} of ${formatCount(scored)} cells whose behaviors have the highest entropy. ` : "";
  const caption = `${which}Bars: share of scored trials with this behavior. Diamonds: share of the same trials in which it was predicted, rightly or not; replies that do not comply predict nothing.`;
  return [{ kind: "figure", name, title, caption, svg: await behaviorsFigure(title, cells) }];
}

async function compliance({ cells }: Pair, name: string, who: string): Promise<Figure> {
  const title = titled(who, "Answers and replies that comply");
  const caption =
    "Object-level answers that comply and have the property, and hypothetical replies that keep to the form that was asked for.";
  return { kind: "figure", name, title, caption, svg: await complianceFigure(title, cells) };
}

/** @param who empty when there is one pair only */
function titled(who: string, title: string): string {
  return who === "" ? title : `${title}: ${who}`;
}
