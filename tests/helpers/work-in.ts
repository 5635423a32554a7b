/** Works in a folder as a user of the library does: relative paths of a study's models start there. */

/** @param env what stands in the environment meanwhile @returns what puts everything back; beforeAll takes it */
export function workIn(folder: string, env: Readonly<Record<string, string>> = {}): () => void {
  const before = { folder: process.cwd(), env: { ...process.env } };
  process.chdir(folder);
  Object.assign(process.env, env);
  return () => {
    process.chdir(before.folder);
    for (const name of Object.keys(env)) {
      if (before.env[name] === undefined) delete process.env[name];
      else process.env[name] = before.env[name];
    }
  };
}
