/** A distribution as a tree that opens branch by branch: values, texts without one, and what was not looked into. */

import type { Distribution } from "../../src/ask/expand-distribution.js";
import type { Shown } from "../../src/run/trials/trial-shapes.js";
import { Missing, Text } from "./parts.js";
import { type Branch, branchesOf } from "./value-branches.js";

export function DistributionTree({ title, of }: { title: string; of: Shown<Distribution> }) {
  if (!of.ok) {
    return (
      <div>
        <h3>{title}</h3>
        <p>
          <Missing reason={of.reason} />
        </p>
      </div>
    );
  }
  const { value: found } = of;
  const missing = Object.entries(found.notCompliant).map(
    ([reason, probability]): Branch => ({
      label: reason.replaceAll("_", " "),
      probability: probability as number,
      leaves: [],
    }),
  );
  const values = branchesOf(found.values.map(({ value, probability }) => ({ value, probability })));
  const note =
    found.method === "samples"
      ? `${found.samples} samples, because of ${found.because.replaceAll("_", " ")}`
      : `expanded ${found.expandedNodes} nodes, ended by ${found.stoppedBy}`;
  return (
    <div>
      <h3>{title}</h3>
      <p class="quiet">{note}</p>
      <ul class="tree">
        <TreeBranch branch={{ label: "shows a value", probability: sum(values), leaves: values }} open />
        {missing.length > 0 ? (
          <TreeBranch branch={{ label: "shows none", probability: sum(missing), leaves: missing }} />
        ) : null}
        {found.method === "expansion" ? (
          <TreeBranch branch={{ label: "not looked into (tail)", probability: found.tail, leaves: [] }} />
        ) : null}
      </ul>
    </div>
  );
}

function sum(branches: readonly Branch[]): number {
  return branches.reduce((total, { probability }) => total + probability, 0);
}

function TreeBranch({ branch: { label, probability, leaves }, open = false }: { branch: Branch; open?: boolean }) {
  const line = (
    <>
      <meter min={0} max={1} value={probability} aria-label={`probability of ${label}`} />
      <span class="share">{(100 * probability).toFixed(probability < 0.01 ? 3 : 1)} %</span>{" "}
      <Text text={label === "" ? "(empty)" : label} />
    </>
  );
  if (leaves.length === 0) return <li>{line}</li>;
  return (
    <li>
      <details open={open}>
        <summary>{line}</summary>
        <ul>
          {leaves.map((leaf) => (
            <TreeBranch branch={leaf} />
          ))}
        </ul>
      </details>
    </li>
  );
}
