/**
 * Shannon entropy of a histogram, bits: the plug-in estimate, biased downward by about (values − 1) / (2 n ln 2).
 * @param counts positive integers; none gives 0
 */
export function entropyBits(counts: readonly number[]): number {
  const total = counts.reduce((sum, count) => sum + count, 0);
  return counts.reduce((sum, count) => sum + (count / total) * Math.log2(total / count), 0);
}
