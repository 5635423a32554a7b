/** What was seen and written inside the model of one trial: lenses as maps of layers and spans, probes of its string, patches. */

import { useState } from "preact/hooks";
import type { TrialLens, TrialPatch, TrialProbe, TrialView } from "../../src/run/trials/trial-shapes.js";
import { HeatFigure } from "./figures.js";
import { byDepth, PROMPTS } from "./scales.js";
import { TokenMaps, Untold } from "./token-map.js";
import { estimated, Missing, OfShown, SortedTable, Text } from "./parts.js";

export function Inside({
  run,
  line,
  of: { lenses, whole, probes, patches },
}: {
  run: string;
  line: number;
  of: TrialView["inside"];
}) {
  return (
    <section>
      <h2>Inside the model</h2>
      <h3>Lenses: what the model's end says of its middle</h3>
      <OfShown of={lenses}>{(found) => <Lenses lenses={found} />}</OfShown>
      <TokenMaps run={run} line={line} whole={whole} />
      <h3>Probes: what is read off this string</h3>
      <OfShown of={probes}>{(found) => found.map((probe) => <ProbeReading probe={probe} />)}</OfShown>
      <h3>Patches: what becomes of it when something is written inside</h3>
      <OfShown of={patches}>{(found) => <Patches patches={found} />}</OfShown>
    </section>
  );
}

function Lenses({ lenses }: { lenses: readonly TrialLens[] }) {
  const [chosen, setChosen] = useState(0);
  const lens = lenses[chosen] ?? lenses[0];
  if (lens === undefined) return null;
  const { values, untold, among, cells } = lens;
  const sites = [...new Set(cells.map(({ site }) => site))].sort(byDepth).reverse();
  const spans = [...new Set(cells.map(({ span }) => span))];
  const cellOf = (row: number, column: number) =>
    cells.find(({ site, span }) => site === sites[row] && span === spans[column]);
  return (
    <>
      <p class="lenses">
        <label>
          lens and prompt{" "}
          <select value={chosen} onChange={(event) => setChosen(Number(event.currentTarget.value))}>
            {lenses.map(({ lens: name, prompt, state }, at) => (
              <option value={at}>{`${name} lens on ${PROMPTS[prompt]}, ${state}`}</option>
            ))}
          </select>
        </label>
      </p>
      <Untold values={untold} />
      <div class="beside">
        {values.map((value, at) => (
          <HeatFigure
            title={`Probability of “${value}”, percent`}
            note="Layers from below to above, spans of the prompt; the sum over the tokens that it may begin with."
            rows={sites}
            columns={spans}
            at={(row, column) => {
              const logprob = cellOf(row, column)?.logprobs[at];
              return logprob === null || logprob === undefined
                ? { ok: false, reason: "not read" }
                : { ok: true, value: Math.exp(logprob) };
            }}
          />
        ))}
      </div>
      <SortedTable
        title={`Readings, of ${among} values that were looked for`}
        rows={[...cells].sort((one, other) => byDepth(one.site, other.site))}
        columns={[
          {
            title: "site",
            isHead: true,
            sort: ({ site }) => sites.length - sites.indexOf(site),
            csv: ({ site }) => site,
            cell: ({ site }) => site,
          },
          { title: "span", sort: ({ span }) => span, cell: ({ span }) => <Text text={span} /> },
          ...values.flatMap((value, at) => [
            {
              title: `ln P “${value}”`,
              align: "right" as const,
              sort: ({ logprobs }: TrialLens["cells"][number]) => logprobs[at] ?? undefined,
              cell: ({ logprobs }: TrialLens["cells"][number]) => nats(logprobs[at]),
            },
            {
              title: "place among tokens",
              align: "right" as const,
              sort: ({ ranks }: TrialLens["cells"][number]) => ranks[at] ?? undefined,
              cell: ({ ranks }: TrialLens["cells"][number]) => ranks[at] ?? <Missing reason="not read" />,
            },
          ]),
          {
            title: "leads",
            sort: ({ leads }) => leads,
            cell: ({ leads }) => (leads === undefined ? <Missing reason="no value" /> : <Text text={leads} />),
          },
          {
            title: "entropy, nats",
            align: "right",
            sort: ({ entropyNats }) => entropyNats,
            cell: ({ entropyNats }) => entropyNats.toFixed(2),
          },
        ]}
      />
    </>
  );
}

function nats(value: number | null | undefined) {
  return value === null || value === undefined ? <Missing reason="not read" /> : value.toFixed(3).replace("-", "−");
}

function ProbeReading({ probe: { prompt, label, cells } }: { probe: TrialProbe }) {
  return (
    <SortedTable<TrialProbe["cells"][number]>
      title={`Label ${label.replaceAll("_", " ")}, off ${PROMPTS[prompt]}`}
      rows={[...cells].sort((one, other) => byDepth(one.site, other.site))}
      columns={[
        { title: "site", isHead: true, sort: ({ site }) => site, cell: ({ site }) => site },
        { title: "span", sort: ({ span }) => span, cell: ({ span }) => <Text text={span} /> },
        {
          title: "this string",
          sort: ({ right }) => right,
          cell: ({ right }) =>
            right === 1 ? "✓ right" : right === 0 ? "✗ wrong" : `${(100 * right).toFixed(0)} % right`,
        },
        estimated("all held-out strings", ({ accuracy }) => accuracy),
      ]}
    />
  );
}

const KINDS: Readonly<Record<TrialPatch["kind"], string>> = {
  none: "nothing",
  other: "a string with another behavior",
  same: "a string with the same behavior",
  other_task: "a string of another task",
  steered: "steered",
  counter: "as far, elsewhere",
  random: "as far, by chance",
  shifted: "the same, at another token",
  changed: "as another state has it",
  changed_counter: "another string's change",
};

function Patches({ patches }: { patches: readonly TrialPatch[] }) {
  const share = (title: string, of: (patch: TrialPatch) => TrialPatch["own"]["before"] | undefined) => ({
    title,
    align: "right" as const,
    sort: (patch: TrialPatch) => {
      const found = of(patch);
      return found?.ok ? found.value : undefined;
    },
    cell: (patch: TrialPatch) => {
      const found = of(patch);
      if (found === undefined) return <Missing reason="moved to no value" />;
      return found.ok ? `${(100 * found.value).toFixed(1)} %` : <Missing reason={found.reason} />;
    },
  });
  return (
    <SortedTable
      title={`At temperature 1; by itself it shows “${patches[0]?.own.value ?? ""}”`}
      rows={patches}
      columns={[
        {
          title: "written",
          isHead: true,
          sort: ({ kind }) => kind,
          cell: ({ kind, number }) => `${KINDS[kind]}${number > 0 ? ` #${number}` : ""}`,
        },
        { title: "into", sort: ({ side }) => side, cell: ({ side }) => PROMPTS[side] },
        {
          title: "site",
          sort: ({ site }) => site,
          cell: ({ site, span }) => <Text text={`${site} @ ${span}`} />,
          csv: ({ site, span }) => `${site}@${span}`,
        },
        share("own value before", ({ own }) => own.before),
        share("own value after", ({ own }) => own.after),
        {
          title: "moved to",
          sort: ({ toward }) => toward,
          cell: ({ toward }) => (toward === undefined ? <Missing reason="no value" /> : <Text text={toward} />),
        },
        share("that before", ({ moved }) => moved?.before),
        share("that after", ({ moved }) => moved?.after),
      ]}
    />
  );
}
