/** Logs of inspect_ai: `.json`, or `.eval`, a zip archive whose members are deflated or packed by zstd. */

import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { decodeUtf8, readPlainFile, UNSAFE_CHARACTER } from "../base/untrusted.js";
import { InwardError } from "../errors.js";
import { extractZipMember, listZipMembers } from "../model/sources/zip-member.js";
import type { TokenOfLog } from "../tasks/answer-tokens.js";
import {
  sampleColumns,
  Counts,
  type ForeignAnswer,
  invalidLog,
  letterAt,
  logJson,
  MOST_LOG_BYTES,
  parsed,
  type ReadLog,
  unreadable,
} from "./foreign-answers.js";
import { tokensOfLog } from "./log-tokens.js";

/** Of one member, unpacked: no text of JavaScript is much longer. */
const MOST_MEMBER_BYTES = 256 * 1024 * 1024;
/** Of all that are read. An archive of a few megabytes can say that it unpacks to terabytes. */
const MOST_UNPACKED_BYTES = 4 * 1024 * 1024 * 1024;

const content = z.union([z.string(), z.array(z.object({ type: z.string(), text: z.string().optional() }))]);
const message = z.object({ role: z.string(), content });
const sampleSchema = z.object({
  id: z.union([z.string(), z.number()]),
  epoch: z.int().min(1).default(1),
  input: z.union([z.string(), z.array(message)]),
  choices: z.array(z.string()).nullish(),
  target: z.union([z.string(), z.array(z.string())]).optional(),
  messages: z.array(message).nullish(),
  metadata: z.unknown().optional(),
  scores: z.record(z.string(), z.object({ value: z.unknown().optional() })).nullish(),
  error: z.unknown().optional(),
  limit: z.unknown().optional(),
  attachments: z.record(z.string(), z.string()).nullish(),
  output: z
    .object({
      choices: z
        .array(z.object({ message, stop_reason: z.string().nullish(), logprobs: z.unknown().optional() }))
        .default([]),
    })
    .nullish(),
});
type EvalSample = z.infer<typeof sampleSchema>;
type Choice = NonNullable<EvalSample["output"]>["choices"][number];
const temperature = z.number().nullish();
const headerSchema = z.object({
  status: z.string().optional(),
  eval: z.object({
    model: z.string().optional(),
    task: z.string().optional(),
    packages: z.record(z.string(), z.unknown()).nullish(),
    dataset: z.object({ samples: z.number().nullish() }).nullish(),
    config: z.object({ epochs: z.number().nullish() }).nullish(),
    model_generate_config: z.object({ temperature }).nullish(),
  }),
  plan: z.object({ config: z.object({ temperature }).nullish() }).nullish(),
});
type Header = z.infer<typeof headerSchema>;
const logSchema = z.object({ ...headerSchema.shape, samples: z.array(sampleSchema).nullish() });

/**
 * @param alternatives likely tokens that are taken of each position; none, and no tokens, where absent
 * @throws IMPORT_SOURCE, IMPORT_INVALID with the sample
 */
export async function readInspectLog(path: string, alternatives?: number): Promise<ReadLog> {
  const answers = new Answers(alternatives);
  return /\.eval$/i.test(path) ? readEval(path, answers) : readJsonLog(path, answers);
}

function readJsonLog(path: string, answers: Answers): ReadLog {
  const bytes = readPlainFile(path, MOST_LOG_BYTES, unreadable(path));
  const text = decodeUtf8(bytes, { code: "IMPORT_INVALID", place: path });
  const { samples, ...about } = parsed(logSchema, logJson(text, path), path);
  return readOf(about, answers.addAll(samples ?? []));
}

async function readEval(path: string, answers: Answers): Promise<ReadLog> {
  const folder = await mkdtemp(join(tmpdir(), "inward-eval-"));
  try {
    const member = async (name: string): Promise<unknown> => {
      const target = join(folder, "member.json");
      await extractZipMember(path, name, target);
      const text = decodeUtf8(await readFile(target), { code: "IMPORT_INVALID", place: `${path}, ${name}` });
      return logJson(text, `${path}, ${name}`);
    };
    const members = await listZipMembers(path);
    const names = members.map(({ name }) => name);
    const first = names.includes("header.json") ? "header.json" : "_journal/start.json";
    if (!names.includes(first)) throw new Error("it has no header.json: no inspect log, or one that never ended");
    const wanted = members.filter(({ name }) => name === first || /^samples\/.*\.json$/.test(name));
    checkSizes(wanted);
    const about = parsed(headerSchema, await member(first), `${path}, ${first}`);
    for (const { name } of wanted) {
      if (name !== first) answers.add(parsed(sampleSchema, await member(name), `${path}, ${name}`));
    }
    return readOf(about, answers, first === "header.json");
  } catch (error) {
    if (error instanceof InwardError) throw error;
    throw new InwardError("IMPORT_SOURCE", `${path}: ${(error as Error).message}.`, { cause: error });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Sizes are what the archive says; that they are true is seen as each member is unpacked. */
function checkSizes(members: readonly { readonly name: string; readonly bytes: number }[]): void {
  const seen = new Set<string>();
  let all = 0;
  for (const { name, bytes } of members) {
    if (seen.has(name)) throw new Error(`${name} stands twice in the archive`);
    seen.add(name);
    if (bytes > MOST_MEMBER_BYTES) {
      throw new Error(`${name} says that it has ${bytes} bytes, and ${MOST_MEMBER_BYTES} are the most`);
    }
    all += bytes;
  }
  if (all > MOST_UNPACKED_BYTES) {
    throw new Error(`its samples say that they have ${all} bytes together, and ${MOST_UNPACKED_BYTES} are the most`);
  }
}

function readOf({ status, eval: about, plan }: Header, answers: Answers, isFinished = true): ReadLog {
  const { model, packages, dataset, config } = about;
  const version = packages?.inspect_ai;
  const named = [about.model_generate_config?.temperature, plan?.config?.temperature];
  const planned = (dataset?.samples ?? 0) * (config?.epochs ?? 1);
  const state = isFinished ? status : "never finished";
  const unlike = state === undefined || state === "success" ? [] : [`The log's own status is: ${state}.`];
  const fewer =
    planned > answers.count
      ? [`The log has ${answers.count} samples of the ${planned} that it says it would ask.`]
      : [];
  return {
    format: "inspect log",
    ...(typeof version === "string" ? { version: `inspect_ai ${version}` } : {}),
    ...(model === undefined ? {} : { model }),
    ...(about.task === undefined ? {} : { task: about.task }),
    temperatures: [...new Set(named.filter((one) => typeof one === "number"))],
    ...(answers.metric === undefined ? {} : { metric: answers.metric }),
    answers: answers.list,
    leftOut: {},
    notes: [...unlike, ...fewer, ...answers.notes],
  };
}

class Answers {
  readonly list: ForeignAnswer[] = [];
  private readonly noted = new Counts();
  private readonly scorers = new Set<string>();

  /** @param alternatives as readInspectLog has them */
  constructor(private readonly alternatives: number | undefined) {}

  get count(): number {
    return this.list.length;
  }

  /** The scorer that says right or wrong, where every sample has the same one. */
  get metric(): string | undefined {
    return this.scorers.size === 1 ? [...this.scorers][0] : undefined;
  }

  get notes(): string[] {
    const said: [string, string][] = [
      [REASONING, "answers have reasoning beside their text, which is left out"],
      [LIMIT, "samples were cut by a limit, so that their answers count as cut off"],
      [FILTERED, "answers were stopped by a content filter"],
      [SEVERAL, "samples have several targets, of which none is taken"],
      [UNNAMED, "samples have a target that is none of their options, and it is left out"],
      [CHOICES, "outputs have several choices, of which the first is taken"],
      [WITHOUT_TOKENS, "answers have no logprobs of their tokens in the log"],
      [NO_LOGPROBS, "answers have logprobs that are none, and they are left out"],
      [UNSPELLED, "answers have tokens that do not spell their text"],
    ];
    return said.flatMap(([what, words]) => (this.noted.of(what) > 0 ? [`${this.noted.of(what)} ${words}.`] : []));
  }

  addAll(samples: readonly EvalSample[]): this {
    for (const sample of samples) this.add(sample);
    return this;
  }

  add(sample: EvalSample): void {
    const { id, epoch, error, limit, output, choices, metadata } = sample;
    const [choice, ...others] = output?.choices ?? [];
    if (others.length > 0) this.noted.add(CHOICES);
    const asked = askedTurns(sample);
    const options = choices && choices.length > 0 && choices.length <= 26 ? choices : undefined;
    const target = this.targetOf(sample, options);
    const right = this.rightOf(sample);
    this.list.push({
      sample: String(id),
      epoch: epoch - 1,
      ...asked,
      columns: sampleColumns(metadata),
      said: error ? { ok: false, why: "the sample failed" } : this.saidIn(choice, limit, sample),
      ...(target === undefined ? {} : { target }),
      ...(options ? { options } : {}),
      ...(right === undefined || error ? {} : { countedRight: right }),
    });
  }

  private saidIn(choice: Choice | undefined, limit: unknown, sample: EvalSample): ForeignAnswer["said"] {
    if (!choice) return { ok: false, why: "no output" };
    const { message: answer, stop_reason: reason } = choice;
    if (Array.isArray(answer.content) && answer.content.some(({ type }) => type === "reasoning")) {
      this.noted.add(REASONING);
    }
    if (limit) this.noted.add(LIMIT);
    if (reason === "content_filter") this.noted.add(FILTERED);
    const text = textOf(answer.content, sample);
    if (UNSAFE_CHARACTER.test(text)) return { ok: false, why: "its text holds a NUL or a lone surrogate" };
    const isCut = Boolean(limit) || /^(max_tokens|model_length)$/.test(reason ?? "");
    const tokens = this.tokensOf(choice, text);
    return { ok: true, text, stop: isCut ? "max_tokens" : "end_of_generation", ...(tokens ? { tokens } : {}) };
  }

  private tokensOf({ logprobs }: Choice, text: string): readonly TokenOfLog[] | undefined {
    if (this.alternatives === undefined) return undefined;
    const found = tokensOfLog(logprobs, text, this.alternatives);
    if (!found.ok) {
      this.noted.add(found.why === "absent" ? WITHOUT_TOKENS : NO_LOGPROBS);
      return undefined;
    }
    if (!found.spelled) this.noted.add(UNSPELLED);
    return found.tokens;
  }

  /** Of options a letter or an option's text; of several targets none. */
  private targetOf({ target }: EvalSample, options: readonly string[] | undefined): string | undefined {
    const all = (Array.isArray(target) ? target : [target]).filter((one) => one !== undefined && one !== "");
    if (all.length > 1) this.noted.add(SEVERAL);
    const [only] = all;
    if (all.length !== 1 || only === undefined || !options) return all.length === 1 ? only : undefined;
    const letter = /^[A-Z]$/.test(only) ? only.charCodeAt(0) - 65 : -1;
    if (letter >= 0 && letter < options.length) return only;
    const place = options.findIndex((option) => option.trim() === only.trim());
    if (place >= 0) return letterAt(place);
    this.noted.add(UNNAMED);
    return undefined;
  }

  /** A partly right answer is neither. */
  private rightOf({ scores }: EvalSample): boolean | undefined {
    const entries = Object.entries(scores ?? {});
    for (const [name] of entries) this.scorers.add(name);
    const [value] = entries.length === 1 ? entries.map(([, score]) => score.value) : [];
    if (value === "C" || value === 1 || value === true) return true;
    return value === "I" || value === 0 || value === false ? false : undefined;
  }
}

const REASONING = "reasoning";
const LIMIT = "limit";
const FILTERED = "filtered";
const SEVERAL = "several";
const UNNAMED = "unnamed";
const CHOICES = "choices";
const WITHOUT_TOKENS = "without tokens";
const NO_LOGPROBS = "no logprobs";
const UNSPELLED = "unspelled";

/** What stood before the answer: solvers put words around the input, and those are what the model read. */
function askedTurns(sample: EvalSample): Pick<ForeignAnswer, "question" | "turnsBefore"> {
  const { input, messages } = sample;
  const all = messages ?? [];
  const answered = all.findLastIndex(({ role }) => role === "assistant");
  const before = answered < 0 ? all : all.slice(0, answered);
  const turns = before.length > 0 ? before : typeof input === "string" ? [{ role: "user", content: input }] : input;
  const last = turns.findLastIndex(({ role }) => role === "user");
  const question = last < 0 ? undefined : textOf(turns[last]?.content ?? "", sample);
  if (question === undefined)
    throw invalidLog(`sample ${JSON.stringify(sample.id)}`, "no turn of a user before its answer");
  return { question, turnsBefore: turns.length - 1 };
}

const ATTACHMENT = /^attachment:\/\/([0-9a-f]{32})$/;

/** Reasoning and images are no text of an answer. Long texts stand once in a sample, as its attachments. */
function textOf(parts: z.infer<typeof content>, { attachments }: EvalSample): string {
  const whole = (text: string): string => {
    const [, hash] = ATTACHMENT.exec(text) ?? [];
    return hash !== undefined && attachments && Object.hasOwn(attachments, hash) ? (attachments[hash] as string) : text;
  };
  if (typeof parts === "string") return whole(parts);
  return parts.flatMap(({ type, text }) => (type === "text" && text !== undefined ? [whole(text)] : [])).join("");
}
