import type { Engine, NativeAnswers, NativeCounts, NativeWork } from "../../../native/index.js";
import type { AdapterChoice } from "../language-model.js";
import { runGroup } from "./run-group.js";

/** One group at a time on one addon engine. */
export class Evaluator {
  private last: Promise<unknown> = Promise.resolve();

  constructor(private readonly engine: Engine) {}

  describe(): ReturnType<Engine["describe"]> {
    return this.engine.describe();
  }

  /** Replaces the adapter, or takes it away, once the groups before are through. @throws ADAPTER_INVALID */
  async setAdapter(adapter: AdapterChoice | undefined): Promise<void> {
    const chosen = adapter ? [{ path: adapter.path, scale: adapter.scale ?? 1 }] : [];
    return this.inTurn(async () => this.engine.setAdapters(chosen));
  }

  /** @returns what the group cost; undefined for one without items */
  async run(
    work: NativeWork,
    take: (answers: NativeAnswers) => void,
    signal?: AbortSignal,
  ): Promise<NativeCounts | undefined> {
    if (work.maxTokens.length === 0) return undefined;
    return this.inTurn(() => runGroup(this.engine, work, take, signal));
  }

  close(): void {
    this.engine.dispose();
  }

  private inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const turn = this.last.then(work);
    this.last = turn.catch(() => {});
    return turn;
  }
}
