/** The list: a row a run, what it asked and what came of it. */

import { useEffect, useState } from "preact/hooks";
import type { RunList, ListedRun } from "../../src/view/view-api.js";
import { addressOf, nameTab } from "./address.js";
import { useData } from "./data.js";
import { Notes, Of, SortedTable, StateMark, type TableColumn, Text } from "./parts.js";

/** A run that goes on is looked at again, milliseconds. */
const AGAIN = 5000;

export function RunsPage() {
  const [again, setAgain] = useState(0);
  const list = useData<RunList>("runs.json", again);
  useEffect(() => {
    nameTab("Runs");
  }, []);
  useEffect(() => {
    if (list.state !== "there" || !list.value.runs.some(({ state }) => state === "running")) return;
    const timer = setTimeout(() => setAgain((before) => before + 1), AGAIN);
    return () => clearTimeout(timer);
  }, [list]);
  return (
    <>
      <h1>Runs</h1>
      <Of of={list}>{(value) => <Runs list={value} />}</Of>
    </>
  );
}

function addressOfRun({ id, kind }: ListedRun): string {
  return addressOf([kind === "quantize" ? "quantize" : "runs", id]);
}

function nameOf({ folder }: Pick<ListedRun, "folder">): string {
  return folder.split(/[\\/]/).at(-1) ?? folder;
}

function Runs({ list: { runs, folders, passedOver } }: { list: RunList }) {
  const [chosen, setChosen] = useState<readonly string[]>([]);
  const toggle = (id: string) =>
    setChosen((before) => (before.includes(id) ? before.filter((one) => one !== id) : [...before, id].slice(-2)));
  const [first, second] = chosen;
  const columns: TableColumn<ListedRun>[] = [
    {
      title: "compare",
      cell: ({ id, kind, folder, state }) =>
        kind === "study" && state !== "damaged" ? (
          <input
            type="checkbox"
            aria-label={`Compare ${nameOf({ folder })}`}
            checked={chosen.includes(id)}
            onChange={() => toggle(id)}
          />
        ) : null,
    },
    {
      title: "study",
      isHead: true,
      sort: ({ study }) => study,
      cell: (run) => (
        <a href={addressOfRun(run)}>
          <Text text={run.study || run.id} cut={80} />
        </a>
      ),
    },
    // Runs of one study with other settings differ in nothing else here.
    { title: "folder", sort: nameOf, cell: (run) => <Text text={nameOf(run)} cut={80} /> },
    { title: "state", sort: ({ state }) => state, cell: ({ state }) => <StateMark state={state} /> },
    {
      title: "answers",
      sort: ({ answers }) => answers.map(({ answer }) => answer).join("; "),
      cell: (run) => <Answers run={run} />,
    },
    {
      title: "models",
      sort: ({ models }) => models.join(", "),
      cell: ({ models }) => <Text text={models.join(", ")} cut={160} />,
    },
    {
      title: "last change",
      sort: ({ changed }) => changed,
      cell: ({ changed }) => (
        <time dateTime={changed}>
          {changed.startsWith("1970") ? "not known" : changed.slice(0, 16).replace("T", " ")}
        </time>
      ),
    },
  ];
  return (
    <>
      <p class="quiet">
        In <Text text={folders.join(", ")} />. Choose two to compare them.{" "}
        {first !== undefined && second !== undefined ? (
          <a class="action" href={addressOf(["compare", first, second])}>
            Compare the two
          </a>
        ) : null}
      </p>
      <SortedTable
        title="Runs in these folders"
        rows={runs}
        columns={columns}
        empty="There are no runs in these folders. A study makes one: npx inward run studies/quickstart.yaml"
      />
      <Notes notes={passedOver} />
    </>
  );
}

function Answers({ run: { answers, problems, kind } }: { run: ListedRun }) {
  return (
    <>
      {problems.map(({ file, what }) => (
        <div class="bad">
          <Text text={`${file}: ${what}`} cut={240} />
        </div>
      ))}
      {answers.map(({ experiment, answer }) => (
        <div>
          <span class="quiet">{experiment}</span> <Text text={answer} />
        </div>
      ))}
      {answers.length === 0 && problems.length === 0 ? (
        <span class="quiet">{kind === "quantize" ? "a benchmark of quantized files" : "nothing is judged yet"}</span>
      ) : null}
    </>
  );
}
