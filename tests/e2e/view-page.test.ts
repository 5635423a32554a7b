/**
 * The viewer's page in a real headless Chromium: clicked through at three widths and in both themes, with hostile texts, damaged runs and a
 * run that goes on. Where there is no Chromium the tests are skipped, and say so. INWARD_VIEW_SHOTS=<folder> keeps a picture of each view.
 */
import { appendFile, cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { extname, join } from "node:path";
import { type Browser, type BrowserContext, chromium, type Locator, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { takeRunLock } from "../../src/base/lock.js";
import type { RunList } from "../../src/view/view-api.js";
import { UnitAttempt, madeFromOf, writeSetUp } from "../../src/cluster/shards.js";
import { cutStages } from "../../src/cluster/units.js";
import { findAddon } from "../../src/model/native/addon.js";
import { RunFolder } from "../../src/run/folder.js";
import { inputsOf } from "../../src/run/run-stages.js";
import { inward, start, type Started } from "../helpers/command-line.js";
import { HOSTILE_TRIALS, hostileRun } from "../helpers/hostile-run.js";
import { noticerRun, plantedRun } from "../helpers/inside-runs.js";
import { quantizedRun } from "../helpers/quantized-run.js";
import { type ViewedRuns, viewedRuns } from "../helpers/viewed-runs.js";

const { chromiumHere } = (await import("../../scripts/fetch-chromium.mjs" as string)) as {
  chromiumHere(): string | undefined;
};
const CHROMIUM = chromiumHere();
const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
interface AxeResults {
  readonly violations: readonly {
    readonly impact: string;
    readonly id: string;
    readonly nodes: readonly { readonly html: string }[];
  }[];
}
/** What a person sees of it. */
// biome-ignore lint/performance/useDomNodeTextContent: hidden text is not seen
const seen = (place: Locator) => place.innerText();
const SHOTS = process.env.INWARD_VIEW_SHOTS;
if (CHROMIUM === undefined) {
  console.warn(
    "No Chromium here: the viewer's page is not clicked through (Debian: apt-get install chromium; INWARD_CHROMIUM names another).",
  );
}

const hasAddon = await findAddon().then(
  () => true,
  () => false,
);

describe.skipIf(CHROMIUM === undefined)("the page, in Chromium", () => {
  let runs: ViewedRuns;
  let server: Started;
  let browser: Browser;
  let context: BrowserContext;
  let page: Page;
  let address: string;
  /** What a page must not do: errors, refusals by its policy, requests to elsewhere. */
  const faults: string[] = [];
  const ids = new Map<string, string>();

  async function watched(own: BrowserContext, origin: string): Promise<Page> {
    const made = await own.newPage();
    made.on("pageerror", ({ message }) => faults.push(`error: ${message}`));
    made.on("console", (message) => {
      // A run without trials is asked for them, and says that there are none.
      if (message.type() === "error" && !/status of (404|422)/.test(message.text())) faults.push(message.text());
    });
    made.on("request", (request) => {
      const url = request.url();
      if (!url.startsWith(origin) && !/^(data|blob|about):/.test(url)) faults.push(`request: ${url}`);
    });
    // As text, since these sources have no types of a page.
    await made.addInitScript({
      content: `addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) =>
        console.error("policy: " + violatedDirective + " " + blockedURI))`,
    });
    return made;
  }

  beforeAll(async () => {
    runs = await viewedRuns();
    await hostileRun(runs.whole, join(runs.folder, "hostile"));
    await quantizedRun(join(runs.folder, "quantized"));
    const studies = join(runs.folder, "../studies");
    mkdirSync(studies);
    if (hasAddon) {
      await plantedRun(studies, join(runs.folder, "planted"));
      await noticerRun(studies, join(runs.folder, "noticer"));
    }
    server = start(["view", runs.folder, "--models", studies, "--json"]);
    address = await new Promise<string>((done, fail) => {
      let said = "";
      server.child.stdout?.on("data", (text) => {
        said += text;
        if (said.includes("}\n")) done((JSON.parse(said) as { address: string }).address);
      });
      server.finished.then(({ stderr }) => fail(new Error(stderr)));
    });
    browser = await chromium.launch({
      executablePath: CHROMIUM as string,
      // Nothing but this machine has a name.
      args: ["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"],
    });
    context = await browser.newContext({ viewport: { width: 1280, height: 900 }, acceptDownloads: true });
    page = await watched(context, new URL(address).origin);
    await page.goto(address);
    await page.getByRole("table").waitFor();
    const list = await page.evaluate<RunList>(`fetch("data/runs.json").then((answer) => answer.json())`);
    for (const { id, folder } of list.runs) ids.set(folder.split("/").at(-1) ?? "", id);
  });
  afterAll(async () => {
    await browser?.close();
    server?.child.kill("SIGINT");
    await server?.finished;
    if (runs) await rm(join(runs.folder, ".."), { recursive: true, force: true });
  });

  const origin = () => new URL(address).origin;
  const go = async (hash: string) => {
    await page.goto("about:blank");
    await page.goto(`${origin()}/#/${hash}`);
    await page.locator("h1").first().waitFor();
  };
  const shot = async (name: string) => {
    if (SHOTS === undefined) return;
    mkdirSync(SHOTS, { recursive: true });
    await page.screenshot({ path: join(SHOTS, `${name}.png`) });
  };
  const idOf = (name: string) => ids.get(name) as string;

  test("the address opens it once; the list shows each run, and hostile names as text", async () => {
    expect(page.url()).toBe(`${origin()}/`);
    const other = await browser.newContext();
    const stranger = await other.newPage();
    expect((await stranger.goto(address))?.status()).toBe(403);
    expect((await stranger.goto(`${origin()}/data/runs.json`))?.status()).toBe(401);
    await other.close();
    const rows = page.locator("tbody tr");
    expect(await rows.count()).toBe(ids.size);
    expect(await seen(page.locator("tbody"))).toContain('<img src=x onerror="alert(1)">');
    expect(await seen(page.locator("tbody"))).toContain("[U+202E]txet");
    expect(await page.locator(".state-damaged").count()).toBeGreaterThan(5);
    expect(await page.title()).toBe("Runs — inward");
  });

  test("a run names what decided, and a row of a figure leads to its trials", async () => {
    await go(`runs/${idOf("whole")}`);
    await page.getByText("Decided by:").first().waitFor();
    expect(await page.locator(".numbers .decides").count()).toBeGreaterThan(0);
    const [svg] = await Promise.all([
      page.waitForEvent("download"),
      page
        .getByRole("button", { name: /as SVG/ })
        .first()
        .click(),
    ]);
    expect(await readFile(await svg.path(), "utf8")).toMatch(/^<svg [\s\S]*<\/svg>$/);
    const [png] = await Promise.all([
      page.waitForEvent("download"),
      page
        .getByRole("button", { name: /as PNG/ })
        .first()
        .click(),
    ]);
    expect((await readFile(await png.path())).subarray(1, 4).toString()).toBe("PNG");
    await page.locator("svg a .hit").first().click();
    await page.getByRole("grid").waitFor();
    expect(page.url()).toMatch(/trials\?predictor=m&target=m$/);
    expect(await seen(page.getByRole("status"))).toMatch(/^20 of 40 trials/);
  });

  test("trials by keyboard alone: search, arrows, enter, neighbours, back", async () => {
    await go(`runs/${idOf("whole")}/trials`);
    await page.getByRole("grid").waitFor();
    const count = () => seen(page.getByRole("status"));
    const all = await count();
    await page.keyboard.press("/");
    await page.keyboard.type("wolf");
    await expect.poll(() => page.url()).toMatch(/q=wolf/);
    // The address is there before its rows are.
    await expect.poll(count).not.toBe(all);
    await page.getByRole("grid").focus();
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "What the target did" }).waitFor();
    await expect.poll(() => seen(page.locator(".actions"))).toMatch(/3 of \d+/);
    await page.keyboard.press("ArrowRight");
    await expect.poll(() => seen(page.locator(".actions"))).toMatch(/4 of \d+/);
    await page.keyboard.press("Escape");
    await page.getByRole("grid").waitFor();
    expect(page.url()).toMatch(/q=wolf/);
    await expect.poll(() => page.locator(".grid-row.selected").count()).toBe(1);
  });

  test("filters, order and CSV", async () => {
    await go(`runs/${idOf("whole")}/trials`);
    await page.locator("summary", { hasText: "outcome" }).click();
    await page.getByRole("checkbox", { name: /^wrong/ }).check();
    await expect.poll(() => page.url()).toMatch(/outcome=wrong/);
    await page.getByRole("button", { name: "margin" }).click();
    await expect.poll(() => page.url()).toMatch(/sort=minMargin/);
    expect(await seen(page.locator('[aria-sort="ascending"]'))).toContain("margin");
    const shown = Number((await seen(page.getByRole("status"))).split(" ")[0]);
    const [csv] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "CSV" }).click()]);
    const lines = (await readFile(await csv.path(), "utf8")).split("\r\n").slice(0, -1);
    expect(lines.filter((line) => /^\d+,/.test(line)).length).toBe(shown);
    expect(
      lines
        .slice(1)
        .filter((line) => /^\d+,/.test(line))
        .every((line) => line.includes(",wrong,")),
    ).toBe(true);
  });

  test("what models said is text: nothing runs, turns or hides", async () => {
    await go(`runs/${idOf("whole")}/trials?q=owned`);
    await page.getByRole("grid").waitFor();
    expect(await page.locator(".grid-body .grid-row").count()).toBeGreaterThan(0);
    expect(await seen(page.locator(".grid-body"))).toMatch(/<script>|<img src=x/);
    await page.getByRole("grid").focus();
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "What the target did" }).waitFor();
    await expect
      .poll(() => seen(page.locator("main")))
      .toMatch(/being cut into tokens|names its model by a path|how m is spoken to/);
    expect(await page.title()).toMatch(/^Trial \d+ — inward$/);
    expect(await page.locator("main script, main img, main iframe").count()).toBe(0);
    const token = page.locator("button.said").first();
    await token.hover();
    expect(await seen(page.locator(".inspector").first())).toMatch(/token 1 of \d+ .* nats/);
    await page.getByRole("button", { name: "As a table" }).first().click();
    expect(await seen(page.locator("section table").first())).toContain("logprob");
  });

  test("1,000 hostile texts and a megabyte of them: every one is text, and can be filtered by", async () => {
    await go(`runs/${idOf("hostile")}/trials`);
    await page.getByRole("grid").waitFor();
    const scrolled = await page.evaluate<{ rows: number; tags: string[]; turning: number }>(`(async () => {
      const grid = document.querySelector("[role=grid]");
      const [rows, tags] = [new Set(), new Set()];
      let turning = 0;
      for (let top = 0; top <= grid.scrollHeight; top += grid.clientHeight) {
        grid.scrollTop = top;
        await new Promise((done) => requestAnimationFrame(done));
        for (const row of grid.querySelectorAll(".grid-body [role=row]")) {
          rows.add(row.getAttribute("aria-rowindex"));
          for (const one of row.querySelectorAll("*")) tags.add(one.localName);
          if (/[\\u0000-\\u001f\\u007f-\\u009f\\u200b\\u2028-\\u202e\\u2060-\\u2069\\ufeff]|\\p{Cs}/u.test(row.textContent)) turning++;
        }
      }
      return { rows: rows.size, tags: [...tags].sort(), turning };
    })()`);
    expect(scrolled).toEqual({ rows: HOSTILE_TRIALS, tags: ["a", "bdi", "div", "span"], turning: 0 });
    await page.locator("summary", { hasText: "<b>kind</b>" }).waitFor();
    await page.locator("summary", { hasText: "rank" }).click();
    await page.getByRole("searchbox", { name: "Values of rank that have" }).fill("42");
    await page.getByRole("checkbox", { name: /^42 / }).check();
    await expect.poll(() => seen(page.getByRole("status"))).toMatch(/^10 of 1,000 trials/);
    expect(page.url()).toContain("meta.rank=42");
    await go(`runs/${idOf("hostile")}/trials/0`);
    await page.getByRole("button", { name: "Show 1,000 more" }).click();
    expect(await page.locator("button.said").count()).toBeGreaterThanOrEqual(2000);
    expect(
      await page.evaluate<number>(
        `Math.max(...[...document.querySelectorAll(".side .text")].map((one) => one.textContent.length))`,
      ),
    ).toBeGreaterThan(1e6);
    const inspector = page.locator(".inspector").first();
    await page.locator("button.said").first().hover();
    expect(await seen(inspector)).toMatch(/token 1 of 20,000 .* 36\.8 % \(−1\.000 nats\)/);
    expect(await seen(inspector)).toMatch(/<b>other<\/b> 5\.0 %\s*<\|im_end\|> 1\.8 %\s*⟨f0 9f⟩ 0\.7 %/);
    expect(await seen(inspector)).toContain("The token that was said is not among the 4 likeliest.");
    expect(await inspector.locator("b.control").allInnerTexts()).toEqual(["<|im_end|>"]);
    // By keyboard alone, and what is pointed at goes before it.
    await page.locator("button.said").nth(1).focus();
    expect(await seen(inspector)).toContain("token 1 of");
    await page.mouse.move(0, 0);
    await expect.poll(() => seen(inspector)).toContain("token 2 of");
    await page.keyboard.press("Tab");
    await expect.poll(() => seen(inspector)).toMatch(/token 3 of 20,000[\s\S]*<b>other<\/b> 5\.0 %/);
    expect(await inspector.getAttribute("aria-live")).toBe("polite");
    // What is nearly certain is not said to be certain.
    expect(await page.locator('button.said[aria-label$=" 99.95 %"]').count()).toBeGreaterThan(0);
    expect(await page.locator('button.said[aria-label*=" 100"]').count()).toBe(0);
    expect(await page.getByRole("list", { name: "Shades of tokens" }).first().locator("li").count()).toBe(7);
    expect(await page.title()).toBe("Trial 1 — inward");
    expect(await page.locator("main script, main img, main iframe, main base, main style, main b b").count()).toBe(0);
  });

  test.skipIf(!hasAddon)(
    "inside a model: the run's maps, and one trial's prompt, lens, probe, patches and distributions",
    async () => {
      await go(`runs/${idOf("planted")}`);
      for (const name of ["Probes", "Lenses", "Patches", "Answers taken apart"])
        await page.getByRole("heading", { name, exact: true }).waitFor();
      // Every reading has its numbers, and the CSV all of them.
      const readings = page.getByLabel("reading");
      for (const label of await readings.locator("option").allInnerTexts()) {
        await readings.selectOption({ label });
        await page.locator("table", { hasText: label }).waitFor();
      }
      await readings.selectOption({ label: "Heads knocked out: planted, asked for listed (planted)" });
      const [heads] = await Promise.all([
        page.waitForEvent("download"),
        page.getByRole("button", { name: /^Save Heads knocked out: .* as CSV$/ }).click(),
      ]);
      // Four layers of four heads, each at 0 and at its mean.
      expect((await readFile(await heads.path(), "utf8")).match(/^\d\.\d,(0|zero|mean),/gm)).toHaveLength(32);
      expect(await page.locator("svg .heat").count()).toBeGreaterThan(10);
      await page.getByLabel("what is read").last().selectOption({ index: 0 });
      expect(await seen(page.locator("table", { hasText: "Sites: logit lens" }))).toMatch(/residual_after\.0 · /);
      await page.getByRole("link", { name: "planted, planted, listed" }).click();
      await page.getByRole("grid").focus();
      await page.keyboard.press("Enter");
      // The prompt's tokens are those that the model read, by their hash.
      await page.getByText("these are the tokens that the model read").first().waitFor();
      expect(await page.locator(".token-control").count()).toBeGreaterThan(0);
      expect(await page.locator("figure", { hasText: "Probability of" }).count()).toBeGreaterThan(0);
      for (const title of ["Readings, of", "Label behavior given property", "by itself it shows"])
        expect(await page.locator("table", { hasText: title }).count()).toBeGreaterThan(0);
      // The same lens at every token: by keys, by the mouse, as a table and as a file.
      const map = page.locator(".token-map");
      const told = () => seen(map.locator(".inspector"));
      const at = page.url();
      await map.getByRole("application").focus();
      for (const key of ["Home", "ArrowDown", "ArrowRight"]) await page.keyboard.press(key);
      await expect.poll(told).toMatch(/^residual_after\.2 · token 2 of 44 <\|end\|> · “\w+” .* place \d+ · likeliest /);
      expect(page.url()).toBe(at);
      await map.locator("svg").hover({ position: { x: 200, y: 7 } });
      await expect.poll(told).toMatch(/^residual_after\.3 · token \d+ of 44/);
      await page.getByRole("combobox", { name: /^colour/ }).selectOption({ label: "entropy" });
      expect(await seen(map.locator("figcaption"))).toContain("every token is as likely as any other");
      await map.getByRole("button", { name: "As a table" }).click();
      expect(await map.locator("tbody tr").count()).toBe(44);
      const download = page.waitForEvent("download");
      await map.getByRole("button", { name: "Save all cells of this lens as CSV" }).click();
      const saved = await readFile(await (await download).path(), "utf8");
      expect(saved.match(/^residual_/gm)).toHaveLength(5 * 44);
      await page.getByRole("combobox", { name: /^map/ }).selectOption({ index: 1 });
      await expect.poll(told).toMatch(/5 sites, 18 tokens|of 18/);
      const tree = page.locator(".tree").last();
      await tree.locator("summary").first().click();
      expect(await seen(tree)).toMatch(/not looked into \(tail\)/);
      await go(`runs/${idOf("noticer")}`);
      await page.getByRole("heading", { name: "Concept injection", exact: true }).waitFor();
      expect(await seen(page.locator("main"))).toMatch(/planted, notice: shown/);
      expect(await seen(page.locator("table", { hasText: "notice, planted: every setting" }))).toMatch(/beyond .*yes/s);
    },
  );

  test("quantized files: the front is what no file beats, graphs are marked, and the table is saved with its intervals", async () => {
    await go(`quantize/${idOf("quantized")}`);
    const figure = page.locator("figure", { hasText: "divergence (KL)" });
    expect(await figure.locator(".behind").count()).toBe(2);
    expect(await figure.locator(".graph").count()).toBe(1);
    expect(await seen(figure)).toContain("Rings are ONNX graphs");
    const corners = await figure.locator(".front").getAttribute("points");
    await page.getByLabel("cost").selectOption("bits");
    expect(corners?.split(" ")).toHaveLength(2);
    const [csv] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("button", { name: "Save Files as CSV" }).click(),
    ]);
    const [head, ...lines] = (await readFile(await csv.path(), "utf8")).trim().split("\r\n");
    expect(head).toContain("divergence (KL) on the text, nats, low");
    expect(lines.find((line) => line.startsWith("<b>int8"))).toContain("0.09,0.081,");
  });

  test("on paper: black on white, whole rows, and no more than it says", async () => {
    await go(`runs/${idOf("hostile")}/trials`);
    await page.getByRole("grid").waitFor();
    await page.evaluate(`document.documentElement.dataset.theme = "dark"`);
    await page.emulateMedia({ media: "print" });
    await page.evaluate(`dispatchEvent(new Event("beforeprint"))`);
    await page.getByText("Only the first 500 of 1000 are printed").waitFor();
    const paper = await page.evaluate<[string, number, number]>(`[
      getComputedStyle(document.body).backgroundColor,
      document.querySelectorAll(".grid-body [role=row]").length,
      document.querySelector(".grid-body").scrollHeight - document.querySelector(".grid-body").clientHeight,
    ]`);
    expect(paper).toEqual(["rgb(255, 255, 255)", 500, 0]);
    await page.evaluate(`dispatchEvent(new Event("afterprint")); delete document.documentElement.dataset.theme`);
    await page.emulateMedia({ media: "screen" });
  });

  test("damaged runs say what is wrong; what needs it is missing with the reason", async () => {
    await go(`runs/${idOf("torn-trials")}/trials`);
    await page.getByText("lines were passed over").waitFor();
    expect(await page.locator(".grid-body .grid-row").count()).toBeGreaterThan(0);
    await go(`runs/${idOf("changed-scores")}`);
    expect(await seen(page.locator(".problems"))).toContain("08-scores.json");
    await page.goto(`${origin()}/#/runs/${idOf("torn-plan")}`);
    await page.getByRole("alert").waitFor();
    expect(await seen(page.getByRole("alert"))).toContain("STORE_CORRUPT");
    expect(await seen(page.locator("body"))).not.toMatch(/NaN|undefined|\[object/);
  });

  test("two runs: plans, paired differences, the trials that changed", async () => {
    await go("");
    for (const name of ["whole", "second"])
      await page
        .locator("tr", { has: page.locator(`a[href*="${idOf(name)}"]`) })
        .getByRole("checkbox")
        .check();
    await page.getByRole("link", { name: "Compare the two" }).click();
    await page.getByText("What came of it").waitFor();
    await expect.poll(() => seen(page.locator("main"))).toMatch(/\d+ of 40 trials that both have changed/);
    const all = await page.locator("table", { hasText: "Trials that changed" }).locator("tbody tr").count();
    await page.locator("figure", { hasText: "by task and property" }).locator("a .hit").first().click();
    await page.getByText("are of what is chosen").waitFor();
    const some = await page.locator("table", { hasText: "Trials that changed" }).locator("tbody tr").count();
    expect([some > 0, some < all]).toEqual([true, true]);
    await page.locator("table", { hasText: "Trials that changed" }).getByRole("link").first().click();
    await page.getByRole("heading", { name: "What the target did" }).waitFor();
  });

  test("a study that goes on is followed", async () => {
    const going = join(runs.folder, "going");
    await cp(runs.whole, going, { recursive: true });
    await writeFile(join(going, "stages.json"), "{}\n");
    await writeFile(join(going, "events.jsonl"), "");
    const lock = await takeRunLock(going);
    const event = (one: object) =>
      appendFile(join(going, "events.jsonl"), `${JSON.stringify({ time: new Date().toISOString(), ...one })}\n`);
    try {
      await event({ event: "stage_begun", stage: "object-level", questions: 44 });
      await event({ event: "group_asked", stage: "object-level", questions: 11, wallSeconds: 2 });
      await page.goto(`${origin()}/#/`);
      await page.reload();
      await page.locator("tr", { hasText: "running" }).getByRole("link").click();
      await page.getByText("11 of 44, 5.5 a second, 6 s left").waitFor();
      await event({ event: "training_begun", adapter: "m" });
      for (const [step, lossNatsPerToken] of [
        [1, 3.5],
        [2, 2.5],
        [3, 1.5],
      ])
        await event({ event: "training_step", adapter: "m", step, lossNatsPerToken });
      await event({ event: "group_asked", stage: "object-level", questions: 11, wallSeconds: 2 });
      await page.getByRole("group", { name: "Loss so far" }).waitFor();
      await page.getByText("22 of 44").waitFor();
      // Then in units: one that a process is at, one that has failed, and those that wait.
      const run = await RunFolder.look(going);
      const cut = { questions: 11 };
      const paths = { lensPaths: {}, vectorPaths: {} };
      const planned = { plan: run.plan, folder: going, planHash: "", models: {}, given: new Map(), ...paths };
      await writeSetUp(going, { ...planned, cache: false }, cut);
      const [begun] = cutStages(run.plan, cut).filter(({ units }) => units.length > 1);
      const [first, second] = begun?.units ?? [];
      if (!begun || !first || !second) throw new Error("there are too few units");
      const inputs = await inputsOf(run, begun.stage);
      await UnitAttempt.begin(going, first.id, madeFromOf(first, inputs));
      const failing = await UnitAttempt.begin(going, second.id, madeFromOf(second, inputs));
      await failing.fail(going, { code: "ENGINE_CRASHED", message: "<b>it</b> stopped" });
      await page.getByText(/^0 done, 1 running, \d+ waiting, 1 failed\./).waitFor();
      expect(await seen(page.locator("table", { hasText: "Units that somebody is at" }))).toContain(
        "<b>it</b> stopped",
      );
    } finally {
      await lock.release();
    }
  });

  /** A phone by day and a tablet by night; with pictures every width in each theme, and axe at every one. */
  const looks = [1440, 820, 390].flatMap((width) =>
    (["light", "dark"] as const).flatMap((theme) =>
      SHOTS !== undefined || (width === 390 && theme === "light") || (width === 820 && theme === "dark")
        ? [[width, theme] as const]
        : [],
    ),
  );

  test.each(looks)(
    "%i pixels wide, %s: no serious finding of axe, and nothing is wider than the page",
    async (width, colorScheme) => {
      await page.setViewportSize({ width, height: 900 });
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      const views = {
        list: "",
        run: `runs/${idOf("whole")}`,
        trials: `runs/${idOf("whole")}/trials`,
        trial: `runs/${idOf("whole")}/trials/1`,
        compare: `compare/${idOf("whole")}/${idOf("second")}`,
        quantize: `quantize/${idOf("quantized")}`,
        ...(hasAddon ? { inside: `runs/${idOf("planted")}`, "inside-trial": `runs/${idOf("planted")}/trials/0` } : {}),
      };
      for (const [at, [name, hash]] of Object.entries(views).entries()) {
        await go(hash);
        await page.locator("main table, main [role=grid]").first().waitFor();
        expect([name, await page.evaluate(`document.documentElement.scrollWidth <= innerWidth`)]).toEqual([name, true]);
        if (SHOTS === undefined && at % 2 === Number(colorScheme === "dark")) continue;
        // Through the debugger, since the page's own policy lets no other script in.
        await page.evaluate(readFileSync(AXE, "utf8"));
        // Thousands of cells take it half a minute, and they are made as those of the other pages.
        const part = SHOTS === undefined && name === "inside" ? '"main figure"' : "document";
        const { violations } = await page.evaluate<AxeResults>(`axe.run(${part})`);
        const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
        expect([name, serious.map(({ id, nodes }) => `${id}: ${nodes[0]?.html}`)]).toEqual([name, []]);
        await shot(`${name}-${width}-${colorScheme}`);
      }
      await page.setViewportSize({ width: 1280, height: 900 });
    },
  );

  test("the same from static files, in any folder of a server", async () => {
    const above = await mkdtemp(join(tmpdir(), "inward-bundle-"));
    const { code, stderr } = await inward([
      "view",
      runs.whole,
      join(runs.folder, "second"),
      "--bundle",
      join(above, "out"),
    ]);
    expect([code, stderr]).toEqual([0, expect.stringContaining("2 runs, 80 trials")]);
    const types: Record<string, string> = {
      ".html": "text/html",
      ".js": "text/javascript",
      ".css": "text/css",
      ".json": "application/json",
    };
    const files = createServer((request, answer) => {
      const path = join(above, decodeURIComponent(new URL(request.url ?? "", "http://x").pathname));
      const file = path.endsWith("/") ? join(path, "index.html") : path;
      if (!existsSync(file)) return answer.writeHead(404).end();
      return answer.writeHead(200, { "Content-Type": types[extname(file)] ?? "text/plain" }).end(readFileSync(file));
    });
    await new Promise<void>((done) => files.listen(0, "127.0.0.1", done));
    const at = `http://127.0.0.1:${(files.address() as AddressInfo).port}`;
    const own = await watched(context, at);
    await own.goto(`${at}/out/`);
    await own.getByRole("table").waitFor();
    expect(await seen(own.locator("header"))).toContain("as of 20");
    await own.locator("tbody").getByRole("link").first().click();
    await own.getByRole("link", { name: "All trials" }).click();
    await own.getByRole("grid").focus();
    await own.keyboard.press("End");
    await own.keyboard.press("Enter");
    await own.getByRole("heading", { name: "What the predictor said" }).waitFor();
    await own.close();
    files.close();
  });

  test("a report lists its trials by itself: from disk, filtered, sorted, to the token, and nothing in them runs", async () => {
    const above = await mkdtemp(join(tmpdir(), "inward-report-"));
    const run = join(above, "run");
    await cp(runs.whole, run, { recursive: true });
    expect((await inward(["report", run])).code).toBe(0);
    const own = await watched(context, "file://");
    await own.goto(`file://${join(run, "09-report.html")}`);
    const title = await own.title();
    await own.locator("summary", { hasText: "All trials" }).click();
    await own.getByRole("grid").waitFor();
    await own.locator("summary", { hasText: "outcome" }).click();
    await own.getByRole("checkbox", { name: /^wrong/ }).check();
    await own.getByRole("button", { name: "margin" }).click();
    await expect.poll(() => own.url()).toMatch(/#\/runs\/report\/trials\?outcome=wrong&sort=minMargin/);
    await own.locator("summary", { hasText: "outcome" }).click();
    await own.keyboard.press("/");
    await own.keyboard.type("owned");
    await expect.poll(() => seen(own.getByRole("status"))).toMatch(/^[1-9]\d* of 40 trials: 0 right/);
    const colours = () =>
      own.evaluate<string>(`getComputedStyle(document.getElementById("trials-here")).backgroundColor`);
    await own.emulateMedia({ colorScheme: "light" });
    const light = await colours();
    await own.emulateMedia({ colorScheme: "dark" });
    expect([light, await colours()]).toEqual(["rgb(255, 255, 255)", "rgb(18, 23, 29)"]);
    await own.getByRole("grid").focus();
    await own.keyboard.press("Enter");
    await own.getByRole("heading", { name: "What the target did" }).waitFor();
    await own.locator("button.said").first().hover();
    expect(await seen(own.locator(".inspector").first())).toMatch(/token 1 of \d+ .* nats/);
    expect(await seen(own.locator("#trials-here .two").first())).toMatch(/<script>|<img src=x/);
    // What was asked for stands in the address, and the rest of the report is as it was.
    await own.reload();
    await own.getByRole("heading", { name: "What the target did" }).waitFor();
    expect(await own.title()).toBe(title);
    await own.evaluate(readFileSync(AXE, "utf8"));
    const { violations } = await own.evaluate<AxeResults>(`axe.run("#trials-here")`);
    expect(
      violations
        .filter(({ impact }) => impact === "serious" || impact === "critical")
        .map(({ id, nodes }) => `${id}: ${nodes[0]?.html}`),
    ).toEqual([]);
    await own.keyboard.press("Escape");
    await own.getByRole("grid").waitFor();
    await own.close();
  });

  test("in all of this no error, no refusal by the policy, and nothing asked of elsewhere", () => {
    expect(faults).toEqual([]);
  });
});
