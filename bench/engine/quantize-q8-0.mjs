// A Q8_0 copy of an F32 model: blocks of 32 weights, a half-precision scale and 32 signed bytes. Vectors stay F32.
const { openModel, readFully, readGguf } = await import("../../dist/model/gguf/read-gguf.js");
const { writeGguf } = await import("../../dist/model/gguf/write-gguf.js");
const { floatsToHalves } = await import("../../dist/model/gguf/half.js");

const BLOCK = 32;
const BLOCK_BYTES = 34;
/** llama.cpp's `general.file_type`. */
const MOSTLY_Q8_0 = 7;

export async function quantizeQ8_0(sourcePath, targetPath) {
  const source = await readGguf(sourcePath);
  const other = source.tensors.find(({ type }) => type !== "F32");
  if (other) throw new Error(`${sourcePath}: ${other.name} is ${other.type}, not F32.`);
  const metadata = new Map(source.encodedMetadata);
  metadata.set("general.file_type", { type: "u32", value: MOSTLY_Q8_0 });
  const file = await openModel(sourcePath);
  try {
    const tensors = source.tensors.map(({ name, dimensions, offset, elements }) => {
      const type = dimensions.length > 1 && dimensions[0] % BLOCK === 0 ? "Q8_0" : "F32";
      const chunks = async function* () {
        const weights = new Float32Array(elements);
        await readFully(file, new Uint8Array(weights.buffer), source.dataOffset + offset);
        yield type === "Q8_0" ? quantized(weights) : new Uint8Array(weights.buffer);
      };
      return { name, dimensions, type, chunks };
    });
    await writeGguf(targetPath, metadata, tensors, { alignment: source.alignment });
  } finally {
    await file.close();
  }
}

function quantized(weights) {
  const blocks = weights.length / BLOCK;
  const scales = new Float32Array(blocks);
  const bytes = new Uint8Array(blocks * BLOCK_BYTES);
  const view = new DataView(bytes.buffer);
  for (let block = 0; block < blocks; block++) {
    const from = block * BLOCK;
    let greatest = 0;
    for (let at = from; at < from + BLOCK; at++) greatest = Math.max(greatest, Math.abs(weights[at]));
    scales[block] = greatest / 127;
    const factor = greatest === 0 ? 0 : 127 / greatest;
    for (let at = 0; at < BLOCK; at++) {
      view.setInt8(block * BLOCK_BYTES + 2 + at, Math.round(weights[from + at] * factor));
    }
  }
  const halves = new Uint16Array(blocks);
  if (floatsToHalves(scales, halves) !== -1) throw new Error("A scale is beyond half precision.");
  for (let block = 0; block < blocks; block++) view.setUint16(block * BLOCK_BYTES, halves[block], true);
  return bytes;
}
