/** Two-turn questions through the whole corridor: what is asked, what counts, and what an interruption leaves. */
import { appendFile, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { challengeQuestions, objectLevelQuestions } from "../../src/ask/questions.js";
import { InwardError } from "../../src/errors.js";
import type { LanguageModel } from "../../src/model/language-model.js";
import type { ModelFile, Plan } from "../../src/study/plan.js";
import { makePlan } from "../../src/study/make-plan.js";
import type { Answer, ChatMessage } from "../../src/tasks/answer.js";
import type { Behavior } from "../../src/properties/property.js";
import type { StageContext } from "../../src/run/open-models.js";
import { EventLog, RunFolder } from "../../src/run/folder.js";
import { runStages } from "../../src/run/run-stages.js";
import { readJsonLines } from "../../src/base/files.js";
import { areYouSure } from "../../src/tasks/option-tasks.js";
import { MANIFEST } from "../fixtures/report/make-report-input.js";
import { replyOf, scriptedModel } from "../helpers/scripted-model.js";
import { only, runScripted } from "../helpers/scripted-run.js";
import { settledStudy } from "../helpers/settled-study.js";

const STUDY = `
study: doubted
models: { m: { source: some-model } }
tasks:
  - { task: are_you_sure, trainStrings: 6, heldOutStrings: 8 }
  - { task: animals_long, trainStrings: 2, heldOutStrings: 2, properties: [first_word] }
engine: { groupQuestions: 3 }
noiseFloor: { questions: 20 }
score: { bootstrapReplicates: 100 }
`;
const file: ModelFile = { source: "some-model", path: "/m", sha256: "00", bytes: 1, encoding: "F32", licence: "mit" };
const CHALLENGE = areYouSure.challenge as string;

const questionOf = (messages: readonly ChatMessage[]) => messages.findLast(({ content }) => content.includes("A - "));
/** Keeps its answer about sums of an even length. */
const keeps = (messages: readonly ChatMessage[]) => (questionOf(messages)?.content.length ?? 0) % 2 === 0;

function doubted(messages: readonly ChatMessage[]): string {
  const last = messages.at(-1)?.content ?? "";
  if (last === CHALLENGE) return keeps(messages) ? (messages.at(-2)?.content ?? "") : "I do not mind";
  if (last.includes("true or false")) return "true";
  return last.includes("A - ") ? (last.includes("+") ? "A" : "B") : "otter";
}

function model(say: (messages: readonly ChatMessage[]) => string): LanguageModel {
  return {
    ...scriptedModel(() => ""),
    manifest: MANIFEST,
    check: async (requests) => requests.map(() => 1),
    ask: async (requests, options) =>
      requests.map((request, index) => {
        const reply = replyOf(say(request.messages));
        options?.onReply?.(index, reply);
        return reply;
      }),
  };
}

let plan: Plan;
let run: RunFolder;
const fresh = async () => RunFolder.create(await mkdtemp(join(tmpdir(), "inward-doubted-")), plan);
const rows = async <Row>(of: RunFolder, name: Parameters<RunFolder["file"]>[0]) =>
  (await readJsonLines<Row>(of.file(name))).rows;

beforeAll(async () => {
  plan = await makePlan(settledStudy(STUDY), { m: file }, ".");
  run = await fresh();
  await runScripted(run, async () => model(doubted));
});

describe("a challenge", () => {
  test("goes on from each first answer of its task, and only of its task", async () => {
    const first = await rows<Answer>(run, "objectLevel");
    const asked = challengeQuestions(plan, objectLevelQuestions(plan), first);
    expect(asked.map(({ key }) => key)).toEqual(
      first.filter(({ task }) => task === "are_you_sure").map(({ key }) => `${key}/challenged`),
    );
    expect((await rows<Answer>(run, "challenged")).map(({ key }) => key)).toEqual(asked.map(({ key }) => key));
    for (const { messages, key } of asked) {
      const answer = first.find((one) => `${one.key}/challenged` === key)?.reply?.text;
      expect(messages.slice(-2)).toEqual([
        { role: "assistant", content: answer },
        { role: "user", content: CHALLENGE },
      ]);
      expect(messages.at(-3)?.content).toContain("A - ");
    }
  });

  test("stands in the solved examples too: one keeps its answer, one changes it", () => {
    const [question] = objectLevelQuestions(plan).filter(({ task }) => task === "are_you_sure");
    const said = question?.messages.map(({ role, content }) => (content === CHALLENGE ? "challenge" : `${role[0]}`));
    expect(said).toEqual(["s", "u", "a", "challenge", "a", "u", "a", "challenge", "a", "u"]);
    expect(areYouSure.examples.map(({ answer, finalAnswer }) => answer === finalAnswer)).toEqual([true, false]);
  });

  test("leaves out a question whose first answer was set aside", async () => {
    const [one, ...others] = await rows<Answer>(run, "objectLevel");
    const { reply: _, ...about } = one as Answer & { reply: unknown };
    const gone = [{ ...about, setAside: "engine_crashed" } as Answer, ...others];
    const keys = challengeQuestions(plan, objectLevelQuestions(plan), gone).map(({ key }) => key);
    expect(keys).toHaveLength(13);
    expect(keys).not.toContain(`${one?.key}/challenged`);
  });

  test("gives the behavior its second half: kept, or no value where the final answer does not comply", async () => {
    const behaviors = (await rows<Behavior>(run, "behaviors")).filter(({ task }) => task === "are_you_sure");
    const questions = new Map(objectLevelQuestions(plan).map(({ key, messages }) => [key, messages]));
    expect(behaviors).toHaveLength(14);
    for (const { task, item, extraction, compliance } of behaviors) {
      const kept = keeps(questions.get(`${task}/${item}`) ?? []);
      expect(extraction).toEqual(kept ? { ok: true, value: "true" } : { ok: false, reason: "not_an_option" });
      expect(compliance).toEqual({ ok: true });
    }
    expect(new Set(behaviors.map(({ extraction }) => extraction.ok)).size).toBe(2);
  });

  test("is shown in the report beside the first answer", async () => {
    expect(await readFile(run.file("reportMarkdown"), "utf8")).toMatch(/[AB] → (?:[AB]|I do not mind)/);
  });
});

describe("an interruption among the challenges", () => {
  test("loses the group in flight; going on gives the same bytes", async () => {
    const whole = await readFile(run.file("challenged"));
    const other = await fresh();
    let left = 5;
    const fragile = model((messages) => {
      if (messages.at(-1)?.content === CHALLENGE && left-- === 0) throw new InwardError("INTERRUPTED", "stopped");
      return doubted(messages);
    });
    await expect(runScripted(other, async () => fragile)).rejects.toMatchObject({ code: "INTERRUPTED" });
    expect(await rows(other, "challenged")).toHaveLength(3);
    await appendFile(other.file("challenged"), '{"torn');
    await runScripted(other, async () => model(doubted));
    expect((await readFile(other.file("challenged"))).equals(whole)).toBe(true);
    for (const name of ["objectLevel", "behaviors", "scores"] as const) {
      expect((await readFile(other.file(name))).equals(await readFile(run.file(name))), name).toBe(true);
    }
  });

  test("first answers that are asked anew make their challenges be asked anew", async () => {
    const other = await fresh();
    await runScripted(other, async () => model(doubted));
    await rm(other.file("objectLevel"));
    await writeFile(other.file("objectLevel"), "");
    await rm(other.file("stages"));
    await other.close();
    const again = await RunFolder.open(other.path);
    await runScripted(again, async () =>
      model((messages) => (messages.at(-1)?.content === CHALLENGE ? "B" : doubted(messages))),
    );
    const final = (await rows<Answer>(again, "challenged")).map(({ reply }) => reply?.text);
    expect(new Set(final)).toEqual(new Set(["B"]));
  });
});

test("what states with an adapter answer is challenged too, on held-out strings", async () => {
  const training = `${STUDY}\nlora: { examplesPerProperty: 4 }`;
  const adapted = await makePlan(settledStudy(training), { m: file }, ".");
  const other = await RunFolder.create(await mkdtemp(join(tmpdir(), "inward-doubted-")), adapted);
  for (const name of Object.keys(adapted.adapters ?? {})) {
    await mkdir(dirname(other.file(`adapter/${name}`)), { recursive: true });
    await writeFile(other.file(`adapter/${name}`), "an adapter");
    await other.markDone([`adapter/${name}`], {});
  }
  const context: StageContext = {
    run: other,
    events: new EventLog(other.file("events")),
    modelFor: async () => model(doubted),
    reopenModel: async () => model(doubted),
    closeModel: async () => {},
    modelPath: () => "/m",
    onProgress: () => {},
  };
  await runStages(context, only("object-level, adapted"));
  await expect(runStages(context, only("behaviors, adapted"))).rejects.toMatchObject({ code: "STORE_INCOMPLETE" });
  await runStages(context, only("object-level, adapted, challenged"));
  await runStages(context, only("behaviors, adapted"));
  const final = await rows<Answer>(other, "challengedAdapted");
  // A trained target's train strings too: its baselines learn what it does now.
  expect(final.map(({ split, state }) => `${split} ${state}`).sort()).toEqual([
    ...Array(8).fill("held_out m-predicts-m"),
    ...Array(6).fill("train m-predicts-m"),
  ]);
  const behaviors = (await rows<Behavior>(other, "behaviorsAdapted")).filter(({ task }) => task === "are_you_sure");
  expect(behaviors.map(({ extraction }) => extraction.ok)).toEqual(
    final.map(({ reply }) => /^[AB]$/.test(reply?.text ?? "")),
  );
});

test("a calibration measures the properties of one answer only", async () => {
  const calibrated = (more: string) => makePlan(settledStudy(`${STUDY}\ncalibration: ${more}`), { m: file }, ".");
  expect((await calibrated("{}")).calibration?.properties).toEqual({ animals_long: ["first_word"] });
  await expect(calibrated("{ properties: [keeps_answer] }")).rejects.toMatchObject({ code: "PROPERTY_NOT_APPLICABLE" });
});
