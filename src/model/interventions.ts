/**
 * Writing into a model on the way: what is replaced, added, taken out or scaled, at which site of which tokens. Checked here against the
 * model's shape, and put into flat arrays for the addon.
 */

import { createHash } from "node:crypto";
import type { NativeAnswers, NativeInterventions, NativeWork } from "../../native/index.js";
import { lengthOfVector } from "../base/vectors.js";
import { InwardError } from "../errors.js";
import { type Site, STATE_PARTS, type StateShape, siteName, siteNumbers } from "./sites.js";

/** In the order of the addon's numbers. */
export const INTERVENTION_OPERATIONS = ["replace", "add", "project_out", "scale"] as const;
export type InterventionOperation = (typeof INTERVENTION_OPERATIONS)[number];

/**
 * What is done to the state of some tokens at one site, before anything reads it. Several at the same place are done in the order in
 * which they are given. A captured state is what is there afterwards.
 */
export interface Intervention {
  /** Any part but attention_weights. Scaling head_values of some heads by 0 knocks these heads out. */
  readonly site: Site;
  /** Positions in the prompt's tokens, from 0; or from one of them on, the prompt's length for the reply alone: then what follows it too. */
  readonly tokens: readonly number[] | { readonly from: number };
  /**
   * `replace`: the values stand in its place. `add`: factor × values are added. `project_out`: what lies in the span of the values is
   * taken out. `scale`: it is multiplied by the factor.
   */
  readonly operation: InterventionOperation;
  /**
   * Finite, [width of the site] for all tokens, or of `replace` and `add` [tokens × width] in the order of `tokens`; of `project_out`
   * [directions × width] for all tokens, linearly independent. Heads that are not chosen keep what they have. None with `scale`.
   */
  readonly values?: Float32Array;
  /** Finite. Of `add`: default 1, and 0 changes no bit. Of `scale`: needed, and 1 changes no bit. None otherwise. */
  readonly factor?: number;
  /** Of head_values alone: these heads, from 0; all when absent. */
  readonly heads?: readonly number[];
}

/** What may go with anything that a model is asked. */
export interface Intervened {
  readonly interventions?: readonly Intervention[];
}

/** One item of a group as it is evaluated. */
export interface IntervenedItem extends Intervened {
  /** Behind them may stand what is read before anything is generated: a continuation, a path. */
  readonly promptIds: readonly number[];
}

/** @throws ENGINE_UNAVAILABLE where there are any */
export function refuseInterventions(requests: readonly Intervened[], engine: string): void {
  if (!requests.some(({ interventions = [] }) => interventions.length > 0)) return;
  throw new InwardError(
    "ENGINE_UNAVAILABLE",
    `Interventions need the native engine; this one is ${engine} (engine.engine).`,
  );
}

/** What stands for the interventions in a key: equal where every bit of them is. */
export function interventionKey(interventions: readonly Intervention[]): unknown {
  return interventions.map(({ values, ...rest }) =>
    values === undefined ? rest : { ...rest, values: hashOfValues(values) },
  );
}

function hashOfValues({ buffer, byteOffset, byteLength }: Float32Array): string {
  return createHash("sha256")
    .update(new Uint8Array(buffer, byteOffset, byteLength))
    .digest("hex");
}

/** Numbers that the interventions of one group may come to, vectors that are the same counted once: 1 GiB. */
const MOST_NUMBERS = 2 ** 28;
/** A direction that is less than this share of itself beside those before it is rounding. */
const INDEPENDENT = 1e-5;

/**
 * @param work of these items
 * @returns it as it is where nothing is done
 * @throws PROBE_SITE where the model has no such site · PROBE_INVALID for what cannot be done there
 */
export function withInterventions(
  work: NativeWork,
  items: readonly IntervenedItem[],
  shape: () => StateShape,
): NativeWork {
  if (items.every(({ interventions = [] }) => interventions.length === 0)) return work;
  const table = new EditTable(shape());
  const { starts, tokenIds } = work;
  const tokenSets = new Int32Array(tokenIds.length).fill(NOTHING);
  const answerSets = new Int32Array(items.length).fill(NOTHING);
  for (const [index, { interventions = [], promptIds }] of items.entries()) {
    const promptTokens = promptIds.length;
    const start = starts[index] as number;
    const length = (starts[index + 1] as number) - start;
    const done = new Map<number, number[]>();
    for (const [at, one] of interventions.entries()) {
      const which = `Intervention ${at + 1} of question ${index + 1}, ${String(one.operation)} at ${siteName(one.site)}`;
      for (const [position, edit] of table.editsOf(one, { promptTokens, length }, which)) {
        done.set(position, [...(done.get(position) ?? []), edit]);
      }
    }
    for (const [position, edits] of done) {
      const set = table.setOf(edits);
      // One place beyond what is read stands for the answer's tokens.
      if (position === length) answerSets[index] = set;
      else tokenSets[start + position] = set;
    }
  }
  return { ...work, interventions: { ...table.native(), tokenSets, answerSets } };
}

const NOTHING = -1;

// Whether what was to be written was written: an engine that passes over interventions gives numbers too.

/**
 * @param editsDone [answers.items] as the addon counted them
 * @throws ENGINE_UNAVAILABLE by an addon that does not count · INTERNAL where an item's states have fewer or more edits than were asked for
 */
export function requireWritten(
  work: NativeWork,
  { items, counts, editsDone }: Pick<NativeAnswers, "items" | "counts" | "editsDone">,
): void {
  const { interventions } = work;
  if (interventions === undefined) return;
  if (editsDone === undefined) {
    throw new InwardError(
      "ENGINE_UNAVAILABLE",
      "the native addon was built before it said what it writes; build it again: node scripts/build-native.mjs",
    );
  }
  for (const [at, item] of items.entries()) {
    const { least, most } = editsOf(work, interventions, item, counts[at] as number);
    const done = editsDone[at] as number;
    if (done >= least && done <= most) continue;
    const wanted = least === most ? `${least}` : `${least} to ${most}`;
    throw new InwardError(
      "INTERNAL",
      `The engine wrote ${done} times into the states of question ${item + 1}; its interventions are ${wanted}.`,
    );
  }
}

interface EditCount {
  readonly least: number;
  /** With what the last layer makes of tokens that this item does not read, and another one may. */
  readonly most: number;
}

function editsOf(
  { starts, scoreFrom, maxTokens, topTokens, readIds }: NativeWork,
  table: NativeInterventions,
  item: number,
  generated: number,
): EditCount {
  const start = starts[item] as number;
  const length = (starts[item + 1] as number) - start;
  const readsEnd = topTokens > 0 || readIds.length > 0 || (maxTokens[item] as number) > 0;
  let [least, most] = [0, 0];
  for (let at = 0; at < length; at++) {
    const set = table.tokenSets[start + at] as number;
    if (set === NOTHING) continue;
    const isRead = at === length - 1 ? readsEnd : at >= (scoreFrom[item] as number) - 1;
    const { all, late } = editsOfSet(table, set);
    least += isRead ? all : all - late;
    most += all;
  }
  const answerSet = table.answerSets[item] as number;
  // The token that ends an answer is not evaluated.
  const after = answerSet === NOTHING ? 0 : Math.max(0, generated - 1) * editsOfSet(table, answerSet).all;
  return { least: least + after, most: most + after };
}

/** Edits of a set, and those among them that are done to tokens with logits alone. */
function editsOfSet({ setStarts, sets, parts, layers, modelLayers }: NativeInterventions, set: number) {
  const edits = sets.subarray(setStarts[set] as number, setStarts[set + 1] as number);
  const late = edits.filter(
    (edit) => (layers[edit] as number) + 1 === modelLayers && STATE_PARTS[parts[edit] as number] !== "residual_before",
  );
  return { all: edits.length, late: late.length };
}

/** Tokens of a prompt, and of what is read with what stands behind it. */
interface ItemLength {
  readonly promptTokens: number;
  readonly length: number;
}

interface Edit {
  readonly part: number;
  readonly layer: number;
  readonly width: number;
  readonly operation: number;
  readonly factor: number;
  readonly heads: readonly number[];
  /** Numbers of its vectors among those of the table. */
  readonly vectors: readonly number[];
}

/** Each vector, each edit and each set of edits once. */
class EditTable {
  private readonly vectors: Float32Array[] = [];
  private readonly edits: Edit[] = [];
  private readonly sets: (readonly number[])[] = [];
  private readonly vectorOf = new Map<string, number>();
  private readonly editOf = new Map<string, number>();
  private readonly setNumber = new Map<string, number>();
  /** Of values that were met, the numbers of their rows. */
  private readonly rowsOf = new Map<Float32Array, { readonly width: number; readonly rows: readonly number[] }>();
  private numbers = 0;

  constructor(private readonly shape: StateShape) {}

  /** @returns positions, the item's length for its answer, each with what is done there */
  editsOf(intervention: Intervention, item: ItemLength, which: string): (readonly [number, number])[] {
    const { site, operation, factor = 1, heads } = intervention;
    const width = this.widthOf(site, which);
    const positions = editedPositions(intervention.tokens, item, which);
    requireDoable(intervention, this.shape, which);
    const chosen = heads === undefined ? [] : [...new Set(heads)].sort((a, b) => a - b);
    const edit = { part: STATE_PARTS.indexOf(site.part), layer: site.layer, width, heads: chosen };
    const add = (vectors: readonly number[]) =>
      this.add({ ...edit, operation: INTERVENTION_OPERATIONS.indexOf(operation), factor, vectors });
    const { values } = intervention;
    if (values === undefined) return this.everywhere(positions, add([]));
    if (operation === "project_out") {
      const inHeads = chosen.length === 0 ? undefined : new Set(chosen);
      return this.everywhere(positions, add(this.basisOf(values, width, inHeads, which)));
    }
    const rows = this.vectorsOf(values, width, which);
    const named = "from" in intervention.tokens ? undefined : intervention.tokens.length;
    if (rows.length === 1) return this.everywhere(positions, add(rows));
    if (rows.length !== named) {
      const tokens = named === undefined ? "all tokens from one on" : `${named} tokens`;
      throw invalid(`${which}: ${values.length} values are ${rows.length} rows of ${width}, for ${tokens}`);
    }
    return positions.map((position, at) => [position, add([rows[at] as number])] as const);
  }

  setOf(edits: readonly number[]): number {
    return numberedOnce(this.setNumber, edits.join(), () => this.sets.push(edits));
  }

  native(): Omit<NativeInterventions, "tokenSets" | "answerSets"> {
    const starts = this.vectors.map(() => 0);
    const values = new Float32Array(this.numbers);
    let end = 0;
    for (const [at, vector] of this.vectors.entries()) {
      starts[at] = end;
      values.set(vector, end);
      end += vector.length;
    }
    const lists = (all: readonly (readonly number[])[]) => {
      const ends = new Int32Array(all.length + 1);
      for (const [at, { length }] of all.entries()) ends[at + 1] = (ends[at] as number) + length;
      return { starts: ends, members: Int32Array.from(all.flat()) };
    };
    const vectors = lists(this.edits.map((edit) => edit.vectors.map((one) => starts[one] as number)));
    const heads = lists(this.edits.map((edit) => edit.heads));
    const sets = lists(this.sets);
    return {
      modelLayers: this.shape.layers,
      values,
      parts: Int32Array.from(this.edits, ({ part }) => part),
      layers: Int32Array.from(this.edits, ({ layer }) => layer),
      widths: Int32Array.from(this.edits, ({ width }) => width),
      operations: Int32Array.from(this.edits, ({ operation }) => operation),
      factors: Float32Array.from(this.edits, ({ factor }) => factor),
      vectorStarts: vectors.starts,
      vectors: vectors.members,
      headWidth: this.shape.headWidth,
      headStarts: heads.starts,
      heads: heads.members,
      setStarts: sets.starts,
      sets: sets.members,
    };
  }

  private widthOf(site: Site, which: string): number {
    const { layers, heads } = this.shape;
    if (!STATE_PARTS.includes(site.part) || !Number.isInteger(site.layer) || site.layer < 0 || site.layer >= layers) {
      throw new InwardError(
        "PROBE_SITE",
        `${which}: there is no such site; parts are ${STATE_PARTS.join(", ")}, and the model has the layers 0 to ${layers - 1}`,
      );
    }
    if (site.part === "attention_weights") {
      throw new InwardError(
        "PROBE_SITE",
        `${which}: attention weights cannot be written; scale head_values of some heads by 0 to knock these out`,
      );
    }
    const width = siteNumbers(site, this.shape, 1);
    if (width > 0) return width;
    throw new InwardError(
      "PROBE_SITE",
      `${which}: this layer of ${this.shape.architecture} has ${heads[site.layer]} attention heads`,
    );
  }

  private everywhere(positions: readonly number[], edit: number): (readonly [number, number])[] {
    return positions.map((position) => [position, edit] as const);
  }

  private add(edit: Edit): number {
    const { part, layer, operation, factor, heads, vectors } = edit;
    // Of -0 and 0 as factors no sum differs.
    const key = [part, layer, operation, Math.fround(factor), heads.join(" "), vectors.join(" ")].join();
    return numberedOnce(this.editOf, key, () => this.edits.push(edit));
  }

  private vectorsOf(values: Float32Array, width: number, which: string): readonly number[] {
    const known = this.rowsOf.get(values);
    if (known?.width === width) return known.rows;
    if (values.length === 0 || values.length % width !== 0) {
      throw invalid(`${which}: ${values.length} values are no rows of ${width}, which this site has`);
    }
    const bad = values.findIndex((one) => !Number.isFinite(one));
    if (bad >= 0) throw invalid(`${which}: value ${bad + 1} is ${values[bad]}; values must be finite`);
    const rows = Array.from({ length: values.length / width }, (_, row) =>
      this.vector(values.subarray(row * width, (row + 1) * width)),
    );
    this.rowsOf.set(values, { width, rows });
    return rows;
  }

  private vector(values: Float32Array): number {
    return numberedOnce(this.vectorOf, hashOfValues(values), () => {
      this.numbers += values.length;
      if (this.numbers > MOST_NUMBERS) {
        throw invalid(
          `The interventions of one group come to more than ${MOST_NUMBERS} different numbers (1 GiB); ask fewer questions at once`,
        );
      }
      return this.vectors.push(values);
    });
  }

  /** Of heads that are not chosen nothing. */
  private basisOf(
    values: Float32Array,
    width: number,
    heads: ReadonlySet<number> | undefined,
    which: string,
  ): number[] {
    this.vectorsOf(values, width, which);
    const rows = Array.from({ length: values.length / width }, (_, row) =>
      Float64Array.from(values.subarray(row * width, (row + 1) * width), (value, at) =>
        heads === undefined || heads.has(Math.floor(at / this.shape.headWidth)) ? value : 0,
      ),
    );
    const basis = orthonormalRows(rows, which);
    return basis.map((direction) => this.vector(Float32Array.from(direction)));
  }
}

/**
 * What directions span, as rows of length 1 that are orthogonal to each other.
 * @param which for messages @throws PROBE_INVALID one is 0, or lies in the span of those before it
 */
export function orthonormalRows(rows: readonly Float64Array[], which: string): Float64Array[] {
  const basis: Float64Array[] = [];
  for (const [row, given] of rows.entries()) {
    const direction = given.slice();
    const length = lengthOfVector(direction);
    // Twice is enough: what the first leaves of the others is rounding.
    for (const other of [...basis, ...basis]) {
      const along = direction.reduce((sum, value, at) => sum + value * (other[at] as number), 0);
      other.forEach((value, at) => {
        direction[at] = (direction[at] as number) - along * value;
      });
    }
    const left = lengthOfVector(direction);
    if (left === 0 || left < INDEPENDENT * length) {
      const why = length === 0 ? "has the length 0" : "lies in the span of those before it";
      throw invalid(`${which}: direction ${row + 1} ${why}`);
    }
    basis.push(direction.map((value) => value / left));
  }
  return basis;
}

/** @param push adds it and returns how many there are then */
function numberedOnce(known: Map<string, number>, key: string, push: () => number): number {
  const number = known.get(key) ?? push() - 1;
  known.set(key, number);
  return number;
}

function invalid(what: string): InwardError {
  return new InwardError("PROBE_INVALID", what);
}

function editedPositions(
  tokens: Intervention["tokens"],
  { promptTokens, length }: ItemLength,
  which: string,
): readonly number[] {
  if ("from" in tokens) {
    const { from } = tokens;
    if (Number.isInteger(from) && from >= 0 && from <= promptTokens) {
      return Array.from({ length: length + 1 - from }, (_, at) => from + at);
    }
    throw invalid(
      `${which}: from token ${from} on; the prompt has the tokens 0 to ${promptTokens - 1}, and ${promptTokens} is the reply's first`,
    );
  }
  if (tokens.length === 0) throw invalid(`${which}: no token is named`);
  for (const token of tokens) {
    if (Number.isInteger(token) && token >= 0 && token < promptTokens) continue;
    throw invalid(`${which}: there is no token ${token}; the prompt has the tokens 0 to ${promptTokens - 1}`);
  }
  if (new Set(tokens).size < tokens.length) throw invalid(`${which}: a token is named twice`);
  return tokens;
}

function requireDoable(
  { site, operation, values, factor, heads }: Intervention,
  shape: StateShape,
  which: string,
): void {
  if (!INTERVENTION_OPERATIONS.includes(operation)) {
    throw invalid(`${which}: an operation is one of ${INTERVENTION_OPERATIONS.join(", ")}`);
  }
  const scales = operation === "scale";
  if (scales !== (values === undefined))
    throw invalid(`${which}: ${scales ? "scale takes a factor, and no values" : "values are missing"}`);
  if (values !== undefined && !(values instanceof Float32Array)) throw invalid(`${which}: values are no Float32Array`);
  if (scales && factor === undefined) throw invalid(`${which}: the factor is missing`);
  if (factor !== undefined && !(scales || operation === "add")) throw invalid(`${which}: ${operation} takes no factor`);
  if (factor !== undefined && !Number.isFinite(Math.fround(factor))) {
    throw invalid(`${which}: the factor is ${factor}; it must be finite in single precision`);
  }
  if (heads === undefined) return;
  if (site.part !== "head_values") throw invalid(`${which}: only head_values have heads`);
  const most = shape.heads[site.layer] ?? 0;
  if (heads.length === 0) throw invalid(`${which}: no head is named`);
  for (const head of heads) {
    if (Number.isInteger(head) && head >= 0 && head < most) continue;
    throw invalid(`${which}: there is no head ${head}; this layer has the heads 0 to ${most - 1}`);
  }
}
