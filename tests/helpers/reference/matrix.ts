/** A dense float64 matrix, row-major, with the three products that a forward and a backward pass need. */
export class Matrix {
  constructor(
    readonly rows: number,
    readonly columns: number,
    readonly values = new Float64Array(rows * columns),
  ) {
    if (values.length !== rows * columns) throw new Error(`${values.length} values for ${rows} x ${columns}`);
  }

  at(row: number, column: number): number {
    return this.values[row * this.columns + column] as number;
  }

  set(row: number, column: number, value: number): void {
    this.values[row * this.columns + column] = value;
  }

  add(row: number, column: number, value: number): void {
    this.set(row, column, this.at(row, column) + value);
  }

  map(change: (value: number, row: number, column: number) => number): Matrix {
    const result = new Matrix(this.rows, this.columns);
    for (let row = 0; row < this.rows; row++) {
      for (let column = 0; column < this.columns; column++) {
        result.set(row, column, change(this.at(row, column), row, column));
      }
    }
    return result;
  }
}

/** factor · X */
export function times(factor: number, x: Matrix): Matrix {
  return factor === 1 ? x : x.map((value) => factor * value);
}

/** X + Y */
export function sum(x: Matrix, y: Matrix): Matrix {
  return x.map((value, row, column) => value + y.at(row, column));
}

/** So many columns from the first on. */
export function columnsOf(x: Matrix, first: number, count: number): Matrix {
  return new Matrix(x.rows, count).map((_, row, column) => x.at(row, first + column));
}

/** All columns of matrices with the same rows, in order. */
export function beside(parts: readonly Matrix[]): Matrix {
  const [only] = parts;
  if (only === undefined || parts.length === 1) return only ?? new Matrix(0, 0);
  const result = new Matrix(
    only.rows,
    parts.reduce((columns, part) => columns + part.columns, 0),
  );
  let first = 0;
  for (const part of parts) {
    for (let row = 0; row < part.rows; row++) {
      for (let column = 0; column < part.columns; column++) result.set(row, first + column, part.at(row, column));
    }
    first += part.columns;
  }
  return result;
}

/** X · Y */
export function product(x: Matrix, y: Matrix): Matrix {
  const result = new Matrix(x.rows, y.columns);
  for (let row = 0; row < x.rows; row++) {
    for (let inner = 0; inner < x.columns; inner++) {
      const factor = x.at(row, inner);
      for (let column = 0; column < y.columns; column++) result.add(row, column, factor * y.at(inner, column));
    }
  }
  return result;
}

/** X · Yᵀ */
export function productWithTransposed(x: Matrix, y: Matrix): Matrix {
  const result = new Matrix(x.rows, y.rows);
  for (let row = 0; row < x.rows; row++) {
    for (let column = 0; column < y.rows; column++) {
      let total = 0;
      for (let inner = 0; inner < x.columns; inner++) total += x.at(row, inner) * y.at(column, inner);
      result.set(row, column, total);
    }
  }
  return result;
}

/** Xᵀ · Y */
export function transposedProduct(x: Matrix, y: Matrix): Matrix {
  const result = new Matrix(x.columns, y.columns);
  for (let inner = 0; inner < x.rows; inner++) {
    for (let row = 0; row < x.columns; row++) {
      const factor = x.at(inner, row);
      for (let column = 0; column < y.columns; column++) result.add(row, column, factor * y.at(inner, column));
    }
  }
  return result;
}
