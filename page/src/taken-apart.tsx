/** Answers taken apart: what parts write them, which heads carry them, what another string's state does, what states say elsewhere. */

import { useState } from "preact/hooks";
import type { Estimate } from "../../src/score/interval.js";
import type { Shown } from "../../src/run/trials/trial-shapes.js";
import type { InsideView } from "../../src/view/view-api.js";
import { trialsAddress } from "./address.js";
import { useData } from "./data.js";
import { DotFigure, HeatFigure, type HeatProps } from "./figures.js";
import { estimated, Missing, Of, pValues, SortedTable, type TableColumn, Text } from "./parts.js";

const NATS = { unit: "nats", n: false } as const;
/** Rows of a figure; the table has all. */
const LARGEST = 12;

export function TakenApart({ id }: { id: string }) {
  const found = useData<InsideView>(`runs/${id}/inside.json`);
  return (
    <>
      <h2>Answers taken apart</h2>
      <Of of={found}>{(view) => <Readings id={id} view={view} />}</Of>
    </>
  );
}

type Reading =
  | { readonly reading: "attribution"; readonly of: InsideView["attribution"][number] }
  | { readonly reading: "heads"; readonly of: InsideView["heads"][number] }
  | { readonly reading: "subspace"; readonly of: InsideView["subspace"][number] }
  | { readonly reading: "patchscope"; readonly of: InsideView["patchscope"][number] };

function Readings({ id, view }: { id: string; view: InsideView }) {
  const [place, setPlace] = useState(0);
  const all: Reading[] = [
    ...view.attribution.map((of) => ({ reading: "attribution" as const, of })),
    ...view.heads.map((of) => ({ reading: "heads" as const, of })),
    ...view.subspace.map((of) => ({ reading: "subspace" as const, of })),
    ...view.patchscope.map((of) => ({ reading: "patchscope" as const, of })),
  ];
  const chosen = all[place];
  if (chosen === undefined) return <p class="quiet">Nothing was looked at.</p>;
  const { words, state, task, property } = chosen.of;
  const { name, text } = view.methods[chosen.reading];
  return (
    <>
      <p class="lenses titles">
        <label>
          reading{" "}
          <select value={place} onChange={(event) => setPlace(Number(event.currentTarget.value))}>
            {all.map(({ of }, at) => (
              <option value={at}>{of.words.title}</option>
            ))}
          </select>
        </label>
      </p>
      <p class="sentence">
        <Text text={words.sentence} />
      </p>
      <p class="quiet">
        <Text text={words.strings} />{" "}
        <a
          href={trialsAddress(id, {
            predictor: state,
            target: state,
            task,
            ...(property === undefined ? {} : { property }),
          })}
        >
          Its trials
        </a>
        . None of these readings alone says whether a prediction goes through a simulated answer.
      </p>
      <details>
        <summary>How it is read and tested</summary>
        <p class="quiet">
          <b>{name}</b> {text}
        </p>
        <p class="quiet">{view.tests}</p>
      </details>
      <Numbers key={place} chosen={chosen} controls={view.controls} />
    </>
  );
}

function Numbers({ chosen, controls }: { chosen: Reading; controls: InsideView["controls"] }) {
  if (chosen.reading === "attribution") return <Attribution of={chosen.of} />;
  if (chosen.reading === "heads") return <Heads of={chosen.of} />;
  if (chosen.reading === "subspace") return <Subspace of={chosen.of} controls={controls} />;
  return <Patchscope of={chosen.of} />;
}

function foundColumn<Row>(of: (row: Row) => boolean): TableColumn<Row> {
  return {
    title: "found",
    sort: (row) => (of(row) ? "yes" : "no"),
    cell: (row) => (of(row) ? <b>yes</b> : "no"),
  };
}

function headColumn<Row>(title: string, of: (row: Row) => string): TableColumn<Row> {
  return { title, isHead: true, sort: of, cell: (row) => <Text text={of(row)} /> };
}

/** Of a map whose numbers are no shares: how much of the largest each is. */
function shareOfLargest(values: ReadonlyMap<string, number>, key: string): Shown<number> {
  const largest = Math.max(...values.values());
  const own = values.get(key);
  if (own === undefined) return { ok: false, reason: "there is none" };
  if (!(largest > 0)) return { ok: false, reason: "none is above 0" };
  return { ok: true, value: Math.max(0, own) / largest };
}

const numbered = (one: string, other: string) => Number(other) - Number(one);

type Part = InsideView["attribution"][number]["effects"][number];

function Attribution({ of: { words, effects } }: { of: InsideView["attribution"][number] }) {
  const gains = new Map(
    effects.flatMap(({ component, meanGain }) => (meanGain === undefined ? [] : [[component, meanGain] as const])),
  );
  const placed = effects.map(({ component }) => component.split("."));
  const layers = [...new Set(placed.flatMap(([, layer]) => layer ?? []))].sort(numbered);
  const heads = [...new Set(placed.flatMap(([part, , head]) => (part === "head" && head !== undefined ? [head] : [])))];
  const columns = [
    ...new Set(placed.flatMap(([part = "", layer, head]) => (layer === undefined || head !== undefined ? [] : [part]))),
  ];
  const size = ({ meanGain = 0 }: Part) => Math.abs(meanGain);
  const largest = effects
    .filter((effect) => size(effect) > 0)
    .sort((one, other) => size(other) - size(one))
    .slice(0, LARGEST);
  return (
    <>
      <div class="beside">
        <HeatFigure
          title="Layers: beyond other strings' values, percent of the largest"
          note="What a part writes for a string's own answer less what it writes there for other strings' answers; what is below 0 is shown as 0."
          rows={layers}
          columns={columns}
          at={(row, column) => shareOfLargest(gains, `${columns[column]}.${layers[row]}`)}
        />
        {heads.length > 0 ? (
          <HeatFigure
            title="Heads by layer: the same"
            rows={layers}
            columns={heads}
            at={(row, column) => shareOfLargest(gains, `head.${layers[row]}.${heads[column]}`)}
          />
        ) : null}
      </div>
      <DotFigure
        title="The largest, beyond other strings' values, logits"
        rows={largest.map(({ component, gain }) => ({ label: component, estimate: gain }))}
        unit="nats"
      />
      <SortedTable<Part>
        title={words.title}
        rows={effects}
        columns={[
          headColumn("part", ({ component }) => component),
          estimated("own less the mean of the others, logits", ({ lead }) => lead, NATS),
          estimated("beyond other strings' values, logits", ({ gain }) => gain, NATS),
          pValues("p, adjusted", ({ adjusted }) => adjusted),
          foundColumn(({ found }) => found),
        ]}
      />
    </>
  );
}

type Head = InsideView["heads"][number]["effects"][number];
const NO_CONTROL = { ok: false, reason: "there is no such control" } as const;

function Heads({ of: { words, effects, attention } }: { of: InsideView["heads"][number] }) {
  const spans = [...new Set(attention.map(({ span }) => span))];
  const [span, setSpan] = useState(spans[0]);
  const layers = [...new Set(effects.map(({ layer }) => String(layer)))].sort(numbered);
  const heads = [...new Set(effects.map(({ head }) => String(head)))].sort((one, other) => numbered(other, one));
  const ablations = [...new Set(effects.map(({ ablation }) => ablation))];
  const losses = (ablation: string) =>
    new Map(
      effects
        .filter((one) => one.ablation === ablation)
        .map(({ layer, head, meanLead }) => [`${layer}.${head}`, -meanLead] as const),
    );
  const map = (title: string, at: HeatProps["at"], note?: string) => (
    <HeatFigure title={title} {...(note === undefined ? {} : { note })} rows={layers} columns={heads} at={at} />
  );
  return (
    <>
      {spans.length > 0 ? (
        <p class="lenses">
          <label>
            attention to{" "}
            <select value={span} onChange={(event) => setSpan(event.currentTarget.value)}>
              {spans.map((one) => (
                <option value={one}>{one.replaceAll("_", " ")}</option>
              ))}
            </select>
          </label>
        </p>
      ) : null}
      <div class="beside">
        {span === undefined
          ? null
          : map(
              `Attention to ${span.replaceAll("_", " ")}, percent`,
              (row, column) => {
                const found = attention.find(
                  (one) => one.span === span && `${one.layer}` === layers[row] && `${one.head}` === heads[column],
                );
                return found === undefined ? { ok: false, reason: "not looked at" } : { ok: true, value: found.mean };
              },
              "From the prompt's last token; layers from below to above, heads from left to right.",
            )}
        {ablations.map((ablation) => {
          const lost = losses(ablation);
          return map(
            `Set to ${ablation === "zero" ? "0" : "its mean"}: what the answer loses, percent of the largest`,
            (row, column) => shareOfLargest(lost, `${layers[row]}.${heads[column]}`),
            "What gains without a head is shown as 0.",
          );
        })}
      </div>
      <SortedTable<Head>
        title={words.title}
        rows={effects}
        columns={[
          headColumn("head", ({ layer, head }) => `${layer}.${head}`),
          {
            title: "set to",
            sort: ({ ablation }) => ablation,
            cell: ({ ablation }) => (ablation === "zero" ? "0" : "mean"),
          },
          { title: "looks most at", sort: ({ looksAt }) => looksAt, cell: ({ looksAt }) => <Text text={looksAt} /> },
          estimated("lead of the answer, nats", ({ lead }) => lead, NATS),
          ...controlColumns<Head>(
            [
              ["random", "a random change"],
              ["same_layer", "the layer's others"],
            ],
            ({ controls }) => controls,
          ),
          foundColumn(({ found }) => found),
        ]}
      />
      <SortedTable<InsideView["heads"][number]["attention"][number]>
        title="Attention from the prompt's last token"
        rows={attention}
        columns={[
          headColumn("head", ({ layer, head }) => `${layer}.${head}`),
          { title: "to", sort: (one) => one.span, cell: (one) => <Text text={one.span.replaceAll("_", " ")} /> },
          estimated("share", ({ share }) => share),
        ]}
      />
    </>
  );
}

type Controls = Head["controls"];

/** Of each control how much the answer's lead changes beyond it, and p. */
function controlColumns<Row>(
  names: readonly (readonly [string, string])[],
  of: (row: Row) => Controls,
): TableColumn<Row>[] {
  return names.flatMap(([name, words]) => [
    estimated<Row>(`beyond ${words}, nats`, (row) => of(row)[name]?.beyond ?? NO_CONTROL, NATS),
    pValues<Row>(`p, ${words}`, (row) => of(row)[name]?.adjusted ?? NO_CONTROL),
  ]);
}

type Site = InsideView["subspace"][number]["sites"][number];

function Subspace({
  of: { words, sites },
  controls: names,
}: {
  of: InsideView["subspace"][number];
  controls: InsideView["controls"];
}) {
  const controls = [...new Set(sites.flatMap((site) => (site.ok ? Object.keys(site.controls) : [])))];
  const wordsOf = (name: string) => (names[name] ?? name).toLowerCase();
  const number = (title: string, of: (site: Extract<Site, { ok: true }>) => number): TableColumn<Site> => ({
    title,
    align: "right",
    sort: (site) => (site.ok ? of(site) : undefined),
    cell: (site) => (site.ok ? Number(of(site).toFixed(2)) : <Missing reason={site.reason} />),
  });
  return (
    <>
      <DotFigure
        title="By how much the donor's answer gains, nats"
        rows={sites.map((site) => ({
          label: site.site,
          estimate: site.ok ? site.lead : site,
          marks: site.ok ? controls.map((name) => ({ name: wordsOf(name), value: site.controls[name]?.lead })) : [],
        }))}
        note={`Ticks: ${controls.map(wordsOf).join(", ")}.`}
        unit="nats"
      />
      <SortedTable<Site>
        title={words.title}
        rows={sites}
        columns={[
          headColumn("site", ({ site }) => site),
          number("directions", ({ directions }) => directions),
          number("displaced", ({ displacement }) => displacement),
          number("the whole state displaced", ({ wholeDisplacement }) => wholeDisplacement),
          estimated("donor's answer gains, nats", (site) => (site.ok ? site.lead : site), NATS),
          ...controls.map((name) =>
            estimated<Site>(
              `${wordsOf(name)}: gains, nats`,
              (site) => (site.ok ? (site.controls[name]?.lead ?? NO_CONTROL) : site),
              NATS,
            ),
          ),
          ...controlColumns<Site>(
            controls.map((name) => [name, wordsOf(name)] as const),
            (site) => (site.ok ? site.controls : {}),
          ),
          foundColumn((site) => site.ok && site.found),
        ]}
      />
    </>
  );
}

type Pair = InsideView["patchscope"][number]["pairs"][number];

function Patchscope({ of: { words, pairs } }: { of: InsideView["patchscope"][number] }) {
  const [from, into] = [
    [...new Set(pairs.map((pair) => pair.from))].reverse(),
    [...new Set(pairs.map((pair) => pair.into))],
  ];
  const isSquare = pairs.some((pair) => pair.from !== pair.into);
  const share = (title: string, of: (told: NonNullable<Pair["told"]>) => number): TableColumn<Pair> => ({
    title,
    align: "right",
    sort: ({ told }) => told && of(told),
    cell: ({ told }) =>
      told === undefined ? <Missing reason="no words are expected" /> : `${(100 * of(told)).toFixed(1)} %`,
  });
  const none: Estimate = { ok: false, reason: "no words are expected" };
  const told = (pair: Pair | undefined) => pair?.told?.share ?? none;
  return (
    <>
      {isSquare ? (
        <HeatFigure
          title="Replies with the string's own words, percent"
          note="Rows: where the state is taken; columns: where it is written."
          rows={from}
          columns={into}
          at={(row, column) => {
            const found = told(pairs.find((pair) => pair.from === from[row] && pair.into === into[column]));
            return found.ok ? { ok: true, value: found.value } : found;
          }}
        />
      ) : (
        <DotFigure
          title="Replies with the string's own words"
          note="Each state is written where it was taken. Ticks: other strings' words, nothing written, a vector by chance."
          rows={pairs.map((pair) => ({
            label: pair.from,
            estimate: told(pair),
            marks: (["others", "none", "random"] as const).flatMap((name) =>
              pair.told === undefined ? [] : [{ name, value: pointOf(pair.told[name]) }],
            ),
          }))}
        />
      )}
      <SortedTable<Pair>
        title={words.title}
        rows={pairs}
        columns={[
          headColumn("from", (pair) => pair.from),
          { title: "into", sort: (pair) => pair.into, cell: (pair) => <Text text={pair.into} /> },
          estimated("other reply", ({ changed }) => changed),
          estimated("other reply under a vector by chance", ({ randomChanged }) => randomChanged),
          estimated("own words", told),
          share("others' words", ({ others }) => others),
          share("nothing written", (one) => one.none),
          share("by chance", ({ random }) => random),
          pValues("p, adjusted", (pair) => pair.told?.adjusted ?? { ok: false, reason: "no words are expected" }),
          foundColumn((pair) => pair.found),
        ]}
      />
    </>
  );
}

/** A share that has no interval of its own, as a tick. */
function pointOf(value: number): Estimate {
  return { ok: true, value, low: value, high: value, n: 0, clusters: 0 } as Estimate;
}
