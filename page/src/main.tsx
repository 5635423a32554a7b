/** The viewer's page: which view an address means, and what stands above all of them. */

import { render } from "preact";
import { useEffect, useState } from "preact/hooks";
import { addressOf, usePlace } from "./address.js";
import { ComparePage } from "./compare-page.js";
import { viewFacts } from "./data.js";
import { QuantizePage } from "./quantize-page.js";
import { showReportTrials } from "./report-trials.js";
import { RunPage } from "./run-page.js";
import { RunsPage } from "./runs-page.js";
import { TrialPage } from "./trial-page.js";
import { TrialsPage } from "./trials-page.js";

const THEMES = ["auto", "light", "dark"] as const;
type Theme = (typeof THEMES)[number];

function storedTheme(): Theme {
  const found = localStorage.getItem("inward-theme");
  return THEMES.find((theme) => theme === found) ?? "auto";
}

function useTheme(): [Theme, () => void] {
  const [theme, setTheme] = useState(storedTheme);
  useEffect(() => {
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    localStorage.setItem("inward-theme", theme);
  }, [theme]);
  return [theme, () => setTheme(THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length] as Theme)];
}

function App() {
  const { path, query } = usePlace();
  const [theme, turnTheme] = useTheme();
  const [bundledAt, setBundledAt] = useState<string>();
  useEffect(() => {
    viewFacts().then(
      (facts) => setBundledAt(facts.bundledAt),
      () => {},
    );
  }, []);
  const [place, id = "", part, line] = path;
  return (
    <>
      <button type="button" class="skip" onClick={() => document.getElementById("main")?.focus()}>
        To the content
      </button>
      <header class="top">
        <a class="brand" href={addressOf([])}>
          inward
        </a>
        <nav aria-label="Where you are">
          {place === "runs" ? <a href={addressOf(["runs", id])}>{id}</a> : null}
          {place === "runs" && part === "trials" ? <a href={addressOf(["runs", id, "trials"])}>trials</a> : null}
          {line === undefined ? null : <span>line {Number(line) + 1}</span>}
          {place === "compare" ? <span>two runs</span> : null}
        </nav>
        <span class="grow" />
        {bundledAt === undefined ? null : <small>as of {bundledAt.slice(0, 16).replace("T", " ")} UTC</small>}
        <button type="button" onClick={turnTheme} aria-label={`Colours: ${theme}. Change`}>
          {theme === "auto" ? "◐" : theme === "light" ? "○" : "●"}
        </button>
      </header>
      <main id="main" tabIndex={-1}>
        <View path={path} query={query} />
      </main>
    </>
  );
}

function View({ path, query }: { path: readonly string[]; query: URLSearchParams }) {
  const [place, first = "", second, third] = path;
  if (place === "runs" && second === undefined) return <RunPage key={first} id={first} query={query} />;
  if (place === "runs" && second === "trials" && third === undefined)
    return <TrialsPage key={first} id={first} query={query} />;
  if (place === "runs" && second === "trials")
    return <TrialPage key={`${first}/${third}`} id={first} line={Number(third)} query={query} />;
  if (place === "quantize") return <QuantizePage key={first} id={first} />;
  if (place === "compare" && second !== undefined)
    return <ComparePage key={`${first}/${second}`} first={first} second={second} query={query} />;
  return <RunsPage />;
}

const root = document.getElementById("app");
const inReport = document.getElementById("trials-here");
if (inReport) showReportTrials(inReport);
else if (root) render(<App />, root);
