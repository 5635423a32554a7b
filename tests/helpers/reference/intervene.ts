/** Interventions in float64, written down once more: what is projected out is found from the normal equations, with no basis. */
import type { Intervention } from "../../../src/model/interventions.js";
import type { StateShape } from "../../../src/model/sites.js";
import type { Matrix } from "./matrix.js";
import type { EditStates } from "./reference-pass.js";

export function intervening(interventions: readonly Intervention[], { headWidth }: StateShape): EditStates {
  return ({ part, layer }, states) => {
    const here = interventions.filter(({ site }) => site.part === part && site.layer === layer);
    return here.reduce((before, one) => changed(before, one, headWidth), states);
  };
}

function changed(
  states: Matrix,
  { tokens, operation, values, factor, heads }: Intervention,
  headWidth: number,
): Matrix {
  const { rows, columns } = states;
  const places = "from" in tokens ? Array.from({ length: rows }, (_, at) => at).slice(tokens.from) : tokens;
  const isIn = (column: number) => heads === undefined || heads.includes(Math.floor(column / headWidth));
  const given = Array.from({ length: (values?.length ?? 0) / columns }, (_, row) =>
    Array.from({ length: columns }, (_, column) => values?.[row * columns + column] as number),
  );
  return states.map((value, row, column) => {
    const at = places.indexOf(row);
    if (at < 0 || !isIn(column)) return value;
    const own = (given.length === 1 ? given[0] : given[at])?.[column] as number;
    if (operation === "replace") return own;
    if (operation === "add") return value + (factor ?? 1) * own;
    if (operation === "scale") return value * (factor as number);
    const directions = given.map((direction) => direction.map((one, place) => (isIn(place) ? one : 0)));
    const state = Array.from({ length: columns }, (_, place) => states.at(row, place));
    const shares = solve(
      directions.map((one) => directions.map((other) => dot(one, other))),
      directions.map((one) => dot(one, state)),
    );
    return value - shares.reduce((sum, share, k) => sum + share * (directions[k]?.[column] as number), 0);
  });
}

function dot(one: readonly number[], other: readonly number[]): number {
  return one.reduce((sum, value, at) => sum + value * (other[at] as number), 0);
}

/** Gauss, of a few well-conditioned equations. */
function solve(matrix: number[][], right: number[]): number[] {
  const all = matrix.map((row, at) => [...row, right[at] as number]);
  all.forEach((pivot, at) => {
    for (const [other, row] of all.entries()) {
      if (other === at) continue;
      const share = (row[at] as number) / (pivot[at] as number);
      pivot.forEach((value, column) => {
        row[column] = (row[column] as number) - share * value;
      });
    }
  });
  return all.map((row, at) => (row.at(-1) as number) / (row[at] as number));
}
