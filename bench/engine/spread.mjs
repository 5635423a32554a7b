// What is told of a figure that was measured once a round.
export function spread(values) {
  return { median: median(values), min: Math.min(...values), max: Math.max(...values), rounds: values };
}

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
