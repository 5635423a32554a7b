import { beforeAll, describe, expect, test } from "vitest";
import { makeReport, type MadeReport } from "../../src/report/make-report.js";
import {
  known,
  makeCell,
  makeCells,
  makeInput,
  makePlan,
  makeScores,
  makeTask,
  unknown,
} from "../fixtures/report/make-report-input.js";
import { markdownTables, marksOf, plain, unbalanced } from "../fixtures/report/read-report.js";

const HOSTILE = "<script>alert('&\"`|')</script>\n# x | y\u202eevil\u0000\\|`` ]]> -->";
function count(text: string, pattern: RegExp): number {
  return [...text.matchAll(pattern)].length;
}

describe("an ordinary study", () => {
  let report: MadeReport;
  beforeAll(async () => {
    report = await makeReport(makeInput());
  });

  test("the page is whole, and neither loads nor runs anything", () => {
    expect(unbalanced(report.html)).toBeUndefined();
    expect(report.html).toMatch(/^<!doctype html>/);
    expect(report.html).not.toMatch(/(?:src|href|action|data)="(?!#)/);
    expect(report.html).not.toMatch(/https?:\/\/|@import|url\(|<script|<link|<img/i);
    const ids = [...report.html.matchAll(/ id="([^"]*)"/g)].map(([, id]) => id);
    expect(new Set(ids).size).toBe(ids.length);
    for (const [, target] of report.html.matchAll(/href="#([^"]*)"/g)) expect(ids).toContain(target);
  });

  test("sections stand in the order of a reader's questions, alike in both files", () => {
    const titles = [...report.html.matchAll(/<h2>([^<]*)<\/h2>/g)].map(([, title]) => title);
    expect(titles).toEqual([
      "What was found",
      "In pictures",
      "Every task and property",
      "Noise floor",
      "Some trials to read",
      "Exclusions",
      "How it was asked and scored",
      "How intervals are made",
      "Files, engine and settings",
      "Assumptions and limits",
    ]);
    expect([...report.markdown.matchAll(/^## (.*)$/gm)].map(([, title]) => title)).toEqual(titles);
  });

  test("later sections are folded, found by the contents, and printed whole", () => {
    const titles = [...report.html.matchAll(/<h2>([^<]*)<\/h2>/g)].map(([, title]) => title);
    expect(report.html.match(/<details class="section"><summary><h2>/g)).toHaveLength(titles.length - 1);
    const contents = report.html.split('<nav aria-label="Contents">')[1]?.split("</nav>")[0] ?? "";
    for (const title of titles) expect(contents).toContain(`>${title}</a>`);
    const print = report.html.split("@media print {")[1] ?? "";
    expect(print).toContain("details::details-content { content-visibility: visible; display: block;");
    // Where a browser cannot do that, the paper says so.
    expect(report.html).toContain(
      "@supports not selector(::details-content) { @media print { .unprinted { display: block;",
    );
    expect(report.html).toContain('<p class="unprinted">This browser prints only the sections that are open');
  });

  test("figures scale with the page, and are no wider than they were drawn", () => {
    const drawings = [...report.html.matchAll(/<svg[^>]*>/g)].map(([tag]) => tag);
    expect(drawings.length).toBeGreaterThan(0);
    for (const tag of drawings) {
      expect(tag).toMatch(/viewBox="0 0 \d/);
      expect(tag).toMatch(/ style="max-width:[\d.]+px">$/);
      expect(tag).not.toMatch(/ width="/);
    }
  });

  test("how intervals are made is told once, and linked from elsewhere", () => {
    expect(report.html.split("95 % percentile cluster bootstrap by source string").length).toBeLessThanOrEqual(2);
    expect(report.html).toContain('<a href="#intervals">How intervals are made</a>');
  });

  test("the opening says what was asked", () => {
    expect(report.markdown).toContain(
      "tiny answered 100 held-out strings of 2 tasks (animals long and numbers; 50 each). Then, in separate conversations that do not show those answers, it was asked what its answers would be: 250 hypothetical questions, about 4 properties of an answer",
    );
  });

  test("a row of the table shows exactly the cell's scores", () => {
    const row = plain(report.markdown)
      .split("\n")
      .find((line) => line.startsWith("| animals long | second character"));
    expect(row).toBe(
      "| animals long | second character (c) | 25.5 % \\[14.9, 38.3\\] | 16.7 % \\[0.0, 50.0\\] | 2.3 % \\[0.0, 6.8\\] | 23.4 % \\[12.8, 36.2\\] “h” | 29.8 % \\[17.0, 42.5\\] “i” | +2.1 \\[−10.6, 14.9\\] | 19.1 % \\[8.5, 31.9\\] last item | 1.87 | 42.6 % | 94.0 % (47 of 50) | 82.0 % (41 of 50) | 47 / 47 |",
    );
    const cells = /<tr><th scope="row"[^>]*>second character.*?<\/tr>/s.exec(report.html)?.[0] ?? "";
    const texts = [...cells.matchAll(/<td[^>]*>(.*?)<\/td>/g)].map(([, text]) =>
      plain(text as string).replace(/<[^>]*>/g, ""),
    );
    expect(texts.slice(0, 3)).toEqual(["25.5 % [14.9, 38.3]", "16.7 % [0.0, 50.0]", "2.3 % [0.0, 6.8]"]);
    expect(texts).toHaveLength(12);
  });

  test("what is missing is a reason, never a number", () => {
    const row = plain(report.markdown)
      .split("\n")
      .find((line) => line.startsWith("| numbers | is even"));
    expect(row).toContain("— (none of 50 trials has a behavior to compare with) | — (same reason) |");
    expect(row).not.toMatch(/\| 0\.0 % \\\[|NaN|null|undefined|\| 0\.00 \|/);
    for (const text of [report.html, report.markdown]) expect(text).not.toMatch(/NaN|undefined|\[object|Infinity/);
  });

  test("warnings are marked in the row, explained under the table and given in full at the end", () => {
    expect(report.markdown).toContain("| animals long | first word (a, b) |");
    expect(report.markdown).toContain(
      "- (a) Only 6 of 50 (12 %) hypothetical replies comply; the others count as wrong.",
    );
    expect(report.markdown).toContain("- **animals long, first word.** Only 6 of 50 (12 %)");
    expect(report.markdown).toContain("tiny was asked on 2 different set-ups");
  });

  test("limits follow from what was run", () => {
    for (const limit of [
      "No adapter was trained: this is the untrained model.",
      "One model only: privileged access is not measured",
      "One wording of the hypothetical question (minimal)",
      "came after solved examples, which the hypothetical question does not quote",
      "tiny answered 1 of 48 questions with other tokens when asked again",
      "tiny ran from a re-encoding of the Q4\\_1 file as F32",
    ]) {
      expect(report.markdown).toContain(limit);
    }
  });

  test("files, engine, seeds and wordings are there", () => {
    for (const fact of [
      "a".repeat(64),
      "b".repeat(64),
      "c".repeat(64),
      "540,123,456 bytes",
      "b7342",
      "AVX2 FMA F16C",
      "7; bootstrap 7",
    ]) {
      expect(report.html).toContain(fact);
      expect(report.markdown).toContain(fact);
    }
    expect(report.html).toContain("Suppose someone asked you this:\n&quot;{prompt}&quot;\n{property}");
    expect(report.html).toContain("cat dog cow\n→ horse goat hen duck pig");
  });

  test("figures hold a mark for each estimate and a word for each missing one", () => {
    expect(report.figures.map(({ name }) => name)).toEqual(["accuracy", "behaviors", "compliance"]);
    const [accuracy, behaviors, compliance] = report.figures.map(({ svg }) => svg) as [string, string, string];
    // Four cells have an accuracy and an oracle mode, three a train mode, three a rule.
    expect(marksOf(accuracy, "points")).toHaveLength(4 + 4 + 3 + 3);
    expect(marksOf(accuracy, "intervals")).toHaveLength(4);
    expect(marksOf(accuracy, "missing")).toEqual(["no accuracy"]);
    expect(marksOf(compliance, "bars")).toHaveLength(10);
    expect(marksOf(compliance, "values").map(plain)).toEqual([
      "94.0 %",
      "12.0 %",
      "94.0 %",
      "82.0 %",
      "94.0 %",
      "100.0 %",
      "94.0 %",
      "12.0 %",
      "0.0 %",
      "12.0 %",
    ]);
    expect(marksOf(behaviors, "doneText0").map(plain)).toEqual([
      "29.8 %",
      "23.4 %",
      "19.1 %",
      "10.6 %",
      "6.4 %",
      "6.4 %",
      "4.3 %",
    ]);
    expect(marksOf(behaviors, "doneText3").map(plain)).toEqual(["63.8 %", "36.2 %", "0.0 %"]);
    expect(marksOf(behaviors, "done4")).toEqual([]);
    for (const { svg } of report.figures) {
      expect(unbalanced(svg)).toBeUndefined();
      expect(svg).not.toMatch(/NaN|undefined|<image|href|font-face/);
    }
  });

  test("the same input gives the same bytes", async () => {
    expect(await makeReport(makeInput())).toEqual(report);
  });
});

describe("hostile texts", () => {
  let report: MadeReport;
  beforeAll(async () => {
    const [trial] = makeInput().samples;
    if (!trial) throw new Error("the study has no sample");
    report = await makeReport(
      makeInput({
        plan: makePlan({
          study: HOSTILE,
          system: HOSTILE,
          tasks: [makeTask(HOSTILE, [HOSTILE])],
          wordings: { properties: { [HOSTILE]: HOSTILE }, variants: { [HOSTILE]: HOSTILE } },
        }),
        scores: makeScores({
          cells: [
            makeCell({
              task: HOSTILE,
              property: HOSTILE,
              modeTrainValue: HOSTILE,
              behaviors: [
                { value: HOSTILE, count: 30 },
                { value: `${HOSTILE}2`, count: 17 },
              ],
              warnings: [HOSTILE],
            }),
          ],
          averages: [],
          exclusions: [
            {
              side: "hypothetical",
              task: HOSTILE,
              property: HOSTILE,
              predictor: "tiny",
              target: "tiny",
              reason: HOSTILE,
              count: 1,
              treatment: "excluded",
            },
          ],
        }),
        samples: [
          {
            ...trial,
            objectQuestion: HOSTILE,
            objectAnswer: HOSTILE,
            hypotheticalQuestion: HOSTILE,
            hypotheticalReply: "",
          },
        ],
        taskWarnings: [HOSTILE],
      }),
    );
  });

  test("stay text in the page", () => {
    expect(unbalanced(report.html)).toBeUndefined();
    expect(report.html).not.toMatch(/<script/i);
    expect(report.html).toContain("&lt;script&gt;alert(");
    expect(report.html).toContain("[U+202E]evil␀");
    expect(report.html).toContain('<p class="empty">(empty)</p>');
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
    for (const text of [report.html, report.markdown]) expect(text).not.toMatch(/[\u0000-\u0008\u000b-\u001f\u202e]/);
  });

  test("stay text in the figures", () => {
    for (const { svg } of report.figures) {
      expect(unbalanced(svg)).toBeUndefined();
      expect(svg).not.toMatch(/<script/i);
    }
    expect(count(report.figures[1]?.svg ?? "", /&lt;script&gt;/g)).toBeGreaterThan(0);
  });

  test("leave every Markdown table its columns, and no markup outside fences", () => {
    const tables = markdownTables(report.markdown);
    expect(tables.length).toBeGreaterThan(4);
    for (const rows of tables) expect(new Set(rows).size).toBe(1);
    const outside = report.markdown.replace(/^(`{3,})text\n[\s\S]*?\n\1$/gm, "").replace(/(`+)[^`].*?\1/g, "");
    expect(outside).not.toMatch(/<script/i);
  });
});

describe("studies at the edge", () => {
  test("two pairs: each has its own headline, table and figures", async () => {
    const cells = makeCells();
    const report = await makeReport(
      makeInput({
        plan: makePlan({
          predictions: [
            { predictor: "tiny", target: "tiny" },
            { predictor: "other", target: "tiny" },
          ],
        }),
        scores: makeScores({ cells: [...cells, ...cells.map((cell) => ({ ...cell, predictor: "other" }))] }),
      }),
    );
    expect(report.figures.map(({ name }) => name)).toEqual([
      "accuracy-1",
      "behaviors-1",
      "compliance-1",
      "accuracy-2",
      "behaviors-2",
      "compliance-2",
    ]);
    expect(report.markdown).toContain("### other predicts tiny");
    expect(report.markdown).toContain(
      "models were asked what the answers would be (tiny about its own answers and other about those of tiny)",
    );
    expect(report.markdown).toContain("which would measure privileged access, is not computed here");
    expect(report.markdown).toContain("The noise floor of other was not measured.");
    expect(unbalanced(report.html)).toBeUndefined();
  });

  test("several wordings name themselves", async () => {
    const report = await makeReport(
      makeInput({ scores: makeScores({ cells: [makeCell(), makeCell({ variant: "past" })] }) }),
    );
    expect(report.markdown).toContain("| animals long | first word (past) (a, b) |");
  });

  test("nothing scored, nothing asked twice, no manifest: a report all the same", async () => {
    const report = await makeReport(
      makeInput({
        scores: makeScores({ cells: [], averages: [], exclusions: [], trials: 0 }),
        noiseFloors: [],
        manifests: {},
        samples: [],
        taskWarnings: [],
      }),
    );
    expect(unbalanced(report.html)).toBeUndefined();
    expect(report.figures).toEqual([]);
    for (const words of [
      "Nothing was scored.",
      "no question was asked twice",
      "no manifest was recorded",
      "no trial to show",
    ]) {
      expect(report.markdown).toContain(words);
    }
  });

  test("one kind of warning with many numbers is one footnote", async () => {
    const warned = (count: number) =>
      makeCell({
        property: `p${count}`,
        hypotheticalCompliance: { count, of: 50 },
        aboveModeTrain: known(0.1, 0.05, 0.15),
        warnings: [`Only ${count} of 50 (${2 * count} %) hypothetical replies comply; the others count as wrong.`],
      });
    const report = await makeReport(makeInput({ scores: makeScores({ cells: [warned(3), warned(4)] }) }));
    expect(count(report.markdown, /^- \([a-z]+\) /gm)).toBe(1);
    expect(report.markdown).toContain(
      "- (a) Only … of … (… %) hypothetical replies comply; the others count as wrong.",
    );
    expect(report.markdown).toContain("- **animals long, p4.** Only 4 of 50 (8 %)");
  });

  test("the behaviors figure keeps the twelve most varied cells", async () => {
    const cells = Array.from({ length: 15 }, (_, index) =>
      makeCell({ property: `p${index}`, behaviorEntropyBits: index / 10 }),
    );
    const report = await makeReport(makeInput({ scores: makeScores({ cells }) }));
    const svg = report.figures[1]?.svg ?? "";
    expect(count(svg, />animals long, p\d+</g)).toBe(12);
    expect(svg).not.toContain(">animals long, p2<");
    expect(report.markdown).toContain("The 12 of 15 cells whose behaviors have the highest entropy.");
  });

  test("an average without any accuracy says why and draws no conclusion", async () => {
    const reason = "no cell has it: none of 50 trials has a behavior to compare with";
    const scores = makeScores();
    const report = await makeReport(
      makeInput({
        scores: {
          ...scores,
          averages: scores.averages.map((average) => ({
            ...average,
            accuracy: unknown(reason),
            aboveModeTrain: known(1, 1, 1),
          })),
        },
      }),
    );
    expect(report.markdown).toContain(`There is no accuracy for tiny predicting its own behavior: ${reason}.`);
    expect(report.markdown).not.toContain("beat this baseline");
  });
});
