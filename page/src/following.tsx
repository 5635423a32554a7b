/** A study that goes on: which stage, how fast, how long still, the loss as it comes. */

import { useEffect, useState } from "preact/hooks";
import type { RunProgress } from "../../src/view/view-api.js";
import { useData } from "./data.js";
import { Text, timeWords } from "./parts.js";
import { Losses } from "./run-parts.js";

/** Milliseconds between two looks. */
const AGAIN = 2000;

export function Following({
  id,
  follows,
  onFinished,
}: {
  id: string;
  follows: boolean;
  onFinished: (files: number) => void;
}) {
  const [again, setAgain] = useState(0);
  const [last, setLast] = useState<RunProgress>();
  const found = useData<RunProgress>(`runs/${id}/progress.json`, again);
  useEffect(() => {
    if (found.state !== "there") return;
    if (last !== undefined && (last.finishedFiles !== found.value.finishedFiles || last.state !== found.value.state))
      onFinished(found.value.finishedFiles + (found.value.state === "running" ? 0 : 0.5));
    setLast(found.value);
    if (!follows || found.value.state !== "running") return;
    const timer = setTimeout(() => setAgain((before) => before + 1), AGAIN);
    return () => clearTimeout(timer);
  }, [found]);
  if (last === undefined) return null;
  const underWay = last.stages.find(({ state }) => state === "under way");
  return (
    <section class="progress" aria-label="How it gets on">
      <h2>How it gets on</h2>
      <p role="status" aria-live="polite">
        {last.state === "running"
          ? `${last.by} works in it${underWay === undefined ? "" : `: ${underWay.name}${underWay.questions === undefined ? "" : `, ${underWay.asked ?? 0} of ${underWay.questions}`}${underWay.perSecond === undefined ? "" : `, ${underWay.perSecond.toFixed(1)} a second`}${underWay.secondsLeft === undefined ? "" : `, ${timeWords(underWay.secondsLeft)} left`}`}.`
          : "No process works in it. The same command goes on from what is finished."}
      </p>
      {underWay?.questions !== undefined ? (
        <progress max={underWay.questions} value={underWay.asked ?? 0} aria-label={underWay.name} />
      ) : null}
      <Losses losses={last.losses} title="Loss so far" />
      <ol class="stages">
        {last.stages.map(({ name, state, seconds, asked }) => (
          <li class={`stage-${state.replace(" ", "-")}`}>
            <span>{state === "done" ? "✓" : state === "under way" ? "▸" : "·"}</span> <Text text={name} />{" "}
            <small>
              {state}
              {asked === undefined ? "" : `, ${asked} asked`}
              {seconds === undefined ? "" : `, ${timeWords(seconds)}`}
            </small>
          </li>
        ))}
      </ol>
      {last.incidents.length > 0 ? (
        <ul class="bad">
          {last.incidents.map(({ time, what }) => (
            <li>
              {time.slice(11, 19)} <Text text={what} />
            </li>
          ))}
        </ul>
      ) : null}
    </section>
  );
}
