/**
 * Gives a file of llama_model_quantize the order and the metadata of the file it was made from, so that the same weights are the
 * same bytes whoever encoded them.
 */
import { InwardError } from "../../errors.js";
import { copyTensor } from "./copy-tensor.js";
import { type GgufFile, type GgufValue, SOURCE_ENCODING_KEY, SOURCE_SHA256_KEY } from "./gguf-file.js";
import { dominantEncoding } from "./inspect-gguf.js";
import { openModel, readGguf } from "./read-gguf.js";
import type { ReencodeOptions } from "./reencode.js";
import { GGML_TYPES } from "./tensor-types.js";
import { type TensorSource, type WrittenGguf, writeGguf } from "./write-gguf.js";

const FILE_TYPE_KEY = "general.file_type";
const QUANTIZATION_VERSION_KEY = "general.quantization_version";

/**
 * Metadata stay as the source has them, byte for byte, but for the file type and, where weights are quantized, the version of the
 * quantization; the two keys of reencodeGguf say what the source was.
 * @throws InwardError MODEL_TENSOR_TYPE when the tensors are not the source's, and what readGguf and writeGguf throw
 */
export async function writeInSourceOrder(
  source: GgufFile,
  madePath: string,
  targetPath: string,
  options: ReencodeOptions,
): Promise<WrittenGguf> {
  const made = await readGguf(madePath);
  const byName = new Map(made.tensors.map((tensor) => [tensor.name, tensor]));
  const tensors = source.tensors.map(({ name, dimensions }) => {
    const found = byName.get(name);
    if (found === undefined || found.dimensions.join() !== dimensions.join()) {
      throw new InwardError("MODEL_TENSOR_TYPE", `llama.cpp wrote tensor ${name} of ${source.path} in another shape`);
    }
    return found;
  });
  const file = await openModel(madePath);
  try {
    const sources = tensors.map(
      (tensor): TensorSource => ({ ...tensor, chunks: () => copyTensor(file, made, tensor) }),
    );
    return await writeGguf(targetPath, metadataOf(source, made, options.sourceSha256), sources, {
      ...options,
      alignment: source.alignment,
    });
  } finally {
    await file.close();
  }
}

function metadataOf(source: GgufFile, made: GgufFile, sourceSha256: string): Map<string, GgufValue | Uint8Array> {
  const metadata = new Map<string, GgufValue | Uint8Array>(source.encodedMetadata);
  const quantized = made.tensors.some((tensor) => GGML_TYPES[tensor.type].blockElements > 1);
  for (const key of quantized ? [FILE_TYPE_KEY, QUANTIZATION_VERSION_KEY] : [FILE_TYPE_KEY]) {
    const value = made.metadata.get(key);
    if (value !== undefined) metadata.set(key, value);
  }
  metadata.set(SOURCE_SHA256_KEY, { type: "string", value: sourceSha256 });
  metadata.set(SOURCE_ENCODING_KEY, { type: "string", value: dominantEncoding(source) });
  return metadata;
}
