/** Figures of two axes: lines, and cost against loss. */

import type { ComponentChildren } from "preact";
import { visibleText } from "../../src/report/document.js";
import { Figure, nameIn, scale } from "./figures.js";
import { numberWords, Text, type Unit } from "./parts.js";
import { paretoFront, type ScatterPoint, ticksOf } from "./scales.js";

interface PlotFrame {
  readonly width: number;
  readonly height: number;
  /** Left, right, top, bottom: pixels. */
  readonly margins: readonly [number, number, number, number];
  readonly xDomain: readonly [number, number];
  readonly yDomain: readonly [number, number];
  readonly xTitle: string;
  readonly yTitle: string;
  readonly xUnit?: Unit;
  readonly yUnit?: Unit;
}

interface Plot {
  readonly x: (value: number) => number;
  readonly y: (value: number) => number;
  readonly axes: ComponentChildren;
}

function plotIn(frame: PlotFrame): Plot {
  const { width, height, margins, xDomain, yDomain, xTitle, yTitle, xUnit = "plain", yUnit = "plain" } = frame;
  const [left, right, top, bottom] = margins;
  const x = scale(xDomain, [left, width - right]);
  const y = scale(yDomain, [height - bottom, top]);
  const axes = (
    <>
      {ticksOf(...yDomain, 5).map((tick) => (
        <g>
          <line class="grid" x1={left} x2={width - right} y1={y(tick)} y2={y(tick)} />
          <text class="tick" x={left - 6} y={y(tick) + 4} text-anchor="end">
            {shortNumber(tick, yUnit)}
          </text>
        </g>
      ))}
      {ticksOf(...xDomain, width < 480 ? 4 : 8).map((tick) => (
        <text class="tick" x={x(tick)} y={height - bottom + 16} text-anchor="middle">
          {shortNumber(tick, xUnit)}
        </text>
      ))}
      <text class="tick" x={(left + width - right) / 2} y={height - 8} text-anchor="middle">
        {xTitle} · up: {yTitle}
      </text>
    </>
  );
  return { x, y, axes };
}

function shortNumber(value: number, unit: Unit): string {
  return unit === "plain" || unit === "nats"
    ? String(Number(value.toPrecision(4))).replace("-", "−")
    : numberWords(value, unit);
}

interface PlotPoint {
  readonly x: number;
  readonly y: number;
  readonly low?: number;
  readonly high?: number;
}

/** A dot, with its interval; a link where it leads somewhere. */
function PlotDot({ of: { x: px, y: py, low, high }, plot: { x, y }, radius, href, said, children }: DotProps) {
  const content = (
    <>
      {href === undefined ? null : <circle class="hit" cx={x(px)} cy={y(py)} r={12} />}
      {low !== undefined && high !== undefined ? (
        <line class="interval" x1={x(px)} x2={x(px)} y1={y(low)} y2={y(high)} />
      ) : null}
      <circle class="dot" cx={x(px)} cy={y(py)} r={radius} />
      {children}
    </>
  );
  const title = said === undefined ? null : <title>{visibleText(said, "mark")}</title>;
  return href === undefined ? (
    <g>
      {title}
      {content}
    </g>
  ) : (
    <a href={href}>
      {title}
      {content}
    </a>
  );
}

interface DotProps {
  readonly of: PlotPoint;
  readonly plot: Plot;
  readonly radius: number;
  readonly href?: string | undefined;
  readonly said?: string;
  readonly children?: ComponentChildren;
}

export interface LineOf {
  readonly name: string;
  readonly points: readonly PlotPoint[];
  /** To the trials that its points are made of. */
  readonly href?: string;
}

interface LinesProps {
  readonly title: string;
  readonly note?: string;
  readonly lines: readonly LineOf[];
  readonly xTitle: string;
  readonly yTitle: string;
  readonly unit?: Unit;
  readonly from?: readonly [number, number];
  /** Of shares on both axes. */
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
  const all = lines.flatMap(({ points }) => points);
  const xs = all.map(({ x }) => x);
  const ys = all.flatMap(({ y, low = y, high = y }) => [y, low, high]);
  return (
    <Figure
      title={title}
      {...(note === undefined ? {} : { note })}
      draw={(width) => {
        const height = 260;
        const plot = plotIn({
          ...{ width, height, margins: [54, 14, 10, 44], xTitle, yTitle, yUnit: unit },
          xDomain: diagonal ? [0, 1] : [Math.min(...xs), Math.max(...xs)],
          yDomain: from ?? [Math.min(0, ...ys), Math.max(...ys)],
          xUnit: diagonal ? unit : "plain",
        });
        const { x, y, axes } = plot;
        return {
          height,
          content: (
            <>
              {axes}
              {diagonal ? <line class="mark" x1={x(0)} y1={y(0)} x2={x(1)} y2={y(1)} /> : null}
              {lines.map(({ name, points, href }, at) => (
                <g class={`line line-${at % 6}`}>
                  <title>{visibleText(name, "mark")}</title>
                  <polyline points={points.map((point) => `${x(point.x)},${y(point.y)}`).join(" ")} />
                  {dots || points.some(({ low }) => low !== undefined)
                    ? points.map((point) => (
                        <PlotDot
                          of={point}
                          plot={plot}
                          radius={dots ? 3 : 0}
                          href={href}
                          said={`${name}: ${shortNumber(point.x, diagonal ? unit : "plain")}, ${shortNumber(point.y, unit)}${href === undefined ? "" : ". Its trials"}`}
                        />
                      ))
                    : null}
                </g>
              ))}
            </>
          ),
        };
      }}
    />
  );
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

interface FrontProps {
  readonly title: string;
  readonly note?: string;
  readonly points: readonly ScatterPoint[];
  readonly xTitle: string;
  readonly yTitle: string;
}

/** Cost against loss, both the less the better; the front joins those that no other beats in both. */
export function FrontFigure({ title, note, points, xTitle, yTitle }: FrontProps) {
  const front = paretoFront(points);
  return (
    <Figure
      title={title}
      {...(note === undefined ? {} : { note })}
      draw={(width) => {
        const height = 320;
        const plot = plotIn({
          ...{ width, height, margins: [64, 70, 14, 44], xTitle, yTitle },
          xDomain: [0, 1.05 * Math.max(...points.map(({ x }) => x))],
          yDomain: [0, 1.08 * Math.max(...points.map(({ y, high = y }) => high), 1e-9)],
        });
        const { x, y, axes } = plot;
        return {
          height,
          content: (
            <>
              {axes}
              <polyline class="front" points={front.map((point) => `${x(point.x)},${y(point.y)}`).join(" ")} />
              {points.map((point) => (
                <g class={`${front.some(({ name }) => name === point.name) ? "" : "behind"} ${point.kind ?? ""}`}>
                  <PlotDot
                    of={point}
                    plot={plot}
                    radius={4}
                    said={`${point.name}: ${shortNumber(point.x, "plain")}, ${shortNumber(point.y, "plain")}`}
                  >
                    <text class="label" x={x(point.x) + 7} y={y(point.y) - 6}>
                      {nameIn(point.name, 40)}
                    </text>
                  </PlotDot>
                </g>
              ))}
            </>
          ),
        };
      }}
    />
  );
}
