/** Where a reader is: everything that a view depends on stands in the address, so that it can be sent. */

import { useEffect, useState } from "preact/hooks";

export interface Place {
  /** Parts of the path, such as ["runs", "<id>", "trials"]. */
  readonly path: readonly string[];
  readonly query: URLSearchParams;
}

/** Behind the #, so that a bundle needs no server that knows of it. */
export function placeOf(hash: string): Place {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  return {
    path: path
      .split("/")
      .filter((part) => part !== "")
      .map(decoded),
    query: new URLSearchParams(query),
  };
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export type QueryValues = Readonly<Record<string, string | readonly string[] | undefined>>;

export function addressOf(path: readonly string[], values: QueryValues = {}): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    for (const one of typeof value === "string" ? [value] : (value ?? [])) query.append(name, one);
  }
  const tail = query.toString();
  return `#/${path.map(encodeURIComponent).join("/")}${tail === "" ? "" : `?${tail}`}`;
}

/** To the trials of a run that have something in common. */
export function trialsAddress(run: string, choice: QueryValues = {}): string {
  return addressOf(["runs", run, "trials"], choice);
}

/** Of trials of one scope; nothing where all are one. */
export function scopeChoice(scope: string): QueryValues {
  return scope === "all" ? {} : { scope };
}

export function go(address: string): void {
  location.hash = address;
}

/** The same view, otherwise filtered: no step of its own in the history. */
export function replaceAddress(address: string): void {
  history.replaceState(null, "", address);
  dispatchEvent(new HashChangeEvent("hashchange"));
}

/** What a tab is called; that of a report is its own. */
export function nameTab(title: string): void {
  if (document.getElementById("trials-here") === null) document.title = title === "" ? "inward" : `${title} — inward`;
}

/** Whether a key was meant for a field; in a report the field stands behind a border, and an event names the border alone. */
export function isInField(event: KeyboardEvent): boolean {
  const [target] = event.composedPath();
  return target instanceof HTMLElement && target.closest("input, select, textarea") !== null;
}

export function usePlace(): Place {
  const [hash, setHash] = useState(location.hash);
  useEffect(() => {
    const changed = () => setHash(location.hash);
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  return placeOf(hash);
}
