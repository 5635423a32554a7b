/** A study that goes on: which stage, how fast, how long still, the loss as it comes, and who is at which unit. */

import { useEffect, useState } from "preact/hooks";
import { formatCount } from "../../src/report/document.js";
import type { RunProgress, UnitsUnderWay } from "../../src/view/view-api.js";
import { useData } from "./data.js";
import { SortedTable, type TableColumn, Text, timeWords } from "./parts.js";
import { Losses } from "./run-parts.js";

/** Milliseconds between two looks: at what a process works in, and at what somebody may begin again. */
const AGAIN = { running: 2000, stopped: 5000 };

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
    if (found.state === "loading") return;
    // A look that failed, such as one at a file that was just being taken away, is no reason to follow no more.
    const state = found.state === "there" ? found.value.state : (last?.state ?? (follows ? "running" : "finished"));
    const wait = state === "running" || state === "stopped" ? AGAIN[state] : undefined;
    const timer = wait === undefined ? undefined : setTimeout(() => setAgain((before) => before + 1), wait);
    const stop = () => clearTimeout(timer);
    if (found.state === "failed") return stop;
    if (last !== undefined && (last.finishedFiles !== found.value.finishedFiles || last.state !== found.value.state))
      onFinished(found.value.finishedFiles + (found.value.state === "running" ? 0 : 0.5));
    setLast(found.value);
    return stop;
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
      {last.units === undefined ? null : <Units of={last.units} />}
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

type UnitStage = UnitsUnderWay["stages"][number];
type UnitState = "waiting" | "running" | "done" | "failed";

/** Of a run that several processes do. */
function Units({ of: { stages, told } }: { of: UnitsUnderWay }) {
  const all = (state: UnitState) => stages.reduce((sum, one) => sum + one[state], 0);
  const count = (state: UnitState): TableColumn<UnitStage> => ({
    title: state,
    align: "right",
    sort: (stage) => stage[state],
    cell: (stage) => (
      <span class={state === "failed" && stage.failed > 0 ? "bad" : ""}>{formatCount(stage[state])}</span>
    ),
  });
  return (
    <>
      <h3>Units</h3>
      <p>
        {(["done", "running", "waiting", "failed"] as const)
          .map((state) => `${formatCount(all(state))} ${state}`)
          .join(", ")}
        . Several processes share this run.
      </p>
      <SortedTable<UnitStage>
        title="Units by stage and state"
        rows={stages}
        columns={[
          { title: "stage", isHead: true, sort: ({ stage }) => stage, cell: ({ stage }) => <Text text={stage} /> },
          count("waiting"),
          count("running"),
          count("done"),
          count("failed"),
          {
            title: "put together",
            sort: ({ finished }) => (finished ? "yes" : "no"),
            cell: ({ finished }) => (finished ? "yes" : "no"),
          },
        ]}
      />
      {told.length === 0 ? null : (
        <SortedTable<UnitsUnderWay["told"][number]>
          title="Units that somebody is at, and those that failed"
          rows={told}
          columns={[
            { title: "unit", isHead: true, sort: ({ id }) => id, cell: ({ id }) => <Text text={id} /> },
            {
              title: "state",
              sort: ({ state }) => state,
              cell: ({ state }) => <span class={state === "failed" ? "bad" : ""}>{state}</span>,
            },
            {
              title: "done",
              align: "right",
              sort: ({ done }) => done,
              cell: ({ done, total }) =>
                done === undefined
                  ? "—"
                  : `${formatCount(done)}${total === undefined ? "" : ` of ${formatCount(total)}`}`,
            },
            { title: "by", sort: ({ by }) => by, cell: ({ by }) => <Text text={by} /> },
            { title: "since", sort: ({ since }) => since, cell: ({ since }) => <Clock at={since} /> },
            { title: "last heard of", sort: ({ heard }) => heard, cell: ({ heard }) => <Clock at={heard} /> },
            {
              title: "why it failed",
              sort: ({ failure }) => failure,
              cell: ({ failure }) => (failure === undefined ? "" : <Text text={failure} cut={300} />),
            },
          ]}
        />
      )}
    </>
  );
}

/** By the clock of whoever is at it. */
function Clock({ at }: { at: string | undefined }) {
  return at === undefined ? <>—</> : <time dateTime={at}>{at.slice(0, 19).replace("T", " ")}</time>;
}
