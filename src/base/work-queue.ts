/** Work that is done one piece after the other, in the order in which it was asked for. What fails holds up nobody. */
export class WorkQueue {
  private last: Promise<unknown> = Promise.resolve();

  /** @throws as the work */
  run<Result>(work: () => Promise<Result>): Promise<Result> {
    const turn = this.last.then(work);
    this.last = turn.catch(() => undefined);
    return turn;
  }
}
