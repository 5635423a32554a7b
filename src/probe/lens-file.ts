/**
 * Lenses that others have made, as their files: the tuned lens of the package tuned-lens (a state_dict `params.pt` beside `config.json`), the
 * Jacobian lens (`{J, n_prompts, source_layers, d_model}`), and safetensors of the same tensors. Matrices are read one by one.
 */

import { existsSync, statSync } from "node:fs";
import { open } from "node:fs/promises";
import { dirname, join } from "node:path";
import { z } from "zod";
import { decodeUtf8, parseStrictJson, readPlainFile, requirePlainFile, shown } from "../base/untrusted.js";
import { InwardError } from "../errors.js";
import { readSafetensors, readSafetensorsMetadata, readSafetensorsShapes } from "../finetune/adapter/safetensors.js";
import { readFully } from "../gguf/read-gguf.js";
import type { LensFacts, LensSays } from "../study/lens-facts.js";
import type { AffineMap } from "./lens-tuned.js";
import type { PickleKey, PickleValue } from "./pickle.js";
import { TorchFile, TorchTensor } from "./torch-file.js";

/** A matrix or a vector of a lens, as its file has it. */
interface LensTensor {
  readonly shape: readonly number[];
  readonly read: () => Promise<Float32Array>;
}

interface LensMap {
  readonly weights: LensTensor;
  readonly bias?: LensTensor;
}

const MOST_FILE_BYTES = 2 ** 40;
const MOST_CONFIG_BYTES = 2 ** 20;
/** Of a text that a file says of itself. */
const MOST_TEXT = 300;
/** Beside the tensors of a tuned lens. */
const LENS_CONFIG = "config.json";
const LINEAR_TUNED_LENS = "linear_tuned_lens";

/** Close it after use. */
export class LensFile {
  private constructor(
    readonly path: string,
    readonly facts: LensFacts,
    private readonly maps: ReadonlyMap<number, LensMap>,
    readonly close: () => Promise<void>,
  ) {}

  /**
   * Reads what the lens is, and no matrix.
   * @param path of the file, or of the folder that tuned-lens saved
   * @throws LENS_FILE it is no lens, or damaged: its message says why
   */
  static async open(path: string): Promise<LensFile> {
    const file = lensPath(path);
    const refuse = (why: string, cause?: unknown) =>
      new InwardError("LENS_FILE", `${file} is no lens: ${why}`, { cause });
    requirePlainFile(file, MOST_FILE_BYTES, refuse);
    if (await isSafetensors(file)) {
      const { facts, maps } = await ofSafetensors(file, refuse);
      return new LensFile(file, facts, maps, async () => undefined);
    }
    const torch = await TorchFile.open(file, refuse);
    try {
      const { facts, maps } = ofTorch(torch, file, refuse);
      return new LensFile(file, facts, maps, () => torch.close());
    } catch (error) {
      await torch.close();
      throw error;
    }
  }

  /** The map of a layer, as the format counts layers. @throws LENS_FILE damaged, or a number that is not finite */
  async map(layer: number): Promise<AffineMap> {
    const { weights, bias } = this.maps.get(layer) as LensMap;
    const { width, kind } = this.facts;
    const finite = async (what: string, tensor: LensTensor) => {
      const values = await tensor.read();
      const bad = values.findIndex((value) => !Number.isFinite(value));
      if (bad < 0) return values;
      throw new InwardError(
        "LENS_FILE",
        `${this.path}: number ${bad + 1} of the ${what} of layer ${layer} is ${values[bad]}`,
      );
    };
    return {
      width,
      weights: await finite("matrix", weights),
      ...(bias ? { bias: await finite("bias", bias) } : {}),
      adds: kind === "tuned",
    };
  }
}

function lensPath(path: string): string {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ? join(path, "params.pt") : path;
}

/** Its JSON header begins behind eight bytes of length. */
async function isSafetensors(path: string): Promise<boolean> {
  const file = await open(path, "r");
  try {
    const bytes = new Uint8Array(9);
    return (await readFully(file, bytes, 0)) === 9 && bytes[8] === "{".charCodeAt(0);
  } finally {
    await file.close();
  }
}

type Refuse = (why: string, cause?: unknown) => InwardError;
type Found = { readonly facts: LensFacts; readonly maps: ReadonlyMap<number, LensMap> };

function ofTorch(torch: TorchFile, path: string, refuse: Refuse): Found {
  const { content } = torch;
  if (!(content instanceof Map)) throw refuse("it holds no dictionary");
  const tensor = (name: string, value: PickleValue | undefined): LensTensor => {
    if (!(value instanceof TorchTensor)) throw refuse(`what it calls ${shown(name)} is no tensor`);
    return { shape: value.shape, read: () => torch.read(value) };
  };
  const jacobians = content.get("J");
  if (jacobians === undefined) {
    requireTunedNames([...content.keys()].map(textKey), refuse);
    const tensors = [...content].map(([key, value]) => [textKey(key), tensor(textKey(key), value)] as const);
    return tunedLens(new Map(tensors), path, refuse);
  }
  if (!(jacobians instanceof Map)) throw refuse("its J is no dictionary of matrices by layer");
  const maps = new Map<number, LensMap>();
  for (const [key, value] of jacobians) {
    const layer = layerNamed(textKey(key));
    if (layer === undefined || maps.has(layer)) throw refuse(`its J has the layer ${shown(key)}`);
    maps.set(layer, { weights: tensor(`J[${layer}]`, value) });
  }
  const about = content.get("metadata") ?? new Map<PickleKey, PickleValue>();
  if (!(about instanceof Map)) throw refuse("its metadata are no dictionary");
  const stated = content.get("source_layers");
  const layers = [...maps.keys()].sort((a, b) => a - b);
  if (!Array.isArray(stated) || stated.length !== layers.length || layers.some((layer) => !stated.includes(layer)))
    throw refuse(`its source_layers are not the layers of J, ${layers.join(", ")}`);
  const known = ["J", "n_prompts", "source_layers", "d_model", "metadata"];
  const unread = [...content.keys()].map(textKey).filter((key) => !known.includes(key));
  return jacobianLens(
    maps,
    {
      width: content.get("d_model"),
      prompts: content.get("n_prompts"),
      model: about.get("model_name"),
      revision: about.get("model_revision"),
      target: about.get("target_layer"),
      unread,
    },
    refuse,
  );
}

async function ofSafetensors(path: string, refuse: Refuse): Promise<Found> {
  const reading = async <Result>(work: () => Promise<Result>): Promise<Result> => {
    try {
      return await work();
    } catch (error) {
      throw error instanceof InwardError ? refuse(error.message, error) : error;
    }
  };
  const shapes = await reading(() => readSafetensorsShapes(path));
  const about = await reading(() => readSafetensorsMetadata(path));
  const tensors = new Map(
    [...shapes].map(([name, shape]): [string, LensTensor] => [
      name,
      {
        shape,
        read: () =>
          reading(async () => {
            const found = (await readSafetensors(path, (one) => one === name)).get(name);
            if (!found) throw refuse(`it has lost its tensor ${shown(name)}`);
            return found.values;
          }),
      },
    ]),
  );
  if (![...tensors.keys()].some((name) => name.startsWith("J."))) return tunedLens(tensors, path, refuse);
  const maps = new Map<number, LensMap>();
  for (const [name, weights] of tensors) {
    const layer = layerNamed(name.replace(/^J\./, ""));
    if (!name.startsWith("J.") || layer === undefined)
      throw refuse(`it has a tensor ${shown(name)} beside J.0, J.1, …`);
    maps.set(layer, { weights });
  }
  const number = (text: string | undefined) => (text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : text);
  const {
    n_prompts,
    d_model,
    model_name,
    model_revision,
    target_layer,
    source_layers: _,
    format: __,
    ...others
  } = about;
  return jacobianLens(
    maps,
    {
      width: number(d_model) ?? [...maps.values()][0]?.weights.shape[0],
      prompts: number(n_prompts),
      model: model_name,
      revision: model_revision,
      target: number(target_layer),
      unread: Object.keys(others),
    },
    refuse,
  );
}

function textKey(key: PickleKey): string {
  return typeof key === "string" ? key : String(key);
}

/** Layers are written as 0, 1, 12. */
function layerNamed(name: string): number | undefined {
  return /^(0|[1-9]\d{0,3})$/.test(name) ? Number(name) : undefined;
}

// The tuned lens: x + W·x + b of what a layer begins with.

const configSchema = z.looseObject({
  base_model_name_or_path: z.string().max(MOST_TEXT),
  d_model: z
    .int()
    .min(1)
    .max(2 ** 20),
  num_hidden_layers: z.int().min(1).max(10_000),
  bias: z.boolean().default(true),
  base_model_revision: z.string().max(MOST_TEXT).nullish(),
  unembed_hash: z.string().max(MOST_TEXT).nullish(),
  lens_type: z.string().max(MOST_TEXT).default(LINEAR_TUNED_LENS),
});

function requireTunedNames(names: readonly string[], refuse: Refuse): void {
  const other = names.find((name) => !/^(0|[1-9]\d{0,3})\.(weight|bias)$/.test(name));
  if (other === undefined && names.length > 0) return;
  throw refuse(
    `it has ${other === undefined ? "nothing" : shown(other)} where a tuned lens has 0.weight, 0.bias, 1.weight, … and a Jacobian lens J, n_prompts, source_layers and d_model; the checkpoint of a fit is neither`,
  );
}

function tunedLens(tensors: ReadonlyMap<string, LensTensor>, path: string, refuse: Refuse): Found {
  requireTunedNames([...tensors.keys()], refuse);
  const config = readConfig(join(dirname(path), LENS_CONFIG));
  const { d_model: width, num_hidden_layers: layers, lens_type: type, bias: biased } = config;
  if (type !== LINEAR_TUNED_LENS)
    throw refuse(`${LENS_CONFIG} says that it is of the type ${shown(type)}, and ${LINEAR_TUNED_LENS} is read`);
  const maps = new Map<number, LensMap>();
  for (let layer = 0; layer < layers; layer++) {
    const weights = tensors.get(`${layer}.weight`);
    const bias = tensors.get(`${layer}.bias`);
    if (!weights || (bias !== undefined) !== biased)
      throw refuse(
        `${LENS_CONFIG} says ${layers} layers ${biased ? "with" : "without"} biases, and of layer ${layer} it has ${
          weights ? `${bias ? "a" : "no"} bias` : "no matrix"
        }`,
      );
    requireShape(weights, [width, width], `${layer}.weight`, refuse);
    if (bias) requireShape(bias, [width], `${layer}.bias`, refuse);
    maps.set(layer, { weights, ...(bias ? { bias } : {}) });
  }
  const most = layers * (biased ? 2 : 1);
  if (tensors.size > most)
    throw refuse(`${LENS_CONFIG} says ${layers} layers, and it has ${tensors.size} tensors, not ${most}`);
  const says: LensSays = {
    baseModel: config.base_model_name_or_path,
    ...(config.base_model_revision ? { revision: config.base_model_revision } : {}),
    ...(config.unembed_hash ? { unembedHash: config.unembed_hash } : {}),
  };
  return { facts: { kind: "tuned", width, layers: [...maps.keys()], says }, maps };
}

function readConfig(path: string): z.output<typeof configSchema> {
  const code = "LENS_FILE";
  if (!existsSync(path)) {
    throw new InwardError(
      code,
      `${path} is not there: tuned-lens saves it beside the lens, and it says of which model, with how many layers, the lens is. Put it there`,
    );
  }
  const bytes = readPlainFile(
    path,
    MOST_CONFIG_BYTES,
    (why) => new InwardError(code, `${path} cannot be read: ${why}`),
  );
  const parsed = configSchema.safeParse(
    parseStrictJson(decodeUtf8(bytes, { code, place: path }), { code, place: path }),
  );
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new InwardError(code, `${path}: ${issue?.path.join(".")}: ${issue?.message}`);
}

// The Jacobian lens: J·h of what a layer ends with.

interface StatedOfJacobian {
  readonly width: PickleValue | undefined;
  readonly prompts: PickleValue | undefined;
  readonly model: PickleValue | undefined;
  readonly revision: PickleValue | undefined;
  readonly target: PickleValue | undefined;
  readonly unread: readonly string[];
}

function jacobianLens(maps: ReadonlyMap<number, LensMap>, stated: StatedOfJacobian, refuse: Refuse): Found {
  const { width, prompts, target, unread } = stated;
  if (!isWhole(width) || width < 1) throw refuse(`its d_model is ${shown(width)}`);
  if (prompts !== undefined && !isWhole(prompts)) throw refuse(`its n_prompts are ${shown(prompts)}`);
  if (target !== undefined && !isWhole(target)) throw refuse(`its target_layer is ${shown(target)}`);
  if (maps.size === 0) throw refuse("it has no layer");
  for (const [layer, { weights }] of maps) requireShape(weights, [width, width], `J[${layer}]`, refuse);
  const text = (value: PickleValue | undefined): string | undefined =>
    typeof value === "string" && value !== "" ? value.slice(0, MOST_TEXT) : undefined;
  const [baseModel, revision] = [text(stated.model), text(stated.revision)];
  const says: LensSays = {
    ...(baseModel === undefined ? {} : { baseModel }),
    ...(revision === undefined ? {} : { revision }),
    ...(prompts === undefined ? {} : { prompts }),
    ...(target === undefined ? {} : { targetLayer: target }),
    ...(unread.length === 0 ? {} : { unread: unread.slice(0, 20).map((key) => shown(key)) }),
  };
  return { facts: { kind: "jacobian", width, layers: [...maps.keys()].sort((a, b) => a - b), says }, maps };
}

function requireShape({ shape }: LensTensor, wanted: readonly number[], name: string, refuse: Refuse): void {
  if (shape.length === wanted.length && shape.every((length, at) => length === wanted[at])) return;
  throw refuse(`its ${name} has the shape [${shape}], and [${wanted}] is expected`);
}

function isWhole(value: PickleValue | undefined): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}
