/** Strings of pilots: whoever plans a study knows what became of them, so they are never chosen again. */

import { shown } from "../base/untrusted.js";
import { InwardError } from "../errors.js";
import { sameText } from "../tasks/strings.js";
import type { Task, TaskItem } from "../tasks/task.js";
import type { Plan } from "./plan.js";

/** What a run asked and trained on, by task. */
export interface PilotStrings {
  /** The run as the study names it, for messages. */
  readonly run: string;
  readonly study: string;
  readonly planHash: string;
  readonly tasks: readonly { readonly name: string; readonly items: readonly TaskItem[] }[];
}

export interface OpenTask extends Task {
  /** Strings that pilots leave out, of each split. */
  readonly leftOut: { readonly train: number; readonly heldOut: number };
}

export class StringExclusion {
  private readonly counted: number[];

  constructor(private readonly pilots: readonly PilotStrings[]) {
    this.counted = pilots.map(() => 0);
  }

  /**
   * Strings that a pilot has, and what is of one cluster with them.
   * @throws STUDY_INVALID when a pilot's task of the same name has other strings: which ones are its own could not be told
   */
  leaveOut(task: Task): OpenTask {
    const own = [...task.train, ...task.heldOut];
    const gone = new Set<TaskItem>();
    this.pilots.forEach((pilot, at) => {
      requireSameStrings(pilot, task);
      const texts = new Set(pilot.tasks.flatMap(({ items }) => items.map(({ text }) => sameText(text))));
      const seen = new Set(own.filter(({ text }) => texts.has(sameText(text))));
      const clusters = new Set([...seen].flatMap(({ cluster }) => cluster ?? []));
      const known = own.filter((item) => seen.has(item) || (item.cluster !== undefined && clusters.has(item.cluster)));
      this.counted[at] = (this.counted[at] ?? 0) + known.length;
      for (const item of known) gone.add(item);
    });
    const left = (items: readonly TaskItem[]) => items.filter((item) => !gone.has(item));
    const [train, heldOut] = [left(task.train), left(task.heldOut)];
    const leftOut = { train: task.train.length - train.length, heldOut: task.heldOut.length - heldOut.length };
    return { ...task, train, heldOut, leftOut };
  }

  /** @throws STUDY_INVALID when a pilot asked none of the study's strings */
  record(): Pick<Plan, "excluded"> {
    const idle = this.pilots.find((_, at) => this.counted[at] === 0);
    if (idle) {
      throw new InwardError(
        "STUDY_INVALID",
        `excludeStringsOf names ${idle.run} (study ${idle.study}), which asked none of this study's strings: there is nothing to exclude.`,
      );
    }
    if (this.pilots.length === 0) return {};
    return {
      excluded: this.pilots.map(({ study, planHash }, at) => ({
        study,
        planHash,
        strings: this.counted[at] as number,
      })),
    };
  }
}

function requireSameStrings({ run, tasks }: PilotStrings, { definition, train, heldOut }: Task): void {
  const same = tasks.find(({ name }) => name === definition.name);
  if (!same) return;
  const known = new Set([...train, ...heldOut].map(({ text }) => sameText(text)));
  const other = same.items.filter(({ text }) => !known.has(sameText(text)));
  if (other.length === 0) return;
  throw new InwardError(
    "STUDY_INVALID",
    `excludeStringsOf: ${other.length} of the ${same.items.length} strings that ${run} has of ${definition.name}, such as ${shown(other[0]?.text)}, are none of this study's ${definition.name}: it is another task of the same name, or another version of its strings. Give this study's task another name, or make the pilot anew.`,
  );
}
