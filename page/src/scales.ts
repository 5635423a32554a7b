/** Numbers and orders behind figures: where ticks stand, which points no other beats, which site is above which. Pure. */

/** Round numbers over a range, five or so. */
export function ticksOf(low: number, high: number, most = 6): number[] {
  const span = high - low || 1;
  const rough = span / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough) ?? power;
  const first = Math.ceil(low / step) * step;
  const ticks: number[] = [];
  for (let at = first; at <= high + step * 1e-9; at += step)
    ticks.push(Math.abs(at) < step * 1e-9 ? 0 : Number(at.toPrecision(12)));
  return ticks;
}

export interface ScatterPoint {
  readonly name: string;
  readonly x: number;
  readonly y: number;
  readonly low?: number;
  readonly high?: number;
  /** How it is drawn. */
  readonly kind?: "graph";
}

/** Those that no other beats in one and equals in the other, by cost. */
export function paretoFront(points: readonly ScatterPoint[]): ScatterPoint[] {
  const beats = (one: ScatterPoint, other: ScatterPoint) =>
    one.x <= other.x && one.y <= other.y && (one.x < other.x || one.y < other.y);
  return points.filter((point) => !points.some((other) => beats(other, point))).sort((a, b) => a.x - b.x || a.y - b.y);
}

/** The model's order from below: embedding and before, then after each layer; parts of one layer as they are named. */
export function byDepth(one: string, other: string): number {
  const of = (site: string): [number, string] => {
    const [part = "", layer = "0"] = site.split(".");
    return [Number(layer), part === "residual_before" ? "" : part];
  };
  const [[layer, part], [otherLayer, otherPart]] = [of(one), of(other)];
  return layer - otherLayer || (part < otherPart ? -1 : part > otherPart ? 1 : 0);
}

/** What a map is of. */
export const PROMPTS = { hypothetical: "the question", object_level: "the object-level prompt" } as const;
