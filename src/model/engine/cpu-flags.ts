/** SIMD features of the processor: they choose kernels, and kernels choose last bits. */
import { readFile } from "node:fs/promises";

const RELEVANT = /^(sse4_2|avx|avx2|fma|f16c|avx_vnni|avx512\w*|amx\w*|asimd|asimddp|i8mm|sve2?|bf16)$/;

/** @returns flag names as Linux spells them, sorted; empty where the system does not tell */
export async function cpuFlags(): Promise<string[]> {
  const text = await readFile("/proc/cpuinfo", "utf8").catch(() => "");
  const line = /^(?:flags|Features)\s*:\s*(.*)$/m.exec(text)?.[1] ?? "";
  return line
    .split(/\s+/)
    .filter((flag) => RELEVANT.test(flag))
    .sort();
}
