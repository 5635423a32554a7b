/** Figures as SVG, drawn here so that what they show can be clicked: to the trials it is made of. Each saves as it stands. Rows and squares. */

import type { ComponentChildren, RefObject } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { Estimate } from "../../src/score/interval.js";
import type { Shown } from "../../src/run/trials/trial-shapes.js";
import { cutText, visibleText } from "../../src/report/document.js";
import { numberWords, Text, type Unit } from "./parts.js";
import { savePng, saveSvg } from "./save.js";
import { ticksOf } from "./scales.js";

interface FigureProps {
  readonly title: string;
  readonly note?: string;
  /** @param width of the page's column, CSS pixels */
  readonly draw: (width: number) => { readonly height: number; readonly content: ComponentChildren };
}

/** Of the page's column, CSS pixels. */
export function useWidth(frame: RefObject<HTMLElement | null>): number {
  const [width, setWidth] = useState(640);
  useEffect(() => {
    const watcher = new ResizeObserver(([entry]) =>
      setWidth(Math.max(280, Math.floor(entry?.contentRect.width ?? 640))),
    );
    if (frame.current) watcher.observe(frame.current);
    return () => watcher.disconnect();
  }, []);
  return width;
}

/** As a picture, in both ways. */
export function Saves({ title, svg }: { title: string; svg: RefObject<SVGSVGElement | null> }) {
  const name = visibleText(title, "mark");
  return (
    <div class="saves">
      <button
        type="button"
        class="save"
        onClick={() => svg.current && saveSvg(title, svg.current)}
        aria-label={`Save ${name} as SVG`}
      >
        SVG
      </button>
      <button
        type="button"
        class="save"
        onClick={() => svg.current && void savePng(title, svg.current)}
        aria-label={`Save ${name} as PNG`}
      >
        PNG
      </button>
    </div>
  );
}

export function Figure({ title, note, draw }: FigureProps) {
  const frame = useRef<HTMLElement>(null);
  const svg = useRef<SVGSVGElement>(null);
  const width = useWidth(frame);
  const { height, content } = draw(width);
  const name = visibleText(title, "mark");
  return (
    <figure ref={frame}>
      <figcaption>
        <Text text={title} />
        {note ? <small>{note}</small> : null}
      </figcaption>
      {/* biome-ignore lint/a11y/useSemanticElements: within a picture there is no fieldset */}
      <svg ref={svg} width={width} height={height} viewBox={`0 0 ${width} ${height}`} role="group" aria-label={name}>
        {content}
      </svg>
      <Saves title={title} svg={svg} />
    </figure>
  );
}

/** A name in so many letters; of models, values and spans, so that no mark in it turns or hides what follows. */
export function nameIn(text: string, most: number): string {
  const shown = text.length > most ? `${cutText(text, Math.max(1, Math.floor(most) - 1))}…` : text;
  return visibleText(shown, "mark");
}

export function scale(from: readonly [number, number], to: readonly [number, number]): (value: number) => number {
  const [low, high] = from;
  return (value) => to[0] + ((value - low) / (high - low || 1)) * (to[1] - to[0]);
}

export interface DotRow {
  readonly label: string;
  readonly estimate: Estimate;
  /** What it stands beside, such as a baseline. */
  readonly marks?: readonly { readonly name: string; readonly value: Estimate | undefined }[];
  /** To the trials. */
  readonly href?: string;
}

const ROW = 26;
const AXIS = 28;

/** A row each: the value with its interval, and baselines as ticks. */
export function DotFigure({
  title,
  note,
  rows,
  unit = "share",
}: {
  title: string;
  note?: string;
  rows: readonly DotRow[];
  unit?: Unit;
}) {
  return (
    <Figure
      title={title}
      {...(note === undefined ? {} : { note })}
      draw={(width) => {
        const left = Math.min(Math.round(width * 0.42), 20 + 7 * Math.max(0, ...rows.map(({ label }) => label.length)));
        const right = width < 480 ? 30 : 120;
        const ends = rows.flatMap(({ estimate, marks = [] }) => [
          ...(estimate.ok ? [estimate.low, estimate.high] : []),
          ...marks.flatMap(({ value }) => (value?.ok ? [value.value] : [])),
        ]);
        const domain: [number, number] = unit === "share" ? [0, 1] : [Math.min(0, ...ends), Math.max(0, ...ends)];
        const x = scale(domain, [left, width - right]);
        const height = rows.length * ROW + AXIS;
        return {
          height,
          content: (
            <>
              {ticksOf(...domain, width < 480 ? 3 : 6).map((tick) => (
                <g>
                  <line class="grid" x1={x(tick)} x2={x(tick)} y1={0} y2={height - AXIS} />
                  <text class="tick" x={x(tick)} y={height - AXIS + 16} text-anchor="middle">
                    {numberWords(tick, unit)}
                  </text>
                </g>
              ))}
              {rows.map((row, at) => (
                <DotLine row={row} y={at * ROW + ROW / 2} x={x} left={left} width={width} right={right} unit={unit} />
              ))}
            </>
          ),
        };
      }}
    />
  );
}

interface DotLineProps {
  readonly row: DotRow;
  readonly y: number;
  readonly x: (value: number) => number;
  readonly left: number;
  readonly width: number;
  readonly right: number;
  readonly unit: Unit;
}

function DotLine({ row, y, x, left, width, right, unit }: DotLineProps) {
  const { label, estimate, marks = [], href } = row;
  const most = Math.floor((left - 14) / 6.6);
  const said = visibleText(
    `${label}: ${estimate.ok ? `${numberWords(estimate.value, unit)} [${numberWords(estimate.low, unit)}, ${numberWords(estimate.high, unit)}]` : `missing: ${estimate.reason}`}`,
    "mark",
  );
  const content = (
    <>
      <rect class="hit" x={0} y={y - ROW / 2} width={width} height={ROW} />
      <text class="label" x={left - 10} y={y + 4} text-anchor="end">
        {nameIn(label, most)}
      </text>
      {marks.map(({ name, value }) =>
        value?.ok ? (
          <line class="mark" x1={x(value.value)} x2={x(value.value)} y1={y - 8} y2={y + 8}>
            <title>{`${name}: ${numberWords(value.value, unit)}`}</title>
          </line>
        ) : null,
      )}
      {estimate.ok ? (
        <>
          <line class="interval" x1={x(estimate.low)} x2={x(estimate.high)} y1={y} y2={y} />
          <circle class="dot" cx={x(estimate.value)} cy={y} r={4} />
          {right > 60 ? (
            <text class="tick" x={width - right + 10} y={y + 4}>
              {numberWords(estimate.value, unit)} n {estimate.n}
            </text>
          ) : null}
        </>
      ) : (
        <text class="tick" x={left + 4} y={y + 4}>
          — {nameIn(estimate.reason, Math.max(10, (width - left) / 7))}
        </text>
      )}
    </>
  );
  return href === undefined ? (
    <g>
      <title>{said}</title>
      {content}
    </g>
  ) : (
    <a href={href}>
      <title>{`${said}. Its trials`}</title>
      {content}
    </a>
  );
}

export interface HeatProps {
  readonly title: string;
  readonly note?: string;
  readonly rows: readonly string[];
  readonly columns: readonly string[];
  readonly at: (row: number, column: number) => Shown<number>;
  readonly href?: (row: number, column: number) => string | undefined;
}

/** Shares from 0 to 1. */
export function HeatFigure({ title, note, rows, columns, at, href }: HeatProps) {
  return (
    <Figure
      title={title}
      {...(note === undefined ? {} : { note })}
      draw={(width) => {
        const left = Math.min(Math.round(width * 0.4), 16 + 7 * Math.max(1, ...rows.map((row) => row.length)));
        const top = 64;
        const cell = Math.max(18, Math.min(72, (width - left - 4) / Math.max(1, columns.length)));
        const most = Math.max(3, Math.floor(cell / 3.4) + 4);
        return {
          height: top + rows.length * 22 + 6,
          content: (
            <>
              {columns.map((name, column) => {
                const x = left + column * cell + cell / 2;
                return (
                  <text class="tick" x={x} y={top - 6} transform={`rotate(-32 ${x} ${top - 6})`}>
                    {nameIn(name, most + 8)}
                  </text>
                );
              })}
              {rows.map((name, row) => (
                <g>
                  <text class="label" x={left - 8} y={top + row * 22 + 15} text-anchor="end">
                    {nameIn(name, left / 6.6)}
                  </text>
                  {columns.map((other, column) => {
                    const found = at(row, column);
                    const address = href?.(row, column);
                    const said = `${name}, ${other}: ${found.ok ? numberWords(found.value, "share") : found.reason}`;
                    const label = visibleText(said, "mark");
                    const square = (
                      <>
                        <rect
                          class={
                            found.ok
                              ? `heat heat-${Math.min(9, Math.max(0, Math.floor(10 * found.value)))}`
                              : "heat heat-none"
                          }
                          x={left + column * cell}
                          y={top + row * 22}
                          width={cell - 2}
                          height={20}
                        >
                          <title>{label}</title>
                        </rect>
                        <text
                          class={found.ok && found.value >= 0.5 ? "heat-text on-dark" : "heat-text"}
                          x={left + column * cell + cell / 2 - 1}
                          y={top + row * 22 + 14}
                          text-anchor="middle"
                        >
                          {found.ok ? (100 * found.value).toFixed(0) : "—"}
                        </text>
                      </>
                    );
                    return address === undefined ? (
                      <g>{square}</g>
                    ) : (
                      <a href={address}>
                        <title>{`${label}. Its trials`}</title>
                        {square}
                      </a>
                    );
                  })}
                </g>
              ))}
            </>
          ),
        };
      }}
    />
  );
}
