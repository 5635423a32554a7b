/** The asker of a stage: crashes and what they cost go to the run's event log. */
import { GroupAsker, type GroupAskerOptions } from "../ask/group-asker.js";
import type { StageContext } from "./stage-context.js";

/** @param stage its name, as the progress has it */
export function groupAsker(
  { run, events, modelFor, reopenModel, signal }: StageContext,
  stage: string,
  options: Pick<GroupAskerOptions, "sequences"> = {},
): GroupAsker {
  return new GroupAsker({
    topTokens: run.plan.engine.topTokens,
    modelFor,
    reopenModel,
    onCrash: (crash) => events.add("engine_crashed", { stage, ...crash }),
    onSetAside: ({ state, key }) => events.add("item_set_aside", { stage, state, key, reason: "engine_crashed" }),
    ...options,
    ...(signal ? { signal } : {}),
  });
}
