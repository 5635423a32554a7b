/**
 * The order of the query and key rows. Hugging Face's Llama rotates a head's first half against its second (row p with row
 * p + width / 2); llama.cpp's rotates neighbours (rows 2p and 2p + 1), and its converter puts the rows of W_q and W_k in that order.
 * An adapter adds B·A to W, so the rows of B move as those of W do; A, on the input's side, stays as it is. Pure.
 */

/** Hugging Face's order to llama.cpp's. @param values [rows × columns], rows a multiple of 2 · heads */
export function toInterleavedRows(values: Float32Array, columns: number, heads: number): Float32Array {
  return moveRows(values, columns, heads, (interleaved, halved) => [halved, interleaved]);
}

/** llama.cpp's order to Hugging Face's: the inverse. */
export function toHalvedRows(values: Float32Array, columns: number, heads: number): Float32Array {
  return moveRows(values, columns, heads, (interleaved, halved) => [interleaved, halved]);
}

function moveRows(
  values: Float32Array,
  columns: number,
  heads: number,
  fromTo: (interleaved: number, halved: number) => readonly [number, number],
): Float32Array {
  const width = values.length / columns / heads;
  const moved = new Float32Array(values.length);
  for (let head = 0; head < heads; head++) {
    for (let pair = 0; pair < width / 2; pair++) {
      for (let half = 0; half < 2; half++) {
        const [from, to] = fromTo(head * width + 2 * pair + half, head * width + half * (width / 2) + pair);
        moved.set(values.subarray(from * columns, (from + 1) * columns), to * columns);
      }
    }
  }
  return moved;
}
