/** The list of trials and the view of one, as a part of a report: behind a border that no style crosses, when its section is opened. */

import { render } from "preact";
import { useEffect } from "preact/hooks";
import { usePlace } from "./address.js";
import { REPORT } from "./embedded.js";
import { TrialPage } from "./trial-page.js";
import { TrialsPage } from "./trials-page.js";

function ReportTrials({ host }: { host: Element }) {
  const { path, query } = usePlace();
  const line = path[0] === "runs" && path[2] === "trials" ? path[3] : undefined;
  useEffect(() => {
    if (line !== undefined) host.scrollIntoView({ block: "start" });
  }, [line]);
  return line === undefined ? (
    <TrialsPage id={REPORT} query={query} />
  ) : (
    <TrialPage key={line} id={REPORT} line={Number(line)} query={query} />
  );
}

/** @param host where a report has room for them */
export function showReportTrials(host: HTMLElement): void {
  const section = host.closest("details");
  const show = () => {
    if (host.shadowRoot) return;
    const root = host.attachShadow({ mode: "open" });
    const page = document.getElementById("inward-page");
    if (page instanceof HTMLTemplateElement) root.append(page.content.cloneNode(true));
    const place = document.createElement("div");
    root.append(place);
    render(<ReportTrials host={host} />, place);
  };
  const follow = () => {
    if (!location.hash.startsWith("#/")) return;
    if (section) section.open = true;
    show();
  };
  if (section === null || section.open) show();
  section?.addEventListener("toggle", () => section.open && show());
  addEventListener("hashchange", follow);
  follow();
}
