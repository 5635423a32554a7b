/** What the server, or the files of a bundle, say. */

import { useEffect, useState } from "preact/hooks";
import { embeddedTrials, REPORT } from "./embedded.js";
import type { TrialTokens, TrialView } from "../../src/run/trials/trial-shapes.js";
import type { ViewFacts } from "../../src/view/view-api.js";

export type Loaded<Value> =
  | { readonly state: "loading" }
  | { readonly state: "failed"; readonly code: string; readonly message: string }
  | { readonly state: "there"; readonly value: Value };

class Refused extends Error {
  constructor(
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

export async function load<Value>(name: string): Promise<Value> {
  if (name === `runs/${REPORT}/trials.json`) {
    const embedded = embeddedTrials();
    if (embedded) return embedded.table as Value;
  }
  const answer = await fetch(`data/${name}`, { cache: "no-store" }).catch(() => {
    throw new Refused("GONE", "Nobody answers: npx inward view was ended, or this page's files are not all there.");
  });
  if (answer.ok) return (await answer.json()) as Value;
  const said = await answer.json().catch(() => undefined);
  if (said?.error) throw new Refused(String(said.error.code), String(said.error.message));
  if (answer.status === 401) throw new Refused("ADDRESS", "Open the address that npx inward view printed.");
  throw new Refused(String(answer.status), "This is not there.");
}

/** @param again what it depends on besides its name: read anew when it changes */
export function useData<Value>(name: string | undefined, again: unknown = 0): Loaded<Value> {
  const [found, setFound] = useState<{ name?: string | undefined; loaded: Loaded<Value> }>({
    loaded: { state: "loading" },
  });
  useEffect(() => {
    if (name === undefined) return;
    let isCurrent = true;
    load<Value>(name).then(
      (value) => isCurrent && setFound({ name, loaded: { state: "there", value } }),
      (error) => isCurrent && setFound({ name, loaded: failure(error) }),
    );
    return () => {
      isCurrent = false;
    };
  }, [name, again]);
  return found.name === name ? found.loaded : { state: "loading" };
}

function failure(error: unknown): Loaded<never> {
  const code = error instanceof Refused ? error.code : "PAGE";
  return { state: "failed", code, message: error instanceof Error ? error.message : String(error) };
}

let facts: Promise<ViewFacts> | undefined;

export function viewFacts(): Promise<ViewFacts> {
  facts ??= load<ViewFacts>("view.json");
  return facts;
}

/** A trial and its tokens: a server has a file for each, a bundle one for many. */
export interface LoadedTrial {
  readonly view: TrialView;
  readonly tokens: () => Promise<TrialTokens>;
}

/** @param line of the run's file @param place of the trial in its table */
export async function loadTrial(run: string, line: number, place: number): Promise<LoadedTrial> {
  const embedded = run === REPORT ? embeddedTrials() : undefined;
  if (embedded) {
    const own = embedded.trial(line);
    if (own === undefined) throw new Refused("404", "The report does not have this trial.");
    return { view: own.view, tokens: async () => own.tokens };
  }
  const { trialsAFile } = await viewFacts();
  if (trialsAFile === undefined) {
    const view = await load<TrialView>(`runs/${run}/trials/${line}.json`);
    return { view, tokens: () => load<TrialTokens>(`runs/${run}/tokens/${line}.json`) };
  }
  type Some = Readonly<Record<string, { readonly view: TrialView; readonly tokens?: TrialTokens }>>;
  const some = await load<Some>(`runs/${run}/trials/${Math.floor(place / trialsAFile)}.json`);
  const own = some[String(line)];
  if (own === undefined) throw new Refused("404", "The bundle does not have this trial.");
  const tokens = async () => {
    if (own.tokens) return own.tokens;
    throw new Refused("BUNDLE", "The bundle was made without prompts cut into tokens.");
  };
  return { view: own.view, tokens };
}

/** Texts of trials are read once for each run, since lists, trials and comparisons all work on them. */
const tables = new Map<string, Promise<unknown>>();

export function loadOnce<Value>(name: string): Promise<Value> {
  const known = tables.get(name) ?? load<Value>(name);
  tables.set(name, known);
  known.catch(() => tables.delete(name));
  return known as Promise<Value>;
}

export function forget(name: string): void {
  tables.delete(name);
}

export function useOnce<Value>(name: string): Loaded<Value> {
  const [found, setFound] = useState<{ name?: string; loaded: Loaded<Value> }>({ loaded: { state: "loading" } });
  useEffect(() => {
    let isCurrent = true;
    loadOnce<Value>(name).then(
      (value) => isCurrent && setFound({ name, loaded: { state: "there", value } }),
      (error) => isCurrent && setFound({ name, loaded: failure(error) }),
    );
    return () => {
      isCurrent = false;
    };
  }, [name]);
  return found.name === name ? found.loaded : { state: "loading" };
}
