/** Behavioral change: after a target was trained to behave otherwise, do predictions follow what it did or what it does now? Pure. */
import type { ShiftAccuracy, ShiftCell, ShiftScores, TestedShift, Weighting } from "../../records/comparison.js";
import type { Estimate } from "../../records/scores.js";
import type { Trial } from "../../records/trial.js";
import { PROPORTION } from "../measure.js";
import { type ComparisonSettings, checkComparison, SIGN_FLIP_DRAWS } from "./comparison-settings.js";
import { intervalOf } from "./interval-of.js";
import { hasShifted, pairShifts, type ShiftPair, type ShiftSides } from "./pair-shifts.js";
import { everything, type Resampling, resamplingOf, stringDraws, valuesIn } from "./resampling.js";
import { matchedShift, plainShift, rightAbout } from "./shift-accuracy.js";
import { signFlipTest } from "./sign-flip.js";
import { ONE_OF_A_PAIR } from "./statements.js";
import { amountAt, meanOf } from "./statistics.js";
import { stringContributions } from "./string-contributions.js";
import { stringTable } from "./string-table.js";

/**
 * @param trials all trials of the run in scope; the predictor's about `before` and about `after` are scored. Any predictor can be
 * asked: the changed state itself, or one that never saw the change.
 * @throws InwardError STUDY_INVALID when a setting is out of range or the behaviors were sampled
 */
export function scoreShift(trials: readonly Trial[], sides: ShiftSides, settings: ComparisonSettings): ShiftScores {
  checkComparison(settings);
  const { pairs, ...counts } = pairShifts(trials, sides);
  const resampling = resamplingOf(trials, settings);
  const shifted = pairs.filter(hasShifted);
  const input = { sides, resampling, settings };
  const over = "trials whose behavior changed";
  return {
    ...sides,
    trials: { both: pairs.length, ...counts },
    shifted: shareShifted(pairs, resampling, settings.confidence),
    hypotheticalCompliance: {
      count: shifted.filter(({ after }) => after.prediction.ok).length,
      of: shifted.length,
    },
    overall: tested(plainShift({ ...input, pairs: shifted, over, multiplicity: ONE_OF_A_PAIR }), shifted, settings),
    entropyMatched: matchedShift({ ...input, pairs: shifted, over, multiplicity: ONE_OF_A_PAIR }),
    cells: cellsOf(pairs).map(([{ task, property }, some]): ShiftCell => {
      const moved = some.filter(hasShifted);
      const [micro] = tested(
        plainShift({
          ...input,
          pairs: moved,
          over: `${over}, ${property} of ${task}`,
          multiplicity: "none: one of several cells, shown to see where the overall difference comes from",
        }),
        moved,
        settings,
      );
      return {
        ...micro,
        task,
        property,
        values: new Set(some.flatMap(({ before, after }) => [before.behavior.value, after.behavior.value])).size,
        shifted: { count: moved.length, of: some.length },
      };
    }),
  };
}

function tested(
  accuracies: readonly [ShiftAccuracy, ShiftAccuracy],
  pairs: readonly ShiftPair[],
  { signFlipDraws = SIGN_FLIP_DRAWS, bootstrapSeed }: ComparisonSettings,
): [TestedShift, TestedShift] {
  const rows = pairs.map((pair) => {
    const { task, item, property } = pair.after;
    const [old, now] = rightAbout(pair);
    return { task, item, property, difference: now - old };
  });
  const test = (kind: Weighting) =>
    signFlipTest(stringContributions(rows, kind), { draws: signFlipDraws, seed: bootstrapSeed });
  return accuracies.map((accuracy): TestedShift => ({ ...accuracy, signFlip: test(accuracy.kind) })) as [
    TestedShift,
    TestedShift,
  ];
}

function shareShifted(pairs: readonly ShiftPair[], resampling: Resampling, confidence: number): Estimate {
  const rows = pairs.map((pair) => {
    const { task, item, property } = pair.after;
    return { task, item, property, seed: 0, stratum: "", amounts: [1, Number(hasShifted(pair))] };
  });
  const table = stringTable(rows, 2, resampling);
  const statistics = [meanOf(table.cells, amountAt(1), "micro")];
  const [value] = valuesIn(table, [everything(resampling, 1)], statistics);
  const [replicates] = valuesIn(table, stringDraws(resampling, 1), statistics);
  const clusters = new Set(rows.map(({ task, item }) => JSON.stringify([task, item]))).size;
  const tasks = new Set(rows.map(({ task }) => task)).size;
  return intervalOf(value?.[0], replicates ?? [], { n: pairs.length, clusters, tasks }, PROPORTION, confidence);
}

function cellsOf(pairs: readonly ShiftPair[]): [{ task: string; property: string }, ShiftPair[]][] {
  const cells = new Map<string, ShiftPair[]>();
  for (const pair of pairs) {
    const key = JSON.stringify([pair.after.task, pair.after.property]);
    const cell = cells.get(key);
    if (cell) cell.push(pair);
    else cells.set(key, [pair]);
  }
  return [...cells].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, some]) => [(some[0] as ShiftPair).after, some]);
}
