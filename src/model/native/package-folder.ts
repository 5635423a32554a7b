/** Where an installed npm package lies. */
import { existsSync, realpathSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

/**
 * By its folder and not by `require.resolve`: the packages with llama.cpp's libraries export no path that it could take.
 * @param from a file (path or file URL) that could import it
 * @returns its real folder, so that what it depends on can be looked up from there in turn; undefined when it is not installed
 */
export function packageFolder(name: string, from: string): string | undefined {
  const places = createRequire(from).resolve.paths(name) ?? [];
  const folder = places.map((place) => join(place, name)).find((path) => existsSync(join(path, "package.json")));
  return folder === undefined ? undefined : realpathSync(folder);
}
