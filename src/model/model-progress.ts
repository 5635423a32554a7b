// What a long step on a model file reports while it works.

export interface ModelProgress {
  readonly stage: "download" | "unpack" | "verify" | "re-encode";
  /** What is being worked on, for a reader: a registry name, URI or file name. */
  readonly what: string;
  readonly doneBytes: number;
  /** Absent when nobody knows it beforehand. */
  readonly totalBytes?: number;
}

export type OnModelProgress = (progress: ModelProgress) => void;
