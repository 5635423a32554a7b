/** A benchmark of quantized files: what each costs against what it has lost. */

import { useEffect, useState } from "preact/hooks";
import type { QuantizedFile, QuantizeView } from "../../src/view/view-api.js";
import { nameTab } from "./address.js";
import { useData } from "./data.js";
import { FrontFigure } from "./plots.js";
import {
  estimated,
  Facts,
  Missing,
  Notes,
  Of,
  OfShown,
  Problems,
  SortedTable,
  StateMark,
  type TableColumn,
  Text,
} from "./parts.js";

export function QuantizePage({ id }: { id: string }) {
  const view = useData<QuantizeView>(`runs/${id}/quantize.json`);
  useEffect(() => {
    nameTab(view.state === "there" ? view.value.summary.study : "");
  }, [view]);
  return <Of of={view}>{(value) => <Quantized id={id} view={value} />}</Of>;
}

function Quantized({ id, view: { summary, facts, files, notes, report } }: { id: string; view: QuantizeView }) {
  return (
    <>
      <h1>
        <Text text={summary.study} /> <StateMark state={summary.state} />
      </h1>
      {report.ok ? (
        <p class="actions">
          <a class="action" href={`data/runs/${id}/report.html`} target="_blank" rel="noreferrer">
            The report
          </a>
        </p>
      ) : null}
      <Problems problems={summary.problems} />
      <OfShown of={files}>{(found) => <Files files={found} />}</OfShown>
      <Notes notes={notes} />
      <h2>How it was made</h2>
      <Facts facts={facts} />
    </>
  );
}

const COSTS = {
  bytes: { title: "size of the file, MB", of: ({ bytes }: QuantizedFile) => bytes / 1e6 },
  bits: { title: "bits a weight", of: ({ bitsPerWeight }: QuantizedFile) => bitsPerWeight },
} as const;
/** Of GGUF files; graphs are evaluated by another. */
const SOURCE_ENGINE = "inward";

/** Of which less is better. */
const LOSSES = ["text_divergence (KL)", "answers_divergence (KL)", "behaviors"];

function Files({ files }: { files: readonly QuantizedFile[] }) {
  const [cost, setCost] = useState<keyof typeof COSTS>("bytes");
  const losses = LOSSES.filter((key) =>
    files.some(({ measures }) => measures.some((one) => one.key === key && one.estimate.ok)),
  );
  const [chosen, setLoss] = useState<string>();
  const loss = chosen ?? losses[0];
  const measure = files[0]?.measures.find(({ key }) => key === loss);
  const points = files.flatMap((file) => {
    const found = file.measures.find(({ key }) => key === loss)?.estimate;
    if (file.kind === "source" || !found?.ok) return [];
    const { name, engine } = file;
    const kind = engine === SOURCE_ENGINE ? {} : { kind: "graph" as const };
    return [{ name, x: COSTS[cost].of(file), y: found.value, low: found.low, high: found.high, ...kind }];
  });
  return (
    <>
      <h2>Cost against loss</h2>
      {measure === undefined || points.length === 0 ? (
        <p class="quiet">
          <Missing reason="no loss was measured" />
        </p>
      ) : (
        <>
          <p class="lenses">
            <label>
              cost{" "}
              <select value={cost} onChange={(event) => setCost(event.currentTarget.value as keyof typeof COSTS)}>
                {Object.entries(COSTS).map(([key, { title }]) => (
                  <option value={key}>{title}</option>
                ))}
              </select>
            </label>
            <label>
              loss{" "}
              <select value={loss} onChange={(event) => setLoss(event.currentTarget.value)}>
                {losses.map((key) => (
                  <option value={key}>{files[0]?.measures.find((one) => one.key === key)?.label}</option>
                ))}
              </select>
            </label>
          </p>
          <FrontFigure
            title={`${measure.label} by ${COSTS[cost].title}`}
            note={`The line joins the files that no other beats in both.${points.some(({ kind }) => kind === "graph") ? " Rings are ONNX graphs, which another program evaluates in an arithmetic of its own." : ""}`}
            points={points}
            xTitle={COSTS[cost].title}
            yTitle={measure.label}
          />
        </>
      )}
      <SortedTable title="Files" rows={files} columns={columnsOf(files)} />
    </>
  );
}

function columnsOf(files: readonly QuantizedFile[]): TableColumn<QuantizedFile>[] {
  const measures = files[0]?.measures ?? [];
  return [
    {
      title: "file",
      isHead: true,
      sort: ({ name }) => name,
      cell: ({ name, withImatrix }) => (
        <>
          <Text text={name} />
          {withImatrix ? <small> importance matrix</small> : null}
        </>
      ),
    },
    {
      title: "evaluated by",
      sort: ({ engine }) => engine,
      cell: ({ engine }) => <Text text={engine} />,
    },
    { title: "MB", align: "right", sort: ({ bytes }) => bytes, cell: ({ bytes }) => (bytes / 1e6).toFixed(1) },
    {
      title: "bits a weight",
      align: "right",
      sort: ({ bitsPerWeight }) => bitsPerWeight,
      cell: ({ bitsPerWeight }) => bitsPerWeight.toFixed(2),
    },
    ...measures.map(({ key, label, unit }): TableColumn<QuantizedFile> => {
      const of = (file: QuantizedFile) => file.measures.find((one) => one.key === key);
      const title = unit === "difference" ? `${label}, points` : unit === "nats" ? `${label}, nats` : label;
      return estimated(title, (file) => of(file)?.estimate, {
        unit,
        more: (file) => {
          const found = of(file);
          return found?.floor?.ok && found.estimate.ok ? (
            <small> floor {found.floor.value.toPrecision(2)}</small>
          ) : null;
        },
      });
    }),
    {
      title: "in which arithmetic",
      sort: ({ arithmetic }) => arithmetic,
      cell: ({ arithmetic }) => (
        <div class="quiet">
          {arithmetic === undefined ? <Missing reason="not noted down" /> : <Text text={arithmetic} />}
        </div>
      ),
    },
  ];
}
