/** The states of a run as matrices: a row a prompt, at a site and a span. Files are those that were written, or refused. */

import { dirname, join } from "node:path";
import { z } from "zod";
import { readJson, readJsonLines } from "../base/files.js";
import { InwardError } from "../errors.js";
import { readSafetensors, type SafeTensor } from "../finetune/adapter/safetensors.js";
import { sha256OfFile } from "../model/model-file.js";
import type { RowMatrix } from "../probe/linear-probe.js";
import type { CapturedRows } from "./captured-states.js";
import type { RunFolder } from "./folder.js";
import type { ProbedPrompt } from "./probe-prompts.js";
import { PROMPTS, type StatesManifest, statesManifestSchema } from "./states-file.js";

const places = z.array(z.int().min(0));
const lineSchema = z.looseObject({
  prompt: z.string(),
  file: z.string(),
  rows: z.int().min(0),
  promptSha256: z.string().optional(),
  setAside: z.string().optional(),
  meta: z.looseObject({
    kind: z.enum(["object_level", "hypothetical"]),
    task: z.string(),
    item: z.string(),
    split: z.enum(["train", "held_out"]),
    property: z.string().optional(),
    variant: z.string().optional(),
    spans: z.record(z.string(), places),
    lacking: z.record(z.string(), z.string()),
    tokenIds: places,
  }),
});

interface Line {
  readonly prompt: string;
  readonly file: string;
  readonly rows: number;
  readonly promptSha256?: string;
  readonly setAside?: string;
  readonly meta: ProbedPrompt;
}

/** In the place of a states.json: why there are no states. */
export interface NoStates {
  readonly inward: string;
  readonly what: "states";
  readonly missing: string;
}

const noStatesSchema = z.object({ what: z.literal("states"), missing: z.string() });

/** A prompt that was looked into. */
export interface CapturedPrompt extends ProbedPrompt {
  readonly id: string;
  readonly promptSha256?: string;
  /** Why it has no rows; absent where it has. */
  readonly setAside?: string;
}

export class CapturedStates {
  private constructor(
    readonly prompts: readonly CapturedPrompt[],
    /** Names of sites with the numbers of a token. */
    readonly sites: readonly { readonly name: string; readonly width: number }[],
    /** Names of those that the study asked for. */
    readonly declared: ReadonlySet<string>,
    /** Of the model; undefined of older folders. */
    readonly layers: number | undefined,
    private readonly rows: ReadonlyMap<string, { readonly file: string; readonly row: (place: number) => number }>,
    private readonly tensors: ReadonlyMap<string, ReadonlyMap<string, SafeTensor>>,
  ) {}

  /** @returns why there are none, where their stage found that there cannot be @throws as read */
  static async readIfThere(run: RunFolder, state: string): Promise<CapturedStates | { readonly missing: string }> {
    await run.requireUnchanged(`states/${state}`);
    const known = noStatesSchema.safeParse(await readJson(run.file(`states/${state}`)));
    return known.success ? known.data : CapturedStates.read(run, state);
  }

  /** @throws STORE_INCOMPLETE, STORE_CORRUPT */
  static async read(
    run: RunFolder,
    state: string,
    kind: "states" | "donorStates" | "insideStates" = "states",
  ): Promise<CapturedStates> {
    await run.requireUnchanged(`${kind}/${state}`);
    const path = run.file(`${kind}/${state}`);
    const folder = dirname(path);
    const manifest = await readJson<StatesManifest>(path, statesManifestSchema);
    const { declared, layers } = manifest.settings;
    const changed = (file: string) =>
      new InwardError("STORE_CORRUPT", `${join(folder, file)} was changed after its stage had written it.`);
    const last = manifest.files.at(-1);
    if (last && (await sha256OfFile(join(folder, PROMPTS))) !== last.promptsSha256) throw changed(PROMPTS);
    const tensors = new Map<string, ReadonlyMap<string, SafeTensor>>();
    for (const { file, sha256 } of manifest.files) {
      if ((await sha256OfFile(join(folder, file))) !== sha256) throw changed(file);
      tensors.set(file, await readSafetensors(join(folder, file)));
    }
    const lines = (await readJsonLines<Line>(join(folder, PROMPTS), lineSchema)).rows;
    const begun = new Map<string, number>();
    const rows = new Map<string, { file: string; row: (place: number) => number }>();
    for (const { prompt, file, rows: count, setAside, meta } of lines) {
      if (setAside !== undefined) continue;
      const first = begun.get(file) ?? 0;
      begun.set(file, first + count);
      const own = new Set([...Object.values(meta.spans).flat(), meta.tokenIds.length - 1]);
      const captured = [...own].sort((a, b) => a - b);
      rows.set(prompt, { file, row: (place) => first + captured.indexOf(place) });
    }
    return new CapturedStates(
      lines.map(({ prompt, promptSha256, setAside, meta }) => ({ ...meta, id: prompt, promptSha256, setAside })),
      manifest.sites.map(({ name, shape }) => ({ name, width: shape.reduce((product, one) => product * one, 1) })),
      // Older folders hold declared sites alone.
      new Set(Array.isArray(declared) ? declared.map(String) : manifest.sites.map(({ name }) => name)),
      typeof layers === "number" ? layers : undefined,
      rows,
      tensors,
    );
  }

  /** The same questions' prompts here, each with the span; or why not. @param prompts of other states */
  alike(prompts: readonly CapturedPrompt[], span: string): readonly CapturedPrompt[] | { readonly reason: string } {
    const byId = new Map(this.prompts.map((prompt) => [prompt.id, prompt]));
    const found: CapturedPrompt[] = [];
    for (const { id } of prompts) {
      const own = byId.get(id);
      if (!own) return { reason: `${id} was not asked there` };
      if (own.setAside !== undefined) return { reason: `the engine crashed there on ${id}` };
      if (own.spans[span] === undefined) return { reason: own.lacking[span] ?? "it has no tokens" };
      found.push(own);
    }
    return found;
  }

  /** @param prompts whose spans are there @returns [prompts × width]: of several tokens their mean */
  matrix(prompts: readonly CapturedPrompt[], site: string, span: string): RowMatrix {
    return this.means(prompts, site, ({ spans }) => spans[span] as readonly number[]);
  }

  /** [prompts × width] where the reply begins. */
  ends(prompts: readonly CapturedPrompt[], site: string): RowMatrix {
    return this.means(prompts, site, ({ tokenIds }) => [tokenIds.length - 1]);
  }

  /** At a prompt's last token; of attention weights as many keys as the longest text of its file has. */
  end(prompt: CapturedPrompt, site: string): CapturedRows {
    const { file, row } = this.rows.get(prompt.id) as { file: string; row: (place: number) => number };
    const tensor = this.tensors.get(file)?.get(site);
    if (tensor === undefined) throw new InwardError("INTERNAL", `There are no states of ${site}.`);
    const dimensions = tensor.shape.slice(1);
    const width = dimensions.reduce((product, one) => product * one, 1);
    const from = row(prompt.tokenIds.length - 1) * width;
    return { values: Float32Array.from(tensor.values.subarray(from, from + width)), width, dimensions };
  }

  private means(
    prompts: readonly CapturedPrompt[],
    site: string,
    placesOf: (prompt: CapturedPrompt) => readonly number[],
  ): RowMatrix {
    const width = this.sites.find(({ name }) => name === site)?.width;
    if (width === undefined) throw new InwardError("INTERNAL", `There are no states of ${site}.`);
    const values = new Float32Array(prompts.length * width);
    for (const [at, prompt] of prompts.entries()) {
      const { file, row } = this.rows.get(prompt.id) as { file: string; row: (place: number) => number };
      const tensor = this.tensors.get(file)?.get(site) as SafeTensor;
      const tokens = placesOf(prompt);
      for (const place of tokens) {
        const from = row(place) * width;
        for (let one = 0; one < width; one++) {
          const to = at * width + one;
          values[to] = (values[to] as number) + (tensor.values[from + one] as number) / tokens.length;
        }
      }
    }
    return { values, width };
  }
}
