/** Parts of states, and states in other places: what is written is what was asked for, follows the planted direction, and controls do not. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { writeSafetensors } from "../../src/finetune/adapter/safetensors.js";
import { readGguf } from "../../src/gguf/read-gguf.js";
import type { Intervention } from "../../src/model/interventions.js";
import { type Site, stateShapeOf } from "../../src/model/sites.js";
import { type PlantedModel, writePlantedModel } from "../../src/probe/planted-model.js";
import { PLANTED_PROPERTY_QUESTION, PLANTED_QUESTION } from "../../src/probe/planted-vocabulary.js";
import { ModelReading } from "../../src/probe/read-space.js";
import { probeDirections, readSubspaces, subspaceOf, subspacePatch } from "../../src/probe/subspace.js";
import { hypotheticalVariant } from "../../src/properties/wordings.js";
import type { ChoiceLine } from "../../src/run/given-choices.js";
import { parsePatchPairs, patchSubspace } from "../../src/run/patch-subspace.js";
import type { Patchscope, PatchscopeLine } from "../../src/run/patchscope.js";
import { capture } from "../helpers/captured-states.js";
import { inwardHere } from "../helpers/command-line.js";
import { intervenedWork, someValues } from "../helpers/intervened.js";
import { answer, openEngine } from "../helpers/native-engine.js";
import { randomAdapter } from "../helpers/reference/adapter.js";
import { writeReferenceAdapter } from "../helpers/reference/write-adapter.js";
import type { Matrix } from "../helpers/reference/matrix.js";
import { readReferenceModel } from "../helpers/reference/reference-model.js";
import { referenceResiduals } from "../helpers/reference/reference-pass.js";

const folder = mkdtempSync(join(tmpdir(), "inward-subspaces-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** One that reads its answer, and one that has it and does not; all five are in tests/native/inside-study, with directions that a study finds. */
const MECHANISMS = ["A", "C"] as const;
const models = {} as Record<(typeof MECHANISMS)[number], PlantedModel>;
beforeAll(async () => {
  for (const mechanism of MECHANISMS)
    models[mechanism] = await writePlantedModel(join(folder, `${mechanism}.gguf`), { mechanism, items: 4, seed: 7 });
});

/** `badger acorn listed`, as a user's turn. */
const promptIds = ({ vocabulary, truth }: PlantedModel, pair: number) => [
  vocabulary.tokens.indexOf("<|user|>"),
  vocabulary.idsOf(vocabulary.firsts[Math.floor(pair / truth.items)] as string)[0],
  vocabulary.idsOf(vocabulary.seconds[pair % truth.items] as string)[1],
  vocabulary.propertyWord[1],
  vocabulary.endId,
  vocabulary.replyId,
];
const answersOf = ({ truth }: PlantedModel) => Float32Array.from(truth.answerDirections.flat());

describe("on planted models", () => {
  test.each(MECHANISMS)(
    "%s: the answer's subspace moves the prediction where it is read, and controls nowhere",
    async (mechanism) => {
      const planted = models[mechanism];
      const shape = stateShapeOf(await readGguf(planted.path), planted.path);
      const engine = await openEngine(planted.path, { forward: "own" });
      const prompts = planted.strings.map((_, pair) => promptIds(planted, pair));
      const isLast = (_: number, token: number, length: number) => token === length - 1;
      const { states } = capture(
        engine,
        prompts.map((ids) => ({ ids })),
        shape,
        "residual_after.0,residual_after.2",
        {},
        isLast,
      );
      const state = (pair: number, layer: number) =>
        states[pair]?.sites[`residual_after.${layer}`]?.[0] as Float32Array;
      const token = (prompts[0]?.length ?? 0) - 1;
      const numbered = planted.strings.map(({ value }, at) => ({ value, at }));
      const pairs = numbered.map(({ value, at: own }) => {
        const next = [...numbered.slice(own + 1), ...numbered].find((other) => other.value !== value);
        return { own, donor: next?.at as number };
      });
      const patchAt = (layer: number, { own, donor }: (typeof pairs)[number]) => {
        const space = subspaceOf({ part: "residual_after", layer }, answersOf(planted), shape.embedding);
        return subspacePatch(space, { token, own: state(own, layer), donor: state(donor, layer), name: `${own}` });
      };
      const written = pairs.flatMap((pair) => {
        const early = patchAt(0, pair);
        const all: (readonly Intervention[])[] = [
          [],
          early.patch,
          early.outside ? [early.outside] : [],
          [early.random(1)],
          patchAt(2, pair).patch,
        ];
        return all.map((interventions) => ({ ids: prompts[pair.own] as number[], interventions }));
      });
      const ids = ["yes", "no"].map((word) => planted.vocabulary.idsOf(word)[0]);
      const { answers } = answer(engine, intervenedWork(written, shape, { readIds: Int32Array.from(ids) }));
      engine.dispose();
      const yes = answers.map(({ readLogprobs: [one, other] }) => (one as number) - (other as number));
      const keptByChance: number[] = [];
      for (const at of pairs.keys()) {
        const [before, patch, outside, random, late] = yes.slice(5 * at, 5 * at + 5) as [
          number,
          number,
          number,
          number,
          number,
        ];
        const kept = (after: number) => (after * Math.sign(before)) / Math.abs(before);
        const moves = mechanism === "A";
        expect([mechanism, kept(patch) > 0.9, kept(patch) < -0.9]).toEqual([mechanism, !moves, moves]);
        expect(kept(late)).toBeGreaterThan(0.9);
        // Of a lookup the property itself stands outside, and is written in part.
        if (moves) expect(kept(outside)).toBeGreaterThan(0.7);
        keptByChance.push(kept(random));
      }
      // Of 32 directions 4 by chance hold some of any answer: single ones move, and on average they leave most of it, where the patch leaves −1.
      expect(keptByChance.reduce((sum, one) => sum + one, 0) / keptByChance.length).toBeGreaterThan(0.4);
    },
  );

  test("what is written is x + P(d − x), and controls are displaced as far", async () => {
    const planted = models.A;
    const shape = stateShapeOf(await readGguf(planted.path), planted.path);
    const site: Site = { part: "residual_after", layer: 1 };
    const engine = await openEngine(planted.path, { forward: "own" });
    const items = [0, 5].map((pair) => ({ ids: promptIds(planted, pair) }));
    const token = (items[0]?.ids.length ?? 0) - 1;
    const isLast = (_: number, at: number) => at === token;
    const { states } = capture(engine, items, shape, "residual_after.1", {}, isLast);
    const [own, donor] = states.map(({ sites }) => sites["residual_after.1"]?.[0] as Float32Array) as [
      Float32Array,
      Float32Array,
    ];
    const directions = someValues(3 * shape.embedding, 4);
    const made = subspacePatch(subspaceOf(site, directions, shape.embedding), { token, own, donor, name: "law" });
    const ids = items[0]?.ids as number[];
    const arms = [made.patch, [made.outside as Intervention], [made.random(1)], [made.whole]];
    const work = intervenedWork(
      arms.map((interventions) => ({ ids, interventions })),
      shape,
    );
    const after = capture(
      engine,
      arms.map(() => ({ ids })),
      shape,
      "residual_after.1",
      { interventions: work.interventions },
      isLast,
    );
    engine.dispose();
    const stateOf = (arm: number) => after.states[arm]?.sites["residual_after.1"]?.[0] as Float32Array;
    const moved = (arm: number) => Array.from(stateOf(arm), (one, at) => one - (own[at] as number));
    const length = (vector: readonly number[]) => Math.hypot(...vector);
    const difference = Array.from(donor, (one, at) => one - (own[at] as number));
    // Least squares: what is left of the difference is orthogonal to every direction.
    const patched = moved(0);
    const rest = difference.map((one, at) => one - (patched[at] as number));
    for (let row = 0; row < 3; row++) {
      const direction = directions.subarray(row * shape.embedding, (row + 1) * shape.embedding);
      const along = (vector: readonly number[]) =>
        vector.reduce((sum, one, at) => sum + one * (direction[at] as number), 0);
      expect(Math.abs(along(rest)) / length([...direction])).toBeLessThan(1e-4);
      expect(Math.abs(along(moved(1))) / length([...direction])).toBeLessThan(1e-4);
    }
    expect(length(patched)).toBeCloseTo(made.displacement, 3);
    for (const arm of [1, 2]) expect(length(moved(arm))).toBeCloseTo(made.displacement, 3);
    expect(length(patched)).toBeLessThan(length(difference));
    expect(stateOf(3)).toEqual(donor);
    // The own state as its own donor changes nothing to speak of, and nothing is left for the controls.
    const self = subspacePatch(subspaceOf(site, directions, shape.embedding), { token, own, donor: own, name: "self" });
    expect(self.displacement).toBe(0);
    expect([...(self.random(1).values as Float32Array)].every((one) => one === 0)).toBe(true);
  });
});

describe("what nothing behind a site reads", () => {
  const A = () => models.A;
  const at = (part: Site["part"], layer: number): Site => ({ part, layer });

  test("on a planted model: its answers and values are read, and what was copied is not once it was used", async () => {
    const reading = await ModelReading.open(A().path);
    const left = async (site: Site, direction: readonly number[]) => {
      const within = (await reading.spanAt(site)).within(direction);
      return Math.hypot(...direction.map((one, place) => one - (within[place] as number)));
    };
    const { answerDirections, valueDirections } = A().truth;
    for (const answer of answerDirections) expect(await left(at("residual_after", 0), answer)).toBeLessThan(1e-12);
    for (const value of valueDirections) expect(await left(at("residual_after", 3), value)).toBeLessThan(1e-12);
    const pairs = [0, 1].map((pair) => promptIds(A(), pair));
    const shape = stateShapeOf(await readGguf(A().path), A().path);
    const engine = await openEngine(A().path, { forward: "own" });
    const isLast = (_: number, token: number, length: number) => token === length - 1;
    const { states } = capture(
      engine,
      pairs.map((ids) => ({ ids })),
      shape,
      "attention_output.0",
      {},
      isLast,
    );
    engine.dispose();
    // What the heads have copied of one pair less that of the next: the second item, which the MLP of that layer reads and nobody later.
    const [one, other] = states.map(({ sites }) => sites["attention_output.0"]?.[0] as Float32Array) as [
      Float32Array,
      Float32Array,
    ];
    const copied = Array.from(one, (value, place) => value - (other[place] as number));
    expect(Math.hypot(...copied)).toBeGreaterThan(1);
    expect(await left(at("attention_output", 0), copied)).toBeLessThan(1e-5);
    expect(await left(at("residual_after", 0), copied)).toBeCloseTo(Math.hypot(...copied), 5);
    // An adapter reads what the base does not.
    await writeReferenceAdapter(
      join(folder, "reads.gguf"),
      randomAdapter(await readReferenceModel(A().path), { rank: 2, alpha: 2, targets: ["gate"] }, 0.3),
      2,
    );
    const worn = await ModelReading.open(A().path, { path: join(folder, "reads.gguf"), scale: 1 });
    expect((await worn.spanAt(at("residual_after", 0))).basis.length).toBeGreaterThan(
      (await reading.spanAt(at("residual_after", 0))).basis.length,
    );
    await worn.close();
    await reading.close();
  });

  test("a patch that carries over what is not read, and moves the answer by what never varies there, is found out", async () => {
    const planted = await writePlantedModel(join(folder, "eight.gguf"), { mechanism: "A", items: 8, seed: 7 });
    const { valueDirections, propertyOf, answerOf } = planted.truth;
    const shape = stateShapeOf(await readGguf(planted.path), planted.path);
    // Of the first item: what stands copied of the second, which nobody reads any more, goes with the property; and a yes that nobody writes there.
    const seconds = Array.from({ length: 8 }, (_, second) => second);
    const engine = await openEngine(planted.path, { forward: "own" });
    const isLast = (_: number, token: number, length: number) => token === length - 1;
    const { states } = capture(
      engine,
      seconds.map((pair) => ({ ids: promptIds(planted, pair) })),
      shape,
      "attention_output.0",
      {},
      isLast,
    );
    engine.dispose();
    const sign = (pair: number) => (propertyOf[answerOf[pair] as number] === 0 ? 1 : -1);
    const illusory = Float32Array.from({ length: shape.embedding }, (_, place) => {
      const copies = states.map(({ sites }) => sites["attention_output.0"]?.[0]?.[place] as number);
      const mean = copies.reduce((sum, one) => sum + one, 0) / copies.length;
      const copied = copies.reduce((sum, one, second) => sum + sign(second) * (one - mean), 0);
      const [yes, no] = valueDirections.map((one) => one[place] as number) as [number, number];
      return copied + (2 / 3) * (yes - no);
    });
    const [pairs, directions] = [join(folder, "illusory.jsonl"), join(folder, "illusory.safetensors")];
    await writeSafetensors(
      directions,
      new Map([["residual_after.0", { shape: [shape.embedding], values: illusory }]]),
      {},
    );
    const wording = hypotheticalVariant("minimal").template;
    const asked = (pair: number) =>
      wording
        .replace("{prompt}", PLANTED_QUESTION.replace("{string}", planted.strings[pair]?.text as string))
        .replace("{property}", PLANTED_PROPERTY_QUESTION);
    const donorOf = (own: number) => seconds.find((other) => sign(other) !== sign(own)) as number;
    const lines = seconds.map((own) => JSON.stringify({ prompt: asked(own), donor: asked(donorOf(own)) }));
    const made = await patchSubspace(parsePatchPairs(Buffer.from(lines.join("\n")), pairs), planted.path, {
      engine: { device: "cpu", threads: 1, cache: false },
      out: `${pairs}.out.jsonl`,
      subspace: [directions],
      choices: ["yes", "no"],
      randomSeeds: 1,
    });
    const [effect] = made.effects;
    const { read, unread } = effect?.controls ?? {};
    // 12 a logit, twice a quarter of what it would take.
    expect(effect?.meanLead).toBeGreaterThan(5);
    for (const control of [read, unread]) {
      expect(Math.abs(control?.meanLead as number)).toBeLessThan(0.1);
      expect(control?.adjusted).toMatchObject({ ok: true, p: 2 / 2 ** 8 });
    }
    // Of the direction's length half is copied items.
    expect(effect?.unread).toMatchObject({
      ok: true,
      ofState: expect.any(Number),
      ofPatch: expect.closeTo(Math.SQRT1_2, 2),
    });
  });
});

test("directions: of probes, of several files together, and what is none", async () => {
  const weights = [
    [1, 0, 0],
    [0, 2, 0],
    [1, 0, 3],
  ].map((row) => Float64Array.from(row));
  expect([...probeDirections({ weights })]).toEqual([-1, 2, 0, 0, 0, 3]);
  const site: Site = { part: "residual_after", layer: 0 };
  const refused = (rows: readonly number[], words: RegExp) =>
    expect(() => subspaceOf(site, Float32Array.from(rows), 3)).toThrow(words);
  refused([1, 0, 0, 2, 0, 0], /direction 2 lies in the span/);
  refused([0, 0, 0], /has the length 0/);
  refused([1, 0], /no directions of 3/);
  refused([1, 0, 0, 0, 1, 0, 0, 0, 1], /leave nothing/);
  refused([1, Number.NaN, 0], /is NaN/);
  const [one, two, bad] = ["one", "two", "bad"].map((name) => join(folder, `${name}.safetensors`)) as [
    string,
    string,
    string,
  ];
  const tensor = (shape: number[], values: number[]) => ({ shape, values: Float32Array.from(values) });
  await writeSafetensors(one, new Map([["residual_after.0", tensor([3], [1, 1, 0])]]), {});
  await writeSafetensors(two, new Map([["residual_after.0", tensor([1, 3], [0, 1, 0])]]), {});
  await writeSafetensors(bad, new Map([["elsewhere", tensor([3], [1, 1, 0])]]), {});
  const [found] = [...(await readSubspaces([one, two], () => 3)).values()];
  expect(found?.basis).toHaveLength(2);
  expect(found?.basis.every((row) => row[2] === 0)).toBe(true);
  await expect(readSubspaces([bad], () => 3)).rejects.toMatchObject({ code: "PROBE_INVALID" });
  await expect(readSubspaces([one], () => 4)).rejects.toMatchObject({ code: "PROBE_SITE" });
});

describe("commands", () => {
  const wording = hypotheticalVariant("minimal").template;
  const question = (text: string) => PLANTED_QUESTION.replace("{string}", text);
  const asked = (text: string) =>
    wording.replace("{prompt}", question(text)).replace("{property}", PLANTED_PROPERTY_QUESTION);

  test("subspace: the donor's answer gains by it alone", async () => {
    const { path, strings } = models.A;
    const [pairs, directions, out] = ["pairs.jsonl", "answers.safetensors", "patched.jsonl"].map((name) =>
      join(folder, name),
    ) as [string, string, string];
    const width = models.A.truth.answerDirections[0]?.length as number;
    await writeSafetensors(
      directions,
      new Map([["residual_after.0", { shape: [4, width], values: answersOf(models.A) }]]),
      {},
    );
    const donorOf = (value: string) => strings.find((other) => other.value !== value)?.text as string;
    const prompts = strings
      .slice(0, 8)
      .map(({ text, value }) => JSON.stringify({ prompt: asked(text), donor: asked(donorOf(value)) }));
    const same = JSON.stringify({
      id: "same",
      prompt: asked(strings[0]?.text as string),
      donor: asked(strings[0]?.text as string),
    });
    writeFileSync(pairs, [...prompts, same].join("\n"));
    const { code, stdout } = await inwardHere([
      "probe",
      "subspace",
      "--pairs",
      pairs,
      "--subspace",
      directions,
      "-m",
      path,
      "--device",
      "cpu",
      "--choices",
      "yes,no",
      "--random-seeds",
      "2",
      "-o",
      out,
    ]);
    expect(code).toBe(0);
    expect(stdout).toMatch(
      /residual_after\.0: \d+ directions of a state are read by nothing behind it; 0\.0 % of what is written/,
    );
    expect(stdout).toContain("8 pairs were told; of 1 both prompts have the same answer.");
    // p of both controls: of 8 pairs all lie on one side.
    expect(stdout.match(new RegExp((2 / 2 ** 8).toFixed(4), "g"))).toHaveLength(2);
    const rows = readFileSync(out, "utf8").trim().split("\n");
    const lines = rows.map((line) => JSON.parse(line) as ChoiceLine);
    // A donor that is the prompt itself differs in nothing outside.
    expect(lines).toHaveLength(9 * (2 + 5) - 1);
    const lead = (id: string, arm: string) => {
      const found = lines.find((line) => line.id === id && line.arm === arm) as ChoiceLine;
      const [yes, no] = found.choices as [number, number];
      return yes - no;
    };
    for (const id of ["1", "2", "8"]) {
      const [before, donor] = [lead(id, "none"), lead(id, "donor")];
      expect(Math.sign(before)).toBe(-Math.sign(donor));
      expect(lead(id, "subspace") / donor).toBeGreaterThan(0.9);
      expect(lead(id, "outside") / before).toBeGreaterThan(0.7);
    }
  });

  test("patchscope: the answer that a state holds is said in another prompt, and the own state in its place changes no bit", async () => {
    const { path, strings } = models.A;
    const [file, out] = [join(folder, "asked.jsonl"), join(folder, "scope.jsonl")];
    writeFileSync(
      file,
      strings
        .slice(0, 8)
        .map(({ text, answer: word }) => JSON.stringify({ prompt: question(text), word }))
        .join("\n"),
    );
    const command = (to: string, ...more: string[]) =>
      inwardHere([
        "probe",
        "patchscope",
        "--file",
        file,
        "-m",
        path,
        "--device",
        "cpu",
        "--max-tokens",
        "3",
        "-o",
        to,
        ...more,
      ]);
    const target = question(strings[0]?.text as string);
    const sites = ["--sites", "residual_after.1", "--into", "residual_after.1-2"];
    const whole = await command(out, "--target", target, ...sites, "--expect-key", "word", "--json");
    expect(whole).toMatchObject({ code: 0 });
    const made = JSON.parse(whole.stdout) as Patchscope;
    expect(made.effects.map(({ into }) => into)).toEqual(["residual_after.1", "residual_after.2"]);
    for (const { told } of made.effects) {
      expect(told).toMatchObject({ own: 1, others: 0, none: 0.25, adjusted: { ok: true } });
      expect(told?.adjusted.ok && told.adjusted.p).toBeLessThan(0.05);
    }
    const lines = readFileSync(out, "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as PatchscopeLine);
    const numbers = ({ text, tokenIds, logprobs }: PatchscopeLine) => JSON.stringify({ text, tokenIds, logprobs });
    const first = lines.filter(({ id }) => id === "1");
    const self = first.find(({ arm, from, into }) => arm === "state" && from === into) as PatchscopeLine;
    expect(numbers(self)).toBe(numbers(first.find(({ arm }) => arm === "none") as PatchscopeLine));

    // Back-patching, as float64 has it.
    const back = join(folder, "back.jsonl");
    const patched = await command(back, "--sites", "residual_after.2", "--into", "residual_after.0-3");
    expect(patched).toMatchObject({ code: 0 });
    const reference = await readReferenceModel(path);
    const rows = readFileSync(back, "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as PatchscopeLine);
    const own = rows.filter(({ id, arm }) => id === "2" && arm === "state");
    expect(own.map(({ into }) => into)).toEqual(["residual_after.0", "residual_after.1"]);
    const { vocabulary } = models.A;
    const rendered = JSON.parse(
      (await inwardHere(["tokenize", question(strings[1]?.text as string), "--prompt", "-m", path, "--json"])).stdout,
    );
    const ids = (rendered.tokens as { id: number }[]).map(({ id }) => id);
    const late = lastRow(referenceResiduals(reference, ids).afterLayers[2] as Matrix);
    for (const { into, tokenIds, logprobs } of own) {
      const { logits } = referenceResiduals(reference, ids, ({ part, layer }, states) =>
        `${part}.${layer}` !== into
          ? states
          : states.map((value, row, column) => (row === ids.length - 1 ? (late[column] as number) : value)),
      );
      const all = lastRow(logits);
      const total =
        Math.log(all.reduce((sum, logit) => sum + Math.exp(logit - Math.max(...all)), 0)) + Math.max(...all);
      const said = tokenIds?.[0] ?? vocabulary.endId;
      if (logprobs?.[0] !== undefined) expect(logprobs[0]).toBeCloseTo((all[said] as number) - total, 4);
      expect(all[said]).toBe(Math.max(...all));
    }
    for (const [given, words] of [
      [["--sites", "residual_after.0", "--into", "residual_after.1"], /PROBE_SITE.*nothing to write back/],
      [["--sites", "residual_after.1"], /USAGE.*earlier layers/],
      [["--sites", "attention_weights.1", "--into", "residual_after.0"], /PROBE_SITE.*no state of a token/],
    ] as const) {
      expect((await command(join(folder, "no.jsonl"), ...given)).stderr).toMatch(words);
    }
  });
});

const lastRow = ({ values, columns, rows }: Matrix) =>
  Array.from(values.subarray((rows - 1) * columns, rows * columns));
