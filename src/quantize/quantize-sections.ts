/** What a benchmark's report says below its table: divergence, flips, speed, the files, and how all of it was measured. */

import {
  type Block,
  decimalCell,
  estimateCell,
  formatCount,
  formatMissing,
  formatNats,
  formatPercent,
  left,
  paragraph,
  right,
  type Section,
  type TableRow,
} from "../report/document.js";
import { EXPANDED } from "../score/interval.js";
import { againCell, cell, fileSize, natsCell, none, ok, spreadCell } from "./quantize-cells.js";
import type { QuantizePlan, QuantizeRow } from "./quantize-results.js";
import { SOURCE } from "./variants.js";

const DIGITS = 4;

export function divergenceSection(
  which: "text" | "answers" | "base",
  title: string,
  rows: readonly QuantizeRow[],
): Section {
  // Beside a base file the source is a file like any other.
  const others = rows.filter(({ variant }) => which === "base" || variant.name !== SOURCE);
  const floorOf = (row: QuantizeRow) => (which === "answers" ? row.answersFloor : row.textFloor);
  const nats = (value: number) => ok(formatNats(value));
  return {
    id: `on-the-${which}`,
    title,
    blocks: [
      {
        kind: "table",
        caption: `Kullback-Leibler divergence of each file from ${which === "base" ? "what the base file keeps, in 16 bits a token, of whatever it was made from" : "the source"}, nats a position, over the whole vocabulary; back: the other way round. ${which === "base" ? "The source's own row is what the base file's rounding, and another source, come to." : "Floor: of the file from itself."}`,
        columns: [
          left("file"),
          right("mean"),
          right("back"),
          right("median"),
          right("99 %"),
          right("99.9 %"),
          right("most"),
          right("floor, mean"),
          right("positions"),
        ],
        rows: others.map((row) => ({
          cells: [
            ok(row.variant.name),
            cell(row[which], ({ kl }) => natsCell(kl.mean)),
            cell(row[which], ({ kl }) => natsCell(kl.backward)),
            cell(row[which], ({ kl }) => natsCell(kl.median)),
            cell(row[which], ({ kl }) => natsCell(kl.percentile99)),
            cell(row[which], ({ kl }) => nats(kl.percentile999.value)),
            cell(row[which], ({ kl }) => nats(kl.most.value)),
            cell(floorOf(row), ({ klMean }) => nats(klMean)),
            cell(row[which], ({ positions, clusters }) =>
              ok(formatCount(positions), `${formatCount(clusters)} ${which === "answers" ? "strings" : "windows"}`),
            ),
          ],
        })),
      },
      {
        kind: "table",
        caption:
          "Of the token that follows: its probability less the source's. Same top: share of positions whose most likely token is the source's. Perplexity, and ln of it divided by the source's, paired.",
        columns: [
          left("file"),
          right("mean Δp"),
          right("RMS Δp"),
          right("Δp, 1 % to 99 %"),
          right("same top"),
          right("floor"),
          right("perplexity"),
          right("± as llama-perplexity"),
          right("ln ratio"),
        ],
        rows: rows.map((row) => ({
          cells: [
            ok(row.variant.name),
            cell(row[which], ({ probability }) => estimateCell(probability.mean, true)),
            cell(row[which], ({ probability }) => estimateCell(probability.rootMeanSquare)),
            cell(row[which], ({ probability: { percentiles } }) =>
              ok(`${formatPercent(percentiles["1"] as number)} to ${formatPercent(percentiles["99"] as number)}`),
            ),
            cell(row[which], ({ sameTop }) => estimateCell(sameTop)),
            cell(floorOf(row), ({ sameTop }) => ok(formatPercent(sameTop))),
            cell(row[which], ({ perplexity }) => decimalCell(perplexity.value, DIGITS)),
            cell(row[which], ({ perplexity }) => ok(perplexity.llamaError.toFixed(5))),
            cell(row[which], ({ logRatio }) => decimalCell(logRatio, 5, true)),
          ],
        })),
      },
    ],
  };
}

export function stepsSection(rows: readonly QuantizeRow[]): Section {
  return {
    id: "steps",
    title: "Read whole, and a token at a time",
    blocks: [
      {
        kind: "table",
        caption:
          "Each file against itself on the same tokens: as usual (an ONNX graph: each text in one pass), and a token at a time, which is how answers are made. Where the two differ, what a file says of a token is no property of its weights alone.",
        columns: [
          left("file"),
          right("divergence, mean"),
          right("most"),
          right("logprob, mean"),
          right("most"),
          right("same top"),
          right("positions"),
        ],
        rows: rows.map((row) => ({
          cells: [
            ok(row.variant.name),
            cell(row.steps, ({ klMean }) => ok(formatNats(klMean))),
            cell(row.steps, ({ klMost }) => ok(formatNats(klMost))),
            cell(row.steps, ({ logprobMean }) => ok(formatNats(logprobMean))),
            cell(row.steps, ({ logprobMost }) => ok(formatNats(logprobMost))),
            cell(row.steps, ({ sameTop }) => ok(formatPercent(sameTop))),
            cell(row.steps, ({ positions }) => ok(formatCount(positions))),
          ],
        })),
      },
    ],
  };
}

export function flipsSection(rows: readonly QuantizeRow[]): Section {
  const others = rows.filter(({ variant }) => variant.name !== SOURCE);
  return {
    id: "flips",
    title: "What it does otherwise than its source",
    blocks: [
      {
        kind: "table",
        isCards: true,
        groupTitle: "file",
        caption:
          "Strings on which both have the property and another value. Source's lead: smallest lead of a token of its answer, median of flipped and of kept ones; a flip within the floor is one that another batch composition could make too.",
        columns: [
          left("task, property"),
          right("flipped"),
          left("most frequent"),
          right("source's lead"),
          right("within the floor"),
          right("lost, gained"),
        ],
        rows: others.flatMap((row): TableRow[] =>
          row.flips.ok
            ? row.flips.value.properties.map((one) => ({
                group: row.variant.name,
                cells: [
                  ok(`${one.task}, ${one.property}`),
                  estimateCell(one.flips),
                  one.directions.length === 0
                    ? none("nothing flipped")
                    : ok(
                        one.directions
                          .slice(0, 3)
                          .map(({ from, to, count }) => `${from} → ${to} (${count})`)
                          .join("; "),
                      ),
                  ok(
                    [one.margins.flipped, one.margins.kept]
                      .map((margin) => (margin === null ? formatMissing("no margin") : margin.toFixed(3)))
                      .join(" / "),
                  ),
                  ok(formatCount(one.withinFloor)),
                  ok(`${one.lost}, ${one.gained}`),
                ],
              }))
            : [],
        ),
      },
      {
        kind: "table",
        caption:
          "Answers with the same tokens, every one; and right answers that became wrong, and back. Floor: questions that the file itself answers otherwise when they are asked again, in another order and batch composition.",
        columns: [
          left("file"),
          right("same answers"),
          right("floor"),
          right("right to wrong"),
          right("wrong to right"),
        ],
        rows: others.map((row) => ({
          cells: [
            ok(row.variant.name),
            cell(row.flips, ({ sameAnswers }) => estimateCell(sameAnswers)),
            cell(row.again, againCell),
            cell(row.flips, ({ rightAnswers }) =>
              rightAnswers ? ok(`${rightAnswers.toWrong} of ${rightAnswers.of}`) : none("no task has right answers"),
            ),
            cell(row.flips, ({ rightAnswers }) =>
              rightAnswers ? ok(`${rightAnswers.toRight} of ${rightAnswers.of}`) : none("no task has right answers"),
            ),
          ],
        })),
      },
    ],
  };
}

export function speedSection(rows: readonly QuantizeRow[]): Section {
  return {
    id: "speed",
    title: "Speed and memory",
    blocks: [
      {
        kind: "table",
        caption:
          "Tokens a second, of single rounds: the middle one, and from the least to the most. llama.cpp: its kernels on the same file, in the same rounds. Peak: of a process that has this file alone open.",
        columns: [
          left("file"),
          right("reads"),
          right("llama.cpp reads"),
          right("writes"),
          right("llama.cpp writes"),
          right("peak memory"),
          right("llama.cpp's peak"),
          right("rounds"),
        ],
        rows: rows.map((row) => ({
          cells: [
            ok(row.variant.name),
            cell(row.speed, ({ reading }) => spreadCell(reading)),
            cell(row.llamaSpeed, ({ reading }) => spreadCell(reading)),
            cell(row.speed, ({ writing }) => spreadCell(writing)),
            cell(row.llamaSpeed, ({ writing }) => spreadCell(writing)),
            cell(row.speed, ({ peakBytes }) => ok(fileSize(peakBytes))),
            cell(row.llamaSpeed, ({ peakBytes }) => ok(fileSize(peakBytes))),
            cell(row.speed, ({ rounds }) => ok(formatCount(rounds))),
          ],
        })),
      },
    ],
  };
}

export function variantsSection(rows: readonly QuantizeRow[]): Section {
  return {
    id: "files",
    title: "The files",
    blocks: [
      {
        kind: "table",
        caption: "Weights by the type of their tensors, as each file has them.",
        columns: [left("file"), left("weights"), left("arithmetic"), left("sha256")],
        rows: rows.map(({ variant, arithmetic }) => {
          const total = Object.values(variant.weights).reduce((sum, one) => sum + one, 0);
          const shares = Object.entries(variant.weights).map(
            ([type, count]) => `${formatPercent(count / total)} ${type}`,
          );
          return {
            cells: [
              ok(
                variant.name,
                variant.imatrix ? `importance matrix ${variant.imatrix.sha256.slice(0, 12)}` : undefined,
              ),
              ok(shares.join(", ")),
              arithmetic === undefined ? none("nothing was compared") : ok(arithmetic),
              ok(variant.sha256),
            ],
          };
        }),
      },
    ],
  };
}

export function measuringSection({ text, benchmark, engine, onnxRuntime }: QuantizePlan): Section {
  const { score, speed, floorTexts } = benchmark;
  const blocks: Block[] = [
    paragraph(
      "Files are made by llama.cpp's own quantizer and are byte for byte what llama-quantize writes, but for the order of tensors and the metadata. The divergence is over the whole vocabulary in double precision: nothing is rounded, clipped or left out.",
    ),
    ...(text
      ? [
          paragraph(
            `The text (sha256 ${text.sha256}, ${formatCount(text.tokens)} tokens) is cut as llama-perplexity cuts it: ${formatCount(text.windows)} windows of ${text.context} tokens side by side, ${text.bos === undefined ? "no BOS, because the model asks for none" : "the first token of each read as BOS"}, the second half of each looked at. What looks like a control token is text. A window is what intervals draw.`,
          ),
        ]
      : []),
    ...(benchmark.tasks
      ? [
          paragraph(
            "Answers: the source's own greedy answers to the held-out strings, in the chat format in which they were asked; only the answer's tokens are looked at. A string is what intervals draw, near twins together.",
          ),
        ]
      : []),
    paragraph(
      `Intervals: ${formatPercent(score.confidence)}, ${formatCount(score.bootstrapReplicates)} draws of whole windows or strings. ${EXPANDED} The largest divergence and its 99.9th percentile have none: resampling cannot tell what lies beyond. Where few positions make most of a mean divergence, its interval is too narrow: of made-up worlds with heavy tails, 95 % intervals hold the truth in about 88 % with 8 to 20 windows (validation/quantize-coverage.mjs).`,
    ),
    paragraph(
      `The floor is of ${formatCount(floorTexts)} windows or answers at most, evaluated again in pieces of 193 rows, one after the other${onnxRuntime === undefined ? "" : "; of a graph, in pieces of 19 tokens of one text, with keys and values kept"}. Evaluated by ${engine.forward === "own" ? "inward's own forward pass" : "llama.cpp"} with ${engine.threads} threads.`,
    ),
    ...(onnxRuntime === undefined
      ? []
      : [
          paragraph(
            `ONNX graphs are written by inward from the source's weights and evaluated by ${onnxRuntime} on the CPU with as many threads, one text at a time, in the tokens of the source's GGUF; onnx_f32 is the source itself, so that its divergence is what the two engines differ by. They are asked the study's own questions greedily, the same prompts token by token; what a study measures beyond that is measured on GGUF files alone, and the cells say so. A size is that of everything that a graph reads: its embeddings stay floats. While speed is measured its waiting threads spin, as they do by default.`,
          ),
        ]),
    ...(benchmark.calibration
      ? [
          paragraph(
            `Distributions: of the first ${formatCount(benchmark.calibration.strings)} held-out strings of each task at temperature 1, by expanding the tree of continuations until at most ${benchmark.calibration.epsilon} of the probability is open; where more than ${benchmark.calibration.mostTail} stays open, and of properties that are decided late, ${formatCount(benchmark.calibration.samples)} answers are drawn instead.`,
          ),
        ]
      : []),
    ...(speed
      ? [
          paragraph(
            `Speed: ${speed.rounds} rounds in which every file has its turn; a prompt of ${formatCount(speed.promptTokens)} tokens read at once, ${formatCount(speed.answerTokens)} tokens written one after the other. It is of this machine at that time, with whatever else ran. llama.cpp: its own kernels, under inward's scheduler, on the same file and prompt, right after; llama-bench itself is held beside both by bench/quantize-speed.mjs.`,
          ),
        ]
      : []),
    paragraph(
      "All numbers are in 05-results.json; those of single positions in 03-divergence, ten doubles each (docs/quantize.md).",
    ),
  ];
  return { id: "method", title: "How it was measured", blocks };
}
