/**
 * 08-experiments.json of version 1 (sentences) against version 2 (data), made again from the same scores: the same findings, the
 * same numbers (label -> key), and the facts of every old sentence among the sentences that the report now writes.
 * Usage: node validation/compare-experiments.mjs <run folder with a version 1 file> …   (after npm run build)
 */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { aboutText, missingText, QUESTIONS, verdictSentences } from "../dist/report/sentences.js";
import { experimentResults } from "../dist/score/verdicts/experiments.js";

const FILES = ["scores", "comparisons", "calibration", "shifts", "matrix"];
const SCOPES = { "": "all", ", taught tasks": "taught", ", tasks that were not taught": "elsewhere" };

/** The key of a number of version 1, from its label alone: written down here apart from the product. */
function keyOf(experiment, label, about) {
  const fixed = {
    "self_prediction accuracy": "accuracy",
    "self_prediction held-out strings of trained tasks": "accuracy_held_out_strings",
    "self_prediction held-out tasks": "accuracy_held_out_tasks",
    "cross_prediction self minus cross, paired": "self_minus_cross",
    "cross_prediction accuracy of self": "accuracy_self",
    "cross_prediction accuracy of cross": "accuracy_cross",
    "calibration mean distance in ten bins (MAD), points": "mad_points",
    "calibration Brier score": "brier",
    "calibration skill over a constant predictor": "skill",
    "matrix γ: self beyond skill, predictability and likeness": "self_coefficient",
    "matrix δ: behaving alike in everything instead of nothing": "likeness_coefficient",
    "matrix γ without likeness": "self_without_likeness",
    "matrix says its own behavior minus the other's, where two behave differently": "own_minus_other",
    "matrix coefficient of self": "self_coefficient",
    "limits accuracy": "accuracy",
  }[`${experiment} ${label}`];
  if (fixed) return fixed;
  if (experiment === "self_prediction" && /, the first seed$/.test(label)) return "accuracy";
  if (experiment === "self_prediction" && label.startsWith("behaviors that training changed ("))
    return "behaviors_moved";
  const minus = /^Brier score minus (.*)'s, paired$/.exec(label);
  if (minus) return `brier_minus/${minus[1]}`;
  const change =
    /^([^ ,:]+)(, taught tasks|, tasks that were not taught|)(?: \(.*\))?: (right about the new|the same with old|behaviors that shifted)/.exec(
      label,
    );
  assert(change, `no key for "${label}" of ${experiment}, ${about}`);
  const measure = { right: "new_minus_old", the: "new_minus_old_matched", behaviors: "behaviors_shifted" };
  return `${measure[change[3].split(" ")[0]]}/${change[1]}/${SCOPES[change[2]]}`;
}

/** Values with their intervals, percentages, counts of trials, p-values: what a sentence claims in numbers. */
function factsOf(text) {
  const plain = text.replaceAll("\u00a0", " ");
  return (
    plain.match(
      /[+−]?\d[\d,.]*(?: points| %)? ?\[[^\]]*\]|\bp = [\d.e-]+|\d[\d,]* trials|only \d+ strings|\d+(?:\.\d+)? %/g,
    ) ?? []
  );
}

const readJson = (path) => JSON.parse(readFileSync(path, "utf8"));
const total = { verdicts: 0, numbers: 0, facts: 0, reasons: 0 };

for (const folder of process.argv.slice(2)) {
  const old = readJson(join(folder, "08-experiments.json"));
  assert.equal(old.experimentsVersion, 1, `${folder} is not of version 1`);
  const input = { plan: readJson(join(folder, "01-plan.json")) };
  for (const name of FILES) {
    const path = join(folder, `08-${name}.json`);
    if (existsSync(path)) input[name] = readJson(path);
  }
  const made = JSON.parse(JSON.stringify(experimentResults(input)));
  assert.deepEqual(
    made.experiments.map(({ name }) => name),
    old.experiments.map(({ name }) => name),
  );
  for (const [at, before] of old.experiments.entries()) {
    const now = made.experiments[at];
    assert.equal(QUESTIONS[before.name], before.question);
    assert.equal(now.verdicts.length, before.verdicts.length);
    if (before.missing !== undefined) assert(before.missing.startsWith(missingText(now.missing).slice(0, 30)));
    for (const [place, verdict] of before.verdicts.entries()) {
      const found = now.verdicts[place];
      const where = `${folder}: ${before.name}, ${verdict.about}`;
      assert.equal(found.finding, verdict.finding, where);
      assert(
        found.numbers.some(({ key }) => key === found.decidedBy),
        `${where}: decided by no number`,
      );
      assert.equal(
        new Set(found.numbers.map(({ key }) => key)).size,
        found.numbers.length,
        `${where}: a key stands twice`,
      );
      for (const number of verdict.numbers) {
        const key = keyOf(before.name, number.label, verdict.about);
        const same = found.numbers.find((one) => one.key === key);
        assert(same, `${where}: ${key} is missing`);
        assert.deepEqual(same.estimate, number.estimate, `${where}: ${key}`);
        assert.deepEqual([same.unit, same.intervalMethod], [number.unit, number.intervalMethod], `${where}: ${key}`);
        // A difference's other side stands under its own name now: cross is cross.
        for (const [name, estimate] of Object.entries(number.baselines)) {
          const today = name === "input_only_classifier" ? "input_only" : name;
          assert.deepEqual(same.baselines[today], estimate, `${where}: ${key} beside ${name}`);
        }
        total.numbers++;
      }
      const { lead, more } = verdictSentences(found);
      const text = [aboutText(found.about), lead, ...more].join(" ").replaceAll("\u00a0", " ");
      const claims = `${verdict.sentence} ${verdict.because.join(" ")}`;
      for (const fact of factsOf(claims)) {
        assert(text.includes(fact), `${where}: "${fact}" is told no more in\n${text}`);
        total.facts++;
      }
      for (const reason of verdict.because) {
        // Names of controls became phrases; what stands in brackets is the reason itself.
        const core = /^not compared with .*? \((.*)\)$/s.exec(reason)?.[1] ?? reason;
        const isSaid = text.toLowerCase().includes(core.replaceAll("\u00a0", " ").replace(/\.$/, "").toLowerCase());
        const isReworded = /^only one of the two was trained|^both run on the same base weights/.test(core);
        const reworded = /was trained to predict and .* was not|runs on the same base weights/;
        assert(isSaid || (isReworded && reworded.test(text)), `${where}: "${core}" is told no more in\n${text}`);
        total.reasons++;
      }
      total.verdicts++;
    }
  }
  console.log(
    `${folder}: ${made.experiments.map(({ name, verdicts }) => `${name} ${verdicts.length}`).join(", ")}: the same`,
  );
}
console.log(
  `${total.verdicts} verdicts, ${total.numbers} numbers, ${total.facts} facts of sentences, ${total.reasons} reasons`,
);
