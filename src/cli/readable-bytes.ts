// Byte counts for people, in the decimal units that disks and downloads use.

const UNITS = ["B", "kB", "MB", "GB", "TB"] as const;

/** Three digits at most: `98.4 MB`, `512 B`. */
export function readableBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 || value >= 99.95 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`;
}
