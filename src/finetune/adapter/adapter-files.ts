/** Names of the files of an adapter: `style.gguf`, `style.card.json`, `style.README.md`. */

export interface AdapterFiles {
  readonly adapter: string;
  readonly card: string;
  /** Not plain README.md: several adapters share a folder, and the folder may be somebody's project. */
  readonly readme: string;
}

export function adapterFiles(adapterPath: string): AdapterFiles {
  const stem = adapterPath.replace(/\.gguf$/i, "");
  return { adapter: adapterPath, card: `${stem}.card.json`, readme: `${stem}.README.md` };
}
