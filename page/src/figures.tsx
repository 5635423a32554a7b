/** Figures as SVG, drawn here so that what they show can be clicked: to the trials it is made of. Each saves as it stands. */

import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { Estimate } from "../../src/score/interval.js";
import type { Shown } from "../../src/run/trials/trial-shapes.js";
import { numberWords, Text, type Unit } from "./parts.js";
import { savePng, saveSvg } from "./save.js";
import { paretoFront, type ScatterPoint, ticksOf } from "./scales.js";

interface FigureProps {
  readonly title: string;
  readonly note?: string;
  /** @param width of the page's column, CSS pixels */
  readonly draw: (width: number) => { readonly height: number; readonly content: ComponentChildren };
}

export function Figure({ title, note, draw }: FigureProps) {
  const frame = useRef<HTMLElement>(null);
  const svg = useRef<SVGSVGElement>(null);
  const [width, setWidth] = useState(640);
  useEffect(() => {
    const watcher = new ResizeObserver(([entry]) =>
      setWidth(Math.max(280, Math.floor(entry?.contentRect.width ?? 640))),
    );
    if (frame.current) watcher.observe(frame.current);
    return () => watcher.disconnect();
  }, []);
  const { height, content } = draw(width);
  return (
    <figure ref={frame}>
      <figcaption>
        {title}
        {note ? <small>{note}</small> : null}
      </figcaption>
      {/* biome-ignore lint/a11y/useSemanticElements: within a picture there is no fieldset */}
      <svg ref={svg} width={width} height={height} viewBox={`0 0 ${width} ${height}`} role="group" aria-label={title}>
        {content}
      </svg>
      <div class="saves">
        <button
          type="button"
          class="save"
          onClick={() => svg.current && saveSvg(title, svg.current)}
          aria-label={`Save ${title} as SVG`}
        >
          SVG
        </button>
        <button
          type="button"
          class="save"
          onClick={() => svg.current && void savePng(title, svg.current)}
          aria-label={`Save ${title} as PNG`}
        >
          PNG
        </button>
      </div>
    </figure>
  );
}

function scale(from: readonly [number, number], to: readonly [number, number]): (value: number) => number {
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
        const ends = rows.flatMap(({ estimate }) => (estimate.ok ? [estimate.low, estimate.high] : []));
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
  const said = estimate.ok ? numberWords(estimate.value, unit) : `missing: ${estimate.reason}`;
  const content = (
    <>
      <rect class="hit" x={0} y={y - ROW / 2} width={width} height={ROW} />
      <text class="label" x={left - 10} y={y + 4} text-anchor="end">
        {label.length > most ? `${label.slice(0, Math.max(1, most - 1))}…` : label}
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
          — {estimate.reason.slice(0, Math.max(10, Math.floor((width - left) / 7)))}
        </text>
      )}
    </>
  );
  return href === undefined ? (
    <g>
      <title>{`${label}: ${said}`}</title>
      {content}
    </g>
  ) : (
    <a href={href}>
      <title>{`${label}: ${said}. Its trials`}</title>
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
                    {name.length > most + 8 ? `${name.slice(0, most + 7)}…` : name}
                  </text>
                );
              })}
              {rows.map((name, row) => (
                <g>
                  <text class="label" x={left - 8} y={top + row * 22 + 15} text-anchor="end">
                    {name.length > left / 6.6 ? `${name.slice(0, Math.floor(left / 6.6) - 1)}…` : name}
                  </text>
                  {columns.map((other, column) => {
                    const found = at(row, column);
                    const address = href?.(row, column);
                    const label = `${name}, ${other}: ${found.ok ? numberWords(found.value, "share") : found.reason}`;
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

export interface LineOf {
  readonly name: string;
  readonly points: readonly { readonly x: number; readonly y: number; readonly low?: number; readonly high?: number }[];
}

interface LinesProps {
  readonly title: string;
  readonly note?: string;
  readonly lines: readonly LineOf[];
  readonly xTitle: string;
  readonly yTitle: string;
  readonly unit?: Unit;
  readonly from?: readonly [number, number];
  readonly diagonal?: boolean;
  readonly dots?: boolean;
}

export function LinesFigure({
  title,
  note,
  lines,
  xTitle,
  yTitle,
  unit = "plain",
  from,
  diagonal = false,
  dots = true,
}: LinesProps) {
  return (
    <Figure
      title={title}
      {...(note === undefined ? {} : { note })}
      draw={(width) => {
        const [left, right, top, bottom] = [54, 14, 10, 44];
        const height = 260;
        const all = lines.flatMap(({ points }) => points);
        const xs = all.map(({ x }) => x);
        const ys = all.flatMap(({ y, low = y, high = y }) => [y, low, high]);
        const xDomain: [number, number] = [Math.min(...xs), Math.max(...xs)];
        const yDomain: [number, number] = from ? [from[0], from[1]] : [Math.min(0, ...ys), Math.max(...ys)];
        const x = scale(diagonal ? [0, 1] : xDomain, [left, width - right]);
        const y = scale(yDomain, [height - bottom, top]);
        return {
          height,
          content: (
            <>
              {ticksOf(...yDomain, 5).map((tick) => (
                <g>
                  <line class="grid" x1={left} x2={width - right} y1={y(tick)} y2={y(tick)} />
                  <text class="tick" x={left - 6} y={y(tick) + 4} text-anchor="end">
                    {shortNumber(tick, unit)}
                  </text>
                </g>
              ))}
              {ticksOf(diagonal ? 0 : xDomain[0], diagonal ? 1 : xDomain[1], width < 480 ? 4 : 8).map((tick) => (
                <text class="tick" x={x(tick)} y={height - bottom + 16} text-anchor="middle">
                  {shortNumber(tick, diagonal ? unit : "plain")}
                </text>
              ))}
              <text class="tick" x={(left + width - right) / 2} y={height - 8} text-anchor="middle">
                {xTitle} · up: {yTitle}
              </text>
              {diagonal ? <line class="mark" x1={x(0)} y1={y(0)} x2={x(1)} y2={y(1)} /> : null}
              {lines.map(({ name, points }, at) => (
                <g class={`line line-${at % 6}`}>
                  <title>{name}</title>
                  <polyline points={points.map((point) => `${x(point.x)},${y(point.y)}`).join(" ")} />
                  {points.map(({ x: px, y: py, low, high }) => (
                    <>
                      {low !== undefined && high !== undefined ? (
                        <line class="interval" x1={x(px)} x2={x(px)} y1={y(low)} y2={y(high)} />
                      ) : null}
                      {dots ? <circle class="dot" cx={x(px)} cy={y(py)} r={3} /> : null}
                    </>
                  ))}
                </g>
              ))}
            </>
          ),
        };
      }}
    />
  );
}

function shortNumber(value: number, unit: Unit): string {
  return unit === "plain" || unit === "nats"
    ? String(Number(value.toPrecision(4))).replace("-", "−")
    : numberWords(value, unit);
}

/** Names of lines in their colours, where there are several. */
export function Legend({ names }: { names: readonly string[] }) {
  if (names.length < 2) return null;
  return (
    <ul class="legend">
      {names.map((name, at) => (
        <li class={`line-${at % 6}`}>
          <Text text={name} />
        </li>
      ))}
    </ul>
  );
}

/** Cost against loss, both the less the better; the front joins those that no other beats in both. */
export function FrontFigure({
  title,
  note,
  points,
  xTitle,
  yTitle,
}: {
  title: string;
  note?: string;
  points: readonly ScatterPoint[];
  xTitle: string;
  yTitle: string;
}) {
  const front = paretoFront(points);
  return (
    <Figure
      title={title}
      {...(note === undefined ? {} : { note })}
      draw={(width) => {
        const [left, right, top, bottom] = [64, 70, 14, 44];
        const height = 320;
        const xDomain: [number, number] = [0, 1.05 * Math.max(...points.map(({ x }) => x))];
        const yDomain: [number, number] = [0, 1.08 * Math.max(...points.map(({ y, high = y }) => high), 1e-9)];
        const x = scale(xDomain, [left, width - right]);
        const y = scale(yDomain, [height - bottom, top]);
        return {
          height,
          content: (
            <>
              {ticksOf(...yDomain, 5).map((tick) => (
                <g>
                  <line class="grid" x1={left} x2={width - right} y1={y(tick)} y2={y(tick)} />
                  <text class="tick" x={left - 6} y={y(tick) + 4} text-anchor="end">
                    {shortNumber(tick, "plain")}
                  </text>
                </g>
              ))}
              {ticksOf(...xDomain, width < 480 ? 4 : 8).map((tick) => (
                <text class="tick" x={x(tick)} y={height - bottom + 16} text-anchor="middle">
                  {shortNumber(tick, "plain")}
                </text>
              ))}
              <text class="tick" x={(left + width - right) / 2} y={height - 8} text-anchor="middle">
                {xTitle} · up: {yTitle}
              </text>
              <polyline class="front" points={front.map((point) => `${x(point.x)},${y(point.y)}`).join(" ")} />
              {points.map(({ name, x: px, y: py, low, high }) => (
                <g class={front.some((one) => one.name === name) ? "" : "behind"}>
                  <title>{`${name}: ${shortNumber(px, "plain")}, ${shortNumber(py, "plain")}`}</title>
                  {low !== undefined && high !== undefined ? (
                    <line class="interval" x1={x(px)} x2={x(px)} y1={y(low)} y2={y(high)} />
                  ) : null}
                  <circle class="dot" cx={x(px)} cy={y(py)} r={4} />
                  <text class="label" x={x(px) + 7} y={y(py) - 6}>
                    {name}
                  </text>
                </g>
              ))}
            </>
          ),
        };
      }}
    />
  );
}
