// What users install beside inward: exact versions with checksums, no package that runs code when it is installed, licences that allow it
// all, and npm's list of known faults. node scripts/check-supply.mjs: exit code 1 with a line for each finding. Node's own modules only.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** Permissive ones: whoever has inward may use it all for anything, with the notice kept. */
const ALLOWED = new Set([
  "MIT",
  "ISC",
  "0BSD",
  "BSD-2-Clause",
  "BSD-3-Clause",
  "Apache-2.0",
  "BlueOak-1.0.0",
  "Unlicense",
  "CC0-1.0",
]);

/** @param expression of SPDX, with OR and AND and brackets */
export function isAllowed(expression) {
  const inner = expression.trim();
  if (inner.startsWith("(") && inner.indexOf(")") === inner.length - 1) return isAllowed(inner.slice(1, -1));
  const either = inner.split(/\s+OR\s+/);
  if (either.length > 1 && !/[()]/.test(inner)) return either.some(isAllowed);
  const all = inner.split(/\s+AND\s+/);
  if (all.length > 1 && !/[()]/.test(inner)) return all.every(isAllowed);
  return ALLOWED.has(inner);
}

/**
 * @param manifest package.json @param lock package-lock.json
 * @param installed of a path in the lock its package.json, or undefined where it is not there (another platform's)
 * @returns one line for each finding
 */
export function supplyFaults(manifest, lock, installed) {
  const faults = [];
  for (const [name, version] of Object.entries({ ...manifest.dependencies, ...manifest.devDependencies })) {
    if (!/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version)) faults.push(`${name}: ${version} is no exact version`);
  }
  for (const [path, entry] of Object.entries(lock.packages)) {
    if (path === "") continue;
    const name = path.slice(path.lastIndexOf("node_modules/") + "node_modules/".length);
    const own = installed(path);
    if (!/^sha512-[A-Za-z0-9+/]{86}==$/.test(entry.integrity ?? "")) faults.push(`${name}: no sha512 in the lock`);
    if (entry.resolved !== undefined && !/^https:\/\/[^@]+$/.test(entry.resolved))
      faults.push(`${name}: comes from ${entry.resolved}`);
    if (own !== undefined && own.version !== entry.version)
      faults.push(`${name}: ${own.version} is installed, ${entry.version} is in the lock`);
    if (entry.dev) continue;
    if (entry.hasInstallScript && manifest.allowScripts?.[name] !== false) {
      faults.push(`${name}: runs code when it is installed, and allowScripts does not forbid it`);
    }
    const licences = [entry.license, own?.license].filter((one) => one !== undefined);
    if (licences.length === 0) faults.push(`${name}: says no licence`);
    for (const licence of new Set(licences)) {
      if (typeof licence !== "string" || !isAllowed(licence))
        faults.push(`${name}: is under ${JSON.stringify(licence)}`);
    }
  }
  return faults;
}

/** @returns findings of npm's list, or why it could not be asked */
function audit(root) {
  const { stdout, error } = spawnSync("npm", ["audit", "--omit=dev", "--json"], {
    cwd: root,
    encoding: "utf8",
    timeout: 60_000,
  });
  let said;
  try {
    said = JSON.parse(stdout ?? "");
  } catch {
    return { skipped: error?.message ?? "npm gave no answer" };
  }
  if (said.vulnerabilities === undefined)
    return { skipped: said.message ?? said.error?.summary ?? "npm's list is out of reach" };
  return {
    faults: Object.values(said.vulnerabilities).map(
      ({ name, severity, range }) => `${name} ${range}: a known fault, ${severity}`,
    ),
  };
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const root = fileURLToPath(new URL("..", import.meta.url));
  const read = (path) => JSON.parse(readFileSync(join(root, path), "utf8"));
  const lock = read("package-lock.json");
  const faults = supplyFaults(read("package.json"), lock, (path) =>
    existsSync(join(root, path, "package.json")) ? read(`${path}/package.json`) : undefined,
  );
  const { skipped, faults: known = [] } = audit(root);
  for (const fault of [...faults, ...known]) console.log(fault);
  const shipped = Object.entries(lock.packages).filter(([path, { dev }]) => path !== "" && !dev).length;
  console.log(
    `${shipped} packages that users install: ${faults.length === 0 ? "nothing to say" : `${faults.length} findings`}`,
  );
  console.log(skipped === undefined ? `npm audit: ${known.length} known faults` : `npm audit: skipped (${skipped})`);
  process.exitCode = faults.length + known.length === 0 ? 0 : 1;
}
