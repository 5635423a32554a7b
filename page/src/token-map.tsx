/** What a lens reads at every token of one trial's prompts: a map of layers and tokens, told cell by cell, as a table and as CSV. */

import { useEffect, useId, useMemo, useRef, useState } from "preact/hooks";
import { decimals, formatCount, visibleText } from "../../src/report/document.js";
import type { Shown, TokenLens, TrialView } from "../../src/run/trials/trial-shapes.js";
import { useData } from "./data.js";
import { REPORT } from "./embedded.js";
import { nameIn, Saves, useWidth } from "./figures.js";
import { Missing, Of, OfShown, Text } from "./parts.js";
import { saveCsv } from "./save.js";
import { byDepth, PROMPTS } from "./scales.js";
import { shareWords, tokenWords } from "./tokens.js";

/** Tokens that are drawn at once. */
const AT_ONCE = 400;

export function TokenMaps({ run, line, whole }: { run: string; line: number; whole: TrialView["inside"]["whole"] }) {
  return (
    <>
      <h3>Lenses at every token</h3>
      <OfShown of={whole}>
        {() =>
          run === REPORT ? (
            <p class="quiet">They are not in this file: npx inward view shows them.</p>
          ) : (
            <LoadedMaps run={run} line={line} />
          )
        }
      </OfShown>
    </>
  );
}

function LoadedMaps({ run, line }: { run: string; line: number }) {
  const found = useData<Shown<readonly TokenLens[]>>(`runs/${run}/lenses/${line}.json`);
  return <Of of={found}>{(shown) => <OfShown of={shown}>{(maps) => <Chosen maps={maps} />}</OfShown>}</Of>;
}

/** What of a cell is shown as its colour. */
interface Measure {
  readonly name: string;
  /** 0 faint … 1 strong. */
  readonly heat: (site: ReadSite, token: number) => number;
  readonly words: (site: ReadSite, token: number) => string;
  readonly says: string;
}

type ReadSite = Extract<TokenLens["sites"][number], { ok: true }>;

function measuresOf({ values, vocabulary }: TokenLens): Measure[] {
  const all = Math.log(vocabulary);
  return [
    ...values.map(
      (value, at): Measure => ({
        name: `probability of “${value}”`,
        heat: ({ logprobs }, token) => Math.exp(logprobs[at]?.[token] as number),
        words: ({ logprobs }, token) => shareWords(logprobs[at]?.[token] as number),
        says: "the stronger the colour, the likelier; the sum over the tokens that it may begin with",
      }),
    ),
    ...values.map(
      (value, at): Measure => ({
        name: `place of “${value}” among all tokens`,
        heat: ({ ranks }, token) => 1 - Math.log(ranks[at]?.[token] as number) / all,
        words: ({ ranks }, token) => formatCount(ranks[at]?.[token] as number),
        says: `strongest at place 1, faintest at place ${formatCount(vocabulary)}, by the logarithm`,
      }),
    ),
    {
      name: "probability of the likeliest token",
      heat: ({ likeliestLogprobs }, token) => Math.exp(likeliestLogprobs[token] as number),
      words: ({ likeliestLogprobs }, token) => shareWords(likeliestLogprobs[token] as number),
      says: "the stronger the colour, the surer",
    },
    {
      name: "entropy",
      heat: ({ entropyNats }, token) => (entropyNats[token] as number) / all,
      words: ({ entropyNats }, token) => `${decimals(entropyNats[token] as number, 2)} nats`,
      says: `faintest at 0, strongest at ${decimals(all, 2)} nats, where every token is as likely as any other`,
    },
  ];
}

const likeliestText = ({ likeliest, likeliestAt }: ReadSite, token: number) =>
  tokenWords(likeliest[likeliestAt[token] as number] ?? { text: "" });

function Chosen({ maps }: { maps: readonly TokenLens[] }) {
  const [place, setPlace] = useState(0);
  const [measured, setMeasured] = useState(0);
  const [from, setFrom] = useState(0);
  const map = maps[place] ?? maps[0];
  if (map === undefined) return <Missing reason="nothing was read" />;
  const { tokens, untold, besideSpans } = map;
  const measures = measuresOf(map);
  const measure = measures[measured] ?? (measures[0] as Measure);
  const end = Math.min(tokens.length, from + AT_ONCE);
  return (
    <>
      <p class="lenses">
        <label>
          map{" "}
          <select
            value={place}
            onChange={(event) => {
              setPlace(Number(event.currentTarget.value));
              setMeasured(0);
              setFrom(0);
            }}
          >
            {maps.map(({ lens, prompt, state }, at) => (
              <option value={at}>{`${lens} lens on ${PROMPTS[prompt]}, ${state}`}</option>
            ))}
          </select>
        </label>
        <label>
          colour{" "}
          <select value={measured} onChange={(event) => setMeasured(Number(event.currentTarget.value))}>
            {measures.map(({ name }, at) => (
              <option value={at}>{visibleText(name, "mark")}</option>
            ))}
          </select>
        </label>
      </p>
      <Untold values={untold} />
      <TokenMap key={place} map={map} measure={measure} from={from} end={end} />
      {tokens.length > AT_ONCE ? (
        <p class="quiet">
          Tokens {formatCount(from + 1)} to {formatCount(end)} of {formatCount(tokens.length)}.{" "}
          <button type="button" disabled={from === 0} onClick={() => setFrom(from - AT_ONCE)}>
            Those before
          </button>{" "}
          <button type="button" disabled={end === tokens.length} onClick={() => setFrom(from + AT_ONCE)}>
            Those behind
          </button>
        </p>
      ) : null}
      {besideSpans.readings > 0 ? (
        <p class="quiet">
          {formatCount(besideSpans.readings)} of these cells were read at named spans too, from states that were taken
          by themselves: the numbers differ by{" "}
          {besideSpans.greatestNats === 0
            ? "nothing"
            : `${besideSpans.greatestNats.toExponential(1).replace("-", "−")} nats at most`}
          .
        </p>
      ) : null}
    </>
  );
}

interface MapProps {
  readonly map: TokenLens;
  readonly measure: Measure;
  /** Of the tokens that are drawn, the first, and the first behind them. */
  readonly from: number;
  readonly end: number;
}

/** Pixels. */
const ROW = 14;
const LETTERS = 14;
const FOOT = 92;

function TokenMap({ map, measure, from, end }: MapProps) {
  const { lens, prompt, state, tokens } = map;
  const frame = useRef<HTMLElement>(null);
  const scroll = useRef<HTMLDivElement>(null);
  const svg = useRef<SVGSVGElement>(null);
  const width = useWidth(frame);
  const [at, setAt] = useState<{ readonly row: number; readonly token: number }>();
  const [asTable, setAsTable] = useState(false);
  const told = useId();
  const rows = useMemo(() => [...map.sites].sort((one, other) => byDepth(other.site, one.site)), [map]);
  const left = Math.min(Math.round(width * 0.34), 14 + 7 * Math.max(1, ...rows.map(({ site }) => site.length)));
  const shown = end - from;
  const cell = Math.max(13, Math.min(34, (width - left - 4) / shown));
  const whole = Math.max(width, Math.ceil(left + shown * cell + 4));
  const height = rows.length * ROW + FOOT;
  const title = `Lens at every token: ${measure.name}, ${lens} lens on ${PROMPTS[prompt]}, ${state}`;
  // Thousands of cells are a path a colour, and are made anew where they are others alone.
  const cells = useMemo(() => {
    const paths = new Map<string, string>();
    const add = (kind: string, row: number, column: number) => {
      const square = `M${(left + column * cell).toFixed(1)} ${row * ROW}h${(cell - 1).toFixed(1)}v${ROW - 1}h${(1 - cell).toFixed(1)}z`;
      paths.set(kind, (paths.get(kind) ?? "") + square);
    };
    for (const [row, site] of rows.entries())
      for (let token = from; token < end; token++)
        add(
          site.ok ? `heat-${Math.min(9, Math.max(0, Math.floor(10 * measure.heat(site, token))))}` : "heat-none",
          row,
          token - from,
        );
    return (
      <>
        {rows.map(({ site }, row) => (
          <text class="tick" x={left - 6} y={row * ROW + 11} text-anchor="end">
            {nameIn(site, left / 6.2)}
          </text>
        ))}
        {[...paths].map(([kind, path]) => (
          <path class={kind} d={path} />
        ))}
        {tokens.slice(from, end).map((token, column) => {
          const [x, y] = [left + column * cell + cell / 2 + 3, rows.length * ROW + 6];
          return (
            <text class="tick" x={x} y={y} text-anchor="end" transform={`rotate(-90 ${x} ${y})`}>
              {nameIn(tokenWords(token), LETTERS)}
            </text>
          );
        })}
      </>
    );
  }, [map, measure.name, from, end, left, cell]);
  // What was looked at may not be drawn any more.
  useEffect(() => setAt(undefined), [from]);

  const placeIn = (event: MouseEvent) => {
    const box = svg.current?.getBoundingClientRect();
    if (!box) return;
    const [row, column] = [
      Math.floor((event.clientY - box.top) / ROW),
      Math.floor((event.clientX - box.left - left) / cell),
    ];
    setAt(row >= 0 && row < rows.length && column >= 0 && column < shown ? { row, token: from + column } : undefined);
  };
  const onKey = (event: KeyboardEvent) => {
    const steps: Readonly<Record<string, readonly [number, number]>> = {
      ArrowUp: [-1, 0],
      ArrowDown: [1, 0],
      ArrowLeft: [0, -1],
      ArrowRight: [0, 1],
      PageUp: [0, -10],
      PageDown: [0, 10],
      Home: [0, -tokens.length],
      End: [0, tokens.length],
    };
    const step = steps[event.key];
    if (step === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    // The page goes to another trial by the same keys.
    event.stopPropagation();
    const within = (value: number, low: number, high: number) => Math.min(high, Math.max(low, value));
    const next = {
      row: within((at?.row ?? 0) + (at ? step[0] : 0), 0, rows.length - 1),
      token: within((at?.token ?? end - 1) + (at ? step[1] : 0), from, end - 1),
    };
    setAt(next);
    const box = scroll.current;
    if (!box) return;
    const x = left + (next.token - from) * cell;
    if (x - left < box.scrollLeft || x + cell > box.scrollLeft + box.clientWidth)
      box.scrollLeft = x - box.clientWidth / 2;
  };
  return (
    <figure ref={frame} class="token-map">
      <figcaption>
        <Text text={title} />
        <small>
          Layers from below to above, tokens as the model read them; {measure.says}. Point at a cell, or go there by the
          arrow keys.
        </small>
      </figcaption>
      <div
        ref={scroll}
        class="scroll"
        role="application"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: it is moved through by keyboard
        tabIndex={0}
        aria-label={visibleText(title, "mark")}
        aria-describedby={told}
        onKeyDown={onKey}
        onFocus={() => setAt((before) => before ?? { row: 0, token: end - 1 })}
        onMouseMove={placeIn}
        onClick={placeIn}
        onMouseLeave={() => setAt(undefined)}
      >
        {/* Beside what is scrolled; the picture that is saved has its own. */}
        <div class="names" aria-hidden="true">
          <div class="site-names" style={{ width: `${left}px`, height: `${rows.length * ROW}px` }}>
            {rows.map(({ site }) => (
              <span>{nameIn(site, left / 6.2)}</span>
            ))}
          </div>
        </div>
        <svg ref={svg} class="wide" width={whole} height={height} viewBox={`0 0 ${whole} ${height}`} aria-hidden="true">
          {cells}
          {at ? (
            <rect
              class="cursor"
              x={left + (at.token - from) * cell - 0.5}
              y={at.row * ROW - 0.5}
              width={cell}
              height={ROW}
            />
          ) : null}
        </svg>
      </div>
      <p class="inspector" id={told} aria-live="polite">
        {at === undefined ? (
          `${rows.length} sites, ${tokens.length} tokens.`
        ) : (
          <CellFacts map={map} site={rows[at.row] as TokenLens["sites"][number]} token={at.token} />
        )}
      </p>
      <Saves title={title} svg={svg} />
      <p>
        <button type="button" class="plain" onClick={() => setAsTable(!asTable)} aria-expanded={asTable}>
          {asTable ? "Hide the table" : "As a table"}
        </button>{" "}
        <button
          type="button"
          class="save"
          onClick={() => saveCells(map)}
          aria-label="Save all cells of this lens as CSV"
        >
          CSV
        </button>
      </p>
      {asTable ? <CellTable title={title} rows={rows} tokens={tokens} measure={measure} from={from} end={end} /> : null}
    </figure>
  );
}

function CellFacts({ map, site, token }: { map: TokenLens; site: TokenLens["sites"][number]; token: number }) {
  const { tokens, values } = map;
  return (
    <>
      {site.site} · token {token + 1} of {tokens.length}{" "}
      <b>
        <Text text={tokenWords(tokens[token] ?? { text: "" })} />
      </b>
      {site.ok ? (
        <>
          {values.map((value, at) => (
            <>
              {" · "}
              <Text text={`“${value}”`} /> {shareWords(site.logprobs[at]?.[token] as number)} (
              {decimals(site.logprobs[at]?.[token] as number, 3)} nats), place{" "}
              {formatCount(site.ranks[at]?.[token] as number)}
            </>
          ))}
          {" · likeliest "}
          <b>
            <Text text={likeliestText(site, token)} />
          </b>{" "}
          {shareWords(site.likeliestLogprobs[token] as number)} · entropy{" "}
          {decimals(site.entropyNats[token] as number, 2)} nats
        </>
      ) : (
        <>
          {" "}
          <Missing reason={site.reason} />
        </>
      )}
    </>
  );
}

interface CellTableProps extends Omit<MapProps, "map"> {
  readonly title: string;
  readonly rows: TokenLens["sites"];
  readonly tokens: TokenLens["tokens"];
}

function CellTable({ title, rows, tokens, measure, from, end }: CellTableProps) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls is reached by keyboard
    <section class="scroll" tabIndex={0} aria-label={visibleText(title, "mark")}>
      <table>
        <thead>
          <tr>
            <th scope="col">token</th>
            {rows.toReversed().map(({ site }) => (
              <th scope="col" class="right">
                {site}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {tokens.slice(from, end).map((token, at) => (
            <tr>
              <th scope="row">
                {from + at + 1} <Text text={tokenWords(token)} />
              </th>
              {rows.toReversed().map((site) => (
                <td class="right">
                  {site.ok ? (
                    <>
                      {measure.words(site, from + at)}{" "}
                      <small>
                        <Text text={likeliestText(site, from + at)} />
                      </small>
                    </>
                  ) : (
                    "—"
                  )}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      <p class="quiet">In small letters the likeliest token.</p>
    </section>
  );
}

/** All of them, whatever is drawn: a row a cell. */
function saveCells({ prompt, state, lens, tokens, values, sites }: TokenLens): void {
  const header = [
    ...["site", "place", "token id", "token", "entropy, nats", "likeliest token", "ln P of the likeliest token"],
    ...values.flatMap((value) => [`ln P of ${value}`, `place of ${value} among tokens`]),
    "missing because",
  ];
  const rows = sites.flatMap((site) =>
    tokens.map(({ id, text }, at) => [
      ...[site.site, at + 1, id, text],
      ...(site.ok
        ? [
            ...[site.entropyNats[at], site.likeliest[site.likeliestAt[at] as number]?.text, site.likeliestLogprobs[at]],
            ...values.flatMap((_, value) => [site.logprobs[value]?.[at], site.ranks[value]?.[at]]),
            undefined,
          ]
        : [...header.slice(4, -1).map(() => undefined), site.reason]),
    ]),
  );
  saveCsv(`Lens at every token ${lens} ${prompt} ${state}`, header, rows);
}

/** Values that a lens says nothing of. */
export function Untold({ values }: { values: readonly string[] }) {
  if (values.length === 0) return null;
  return (
    <p class="quiet">
      Not told apart by first tokens, or not looked for: <Text text={values.join(", ")} />
    </p>
  );
}
