/** What was seen and written inside, over all strings: lens maps with their controls, patches site by site, injected concepts. */

import { useState } from "preact/hooks";
import type { LensReadSite, LensResults } from "../../src/probe/lens-results.js";
import type { Estimate } from "../../src/score/interval.js";
import type { AbilityResult, InjectionResults, InjectionSetting } from "../../src/score/injection/injection-scores.js";
import type { JudgedSite, SimulationResults } from "../../src/score/simulation/simulation.js";
import { trialsAddress } from "./address.js";
import { HeatFigure } from "./figures.js";
import { estimated, Missing, numberWords, pValues, SortedTable, Text } from "./parts.js";
import { probedName } from "./probe-maps.js";
import { byDepth } from "./scales.js";

const words = (name: string) => name.replaceAll("_", " ");
const NATS = { unit: "nats", n: false } as const;
const steered = (all: JudgedSite["covariations"]) => all.find(({ by }) => by === "steered");

export function LensMaps({ lenses: { questions, spanTokens, unread } }: { lenses: LensResults }) {
  const [place, setPlace] = useState(0);
  const question = questions[place];
  const score = (site: LensReadSite, of: "gainNats" | "first" | "otherFirst"): Estimate =>
    site.score.ok ? site.score[of] : site.score;
  const map = (of: "first" | "otherFirst") => {
    const sites = [...new Set(question?.sites.map(({ site }) => site))].sort(byDepth).reverse();
    const spans = [...new Set(question?.sites.map(({ span }) => span))];
    return {
      rows: sites,
      columns: spans,
      at: (row: number, column: number) => {
        const site = question?.sites.find((one) => one.site === sites[row] && one.span === spans[column]);
        return site === undefined ? ({ ok: false, reason: "no such site" } as const) : score(site, of);
      },
    };
  };
  return (
    <>
      <h2>Lenses</h2>
      {unread.map(({ state, reason }) => (
        <p class="quiet">
          <Text text={`${state} was not read: ${reason}`} />
        </p>
      ))}
      {question === undefined ? null : (
        <>
          <p class="lenses">
            <label>
              what is read{" "}
              <select value={place} onChange={(event) => setPlace(Number(event.currentTarget.value))}>
                {questions.map((one, number) => (
                  <option value={number}>{`${one.lens} lens · ${probedName(one)}`}</option>
                ))}
              </select>
            </label>
          </p>
          <p class="quiet">
            {question.heldOutStrings} held-out strings, {question.values} values; a span of several tokens is its{" "}
            {spanTokens}. What the model's end sees is not thereby used.
          </p>
          <div class="beside">
            <HeatFigure title="Own value first, percent" {...map("first")} />
            <HeatFigure title="Another string's value first, percent" {...map("otherFirst")} />
          </div>
          <SortedTable<LensReadSite>
            title={`Sites: ${question.lens} lens, ${probedName(question)}`}
            rows={question.sites}
            columns={[
              {
                title: "site",
                isHead: true,
                sort: ({ site, span }) => `${site}@${span}`,
                cell: ({ site, span }) => <Text text={`${site} · ${span}`} />,
              },
              estimated("beyond other strings' values, nats", (site) => score(site, "gainNats"), NATS),
              estimated("own value first", (site) => score(site, "first")),
              estimated("another's first", (site) => score(site, "otherFirst")),
              estimated(
                "beyond the same without adapter, nats",
                ({ beyondWithoutAdapter }) => beyondWithoutAdapter,
                NATS,
              ),
              estimated("beyond the other model, nats", ({ beyondOtherModel }) => beyondOtherModel, NATS),
              pValues("p (Holm)", ({ holm }) => holm),
            ]}
          />
        </>
      )}
    </>
  );
}

export function Simulation({ id, simulation: { questions } }: { id: string; simulation: SimulationResults }) {
  return (
    <>
      <h2>Patches</h2>
      {questions.map(({ state, task, property, strings, finding, reasons, sites }) => (
        <>
          <p>
            <a href={trialsAddress(id, { predictor: state, target: state, task, property })}>
              <Text text={`${state}, ${task}, ${property}`} />
            </a>
            : <b>{words(finding)}</b>, {strings} strings
            {reasons.length > 0 ? ` (${reasons.map(words).join("; ")})` : ""}
          </p>
          <SortedTable<JudgedSite>
            title={`Sites: ${state}, ${task}, ${property}`}
            rows={[...sites].sort((one, other) => byDepth(one.site, other.site))}
            columns={[
              {
                title: "site",
                isHead: true,
                sort: ({ site, span }) => `${site}@${span}`,
                cell: ({ site, span }) => <Text text={`${site} · ${span}`} />,
              },
              {
                title: "found",
                sort: ({ finding: found }) => found,
                cell: ({ finding: found, reasons: why }) =>
                  `${words(found)}${why.length > 0 ? ` (${why.map(words).join("; ")})` : ""}`,
              },
              estimated("follows a donor", ({ follow }) => follow),
              estimated("changes with the same behavior", ({ sameChanges }) => sameChanges),
              estimated("slope, steered", ({ covariations }) => steered(covariations)?.slope, { unit: "plain" }),
              estimated("behavior moved, steered", ({ covariations }) => steered(covariations)?.behaviorMoves),
              estimated("random vector", ({ nulls }) => nulls.random),
              estimated("at another token", ({ nulls }) => nulls.shifted),
              estimated("of another task", ({ nulls }) => nulls.other_task),
            ]}
          />
        </>
      ))}
    </>
  );
}

export function Injection({ injection: { results } }: { injection: InjectionResults }) {
  return (
    <>
      <h2>Concept injection</h2>
      {results.map((result) => (
        <Ability result={result} />
      ))}
    </>
  );
}

function Ability({ result: { state, ability, outcome, settings } }: { result: AbilityResult }) {
  const controls = settings[0]?.beyond.map(({ control }) => control) ?? [];
  const beside = [...new Set(settings.flatMap((setting) => Object.keys(setting.beside)))];
  return (
    <>
      <p>
        <Text text={`${state}, ${words(ability)}`} />: <b>{words(outcome)}</b>
      </p>
      <SortedTable<InjectionSetting>
        title={`${words(ability)}, ${state}: every setting, nats`}
        rows={settings}
        columns={[
          { title: "site", isHead: true, sort: ({ site }) => site, cell: ({ site }) => site },
          {
            title: "strength",
            align: "right",
            sort: ({ strength }) => strength,
            cell: ({ strength }) => strength ?? "all",
          },
          {
            title: "concepts",
            align: "right",
            sort: ({ concepts }) => concepts,
            cell: ({ concepts, leftOut }) => `${concepts}${leftOut > 0 ? `, ${leftOut} left out` : ""}`,
          },
          estimated("effect", ({ effect }) => effect.estimate, NATS),
          ...controls.map((control) =>
            estimated<InjectionSetting>(
              `beyond ${words(control)}`,
              ({ beyond }) => beyond.find((one) => one.control === control)?.estimate,
              NATS,
            ),
          ),
          ...(settings.some(({ right }) => right !== undefined)
            ? [
                estimated<InjectionSetting>("right answer", ({ right }) => right?.concept, { n: false }),
                {
                  title: "by chance",
                  align: "right" as const,
                  sort: ({ right }: InjectionSetting) => right?.chance,
                  cell: ({ right }: InjectionSetting) =>
                    right === undefined ? <Missing reason="no list of answers" /> : numberWords(right.chance, "share"),
                },
                estimated<InjectionSetting>("right answer, random vector", ({ right }) => right?.random, { n: false }),
              ]
            : []),
          // Told beside, and decides nothing.
          ...beside.map((name) =>
            estimated<InjectionSetting>(`effect, ${words(name)}`, (setting) => setting.beside[name], NATS),
          ),
          pValues("p (Holm)", ({ adjusted }) => adjusted),
          { title: "found", sort: ({ found }) => Number(found), cell: ({ found }) => (found ? "yes" : "no") },
        ]}
      />
    </>
  );
}
