/** llama-perplexity's `--kl-divergence-base`: what a model says of a text's second halves, in 16 bits a token of the vocabulary. */

import type { FileHandle } from "node:fs/promises";
import { open, stat } from "node:fs/promises";
import { InwardError } from "../errors.js";

/** What stands before the rows. */
export interface BaseHeader {
  /** Tokens of a window. */
  readonly context: number;
  readonly vocabulary: number;
  readonly windows: number;
  /** Positions of a window that have a row: from its middle to the one before its last. */
  readonly positions: number;
  /** [windows × context] as the text has them: the first of each is read as BOS where the model wants one. */
  readonly tokenIds: Int32Array;
}

const MAGIC = "_logits_";
/** Logits more than that below the greatest are kept as if they were that. */
const DEPTH = 16;
const STEPS = 65_535;
/** Of single precision in the row's own sum and logarithm, far above it. */
const ROUNDING = 1e-4;
const MOST_CONTEXT = 1 << 24;

export function scoredPositions(context: number): number {
  return context - 1 - Math.floor(context / 2);
}

function rowBytes(vocabulary: number): number {
  return 2 * (2 * Math.floor((vocabulary + 1) / 2) + 4);
}

export function encodeBaseHeader({ context, vocabulary, windows, tokenIds }: Omit<BaseHeader, "positions">): Buffer {
  const bytes = Buffer.alloc(MAGIC.length + 12 + 4 * tokenIds.length);
  bytes.write(MAGIC, 0, "latin1");
  bytes.writeInt32LE(context, 8);
  bytes.writeInt32LE(vocabulary, 12);
  bytes.writeInt32LE(windows, 16);
  tokenIds.forEach((id, at) => {
    bytes.writeInt32LE(id, 20 + 4 * at);
  });
  return bytes;
}

/** One position as llama-perplexity writes it, in its order of roundings. @param logits [vocabulary] */
export function encodeBaseRow(logits: Float32Array): Buffer {
  const round = Math.fround;
  let [most, least] = [logits[0] as number, logits[0] as number];
  for (const logit of logits) {
    if (logit > most) most = logit;
    if (logit < least) least = logit;
  }
  least = Math.max(least, round(most - DEPTH));
  let sum = 0;
  for (const logit of logits) sum += round(Math.exp(round(logit - most)));
  const logSum = round(Math.log(sum));
  const scale = round(round(most - least) / STEPS);
  const bytes = Buffer.alloc(rowBytes(logits.length));
  bytes.writeFloatLE(scale, 0);
  bytes.writeFloatLE(round(round(least - most) - logSum), 4);
  if (scale === 0) return bytes;
  const inverse = round(1 / scale);
  logits.forEach((logit, id) => {
    const step = logit > least ? nearestEven(round(inverse * round(logit - least))) : 0;
    bytes.writeUInt16LE(Math.min(step, STEPS), 8 + 2 * id);
  });
  return bytes;
}

function nearestEven(value: number): number {
  const below = Math.floor(value);
  const rest = value - below;
  return rest > 0.5 || (rest === 0.5 && below % 2 === 1) ? below + 1 : below;
}

/** A base file, open for reading. */
export class BaseFile {
  private constructor(
    private readonly file: FileHandle,
    private readonly path: string,
    readonly header: BaseHeader,
  ) {}

  /** @throws InwardError STUDY_INVALID: no such file, none of this format, or cut off */
  static async open(path: string): Promise<BaseFile> {
    const refuse = (why: string) =>
      new InwardError("STUDY_INVALID", `${path} is no base file of llama-perplexity: ${why}`);
    const found = await stat(path).catch((error) => {
      throw refuse((error as NodeJS.ErrnoException).code ?? String(error));
    });
    if (!found.isFile()) throw refuse("it is not a file");
    const file = await open(path, "r");
    try {
      const start = Buffer.alloc(20);
      const { bytesRead } = await file.read(start, 0, start.length, 0);
      if (bytesRead < start.length || start.toString("latin1", 0, 8) !== MAGIC)
        throw refuse(`it does not begin with ${MAGIC}`);
      const [context, vocabulary, windows] = [start.readInt32LE(8), start.readInt32LE(12), start.readInt32LE(16)];
      if (context < 4 || context > MOST_CONTEXT || vocabulary < 1 || windows < 1) {
        throw refuse(`it says ${windows} windows of ${context} tokens and a vocabulary of ${vocabulary}`);
      }
      const positions = scoredPositions(context);
      const expected = start.length + 4 * windows * context + windows * positions * rowBytes(vocabulary);
      if (found.size !== expected)
        throw refuse(`it has ${found.size} bytes, and what it says of itself comes to ${expected}`);
      const ids = Buffer.alloc(4 * windows * context);
      await file.read(ids, 0, ids.length, start.length);
      const tokenIds = Int32Array.from({ length: windows * context }, (_, at) => ids.readInt32LE(4 * at));
      const strange = tokenIds.find((id) => id < 0 || id >= vocabulary);
      if (strange !== undefined) throw refuse(`it has the token ${strange}`);
      return new BaseFile(file, path, { context, vocabulary, windows, positions, tokenIds });
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /**
   * [vocabulary] log-probabilities of each position, as llama-perplexity reads them: they sum to one but for half a step each, and for
   * the tokens that are kept as if they were DEPTH below the greatest.
   * @throws InwardError STUDY_INVALID where they do not
   */
  async *rows(firstWindow: number, windows: number): AsyncGenerator<Float32Array> {
    const { vocabulary, positions, tokenIds } = this.header;
    const size = rowBytes(vocabulary);
    const bytes = Buffer.alloc(size);
    let place = 20 + 4 * tokenIds.length + firstWindow * positions * size;
    for (let row = 0; row < windows * positions; row++, place += size) {
      const { bytesRead } = await this.file.read(bytes, 0, size, place);
      if (bytesRead < size) throw new InwardError("STUDY_INVALID", `${this.path} became shorter while it was read.`);
      const [scale, least] = [bytes.readFloatLE(0), bytes.readFloatLE(4)];
      const logprobs = Float32Array.from({ length: vocabulary }, (_, id) =>
        Math.fround(Math.fround(scale * bytes.readUInt16LE(8 + 2 * id)) + least),
      );
      const sum = logprobs.reduce((all, logprob) => all + Math.exp(logprob), 0);
      if (!(scale >= 0 && Math.abs(sum - 1) <= scale + vocabulary * Math.exp(-DEPTH) + ROUNDING)) {
        const of = `row ${row + 1} from window ${firstWindow + 1} on`;
        throw new InwardError("STUDY_INVALID", `${this.path} is damaged: the probabilities of ${of} sum to ${sum}.`);
      }
      yield logprobs;
    }
  }

  async close(): Promise<void> {
    await this.file.close();
  }
}
