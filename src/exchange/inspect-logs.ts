/**
 * A run as inspect_ai logs, which `inspect view` opens: one for what each state said on a task, with its behaviors as scores, and one
 * for each predictor about each target, with right and wrong as the score.
 */

import { groupBy } from "../base/group-by.js";
import { hashOf } from "../base/files.js";
import { INWARD_VERSION } from "../base/version.js";
import type { Behavior } from "../properties/property.js";
import { ANSWERS_OF_ROUND, readBehaviors, roundsOf } from "../run/behaviors.js";
import type { RunFolder } from "../run/folder.js";
import { readWholeAnswers } from "../run/records.js";
import { BECAUSE, type TrialRow } from "../score/trial-rows.js";
import type { Plan, PlannedTask } from "../study/plan.js";
import { statesOf } from "../study/states.js";
import type { Answer, ChatMessage, RecordedReply, Reply } from "../tasks/answer.js";
import { listedToken, type TokenText } from "../tasks/answer-tokens.js";
import { optionsOf } from "../tasks/option-lines.js";
import type { TaskItem } from "../tasks/task.js";
import type { JsonOut } from "./lm-eval-results.js";
import { askedMessages, fileNamePart, type RunTimes, runTimes } from "./run-questions.js";
import { readScoredTrials } from "./run-tables.js";

/** The version of inspect_ai's log format. */
const LOG_VERSION = 2;

/** @throws STORE_INCOMPLETE, STORE_CORRUPT */
export async function inspectLogs(run: RunFolder): Promise<readonly JsonOut[]> {
  const { plan } = run;
  const trials = await readScoredTrials(run);
  const messages = await askedMessages(run);
  const times = await runTimes(run);
  const behaviors = groupBy(await readBehaviors(run), behaviorPlace);
  const replies = new Map(
    (await readWholeAnswers(run, "hypothetical")).map((answer) => [`${answer.state}|${answer.key}`, answer]),
  );
  const logs: JsonOut[] = [];
  for (const round of roundsOf(plan)) {
    const answers = await readWholeAnswers(run, ANSWERS_OF_ROUND[round]);
    for (const task of plan.tasks) {
      for (const [state, said] of groupBy(answers.filter(named(task)), ({ state }) => state)) {
        const samples = said.map((answer) =>
          behaviorSample(task, answer, messages(state, answer.key), behaviors.get(behaviorPlace(answer)) ?? []),
        );
        logs.push(logOf(plan, times, { kind: "answers", state, task }, samples));
      }
    }
  }
  for (const [pair, rows] of groupBy(trials, ({ predictor, target, task }) =>
    JSON.stringify([predictor, target, task]),
  )) {
    const [predictor, target, name] = JSON.parse(pair) as [string, string, string];
    const task = plan.tasks.find(({ definition }) => definition.name === name);
    if (!task) continue;
    const samples = rows.map((row) =>
      trialSample(row, messages(predictor, row.replyKey), replies.get(`${predictor}|${row.replyKey}`)),
    );
    logs.push(logOf(plan, times, { kind: "predictions", state: predictor, target, task }, samples));
  }
  return logs;
}

const named =
  ({ definition: { name } }: PlannedTask) =>
  ({ task }: Pick<Answer, "task">) =>
    task === name;

function behaviorPlace({ state, task, item, sample }: Pick<Behavior, "state" | "task" | "item" | "sample">): string {
  return JSON.stringify([state, task, item, sample]);
}

// Samples.

interface Score {
  readonly value: string;
  readonly answer?: string;
  readonly explanation?: string;
  readonly metadata?: object;
}

interface Sample {
  readonly id: string;
  readonly epoch: number;
  readonly input: readonly ChatMessage[];
  readonly choices?: readonly string[];
  readonly target: string;
  readonly messages: readonly ChatMessage[];
  readonly output: object;
  readonly scores: Readonly<Record<string, Score>>;
  readonly metadata: object;
  readonly error?: object;
}

function behaviorSample(
  task: PlannedTask,
  { state, item: id, split, sample, reply, setAside }: Answer,
  input: readonly ChatMessage[],
  own: readonly Behavior[],
): Sample {
  const item = [...task.train, ...task.heldOut].find((one) => one.id === id);
  const scores = own.flatMap(({ property, extraction }): [string, Score][] =>
    extraction.ok ? [[property, { value: extraction.value, answer: reply?.text }]] : [],
  );
  const missing = own.flatMap(({ property, extraction }) => (extraction.ok ? [] : [[property, extraction.reason]]));
  const [first] = own;
  return {
    id,
    epoch: sample + 1,
    input,
    ...choicesOf(task, item),
    target: item?.target ?? "",
    ...saidIn(input, reply, setAside, state),
    scores: Object.fromEntries(scores),
    metadata: {
      split,
      string: item?.text,
      ...(missing.length > 0 ? { missing: Object.fromEntries(missing) } : {}),
      ...(first && !first.compliance.ok ? { notCompliant: first.compliance.reason } : {}),
    },
  };
}

function choicesOf({ definition }: PlannedTask, item: TaskItem | undefined): { readonly choices?: readonly string[] } {
  const options = definition.kind === "options" && item ? [...optionsOf(item.text).values()] : [];
  return options.length === 0 ? {} : { choices: options };
}

/** A trial that is not counted has no score: it is neither right nor wrong. */
function trialSample(row: TrialRow, input: readonly ChatMessage[], said: Answer | undefined): Sample {
  const { item, property, variant, sample, behavior, prediction, outcome, because } = row;
  const score: Score = {
    value: outcome === "right" ? "C" : "I",
    answer: prediction.ok ? prediction.value : undefined,
    explanation: BECAUSE[because],
    metadata: prediction.ok ? undefined : { reason: prediction.reason },
  };
  return {
    id: `${item}/${property}/${variant}`,
    epoch: sample + 1,
    input,
    target: behavior.ok ? behavior.value : "",
    ...saidIn(input, said?.reply, said?.setAside, row.predictor),
    scores: outcome === "excluded" ? {} : { prediction: score },
    metadata: { item, property, variant, outcome, because, behavior, minMargin: row.minMargin },
  };
}

const STOPS: Readonly<Record<Reply["stop"], string>> = {
  end_of_generation: "stop",
  end_of_line: "stop",
  max_tokens: "max_tokens",
};

function saidIn(
  input: readonly ChatMessage[],
  reply: RecordedReply | undefined,
  setAside: Answer["setAside"],
  model: string,
): Pick<Sample, "messages" | "output" | "error"> {
  if (!reply) {
    const message = `set aside: ${setAside ?? "no reply"}`;
    return {
      messages: input,
      output: { model, choices: [], completion: "" },
      error: { message, traceback: "", traceback_ansi: "" },
    };
  }
  const message = { role: "assistant", content: reply.text, source: "generate", model } as const;
  const tokens = reply.tokenIds.length;
  const usage = reply.madeElsewhere
    ? {}
    : {
        usage: {
          input_tokens: reply.promptTokens,
          output_tokens: tokens,
          total_tokens: reply.promptTokens + tokens,
        },
      };
  return {
    messages: [...input, message],
    output: {
      model,
      choices: [{ message, stop_reason: STOPS[reply.stop], ...logprobsIn(reply) }],
      completion: reply.text,
      ...usage,
    },
  };
}

/** Where the run stored likely tokens of every position, or another program's log had them. */
function logprobsIn(reply: RecordedReply): { readonly logprobs?: object } {
  const content = reply.madeElsewhere
    ? reply.madeElsewhere.tokens?.map(({ alternatives, logprob = NOT_LISTED, ...token }) => ({
        ...tokenOut(token, logprob),
        ...(alternatives ? { top_logprobs: alternatives.map((one) => tokenOut(one, one.logprob)) } : {}),
      }))
    : reply.positions?.map((position, at) => ({
        ...tokenOut(position, reply.logprobs[at] as number),
        top_logprobs: position.logprobs.map((logprob, place) => tokenOut(listedToken(position, place), logprob)),
      }));
  return content === undefined || content.length === 0 ? {} : { logprobs: { content } };
}

/** As APIs write that a token is none of the likeliest. */
const NOT_LISTED = -9999;

function tokenOut({ text, bytes }: TokenText, logprob: number): object {
  return { token: text, logprob, bytes: [...(bytes === undefined ? Buffer.from(text) : Buffer.from(bytes, "hex"))] };
}

// Logs.

interface LogAbout {
  readonly kind: "answers" | "predictions";
  readonly state: string;
  readonly target?: string;
  readonly task: PlannedTask;
}

function logOf(plan: Plan, { began, ended }: RunTimes, about: LogAbout, samples: readonly Sample[]): JsonOut {
  const { kind, state, target, task } = about;
  const { name, source, licence } = task.definition;
  const planHash = hashOf(plan);
  const id = (...parts: string[]) => hashOf([planHash, ...parts]).slice(0, 22);
  const logName = target === undefined ? `${name}-${state}` : `${name}-${state}-about-${target}`;
  const model = plan.models[statesOf(plan).of(state).model];
  const scored = samples.filter(({ scores }) => Object.keys(scores).length > 0).length;
  const created = stamp(began);
  const content = {
    version: LOG_VERSION,
    status: "success",
    eval: {
      eval_id: id("eval", logName),
      run_id: id("run"),
      created,
      task: `inward/${fileNamePart(logName)}`,
      task_id: id("task", logName),
      task_version: 0,
      task_attribs: {},
      task_args: {},
      dataset: {
        name,
        samples: samples.length,
        sample_ids: [...new Set(samples.map((sample) => sample.id))],
        shuffled: false,
      },
      model: `inward/${state}`,
      model_args: model ? { source: model.source, sha256: model.sha256, encoding: model.encoding } : {},
      config: { epochs: Math.max(1, ...samples.map(({ epoch }) => epoch)) },
      packages: { inward: INWARD_VERSION },
      metadata: { study: plan.study, planHash, kind, state, target, source, licence },
      tags: ["inward", kind],
    },
    plan: { name: "plan", steps: [], config: { temperature: kind === "answers" ? plan.objectLevel.temperature : 0 } },
    results: {
      total_samples: samples.length,
      completed_samples: samples.length,
      scores: kind === "predictions" ? [accuracyOf(samples, scored)] : behaviorScores(samples),
    },
    stats: { started_at: created, completed_at: stamp(ended), model_usage: {} },
    samples,
  };
  const fileDate = created.replaceAll(":", "-");
  return {
    path: `inspect/${fileDate}_${fileNamePart(logName).replaceAll("_", "-")}_${id("file", logName)}.json`,
    content,
    rows: samples.length,
  };
}

/** As inspect_ai writes it. */
function stamp(time: string): string {
  return `${time.slice(0, 19)}+00:00`;
}

function accuracyOf(samples: readonly Sample[], scored: number): object {
  const right = samples.filter(({ scores }) => scores.prediction?.value === "C").length;
  const value = { name: "accuracy", value: right / scored, params: {} };
  return {
    name: "prediction",
    scorer: "inward",
    scored_samples: scored,
    unscored_samples: samples.length - scored,
    params: {},
    metrics: scored === 0 ? {} : { accuracy: value },
  };
}

/** What was done is a word, not a number: the most common value's share is a number that says something of it. */
function behaviorScores(samples: readonly Sample[]): object[] {
  const names = [...new Set(samples.flatMap(({ scores }) => Object.keys(scores)))];
  return names.map((name) => {
    const values = samples.flatMap(({ scores }) => (scores[name] ? [scores[name].value] : []));
    const counts = [...groupBy(values, (value) => value).values()].map(({ length }) => length);
    const share = { name: "most_common_share", value: Math.max(...counts) / values.length, params: {} };
    return {
      name,
      scorer: "inward",
      scored_samples: values.length,
      unscored_samples: samples.length - values.length,
      params: {},
      metrics: { most_common_share: share },
    };
  });
}
