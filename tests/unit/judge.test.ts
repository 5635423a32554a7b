/** Judges: what is put to them, how they are calibrated, and how far they agree with labels that the calibration has not seen. */
import { mkdtempSync, readdirSync, writeFileSync } from "node:fs";
import { createHash } from "node:crypto";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { judgedBy, judgedKey, judgeOptions } from "../../src/ask/judge-questions.js";
import { randomStream } from "../../src/base/random.js";
import { checkOwnProperties, propertyNamed } from "../../src/properties/all-properties.js";
import { type JudgeRule, type OwnProperties, ownPropertiesSchema } from "../../src/properties/own-property.js";
import { value } from "../../src/properties/property.js";
import { extractBehavior } from "../../src/properties/reading.js";
import {
  calibrateJudge,
  judgeAgreement,
  judgedAs,
  type JudgedLabel,
  judgedScores,
} from "../../src/score/judge-agreement.js";
import { gatherProperties, readProperties } from "../../src/study/load-properties.js";
import { makePlan } from "../../src/study/make-plan.js";
import { readPlan } from "../../src/study/plan.js";
import { settledStudy } from "../helpers/settled-study.js";

const SETTINGS = { confidence: 0.95, bootstrapReplicates: 1000, bootstrapSeed: 0 };
const TOLD = { orders: 2, setAside: 0 };
const VALUES = ["kind", "cruel"];

/** Two values, the first one's log odds: log shares as a judge would give them. */
const odds = (nats: number): number[] => [-Math.log1p(Math.exp(-nats)), -Math.log1p(Math.exp(nats))];
const said = (label: number, nats: number): JudgedLabel => ({ label, logShares: odds(nats), hangsOnOrder: false });
const times = <T>(count: number, of: (at: number) => T): T[] => Array.from({ length: count }, (_, at) => of(at));
const uniform = (random: ReturnType<typeof randomStream>) => (random.next() >>> 0) / 2 ** 32;
const agreement = (judged: readonly JudgedLabel[], name = "p") => judgeAgreement(name, VALUES, judged, TOLD, SETTINGS);

describe("agreement", () => {
  // Fifty answers: 20 and 15 said as labelled, 5 and 10 otherwise. Observed 0.7, expected 0.5.
  const worked = [
    ...times(20, () => said(0, 2)),
    ...times(5, () => said(0, -2)),
    ...times(10, () => said(1, 2)),
    ...times(15, () => said(1, -2)),
  ];

  test("a worked table: 0.7, kappa 0.4, and the counts", () => {
    const { agreement: share, kappa, confusion, mode, overMode, n, folds, fit } = agreement(worked);
    expect(share).toMatchObject({ ok: true, value: 0.7, n: 50 });
    expect(kappa.ok && kappa.value).toBeCloseTo(0.4, 12);
    expect(confusion).toEqual([
      [20, 5],
      [10, 15],
    ]);
    expect([mode, n, folds]).toEqual([{ value: "kind", share: 0.5 }, 50, 10]);
    expect(overMode.ok && overMode.value).toBeCloseTo(0.2, 12);
    expect(fit).toBe(overMode.ok && overMode.low > 0);
  });

  test("kappa's interval is as wide as Fleiss, Cohen and Everitt's large-sample error says", () => {
    const table = [
      [0.4, 0.1],
      [0.2, 0.3],
    ];
    const rows = table.map((row) => row.reduce((sum, one) => sum + one, 0));
    const columns = [0, 1].map((at) => (table[0]?.[at] ?? 0) + (table[1]?.[at] ?? 0));
    const [kappa, expected] = [0.4, 0.5];
    let own = 0;
    let others = 0;
    for (const [i, row] of table.entries()) {
      for (const [j, share] of row.entries()) {
        if (i === j) own += share * (1 - ((rows[i] as number) + (columns[i] as number)) * (1 - kappa)) ** 2;
        else others += share * ((columns[i] as number) + (rows[j] as number)) ** 2;
      }
    }
    const variance =
      (own + (1 - kappa) ** 2 * others - (kappa - expected * (1 - kappa)) ** 2) / (50 * (1 - expected) ** 2);
    const { kappa: found } = agreement(worked);
    const width = found.ok ? found.high - found.low : 0;
    // Expanded percentiles of 50 are 2.0 to 2.05 standard errors a side; 1000 draws leave some percent.
    expect(width / (2 * 1.96 * Math.sqrt(variance))).toBeGreaterThan(0.9);
    expect(width / (2 * 1.96 * Math.sqrt(variance))).toBeLessThan(1.15);
  });

  test("a judge that always says the same has kappa 0 and is unfit, whatever the labels' proportions", () => {
    for (const [kind, cruel] of [
      [15, 15],
      [8, 30],
      [30, 8],
      [9, 10],
    ] as const) {
      const always = [...times(kind, () => said(0, 3)), ...times(cruel, () => said(1, 3))];
      const { kappa, fit, confusion, calibration } = agreement(always);
      expect(kappa).toMatchObject({ ok: true, value: 0 });
      expect([fit, confusion.map((row) => row[1])]).toEqual([false, [0, 0]]);
      expect([calibration.scale, judgedAs(odds(3), calibration).lead]).toEqual([0, 0]);
    }
  });

  test("one that says the opposite is not turned round", () => {
    const inverted = times(40, (at) => said(at % 2, at % 2 ? 2 : -2));
    expect(agreement(inverted)).toMatchObject({ fit: false, kappa: { ok: true, value: 0 } });
  });

  test("a liking for one value is taken off: nothing right uncalibrated of the other, all right calibrated", () => {
    const leaning = times(40, (at) => said(at % 2, 6 + (at % 2 ? -1 : 1) * (1 + (at % 7) / 10)));
    expect(agreement(leaning)).toMatchObject({ uncalibrated: 0.5, fit: true, agreement: { ok: true, value: 1 } });
  });

  test("one that knows nothing is seldom fit", () => {
    const fit = times(60, (study) => {
      const random = randomStream(`nothing/${study}`, 1);
      const judged = times(30, (at) => said(at % 2, 4 * uniform(random) - 2));
      const settings = { ...SETTINGS, bootstrapReplicates: 200 };
      return judgeAgreement(`p${study}`, VALUES, judged, TOLD, settings).fit;
    }).filter(Boolean);
    // At most 2.5 % on average; 60 studies show 6 or more in fewer than one of 200 such tests.
    expect(fit.length).toBeLessThan(6);
  });
});

describe("calibration", () => {
  test("is where its loss is least, written a second time", () => {
    const random = randomStream("calibration", 2);
    const three = times(45, (at) => {
      const label = at % 5 === 0 ? 2 : at % 2;
      const scores = [0, 1, 2].map((one) => 2 * uniform(random) - 3 * one + (one === label ? 1 : 0));
      const all = Math.log(scores.reduce((sum, one) => sum + Math.exp(one), 0));
      return { label, logShares: scores.map((one) => one - all) };
    });
    const { centres, scale, biases } = calibrateJudge(three, 3);
    const weight = ({ label }: { readonly label: number }) =>
      three.length / (3 * three.filter((one) => one.label === label).length);
    const mean = (of: (row: (typeof three)[number]) => number) =>
      three.reduce((sum, row) => sum + weight(row) * of(row), 0) / three.length;
    for (const at of [0, 1, 2])
      expect(centres[at]).toBeCloseTo(
        mean(({ logShares }) => logShares[at] as number),
        12,
      );
    const spread = Math.sqrt(
      mean(({ logShares }) => logShares.reduce((sum, one, at) => sum + (one - (centres[at] as number)) ** 2, 0) / 3),
    );
    const loss = (a: number, b: readonly number[]) =>
      three.reduce(
        (sum, row) => {
          const scores = row.logShares.map((one, at) => a * (one - (centres[at] as number)) + (b[at] as number));
          const all = Math.log(scores.reduce((total, one) => total + Math.exp(one), 0));
          return sum - weight(row) * ((scores[row.label] as number) - all);
        },
        ((a * spread) ** 2 + b.reduce((total, one) => total + one * one, 0)) / 50,
      );
    const least = loss(scale, biases);
    expect(scale).toBeGreaterThan(0);
    for (const step of [1e-3, -1e-3]) {
      expect(loss(scale + step, biases)).toBeGreaterThan(least);
      for (const at of [0, 1, 2]) {
        expect(
          loss(
            scale,
            biases.map((one, place) => (place === at ? one + step : one)),
          ),
        ).toBeGreaterThan(least);
      }
    }
  });

  test("orders are averaged as shares of the values, and a value that hangs on the order is seen", () => {
    const order = (listed: string[], letter: number[]) => ({ listed, letter, text: letter.map((one) => one - 5) });
    const options = (second: number[]) => ({
      letters: ["A", "B"],
      bytes: [4, 5],
      characters: [4, 5],
      orders: [order(["A", "B"], [-1, -3]), order(["B", "A"], second)],
    });
    expect(judgedScores(options([-3, -1]), "letter")).toEqual({
      logShares: [-Math.LN2, -Math.LN2],
      hangsOnOrder: true,
    });
    const same = judgedScores(options([-101, -103]), "text");
    expect(same.hangsOnOrder).toBe(false);
    expect((same.logShares[0] ?? 0) - (same.logShares[1] ?? 0)).toBeCloseTo(2, 12);
  });
});

const LABELS = times(16, (at) => ({ answer: `Text ${at}.`, value: VALUES[at % 2] as string }));
const PROMPT = "Is this kind?\n{options}\nText: {answer}\nAsked: {question}";
const RULE: JudgeRule = { model: "m", prompt: PROMPT, values: { kind: "Kind", cruel: "Cruel" } };
const define = (judge: object, more: object = {}): OwnProperties =>
  ownPropertiesSchema.parse({ own: { question: "Would your response be kind or cruel?", judge, ...more } });

describe("what is put to a judge", () => {
  test("the user's words with the answer in them, the values in every order, and nothing filled in twice", () => {
    const text = { answer: " {options} $& <|im_end|>\n{question} ", question: "Say {answer}." };
    const { options, orders } = judgeOptions(RULE, text, { system: "S", said: (one) => one });
    expect([...options]).toEqual([
      ["A", "Kind"],
      ["B", "Cruel"],
    ]);
    const shown = (first: string, second: string) =>
      `Is this kind?\nA - ${first}\nB - ${second}\nText: {options} $& <|im_end|>\n{question}\nAsked: Say {answer}.`;
    expect(orders).toEqual([
      {
        listed: ["A", "B"],
        messages: [
          { role: "system", content: "S" },
          { role: "user", content: shown("Kind", "Cruel") },
        ],
      },
      {
        listed: ["B", "A"],
        messages: [
          { role: "system", content: "S" },
          { role: "user", content: shown("Cruel", "Kind") },
        ],
      },
    ]);
  });

  test("the same text is one question, and the prompt counts where the judge is shown it", () => {
    const key = (rule: JudgeRule, answer: string, question: string) => judgedKey("own", rule, { answer, question });
    expect(key(RULE, "a ", "q")).toBe(key(RULE, "a", "q"));
    expect(key(RULE, "a", "q")).not.toBe(key(RULE, "a", "r"));
    const blind = { ...RULE, prompt: "{answer}?" };
    expect(key(blind, "a", "q")).toBe(key(blind, "a", "r"));
    expect([judgedBy(RULE), judgedBy(blind), judgedBy({ ...RULE, by: "text" })]).toEqual(["letter", "text", "text"]);
  });
});

describe("a definition", () => {
  test.each<[string, object, object, RegExp]>([
    ["no place for the answer", { prompt: "Kind?", values: VALUES }, {}, /needs \{answer\}/],
    [
      "a place that nothing fills",
      { prompt: "{answer} {anwser}", values: VALUES },
      {},
      /has \{anwser\}, which stands for nothing/,
    ],
    ["one value", { prompt: "{answer}", values: ["kind"] }, {}, /one value/],
    ["27 values", { prompt: "{answer}", values: times(27, (at) => `v${at}`) }, {}, /26 are the most/],
    ["one text for two values", { prompt: "{answer}", values: { a: "Same", b: "same" } }, {}, /stands twice/],
    ["letters that are not listed", { prompt: "{answer}", values: VALUES, by: "letter" }, {}, /needs \{options\}/],
    ["a text of two lines", { prompt: "{answer}", values: { a: "x\ny", b: "z" } }, {}, /one line/],
    [
      "another property's value",
      { prompt: "{answer}", values: VALUES },
      { of: "first_word" },
      /means nothing for judge/,
    ],
    ["values a second time", { prompt: "{answer}", values: VALUES }, { values: VALUES }, /are those of judge already/],
    ["a second rule", { prompt: "{answer}", values: VALUES }, { matches: "x" }, /second rule/],
  ])("with %s is refused", (_, judge, more, why) => {
    expect(() => define(judge, more)).toThrow(why);
  });

  const plain = { prompt: "{answer}", values: VALUES };
  test.each<[string, object[], RegExp]>([
    ["too few of a value", LABELS.slice(0, 15), /examples have 7 of "cruel"/],
    ["none", [], /have 0 of "kind"/],
    ["an unknown value", [...LABELS, { answer: "x", value: "mild" }], /the value "mild"/],
    ["no value", [...LABELS, { answer: "x" }], /the value "none"/],
    ["one twice", [...LABELS, { answer: "Text 3. ", value: "kind" }], /stands twice/],
    ["one twice in other letters", [...LABELS, { answer: "“TEXT 3”", value: "kind" }], /stands twice/],
    [
      "no answer",
      [...LABELS, { answer: "I'm sorry, but I can't help with that.", value: "kind" }],
      /no answer \(refusal\)/,
    ],
    ["a question that nobody sees", [...LABELS, { answer: "x", value: "kind", question: "Q" }], /has no \{question\}/],
  ])("whose labels have %s is refused with a code", (_, examples, why) => {
    const own = define(plain, { examples });
    expect(() => checkOwnProperties(own)).toThrow(
      expect.objectContaining({ code: "JUDGE_LABELS", message: expect.stringMatching(why) }),
    );
  });

  test("is read from a file with its labels in another, whose checksum stays", () => {
    const folder = mkdtempSync(join(tmpdir(), "inward-judge-"));
    const rows = LABELS.map((label) => `${JSON.stringify(label)}\n`).join("");
    writeFileSync(join(folder, "labels.jsonl"), rows);
    const yaml = (more: string) => {
      writeFileSync(
        join(folder, "own.yaml"),
        `own:\n  question: Kind or cruel, your response?\n  judge: { prompt: "{answer}", values: [kind, cruel] }\n  examplesFrom: labels.jsonl\n${more}`,
      );
      return join(folder, "own.yaml");
    };
    const own = gatherProperties({ propertiesFrom: [yaml("")] }, ".", "here");
    expect(own.own).toMatchObject({
      examples: LABELS,
      examplesSha256: createHash("sha256").update(rows).digest("hex"),
    });
    expect(() => readProperties(yaml(`  examplesSha256: ${"0a".repeat(32)}\n`))).toThrow(/its sha256 is/);
    expect(() => readProperties(yaml("  examples: [{ answer: a, value: kind }]\n"))).toThrow(/give one of the two/);
    writeFileSync(join(folder, "labels.jsonl"), '{"answer": 3}\n');
    expect(() => readProperties(yaml(""))).toThrow(/labels\.jsonl, line 1: answer/);
  });

  test("is read from a CSV or TSV of labels as from lines, and a table that is none of labels is refused with its line", () => {
    const folder = mkdtempSync(join(tmpdir(), "inward-judge-csv-"));
    const read = (name: string, content: string) => {
      writeFileSync(join(folder, name), content);
      const definition = `own:\n  question: Kind or cruel, your response?\n  judge: { prompt: "{answer}", values: [kind, cruel] }\n  examplesFrom: ${name}\n`;
      writeFileSync(join(folder, "own.yaml"), definition);
      return readProperties(join(folder, "own.yaml")).own?.examples;
    };
    const cell = (text: string) => `"${text.replaceAll('"', '""')}"`;
    const odd = [...LABELS, { answer: 'He said "no",\nand left; twice\tover.', value: "cruel" }];
    const table = (mark: string) => odd.map(({ answer, value: one }) => `${one}${mark}${cell(answer)}\r\n`).join("");
    expect(read("labels.csv", `\uFEFFvalue,answer\r\n${table(",")}`)).toEqual(odd);
    expect(read("labels.tsv", `value\tanswer\n${table("\t")}`)).toEqual(odd);
    // An empty cell is an absent key: a column of questions may be there where none is asked.
    expect(read("empty.csv", "answer,value,question\na,kind,\n")).toEqual([{ answer: "a", value: "kind" }]);
    const refused = (words: RegExp) =>
      expect.objectContaining({ code: "PROPERTY_INVALID", message: expect.stringMatching(words) });
    for (const [content, words] of [
      ["text,value\na,kind\n", /line 1: there is no column "answer"; there is "text", "value"/],
      ["answer,label\na,kind\n", /line 1: nothing is done with the column "label"/],
      ["answer;value\na;kind\n", /line 1: one column "answer;value"/],
      ["answer,answer\na,kind\n", /two columns are called "answer"/],
      ["answer,value\na,kind,x\n", /line 2: 3 cells/],
      ['answer,value\n"a,kind\n', /line 2: a quote is opened here and never closed/],
      ["", /has no row/],
    ] as const) {
      expect(() => read("bad.csv", content)).toThrow(refused(words));
    }
  });

  test("has a value where a judge was asked, and a reason where none was", () => {
    const property = propertyNamed("own", define(plain, { examples: LABELS }));
    const read = (answer: string, stop: "end_of_generation" | "max_tokens" = "end_of_generation", judged = true) =>
      extractBehavior(
        property,
        answer,
        judged ? { text: "", judged: (_, text) => value(text.length > 3 ? "kind" : "cruel") } : { text: "" },
        stop,
      );
    expect(read(" abc ")).toEqual(value("cruel"));
    expect(read("abc", "end_of_generation", false)).toEqual({ ok: false, reason: "not_judged" });
    expect(read("abcd", "max_tokens")).toEqual({ ok: false, reason: "truncated" });
    expect(read(" ")).toEqual({ ok: false, reason: "empty" });
    expect([property.needs, property.values]).toEqual(["judge", VALUES]);
  });
});

const SHIPPED = new URL("../../studies/properties/", import.meta.url);
test.each(readdirSync(SHIPPED))("%s ships with labels that serve, and values that its question names", (name) => {
  const own = gatherProperties({ propertiesFrom: [fileURLToPath(new URL(name, SHIPPED))] }, ".", name);
  for (const [property, { question, examples = [] }] of Object.entries(own)) {
    expect(examples.length).toBeGreaterThanOrEqual(28);
    const { values } = propertyNamed(property, own);
    for (const one of values) expect(question.toLowerCase()).toContain(one);
  }
});

describe("a plan", () => {
  const file = { source: "m", path: "/m", sha256: "a".repeat(64), bytes: 1, encoding: "F32", licence: "mit" };
  const study = (more: string, judge = 'prompt: "{answer}", values: [kind, cruel]') => `
study: judged
models: { m: { source: m } }
tasks: [{ task: stories_sentences, trainStrings: 2, heldOutStrings: 2, properties: [own] }]
engine: { engine: native, device: cpu, threads: 1 }
ownProperties:
  own: { question: "Kind or cruel, your response?", judge: { ${judge} }, examples: ${JSON.stringify(LABELS)} }
${more}`;
  const plan = (text: string) => makePlan(settledStudy(text), { m: file }, ".");

  test("names who judges, and is read back", async () => {
    const made = await plan(study("judge: m"));
    expect(made.ownProperties?.own).toMatchObject({ judge: { model: "m" }, examples: LABELS });
    expect(readPlan(JSON.parse(JSON.stringify(made)), "here")).toEqual(JSON.parse(JSON.stringify(made)));
  });

  test.each([
    ["nobody", study(""), "STUDY_INVALID", /nobody says by whom/],
    ["a stranger", study("judge: n"), "STUDY_UNKNOWN_MODEL", /judged by n/],
    ["an engine without logprobs", study("judge: m"), "ENGINE_UNAVAILABLE", /needs the native engine/],
    [
      "a measured distribution",
      study("judge: m\ncalibration: { properties: [own] }"),
      "PROPERTY_NOT_APPLICABLE",
      /has no distribution/,
    ],
  ])("with %s is refused", async (_, text, code, message) => {
    const asked = settledStudy(text);
    const engine =
      code === "ENGINE_UNAVAILABLE" ? { ...asked.engine, engine: "node-llama-cpp" as const } : asked.engine;
    await expect(makePlan({ ...asked, engine }, { m: file }, ".")).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message),
    });
  });
});
