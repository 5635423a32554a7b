/**
 * A JSONL file that grows beside its manifest while a model answers, line after line of what was asked. A process that ends in between
 * leaves whole groups, and the same call goes on from there; the bytes are those of an undisturbed one.
 */

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { lstat } from "node:fs/promises";
import { basename, resolve } from "node:path";
import { z } from "zod";
import { AnswerCache, type FromCache } from "../ask/answer-cache.js";
import type { StoreFaults } from "../ask/answer-store.js";
import { askGroups, type EngineCrash, GroupAsker, type Placed, type QuestionKind } from "../ask/groups.js";
import { canonicalJson, hashOf, readJson, writeJson } from "../base/files.js";
import { takeLock } from "../base/lock.js";
import { isRecord } from "../base/untrusted.js";
import { INWARD_VERSION } from "../base/version.js";
import { InwardError } from "../errors.js";
import type { LanguageModel } from "../model/language-model.js";
import { settleEngine } from "../model/engines/settings.js";
import { requirePlannedFile } from "../model/model-file.js";
import { DEFAULT_ENGINE } from "../study/load-study.js";
import type { EngineManifest, ModelFile } from "../study/plan.js";
import type { ChatFormat } from "../model/chat/format.js";
import type { SettledEngine } from "../study/study.js";
import { findModel, type FoundModel, type OpenModelOptions, startFound } from "./open-model.js";

/** What the answers depend on. Together with the lines asked it decides whether a file is gone on with. */
export interface AskedOf {
  readonly model: Pick<ModelFile, "source" | "sha256" | "encoding">;
  readonly adapter?: { readonly sha256: string; readonly scale: number };
  readonly chat: {
    readonly kind: string;
    readonly system: unknown;
    readonly variables: unknown;
    readonly templateSha256?: string;
  };
  readonly engine: SettledEngine;
  /** Of the command: longest answer, temperature and so on. */
  readonly settings: Readonly<Record<string, unknown>>;
  readonly lines: { readonly count: number; readonly sha256: string };
}

/** `<out>.manifest.json`. */
export interface AnswersManifest extends AskedOf {
  readonly inward: string;
  readonly what: string;
  /** Every distinct set-up that answered. More than one means that the file was carried elsewhere in between. */
  readonly engines: readonly EngineManifest[];
  /** What llama.cpp warned of in the model's file. */
  readonly warnings: readonly string[];
  /** Of the file: its first bytes, all of them once it is finished, so that an answer that is changed by hand is found. */
  readonly written?: { readonly bytes: number; readonly sha256: string };
  /** Answers that were not asked, by the number of the group, from 0; absent where all were. */
  readonly fromCache?: Readonly<Record<string, FromCache>>;
}

export interface AnswersFile {
  /** Absolute. */
  readonly out: string;
  readonly manifest: string;
  readonly lines: number;
  /** Of these, those that were there before. */
  readonly kept: number;
  /** Of the others, those that were not asked: the answer cache had them. */
  readonly fromCache: number;
  /** What of the answer cache could not be believed, or written; absent where all is well. */
  readonly cacheFaults?: StoreFaults;
  /** Lines without an answer: the engine crashed on each three times. */
  readonly setAside: readonly string[];
}

export interface AnswerFileOptions extends OpenModelOptions {
  /** JSONL to write. Its manifest is written beside it. */
  readonly out: string;
  /** The engine crashed, and was opened anew. */
  readonly onCrash?: (crash: EngineCrash) => void;
  readonly onFound?: (model: FoundModel) => void;
}

interface AnswerJob<Asked extends Placed, Row extends Placed> {
  /** `answers`, `scores`: what the file holds. */
  readonly what: string;
  readonly kind: QuestionKind<Asked, Row>;
  readonly settings: Readonly<Record<string, unknown>>;
  readonly lines: readonly unknown[];
  /** @param state the model's source, which stands in every line */
  readonly questions: (state: string) => readonly Asked[];
}

/**
 * @param source registry name, `hf:` URI, or path of a GGUF
 * @throws ANSWERS_OTHER the file holds something else · STORE_* · MODEL_*, ADAPTER_*, ENGINE_*, CHAT_* · INTERRUPTED: the same call goes on
 */
export async function writeAnswers<Asked extends Placed, Row extends Placed>(
  source: string,
  { what, kind, settings, lines, questions }: AnswerJob<Asked, Row>,
  { device, engine, onFound, onCrash, ...options }: AnswerFileOptions,
): Promise<AnswersFile> {
  const out = resolve(options.out);
  const found = await findModel(source, options);
  onFound?.(found);
  const wanted = { ...DEFAULT_ENGINE, ...(device ? { device } : {}), ...engine };
  const settled = await settleEngine(wanted, [found.file.path]);
  const answers = AnswerCache.open(wanted.cache);
  const asked = whatIsAsked(found, settled, settings, lines);
  const unlock = await takeLock(`${out}.lock`, out);
  const opener = new OneEngine(found, settled);
  try {
    const place = await ManifestFile.open(out, what, asked);
    const seal = new Seal(out);
    const setAside: string[] = [];
    const groups = inGroups(questions(source), settled.groupQuestions);
    const total = groups.flat().length;
    let kept: number | undefined;
    let fromCache = 0;
    const asker = new GroupAsker(kind, {
      modelFor: async () => {
        const model = await opener.open();
        await place.record(model);
        return answers?.before(model, { sha256: found.file.sha256, chat: found.chat }) ?? model;
      },
      reopenModel: async () => {
        await opener.close();
        return opener.open();
      },
      onCrash,
      onSetAside: ({ key }) => setAside.push(key),
      signal: options.signal,
    });
    await askGroups(groups, {
      path: out,
      asker,
      onProgress: (done) => {
        kept ??= done;
        options.onProgress?.({ stage: what, done, total, unit: "questions" });
      },
      onRows: async (at) => {
        // What it answered while it was written over is nobody's.
        await requirePlannedFile(found.file.source, found.file);
        const served = answers?.takeServed();
        fromCache += served?.answers ?? 0;
        await place.count(at, served, await seal.taken());
      },
      keepsEach: () => kind.isReplies === true && answers?.keepsEachReply === true,
    });
    await place.seal(await seal.taken());
    const cacheFaults = await answers?.faults();
    const counts = { lines: total, kept: kept ?? 0, fromCache, setAside };
    return { out, manifest: place.path, ...counts, ...(cacheFaults ? { cacheFaults } : {}) };
  } finally {
    await opener.close();
    await unlock();
  }
}

function inGroups<Asked>(questions: readonly Asked[], most: number): Asked[][] {
  return Array.from({ length: Math.ceil(questions.length / most) }, (_, at) =>
    questions.slice(at * most, (at + 1) * most),
  );
}

/** Of a found model, what its answers depend on. */
export interface ModelToAsk {
  readonly file: Pick<FoundModel["file"], "path" | "source" | "sha256" | "encoding">;
  readonly chat: ChatFormat;
  readonly adapter?: Pick<NonNullable<FoundModel["adapter"]>, "path" | "sha256" | "scale">;
}

export function whatIsAsked(
  { file, adapter, chat }: ModelToAsk,
  engine: SettledEngine,
  settings: Readonly<Record<string, unknown>>,
  lines: readonly unknown[],
): AskedOf {
  const { source, sha256, encoding } = file;
  const { kind, system, variables, template } = chat;
  return {
    model: { source, sha256, encoding },
    ...(adapter ? { adapter: { sha256: adapter.sha256, scale: adapter.scale } } : {}),
    chat: { kind, system, variables, ...(template === undefined ? {} : { templateSha256: hashOf(template) }) },
    engine,
    settings,
    lines: { count: lines.length, sha256: hashOf(lines) },
  };
}

/** At most one engine, opened when the first line needs it. */
class OneEngine {
  private model: LanguageModel | undefined;

  constructor(
    private readonly found: FoundModel,
    private readonly engine: SettledEngine,
  ) {}

  async open(): Promise<LanguageModel> {
    this.model ??= await startFound(this.found, this.engine);
    return this.model;
  }

  async close(): Promise<void> {
    const { model } = this;
    this.model = undefined;
    await model?.dispose();
  }
}

const manifestSchema = z.looseObject({
  what: z.string(),
  model: z.looseObject({ sha256: z.string() }),
  settings: z.record(z.string(), z.unknown()),
  lines: z.strictObject({ count: z.number(), sha256: z.string() }),
  written: z.strictObject({ bytes: z.int().min(0), sha256: z.string() }).optional(),
  engines: z.array(z.looseObject({ engine: z.string() })),
});

/** Says of what the answers are before there is one, and which engines gave them. */
export class ManifestFile {
  private constructor(
    readonly path: string,
    private manifest: AnswersManifest,
  ) {}

  /** @throws ANSWERS_OTHER where the file, or its manifest, is of something else; nothing is changed then */
  static async open(out: string, what: string, asked: AskedOf): Promise<ManifestFile> {
    const path = `${out}.manifest.json`;
    const bytes = await sizeOf(out);
    const before = await readJson<AnswersManifest>(path, manifestSchema).catch((error) => {
      if (error instanceof InwardError && error.code === "STORE_INCOMPLETE") return undefined;
      throw error;
    });
    if (before && bytes !== undefined) {
      const difference = whatDiffers({ ...before, what: before.what }, { ...asked, what });
      if (difference === undefined) {
        await requireUnchanged(out, before.written);
        return new ManifestFile(path, before);
      }
      if (bytes > 0) throw new InwardError("ANSWERS_OTHER", `${out} holds other ${before.what}: ${difference}.`);
    } else if (bytes !== undefined && bytes > 0) {
      throw new InwardError(
        "ANSWERS_OTHER",
        `${out} is there already, and no ${basename(path)} beside it says what it holds.`,
      );
    }
    const manifest = { inward: INWARD_VERSION, what, ...asked, engines: [], warnings: [] };
    await writeJson(path, manifest);
    return new ManifestFile(path, manifest);
  }

  get engines(): readonly EngineManifest[] {
    return this.manifest.engines;
  }

  /** Adds an engine that answers, unless it is there. */
  async record({ manifest: engine, facts }: LanguageModel): Promise<void> {
    const known = this.manifest.engines.some((one) => canonicalJson(one) === canonicalJson(engine));
    if (known) return;
    await this.put({ ...this.manifest, engines: [...this.manifest.engines, engine], warnings: facts.warnings });
  }

  /**
   * Before a group's lines are written: what an earlier attempt counted of it, and of those after it, goes.
   * @param written what stands in the file until then
   */
  async count(
    at: number,
    served: FromCache | undefined,
    written: NonNullable<AnswersManifest["written"]>,
  ): Promise<void> {
    const { fromCache = {}, ...manifest } = this.manifest;
    const before = Object.entries(fromCache).filter(([number]) => Number(number) < at);
    const now = Object.fromEntries([...before, ...(served ? [[String(at), served] as const] : [])]);
    await this.put({ ...manifest, ...(Object.keys(now).length > 0 ? { fromCache: now } : {}), written });
  }

  async seal(written: NonNullable<AnswersManifest["written"]>): Promise<void> {
    await this.put({ ...this.manifest, written });
  }

  private async put(manifest: AnswersManifest): Promise<void> {
    const isNew = canonicalJson(manifest) !== canonicalJson(this.manifest);
    this.manifest = manifest;
    if (isNew) await writeJson(this.path, manifest);
  }
}

/** Checksum of a file that only grows: each byte is read once. */
class Seal {
  private readonly hash = createHash("sha256");
  private bytes = 0;

  constructor(private readonly path: string) {}

  /** @param upTo bytes of the file; all when absent. @returns what there is of them */
  async taken(upTo?: number): Promise<NonNullable<AnswersManifest["written"]>> {
    const end = Math.min(upTo ?? Number.POSITIVE_INFINITY, (await sizeOf(this.path)) ?? 0);
    if (end > this.bytes) {
      for await (const chunk of createReadStream(this.path, { start: this.bytes, end: end - 1 })) {
        this.hash.update(chunk as Buffer);
        this.bytes += (chunk as Buffer).length;
      }
    }
    return { bytes: this.bytes, sha256: this.hash.copy().digest("hex") };
  }
}

/** Lines that were cut off are asked again; lines that say something else are nobody's answers. @throws STORE_CORRUPT */
async function requireUnchanged(out: string, written: AnswersManifest["written"]): Promise<void> {
  if (written === undefined) return;
  const { bytes, sha256 } = await new Seal(out).taken(written.bytes);
  if (bytes < written.bytes || sha256 === written.sha256) return;
  throw new InwardError(
    "STORE_CORRUPT",
    `${out} was changed after it was written: its first ${written.bytes} bytes have another sha256 than its manifest says.`,
  );
}

const COMPARED = ["what", "model", "adapter", "chat", "engine", "settings", "lines"] as const;

/** @returns the first thing that differs, with both values; undefined where nothing does */
export function whatDiffers(
  before: AskedOf & { readonly what: string },
  now: AskedOf & { readonly what: string },
): string | undefined {
  for (const part of COMPARED) {
    const [was, is] = [before[part] ?? null, now[part] ?? null].map((value): unknown =>
      value === null ? null : JSON.parse(JSON.stringify(value)),
    );
    if (canonicalJson(was) === canonicalJson(is)) continue;
    if (part === "lines") return `it answers ${before.lines.count} lines that are not these ${now.lines.count}`;
    const keys = [...new Set([was, is].flatMap((value) => (isRecord(value) ? Object.keys(value) : [])))];
    const key = keys.find((one) => canonicalJson(partOf(was, one)) !== canonicalJson(partOf(is, one)));
    const name = key === undefined ? part : `${part}.${key}`;
    const shown = (value: unknown) => canonicalJson(key === undefined ? value : partOf(value, key)).slice(0, 80);
    return `${name} was ${shown(was)}, now it is ${shown(is)}`;
  }
  return undefined;
}

function partOf(value: unknown, key: string): unknown {
  return isRecord(value) ? (value[key] ?? null) : null;
}

/** @returns undefined when there is no such file @throws STORE_UNWRITABLE for what is no plain file */
async function sizeOf(path: string): Promise<number | undefined> {
  const found = await lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw new InwardError("STORE_UNWRITABLE", `${path} cannot be written (${error.code}).`, { cause: error });
  });
  if (found !== undefined && !found.isFile())
    throw new InwardError("STORE_UNWRITABLE", `${path} cannot be written (it is no plain file).`);
  return found?.size;
}
