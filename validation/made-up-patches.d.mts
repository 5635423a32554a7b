import type { PatchKind } from "../src/ask/patched-distributions.js";
import type { SimulationInput, SiteRole } from "../src/score/simulation/simulation.js";

/** Value -> probability; what is left shows no value. */
export type Shares = Readonly<Record<string, number>>;

/** What is written into a prompt about a string. */
export interface WrittenInto {
  readonly kind: PatchKind;
  readonly layer: number;
  readonly string: number;
  /** The string's own value, and the one that is moved to; of a counter the one that it leads to. */
  readonly own: string;
  readonly toward: string;
  /** In [0, 1), the same for the same parts. */
  readonly chance: (...parts: readonly unknown[]) => number;
}

export interface MadeUpWorld {
  readonly behavior: (written: WrittenInto) => Shares;
  readonly prediction: (written: WrittenInto) => Shares;
  /** What is said of a donor by itself; its value unless told. */
  readonly says?: (donorValue: string, written: WrittenInto) => string;
}

export interface MadeUpPatches {
  readonly seed: number;
  readonly strings?: number;
  readonly layers?: readonly number[];
  readonly values?: readonly string[];
  readonly role?: SiteRole;
  /** A last site, which nothing but the unembedding reads. */
  readonly withEnd?: boolean;
  readonly kinds?: readonly PatchKind[];
}

export function madeUpPatches(world: MadeUpWorld, patches: MadeUpPatches): SimulationInput;
