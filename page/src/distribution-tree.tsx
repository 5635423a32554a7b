/** A distribution as a tree that opens branch by branch: values, texts without one, and what was not looked into. */

import type { Distribution, ExpandedDistribution } from "../../src/ask/expand-distribution.js";
import type { Shown } from "../../src/run/trials/trial-shapes.js";
import { Missing, Text } from "./parts.js";
import { type Branch, branchesOf, type TokenBranch, tokenBranches } from "./value-branches.js";

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
      {found.method === "expansion" ? <Texts of={found} /> : null}
    </div>
  );
}

/** The same by text: token after token, what each branch comes to, and what is not among the kept ones. */
function Texts({ of: { followed, tail } }: { of: ExpandedDistribution }) {
  if (followed === undefined) {
    return (
      <p class="quiet">
        Token by token: <Missing reason="this run kept no texts; runs that are asked from now on do" />
      </p>
    );
  }
  const kept = followed.reduce((total, { probability }) => total + probability, 0);
  return (
    <>
      <h4>Token by token</h4>
      <ul class="tree">
        {tokenBranches(followed).map((branch) => (
          <TokenLine branch={branch} />
        ))}
        <TreeBranch
          branch={{
            label: "followed to a value or a reason, not listed",
            probability: Math.max(0, 1 - tail - kept),
            leaves: [],
          }}
        />
        <TreeBranch branch={{ label: "not looked into (tail)", probability: tail, leaves: [] }} />
      </ul>
    </>
  );
}

function TokenLine({ branch: { text, probability, shows, next } }: { branch: TokenBranch }) {
  const line = (
    <>
      <Share of={probability} label={text} />{" "}
      {text === "" ? (
        <span class="quiet">(the turn ends)</span>
      ) : (
        <code class="token">
          <Text text={text} />
        </code>
      )}
      {shows === undefined ? null : (
        <>
          {" "}
          →{" "}
          {shows.value === undefined ? (
            <Missing reason={(shows.reason ?? "no value").replaceAll("_", " ")} />
          ) : (
            <b>
              <Text text={shows.value === "" ? "(empty)" : shows.value} />
            </b>
          )}
        </>
      )}
    </>
  );
  if (next.length === 0) return <li>{line}</li>;
  return (
    <li>
      <details>
        <summary>{line}</summary>
        <ul>
          {next.map((one) => (
            <TokenLine branch={one} />
          ))}
        </ul>
      </details>
    </li>
  );
}

function Share({ of, label }: { of: number; label: string }) {
  return (
    <>
      <meter min={0} max={1} value={of} aria-label={`probability of ${label}`} />
      <span class="share">{(100 * of).toFixed(of < 0.01 ? 3 : 1)} %</span>
    </>
  );
}

function sum(branches: readonly Branch[]): number {
  return branches.reduce((total, { probability }) => total + probability, 0);
}

function TreeBranch({ branch: { label, probability, leaves }, open = false }: { branch: Branch; open?: boolean }) {
  const line = (
    <>
      <Share of={probability} label={label} /> <Text text={label === "" ? "(empty)" : label} />
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
