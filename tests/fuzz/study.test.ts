/** Studies and --set, changed at random: refused with a code, or read for what they say. */
import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { parse, stringify } from "yaml";
import { canonicalJson } from "../../src/base/files.js";
import { InwardError } from "../../src/errors.js";
import { parseStudy } from "../../src/study/load-study.js";
import { makePlan } from "../../src/study/make-plan.js";
import type { Study } from "../../src/study/study.js";
import { changeStructure, changeText, type Dice, fuzz } from "./mutations.js";

const FOLDER = new URL("../../studies/", import.meta.url);
const TEXTS = readdirSync(FOLDER)
  .filter((name) => name.endsWith(".yaml") && name !== "quantize.yaml")
  .map((name) => readFileSync(new URL(name, FOLDER), "utf8"));

/** Every word and number of the YAML is somewhere in the study: nothing was dropped. */
function requireNothingDropped(study: Study, raw: unknown): void {
  const said = new Set<string>();
  const walk = (value: unknown, into: (leaf: string) => void): void => {
    if (Array.isArray(value)) for (const inner of value) walk(inner, into);
    else if (value !== null && typeof value === "object") for (const inner of Object.values(value)) walk(inner, into);
    else if (typeof value === "string" || typeof value === "number") into(String(value));
  };
  walk(study, (leaf) => said.add(leaf));
  const taskLists = (raw as { tasks: { properties?: unknown }[] }).tasks;
  // A list for every task says nothing where each task has its own.
  const overshadowed = taskLists.every(({ properties }) => properties !== undefined);
  const { properties, ...rest } = raw as Record<string, unknown>;
  walk(overshadowed ? rest : { ...rest, properties }, (leaf) => expect(said, leaf).toContain(leaf));
}

async function requireRightReading(study: Study, text: string): Promise<void> {
  const raw = parse(text, { maxAliasCount: -1 });
  expect(canonicalJson(parseStudy(stringify(raw), "again.yaml"))).toBe(canonicalJson(study));
  // Nothing that JSON, and so the plan, would turn into something else.
  expect(JSON.parse(JSON.stringify(study))).toEqual(study);
  requireNothingDropped(study, raw);
  await requirePlan(study);
}

/** A plan, or a coded error. */
async function requirePlan(study: Study): Promise<void> {
  const file = { path: "/a", sha256: "00", bytes: 1, encoding: "F32", licence: "mit" };
  const files = Object.fromEntries(
    Object.entries(study.models).map(([name, { source }]) => [name, { source, ...file }]),
  );
  const engine = { engine: "native", forward: "llama.cpp", sequences: study.engine.sequences ?? 16 } as const;
  try {
    const plan = await makePlan({ ...study, engine: { ...study.engine, ...engine } }, files, ".");
    expect(JSON.parse(JSON.stringify(plan))).toEqual(plan);
  } catch (error) {
    if (!(error instanceof InwardError) || error.code === "INTERNAL") throw error;
  }
}

test("a study", async () => {
  const { accepted, refused } = await fuzz(
    "study",
    (dice) => {
      const text = dice.of(TEXTS);
      const changed = dice.once(2) ? changeText(text, dice) : writeYaml(changeStructure(parse(text), dice));
      return { input: changed, result: () => parseStudy(changed, "fuzz.yaml") };
    },
    requireRightReading,
  );
  expect(Math.min(accepted, refused)).toBeGreaterThan(0);
});

function writeYaml(value: unknown): string {
  return stringify(value, { aliasDuplicateObjects: false });
}

const STEPS = [
  "study",
  "seed",
  "models",
  "small",
  "m",
  "source",
  "encoding",
  "tasks",
  "0",
  "1",
  "2",
  "3",
  "-1",
  "00",
  "1e0",
  "length",
  "push",
  "4000000000",
  "task",
  "trainStrings",
  "heldOutStrings",
  "properties",
  "experiments",
  "predictions",
  "predictor",
  "target",
  "lora",
  "rank",
  "targets",
  "engine",
  "threads",
  "score",
  "confidence",
  "hypothetical",
  "variants",
  "controls",
  "wordings",
  "changes",
  "calibration",
  "__proto__",
  "constructor",
  "prototype",
  "toString",
  "x",
  "",
  " ",
  "enginee",
];
const VALUES = [
  "1",
  "0",
  "-1",
  "2",
  "0.5",
  "1e300",
  "100000000",
  "x",
  "",
  "null",
  "true",
  "[]",
  "{}",
  "[1, 2]",
  "[q]",
  "{a: 1}",
  "minimal",
  "numbers",
  "cpu",
  "*a",
  "&a 1",
  "!x 1",
  '"\\0"',
  "[",
  "{",
  "'",
  "a: b",
  "first_word",
  "self_prediction",
];

function expression(dice: Dice): string {
  const path = Array.from({ length: 1 + dice.below(4) }, () => dice.of(STEPS)).join(".");
  return dice.once(20) ? path : `${path}=${dice.of(VALUES)}`;
}

/** Paths as a study has them, so that a good part is accepted. */
function existing(raw: unknown, dice: Dice): string {
  let at = raw;
  const path: string[] = [];
  while (at !== null && typeof at === "object" && Object.keys(at).length > 0 && (path.length === 0 || !dice.once(4))) {
    const key = dice.of(Object.keys(at));
    path.push(key);
    at = (at as Record<string, unknown>)[key];
  }
  return `${path.join(".")}=${dice.once(3) ? JSON.stringify(at) : dice.of(VALUES)}`;
}

/** The same change made to the YAML itself; undefined where no list has such an entry. */
function setByHand(raw: unknown, override: string): unknown {
  const result = structuredClone(raw);
  const sign = override.indexOf("=");
  const path = override.slice(0, sign).split(".");
  let at = result as Record<string, unknown>;
  for (const [depth, key] of path.entries()) {
    if (Array.isArray(at) && (String(Number(key)) !== key || !(Number(key) >= 0 && Number(key) <= at.length)))
      return undefined;
    if (depth === path.length - 1) at[key] = parse(override.slice(sign + 1));
    else {
      if (!Object.hasOwn(at, key)) at[key] = path[depth + 1] === "0" ? [] : {};
      at = at[key] as Record<string, unknown>;
    }
  }
  return result;
}

test("--set", async () => {
  const { accepted, refused } = await fuzz(
    "set",
    (dice) => {
      const text = dice.of(TEXTS);
      const override = dice.once(2) ? expression(dice) : existing(parse(text), dice);
      return { input: JSON.stringify({ override, text }), result: () => parseStudy(text, "fuzz.yaml", [override]) };
    },
    (study, input) => {
      const { override, text } = JSON.parse(input) as { override: string; text: string };
      const byHand = setByHand(parse(text), override);
      expect(byHand, "an entry that no list has").toBeDefined();
      expect(canonicalJson(parseStudy(writeYaml(byHand), "hand.yaml"))).toBe(canonicalJson(study));
    },
  );
  expect(Math.min(accepted, refused)).toBeGreaterThan(0);
});
