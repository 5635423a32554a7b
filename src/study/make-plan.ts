/** From a study to its plan: names resolved, strings chosen by seed, files hashed. The plan alone decides every result. */

import { ALTERNATIVE_BYTES } from "./engine-schema.js";
import { OMIT_SYSTEM } from "./schema.js";
import { didYouMean, shown } from "../base/untrusted.js";
import { INWARD_VERSION } from "../base/version.js";
import { InwardError } from "../errors.js";
import { propertyNamed } from "../properties/all-properties.js";
import { dispositionPropertyName, questionOn } from "../properties/option-letters.js";
import type { OwnProperties } from "../properties/own-property.js";
import type { BehaviorProperty } from "../properties/property.js";
import { hypotheticalVariant, LOGPROB_WORDINGS } from "../properties/wordings.js";
import { dealOut, NO_PREFIX, PREFIXES, prefixNamed, underPrefix } from "../tasks/prefixes.js";
import type { TaskDefinition, TaskItem } from "../tasks/task.js";
import { asAnswered } from "./answered-task.js";
import { checkElsewhere, type GivenReplies, LoggedStrings, type MappedLogs, settleElsewhere } from "./elsewhere.js";
import { chooseStrings } from "./choose-strings.js";
import { withWhatTheyRead } from "./load-properties.js";
import { checkJudged, loadAsked, settledJudges } from "./judges.js";
import { ownQuestions, ownWordings } from "./own-wordings.js";
import { withPlainForms } from "./forms.js";
import { implantedName, planTraining } from "./make-states.js";
import { checkInside, checkPatching } from "./patched-states.js";
import { type OpenTask, type PilotStrings, StringExclusion } from "./pilot-strings.js";
import { learntProperties, type ModelFile, type Plan, type PlannedCalibration, type PlannedTask } from "./plan.js";
import type { PlannedInjection, PlannedVector } from "./injection-schema.js";
import type { PlannedLens } from "./probe-schema.js";
import type { SettledEngine, Study, StudyTask } from "./study.js";
import { planSubgroups } from "./subgroup-columns.js";

/** What a task lacks for its answers to have a property; nothing where they have it. */
function lacks(
  { kinds, disposition, needs }: Pick<BehaviorProperty, "kinds" | "disposition" | "needs">,
  task: Pick<TaskDefinition, "kind" | "disposition" | "features" | "challenge">,
): string | undefined {
  if (!kinds.includes(task.kind)) return `kind ${task.kind}, not ${kinds.join(" or ")}`;
  if (disposition !== undefined && disposition !== task.disposition) {
    if (task.disposition === undefined) return "no disposition";
    const own = dispositionPropertyName(task.disposition);
    return `disposition ${task.disposition}, whose property is ${own}`;
  }
  if (needs === "challenge") return task.challenge === undefined ? "no challenge" : undefined;
  if (needs === "probabilities" || needs === "judge") return undefined;
  if (needs === undefined || task.features?.includes(needs) === true) return undefined;
  if (needs !== "right_answer") return `nothing of ${needs}`;
  return task.disposition === undefined
    ? "no string with a target"
    : `disposition ${task.disposition}, which its targets show; they are no right answers`;
}

// Which properties of which tasks a study compares as distributions.

/**
 * @returns undefined when the study measures no distributions
 * @throws PROPERTY_NOT_FOUND, PROPERTY_NOT_APPLICABLE when a property that was asked for applies to none of the tasks
 */
function planCalibration(
  { calibration }: Pick<Study, "calibration">,
  tasks: readonly PlannedTask[],
  own: OwnProperties,
): PlannedCalibration | undefined {
  if (!calibration) return undefined;
  const { properties: wanted, ...settings } = calibration;
  for (const name of wanted ?? []) {
    if (propertyNamed(name, own).needs === "judge") {
      throw new InwardError(
        "PROPERTY_NOT_APPLICABLE",
        `calibration: ${name} is judged, one answer after the other, and has no distribution; leave it out.`,
      );
    }
    if (!tasks.some(({ definition }) => isMeasured(name, definition, own))) {
      throw new InwardError("PROPERTY_NOT_APPLICABLE", `calibration: no task of the study has the property ${name}.`);
    }
  }
  const rows = tasks.map(({ definition, properties }): [string, string[]] => [
    definition.name,
    (wanted ? [...new Set(wanted)] : properties).filter((name) => isMeasured(name, definition, own)),
  ]);
  return { ...settings, properties: Object.fromEntries(rows.filter(([, names]) => names.length > 0)) };
}

/**
 * A behavior of two answers, the second of which is about the first, has no distribution that one question tells; one of the
 * probabilities themselves is no matter of chance; a judge would have to read every answer that there could be.
 */
function isMeasured(name: string, definition: TaskDefinition, own: OwnProperties): boolean {
  const property = propertyNamed(name, own);
  if (property.needs === "challenge" || property.needs === "probabilities" || property.needs === "judge") return false;
  return lacks(property, definition) === undefined;
}

// From a study to its plan: names resolved, strings chosen by seed, files hashed. The plan alone decides every result.

/**
 * @param study with its engine settled: a plan says which one answers
 * @param files the exact file of each model state
 * @param studyFolder where task paths start from
 * @param more.pilots whose strings are never chosen
 * @param more.chats how each model is spoken to, where that is settled
 * @param more.logs what was read of the study's models that others asked
 * @param more.lenses what was read of the files of lenses
 * @param more.vectors what was read of the files of directions
 * @throws STUDY_INVALID, STUDY_UNKNOWN_MODEL, STUDY_UNKNOWN_PROPERTY, STUDY_NOT_ENOUGH_STRINGS, PROPERTY_*, TASK_*
 */
export async function makePlan(
  study: Study & { readonly engine: SettledEngine },
  files: Readonly<Record<string, ModelFile>>,
  studyFolder: string,
  basis: PlanBasis = {},
): Promise<Plan> {
  return (await makePlanAndReplies(study, files, studyFolder, basis)).plan;
}

/** What a plan rests on beside the study and the models' files. */
interface PlanBasis {
  readonly pilots?: readonly PilotStrings[];
  readonly chats?: Plan["chats"];
  readonly logs?: MappedLogs;
  /** By name, lenses of files that the study names. */
  readonly lenses?: Readonly<Record<string, PlannedLens>>;
  /** By concept, files of directions that the study injects. */
  readonly vectors?: Readonly<Record<string, PlannedVector>>;
}

/** The same, with what was said elsewhere to its questions. @throws as makePlan */
export async function makePlanAndReplies(
  study: Study & { readonly engine: SettledEngine },
  files: Readonly<Record<string, ModelFile>>,
  studyFolder: string,
  { pilots = [], chats, logs = {}, lenses = {}, vectors = {} }: PlanBasis,
): Promise<{ readonly plan: Plan; readonly given: GivenReplies }> {
  checkPredictions(study);
  checkElsewhere(study);
  checkWornAdapters(study, files);
  const exclusion = new StringExclusion(pilots);
  const tasks: PlannedTask[] = [];
  const { loaded, own: authored } = await loadAsked(study, studyFolder);
  const own = settledJudges(study, loaded, authored);
  const logged = new LoggedStrings(
    logs,
    loaded.map(({ task }) => task.definition.name),
  );
  for (const [at, { wanted, task }] of loaded.entries()) {
    // Whatever its prefixes: strings that stand in a study twice would count as two.
    if (loaded.slice(0, at).some((other) => other.task.definition.name === task.definition.name)) {
      throw new InwardError("STUDY_INVALID", `The task ${task.definition.name} stands twice in the study.`);
    }
    for (const planned of planTasks(wanted, exclusion.leaveOut(logged.keep(task)), study, own)) {
      if (tasks.some((task) => task.definition.name === planned.definition.name)) {
        throw new InwardError("STUDY_INVALID", `The task ${planned.definition.name} stands twice in the study.`);
      }
      tasks.push(planned);
    }
  }
  checkPrefixes(study);
  checkHeldOutProperties(study, tasks, own);
  const calibration = planCalibration(study, tasks, own);
  const subgroups = planSubgroups(study.subgroups, tasks);
  const properties = new Set([
    ...tasks.flatMap((task) => task.properties),
    ...Object.values(calibration?.properties ?? {}).flat(),
  ]);
  checkAsked(study, properties, own);
  checkImplants(study, tasks, own);
  checkProbe(study);
  checkInjection(study);
  checkJudged(study, tasks, own);
  const wordings = ownWordings(study.hypothetical.wordings, studyFolder);
  const questions = ownQuestions(study.hypothetical.questions, [...properties], studyFolder, own);
  const plan: Plan = withPlainForms(
    {
      planVersion: 1,
      inwardVersion: INWARD_VERSION,
      study: study.study,
      seed: study.seed,
      models: Object.fromEntries(
        Object.entries(files).map(([name, { path: _, adapterPath: __, ...file }]) => [name, file]),
      ),
      ...(chats ? { chats } : {}),
      tasks,
      ...ownOf(properties, own),
      ...planTraining(study, tasks),
      ...exclusion.record(),
      experiments: study.experiments,
      system: study.system === undefined || study.system === OMIT_SYSTEM ? "" : study.system,
      objectLevel: planObjectLevel(study),
      hypothetical: planHypothetical(study),
      engine: study.engine,
      noiseFloor: study.noiseFloor,
      score: study.score,
      ...(subgroups ? { subgroups } : {}),
      ...(study.probe ? { probe: planProbe(study.probe, lenses) } : {}),
      ...(study.patching ? { patching: study.patching } : {}),
      ...(study.inside ? { inside: study.inside } : {}),
      ...(study.injection ? { injection: planInjection(study.injection, vectors) } : {}),
      ...(calibration ? { calibration } : {}),
      wordings: {
        properties: Object.fromEntries(
          [...properties].sort().map((name) => [name, questions[name] ?? questionIn(tasks, name, own)]),
        ),
        variants: Object.fromEntries(
          [...new Set([...study.hypothetical.variants, ...study.controls.wordings])].map((name) => [
            name,
            hypotheticalVariant(name, wordings).template,
          ]),
        ),
        ...(study.experiments.includes("matrix") ? { logprobs: LOGPROB_WORDINGS } : {}),
      },
    },
    wordings,
  );
  checkPatching(plan);
  checkInside(plan);
  checkAlternatives(plan);
  if (Object.keys(logs).length === 0) return { plan, given: new Map() };
  const most = Object.fromEntries(Object.entries(study.elsewhere).map(([name, { epochs }]) => [name, epochs]));
  const { planned, given } = settleElsewhere(plan, logs, logged, most);
  return { plan: { ...plan, elsewhere: planned }, given };
}

/** A group's lines are written in one piece, and a text of this much is as long as one may safely be. */
const MOST_GROUP_BYTES = 256 * 1024 * 1024;

/** @throws STUDY_INVALID answers so long, with so many tokens stored of each position, that nobody could write or read their lines */
function checkAlternatives({ engine, tasks, objectLevel, hypothetical }: Plan): void {
  const { alternatives = 0, groupQuestions } = engine;
  const answers = tasks.map(({ definition: { maxTokens } }) => maxTokens + (objectLevel.reasoningTokens ?? 0));
  const longest = Math.max(hypothetical.maxTokens, ...answers);
  const bytes = groupQuestions * longest * alternatives * ALTERNATIVE_BYTES;
  if (bytes <= MOST_GROUP_BYTES) return;
  throw new InwardError(
    "STUDY_INVALID",
    `engine.alternatives is ${alternatives}, and ${groupQuestions} answers of up to ${longest} tokens are written at once: ${bytes} bytes, where ${MOST_GROUP_BYTES} are the most. Lower engine.alternatives or engine.groupQuestions.`,
  );
}

function planHypothetical({ objectLevel, hypothetical }: Study): Plan["hypothetical"] {
  const { variants, maxTokens, temperature, samples } = hypothetical;
  if (samples > 1 && objectLevel.samples > 1 && samples !== objectLevel.samples) {
    throw new InwardError(
      "STUDY_INVALID",
      `objectLevel.samples is ${objectLevel.samples} and hypothetical.samples ${samples}: sample k of a reply is held against sample k of the answer, so both are the same number, or one of them is 1.`,
    );
  }
  return { variants, maxTokens, temperature, ...(samples > 1 ? { samples } : {}) };
}

/** @throws STUDY_INVALID two tasks of one disposition ask for it in different words */
function questionIn(tasks: readonly PlannedTask[], name: string, own: OwnProperties): string {
  const property = propertyNamed(name, own);
  if (property.disposition === undefined) return property.question;
  const having = tasks.filter(({ definition }) => definition.disposition === property.disposition);
  const words = new Map(having.map(({ definition }) => [questionOn(property, definition), definition.name]));
  if (words.size > 1) {
    const said = [...words].map(([question, task]) => `${task} ${JSON.stringify(question)}`);
    throw new InwardError(
      "STUDY_INVALID",
      `${name} has one question in a study, and its tasks ask it in different words: ${said.join(", ")}. Give them one dispositionQuestion, or one of them another disposition.`,
    );
  }
  return [...words.keys()][0] ?? property.question;
}

/** Own properties that are asked, and those that they read. */
function ownOf(asked: ReadonlySet<string>, own: OwnProperties): Pick<Plan, "ownProperties"> {
  const used = withWhatTheyRead(asked, own);
  const entries = Object.entries(own).filter(([name]) => used.has(name));
  return entries.length === 0 ? {} : { ownProperties: Object.fromEntries(entries) };
}

/** @throws STUDY_INVALID nothing that is asked of a taught task could show what was taught */
function checkImplants({ implants }: Study, tasks: readonly PlannedTask[], own: OwnProperties): void {
  if (implants.length === 0) return;
  const blind = tasks.find(({ properties }) =>
    properties.every((name) => ["probabilities", "judge"].includes(propertyNamed(name, own).needs ?? "")),
  );
  if (blind === undefined) return;
  throw new InwardError(
    "STUDY_INVALID",
    `implants teach answers, and of ${blind.definition.name} the study asks about probabilities or what a judge says alone (${blind.properties.join(", ")}), which do not show whether they were learnt: ask it about first_word as well.`,
  );
}

/** @throws STUDY_INVALID nothing can be added, or to nobody */
function checkInjection({ injection, models, predictions, engine }: Study & { readonly engine: SettledEngine }): void {
  if (!injection) return;
  const refuse = (why: string) => new InwardError("STUDY_INVALID", `injection ${why}`);
  if (engine.engine !== "native") {
    throw refuse(`writes into states, which the engine ${engine.engine} cannot: engine.engine must be native.`);
  }
  if (predictions.some(({ predictor }) => Object.hasOwn(models, predictor))) return;
  throw refuse("asks models that predict, and the study has none that is asked here (predictions).");
}

function planInjection(
  { vectors: files, ...injection }: NonNullable<Study["injection"]>,
  known: Readonly<Record<string, PlannedVector>>,
): PlannedInjection {
  if (files === undefined) return injection;
  const vectors = Object.keys(files).map((concept) => {
    const planned = known[concept];
    if (!planned) throw new InwardError("INTERNAL", `The file of ${concept} was not read before the plan was made.`);
    return [concept, planned] as const;
  });
  return { ...injection, vectors: Object.fromEntries(vectors) };
}

/** @throws STUDY_INVALID states would be those of other prompts than the asked ones, or of nobody */
function checkProbe({
  probe,
  objectLevel,
  models,
  predictions,
  engine,
}: Study & { readonly engine: SettledEngine }): void {
  if (!probe) return;
  const refuse = (why: string) => new InwardError("STUDY_INVALID", `probe ${why}`);
  if (engine.engine !== "native") {
    throw refuse(`takes states, which the engine ${engine.engine} does not show: engine.engine must be native.`);
  }
  if (objectLevel.reasoning !== "off") {
    throw refuse(
      "reads what stands at the end of a prompt, and with reasoning no answer begins there: set objectLevel.reasoning to off.",
    );
  }
  if (predictions.some(({ predictor }) => Object.hasOwn(models, predictor))) return;
  throw refuse("looks into models that predict, and the study has none that is asked here (predictions).");
}

function planProbe(probe: NonNullable<Study["probe"]>, known: Readonly<Record<string, PlannedLens>>): Plan["probe"] {
  const lenses = probe.lenses.map((lens) => {
    if (typeof lens === "string") return lens;
    const planned = known[lens.name];
    if (!planned) throw new InwardError("INTERNAL", `The lens ${lens.name} was not read before the plan was made.`);
    return planned;
  });
  return { ...probe, lenses };
}

/** @throws STUDY_INVALID a definition of the study itself that nothing asks */
function checkAsked({ ownProperties = {} }: Study, asked: ReadonlySet<string>, own: OwnProperties): void {
  const used = withWhatTheyRead(asked, own);
  const idle = Object.keys(ownProperties).find((name) => !used.has(name));
  if (idle === undefined) return;
  throw new InwardError(
    "STUDY_INVALID",
    `ownProperties defines ${idle}, which nothing asks: name it under properties, or leave it out.`,
  );
}

function planObjectLevel({ objectLevel }: Study): Plan["objectLevel"] {
  const { temperature, samples, reasoning, reasoningTokens } = objectLevel;
  return {
    temperature,
    ...(samples > 1 ? { samples } : {}),
    ...(reasoning === "off" ? {} : { reasoning, reasoningTokens }),
  };
}

function checkPredictions({ models, elsewhere, predictions, changes, implants, lora }: Study): void {
  const asTheyCame = Object.keys(models);
  const withImplants = [...asTheyCame, ...Object.keys(elsewhere), ...implants.map(implantedName)];
  const named: [string, string[]][] = [
    // Where something is trained, a target may be what an earlier prediction trains.
    ...predictions
      .flatMap(({ predictor, target }) => (lora ? [predictor] : [predictor, target]))
      .map((name): [string, string[]] => [name, withImplants]),
    ...[...changes, ...implants].map(({ model }): [string, string[]] => [model, asTheyCame]),
  ];
  for (const [name, known] of named) {
    if (known.includes(name)) continue;
    throw new InwardError(
      "STUDY_UNKNOWN_MODEL",
      `predictions, changes or implants names "${name}", which models does not have.${didYouMean(name, known)}`,
    );
  }
}

/** Training goes on from what a model wears: lora must have room for it. @throws STUDY_INVALID */
function checkWornAdapters({ lora }: Study, files: Readonly<Record<string, ModelFile>>): void {
  if (!lora) return;
  const { rank, targets } = lora.settings.lora;
  for (const [name, { adapter }] of Object.entries(files)) {
    if (!adapter) continue;
    const wears = `models.${name} wears an adapter of rank ${adapter.rank} on ${adapter.targets.join(", ")}, and training goes on from it`;
    if (rank < adapter.rank) {
      throw new InwardError("STUDY_INVALID", `${wears}: lora.rank is ${rank}, say ${adapter.rank} or more.`);
    }
    const missing = adapter.targets.filter((target) => !targets.includes(target));
    if (missing.length > 0) {
      throw new InwardError("STUDY_INVALID", `${wears}: lora.targets lacks ${missing.join(", ")}.`);
    }
  }
}

/** @throws STUDY_INVALID, STUDY_UNKNOWN_PROPERTY where holding them out would mean nothing, or leave nothing to learn */
function checkHeldOutProperties(
  { heldOutProperties, lora }: Study,
  tasks: readonly PlannedTask[],
  own: OwnProperties,
): void {
  if (heldOutProperties === undefined) return;
  if (!lora) {
    throw new InwardError(
      "STUDY_INVALID",
      `heldOutProperties names ${heldOutProperties.join(", ")}, and the study has no lora: nothing is learnt that they could be held out of.`,
    );
  }
  const asked = [...new Set(tasks.flatMap(({ properties }) => properties))];
  for (const name of heldOutProperties) {
    propertyNamed(name, own);
    if (asked.includes(name)) continue;
    throw new InwardError(
      "STUDY_INVALID",
      `heldOutProperties names ${name}, which no task of the study has.${didYouMean(name, asked)} The tasks have ${asked.join(", ")}.`,
    );
  }
  const empty = tasks.find((task) => task.trained === true && learntProperties(task).length === 0);
  if (empty) {
    throw new InwardError(
      "STUDY_INVALID",
      `heldOutProperties leaves nothing to learn from ${empty.definition.name}, whose properties are ${empty.properties.join(", ")}: give it another one, or hold the task out (train: false).`,
    );
  }
}

/** Under prefixes a task is several, each with strings of its own. @throws STUDY_INVALID a prefix that there is not */
function planTasks(
  wanted: StudyTask,
  task: OpenTask,
  study: Study & { readonly engine: SettledEngine },
  own: OwnProperties,
): PlannedTask[] {
  const planned = planTask(wanted, task, study, own);
  const { prefixes } = wanted;
  if (prefixes === undefined) return [planned];
  const { heldOutPrefixes = [] } = wanted;
  const texts = prefixes.map((name) => prefixNamed(name, study.ownPrefixes));
  const again = texts.findIndex((text, at) => texts.indexOf(text) < at);
  if (again >= 0) {
    throw new InwardError(
      "STUDY_INVALID",
      `${task.definition.name}: the prefixes ${prefixes[texts.indexOf(texts[again])]} and ${prefixes[again]} say the very same, so that what is learnt under one is asked under the other: leave one of them out.`,
    );
  }
  const { nearTwinsLeftOut, ...rest } = planned;
  const [train, heldOut] = [dealOut(planned.train, prefixes.length), dealOut(planned.heldOut, prefixes.length)];
  const idle = prefixes.find((_, at) => heldOut[at]?.length === 0);
  if (idle !== undefined) {
    throw new InwardError(
      "STUDY_NOT_ENOUGH_STRINGS",
      `${task.definition.name}: no held-out string is left for the prefix ${idle}. No string is asked under two prefixes, and strings of one cluster stay together: ask for more heldOutStrings or name fewer prefixes.`,
    );
  }
  return prefixes.map((name, at) => ({
    ...rest,
    definition: underPrefix(planned.definition, name, texts[at]),
    train: train[at] as TaskItem[],
    heldOut: heldOut[at] as TaskItem[],
    ...(planned.trained && heldOutPrefixes.includes(name) ? { trained: false } : {}),
    // Counted once, of all of them.
    ...(at === 0 && nearTwinsLeftOut !== undefined ? { nearTwinsLeftOut } : {}),
  }));
}

/** @throws STUDY_INVALID a prefix of the study's own that no task names, or with a name that is taken */
function checkPrefixes({ ownPrefixes = {}, tasks, lora }: Study): void {
  for (const { task, prefixes = [], heldOutPrefixes = [] } of tasks) {
    const other = heldOutPrefixes.find((name) => !prefixes.includes(name));
    if (other !== undefined) {
      throw new InwardError(
        "STUDY_INVALID",
        `${task}: heldOutPrefixes names ${shown(other)}, which its prefixes do not (${prefixes.join(", ") || "none are named"}).${didYouMean(other, prefixes)}`,
      );
    }
    if (heldOutPrefixes.length > 0 && !lora) {
      throw new InwardError(
        "STUDY_INVALID",
        `${task}: heldOutPrefixes names ${heldOutPrefixes.join(", ")}, and the study has no lora: nothing is learnt that they could be held out of.`,
      );
    }
  }
  const used = new Set(tasks.flatMap(({ prefixes = [] }) => prefixes));
  for (const name of Object.keys(ownPrefixes)) {
    if (name === NO_PREFIX || Object.hasOwn(PREFIXES, name)) {
      throw new InwardError(
        "STUDY_INVALID",
        `ownPrefixes: "${name}" is the name of a built-in prefix; give yours another name.`,
      );
    }
    if (used.has(name)) continue;
    throw new InwardError(
      "STUDY_INVALID",
      `ownPrefixes defines ${name}, which no task is asked under: name it under tasks[].prefixes, or leave it out.`,
    );
  }
}

function planTask(
  wanted: StudyTask,
  task: OpenTask,
  study: Study & { readonly engine: SettledEngine },
  own: OwnProperties,
): PlannedTask {
  const { seed, lora, heldOutProperties = [] } = study;
  const definition = asAnswered(task, wanted, study);
  const properties = wanted.properties ?? definition.properties;
  for (const name of properties) {
    const lack = lacks(propertyNamed(name, own), definition);
    if (lack !== undefined) {
      throw new InwardError(
        "PROPERTY_NOT_APPLICABLE",
        `The answers of ${definition.name} (kind ${definition.kind}) have no property ${name}: the task has ${lack}.`,
      );
    }
  }
  const heldOut = [...new Set(properties)].filter((name) => heldOutProperties.includes(name));
  return {
    definition,
    sha256: task.sha256,
    examples: wanted.examples,
    properties: [...new Set(properties)],
    ...chooseStrings(task, wanted, seed),
    ...(lora ? { trained: wanted.train } : {}),
    ...(heldOut.length > 0 ? { heldOutProperties: heldOut } : {}),
  };
}
