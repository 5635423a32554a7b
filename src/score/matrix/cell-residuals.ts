/** What a fit leaves of each cell: where the accuracies are no sum of skill, predictability, likeness and self. */
import type { Covariate, MatrixFit } from "./fit-matrix.js";
import type { MatrixCell } from "./matrix-cell.js";

export interface CellResidual {
  readonly predictor: string;
  readonly target: string;
  /** In the unit of the cells: what was found, minus what was fitted. */
  readonly value: number;
}

/** @returns none where the fit failed or its effects are not to be told apart */
export function cellResiduals(
  cells: readonly MatrixCell[],
  fit: MatrixFit,
  covariates: readonly Covariate[] = [],
): CellResidual[] {
  if (!fit.ok || !fit.effects.ok) return [];
  const { skill, predictability } = fit.effects;
  const skills = new Map(skill.map(({ state, value }) => [state, value]));
  const predictabilities = new Map(predictability.map(({ state, value }) => [state, value]));
  const left = new Set(fit.missing.map(keyOf));
  const coefficient = (name: string) => fit.coefficients.find((one) => one.name === name)?.value ?? 0;
  return cells.flatMap((cell): CellResidual[] => {
    const { predictor, target, accuracy, similarity } = cell;
    if (left.has(keyOf(cell)) || !accuracy.ok) return [];
    const fitted =
      (skills.get(predictor) as number) +
      (predictabilities.get(target) as number) +
      (similarity?.ok ? coefficient("similarity") * similarity.value : 0) +
      covariates.reduce((sum, { name, of }) => sum + coefficient(name) * of(predictor, target), 0) +
      (predictor === target ? coefficient("self") : 0);
    return [{ predictor, target, value: accuracy.value - fitted }];
  });
}

function keyOf({ predictor, target }: { readonly predictor: string; readonly target: string }): string {
  return JSON.stringify([predictor, target]);
}
