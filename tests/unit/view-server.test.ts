/** Who gets what from the viewer's server: nobody without its address, nothing of elsewhere, and a damaged run as what it is. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { ViewFiles } from "../../src/view/view-files.js";
import { Access, startViewServer, viewApp } from "../../src/view/view-server.js";
import { findRuns, namedFolders } from "../../src/view/served-runs.js";
import type { TrialTable, TrialView } from "../../src/run/trials/trial-shapes.js";
import type { RunList, RunProgress, RunView } from "../../src/view/view-api.js";
import { SECRET, type ViewedRuns, viewedRuns } from "../helpers/viewed-runs.js";

const PORT = 4711;
const HOST = `127.0.0.1:${PORT}`;
const text = (words: string) => new TextEncoder().encode(words);
const PAGE = new Map([
  ["/index.html", { type: "text/html; charset=utf-8", bytes: text("<p>page</p>") }],
  ["/assets/index.js", { type: "text/javascript; charset=utf-8", bytes: text("1") }],
]);

let runs: ViewedRuns;
let app: ReturnType<typeof viewApp>;
let access: Access;
const files = (folder: string) => new ViewFiles({ folders: namedFolders([folder]) });

beforeAll(async () => {
  runs = await viewedRuns();
  access = new Access();
  access.port = PORT;
  app = viewApp(files(runs.folder), PAGE, access);
});

const ask = (path: string, headers: Record<string, string> = {}, method = "GET") =>
  app.request(`http://${HOST}${path}`, { method, headers: { host: HOST, ...headers } });
const known = () => ({ cookie: `${access.cookieName}=${access.session}` });
const get = async <Value>(path: string) => (await ask(path, known())).json() as Promise<Value>;
const idOf = (name: string) =>
  findRuns(namedFolders([runs.folder])).runs.find(({ folder }) => folder.endsWith(name))?.id as string;

describe("who may look", () => {
  test("without the address there is nothing: no page, no script, no data", async () => {
    for (const path of ["/", "/index.html", "/assets/index.js", "/data/runs.json", "/nothing"]) {
      expect((await ask(path)).status).toBe(401);
      expect((await ask(path, { cookie: `${access.cookieName}=${access.session.slice(1)}` })).status).toBe(401);
      expect((await ask(path, { cookie: `inward-view-1=${access.session}` })).status).toBe(401);
    }
  });

  test("a token opens the page once, for the browser that had it, by a cookie that no script reads", async () => {
    const token = access.newToken();
    const first = await ask(`/?token=${token}`);
    expect([first.status, first.headers.get("location")]).toEqual([303, "/"]);
    const cookie = first.headers.get("set-cookie") ?? "";
    expect(cookie).toMatch(/; Path=\/; HttpOnly; SameSite=Strict$/);
    expect((await ask("/", { cookie: cookie.split(";")[0] as string })).status).toBe(200);
    expect((await ask(`/?token=${token}`)).status).toBe(403);
    for (const wrong of ["", "x", token.toUpperCase(), `${token}x`])
      expect((await ask(`/?token=${wrong}`)).status).toBe(403);
    expect((await ask(`/data/runs.json?token=${access.newToken()}`)).status).toBe(401);
  });

  test.each([
    [421, { host: "evil.example" }],
    [421, { host: `evil.example:${PORT}` }],
    [421, { host: `127.0.0.1:${PORT + 1}` }],
    [421, { host: `127.0.0.1.evil.example:${PORT}` }],
    [421, { host: "" }],
    [403, { origin: "http://evil.example" }],
    [403, { origin: "null" }],
    [403, { origin: `https://${HOST}` }],
    [403, { origin: `http://127.0.0.1:${PORT + 1}` }],
    [403, { "sec-fetch-site": "cross-site" }],
    [403, { "sec-fetch-site": "same-site" }],
  ])("%d for %j, whatever it knows", async (status, headers) => {
    for (const path of ["/", "/data/runs.json", "/assets/index.js", `/?token=${access.newToken()}`]) {
      expect((await ask(path, { ...known(), ...headers })).status).toBe(status);
    }
  });

  test("its own name and origin pass; nothing can be written", async () => {
    for (const name of [HOST, `localhost:${PORT}`]) {
      const headers = { ...known(), host: name, origin: `http://${name}`, "sec-fetch-site": "same-origin" };
      expect((await ask("/data/runs.json", headers)).status).toBe(200);
    }
    for (const method of ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"]) {
      expect((await ask("/data/runs.json", known(), method)).status).toBe(405);
    }
  });

  test("every answer says that nothing runs, loads or frames it but itself", async () => {
    for (const path of ["/", "/nothing", "/data/runs.json", "/data/x", "/assets/index.js"]) {
      for (const headers of [known(), {}, { host: "evil.example" }]) {
        const answer = await ask(path, headers as Record<string, string>);
        const policy = answer.headers.get("content-security-policy") ?? "";
        expect(policy).toContain("default-src 'none'");
        expect(policy).not.toMatch(/unsafe|https?:|\*/);
        expect(answer.headers.get("x-content-type-options")).toBe("nosniff");
        expect(answer.headers.get("cache-control")).toBe("no-store");
        expect(answer.headers.get("cross-origin-resource-policy")).toBe("same-origin");
        expect(answer.headers.get("access-control-allow-origin")).toBeNull();
      }
    }
  });
});

describe("what is served", () => {
  /** Ways out of a folder, in parts and spellings. */
  const PARTS = [
    "..",
    "%2e%2e",
    "..%2f..",
    "%252e%252e",
    "..\\..",
    "....//",
    "%00",
    "\u202e",
    "C:",
    "~",
    "proc",
    "self",
    "__proto__",
    "constructor",
    "secret.txt",
    "01-plan.json",
    "<script>",
    "a".repeat(300),
  ];

  test("1,000 hostile names lead to nothing", async () => {
    const ids = findRuns(namedFolders([runs.folder])).runs.map(({ id }) => id);
    let asked = 0;
    const hostile = function* () {
      for (const one of PARTS)
        for (const other of PARTS)
          yield* [
            `/data/runs/${one}/${other}`,
            `/data/${one}/${other}`,
            `/data/runs/${ids[asked % ids.length]}/${one}/${other}`,
            `/${one}/${other}`,
          ];
    };
    for (const path of hostile()) {
      asked++;
      const answer = await ask(path, known());
      const body = await answer.text();
      // What a client itself shortens to the root is the page.
      expect([path, [400, 404].includes(answer.status) || body === "<p>page</p>"]).toEqual([path, true]);
      expect(body).not.toContain(SECRET);
    }
    expect(asked).toBeGreaterThan(1000);
  });

  test("no link leads out: of a run, of a file, of a folder in it", async () => {
    const list = await get<RunList>("/data/runs.json");
    expect(list.runs.some(({ folder }) => folder.endsWith("linked-run") || folder.includes("elsewhere"))).toBe(false);
    expect(list.passedOver.join()).toContain("linked-run is a link, and not followed.");
    for (const { id } of list.runs) {
      for (const name of [
        "run.json",
        "progress.json",
        "trials.json",
        "quantize.json",
        "report.html",
        "trials/0.json",
      ]) {
        const answer = await ask(`/data/runs/${id}/${name}`, known());
        expect([200, 404, 422]).toContain(answer.status);
        expect(await answer.text()).not.toContain(SECRET);
      }
    }
  });

  test("what stands in the folders is what stood there", async () => {
    const before = fingerprint(runs.folder);
    for (const { id } of (await get<RunList>("/data/runs.json")).runs) await ask(`/data/runs/${id}/run.json`, known());
    await ask(`/data/compare/${idOf("/whole")}/${idOf("no-marks")}.json`, known());
    expect(fingerprint(runs.folder)).toEqual(before);
  });

  test("a report is shown without any right", async () => {
    await writeFile(join(runs.whole, "09-report.html"), "<script>1</script>");
    const answer = await ask(`/data/runs/${idOf("/whole")}/report.html`, known());
    await rm(join(runs.whole, "09-report.html"));
    expect(answer.status).toBe(200);
    expect(answer.headers.get("content-security-policy")).toMatch(/default-src 'none'.*sandbox$/);
    expect(answer.headers.get("content-security-policy")).not.toContain("script-src");
  });

  function fingerprint(folder: string): [string, number, string][] {
    return readdirSync(folder, { withFileTypes: true, recursive: true }).map((entry) => {
      const path = join(entry.parentPath, entry.name);
      const content = entry.isFile() ? createHash("sha256").update(readFileSync(path)).digest("hex") : "";
      return [path, entry.isSymbolicLink() ? 0 : statSync(path).mtimeMs, content];
    });
  }
});

describe("runs as they are", () => {
  test("the list has each with what is wrong, and none of them ends it", async () => {
    const { runs: rows } = await get<RunList>("/data/runs.json");
    const stateOf = Object.fromEntries(
      rows.map(({ folder, state, problems }) => [
        folder.split("/").at(-1),
        `${state} ${problems.map(({ file, what }) => `${file} ${what}`).join()}`,
      ]),
    );
    expect(stateOf.whole).toBe("stopped ");
    expect(stateOf["linked-plan"]).toMatch(/^damaged .*symbolic link/);
    expect(stateOf["torn-plan"]).toMatch(/^damaged 01-plan.json 01-plan.json is no JSON/);
    expect(stateOf["other-plan"]).toMatch(/^damaged .*is not a plan/);
    expect(stateOf.piped).toMatch(/^damaged .*a pipe, not a file/);
    expect(stateOf["folder-plan"]).toMatch(/^damaged .*EISDIR/);
    expect(stateOf["no-marks"]).toMatch(/stages.json It is missing, empty or spoilt/);
    expect(stateOf["other-version"]).toMatch(/08-experiments.json .*changed after its stage had written it/);
    expect(stateOf['<img src=x onerror="alert(1)">']).toMatch(/^damaged /);
    expect(rows.every(({ id }) => /^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(id))).toBe(true);
  });

  test("a changed file is told where it stands, and the rest is there", async () => {
    const view = await get<RunView>(`/data/runs/${idOf("changed-scores")}/run.json`);
    expect(view.scores).toMatchObject({ ok: false, reason: expect.stringMatching(/08-scores.json was changed/) });
    expect(view.experiments.ok).toBe(true);
    expect(view.summary.problems.map(({ file }) => file)).toContain("08-scores.json");
    expect(view.stages.find(({ name }) => name === "scores")?.state).toBe("changed");
  });

  test("lines that are none are counted and named; the others are shown", async () => {
    const [torn, whole] = [idOf("torn-trials"), idOf("/whole")];
    const [table, all] = [
      await get<TrialTable>(`/data/runs/${torn}/trials.json`),
      await get<TrialTable>(`/data/runs/${whole}/trials.json`),
    ];
    expect(all.passedOver.count).toBe(0);
    expect(table.passedOver.count).toBe(3);
    expect(table.rows).toBe(all.rows - 2);
    expect(table.problems[0]?.what).toMatch(
      /3 lines were passed over: .*line 2: it is no JSON; .*line 3: .*; .*it is cut off/,
    );
    const view = await get<TrialView>(`/data/runs/${torn}/trials/${table.columns.line[1]}.json`);
    expect(view.line).toBe(3);
  });

  test("where a file is a link, its part is missing with the reason", async () => {
    const linked = await ask(`/data/runs/${idOf("linked-trials")}/trials.json`, known());
    expect([linked.status, ((await linked.json()) as { error: { message: string } }).error.message]).toEqual([
      422,
      expect.stringMatching(/symbolic link/),
    ]);
  });

  test("how a run gets on is told from its events, a little more each time", async () => {
    const progress = await get<RunProgress>(`/data/runs/${idOf("/whole")}/progress.json`);
    expect(progress.state).toBe("stopped");
    expect(progress.stages.find(({ name }) => name === "object-level")).toMatchObject({ state: "done", questions: 22 });
    expect(progress.stages.find(({ name }) => name === "report")).toMatchObject({ state: "to come" });
    expect(progress.finishedFiles).toBeGreaterThan(5);
  });
});

test("a real server answers on 127.0.0.1 alone, and raw paths lead nowhere", async () => {
  const page = await mkdtemp(join(tmpdir(), "inward-view-page-"));
  await writeFile(join(page, "index.html"), "<p>page</p>");
  const server = await startViewServer({ folders: namedFolders([runs.folder]), page });
  try {
    const { searchParams } = new URL(server.address());
    const raw = (path: string, headers: Record<string, string> = {}) =>
      new Promise<{ status: number; cookie: string; body: string }>((done, fail) => {
        request({ host: "127.0.0.1", port: server.port, path, headers }, (answer) => {
          let body = "";
          answer.on("data", (piece) => {
            body += piece;
          });
          answer.on("end", () =>
            done({
              status: answer.statusCode as number,
              cookie: answer.headers["set-cookie"]?.[0]?.split(";")[0] ?? "",
              body,
            }),
          );
        })
          .on("error", fail)
          .end();
      });
    const { cookie } = await raw(`/?token=${searchParams.get("token")}`);
    expect(cookie).toMatch(new RegExp(`^inward-view-${server.port}=`));
    expect((await raw("/data/runs.json", { cookie })).status).toBe(200);
    for (const path of [
      "/../../secret.txt",
      "/data/runs/../../../secret.txt",
      "/data/runs/%2e%2e/secret.txt",
      "//evil.example/secret.txt",
      "/data/runs/\\..\\secret.txt",
    ]) {
      const answer = await raw(path, { cookie });
      expect([path, answer.body.includes(SECRET), [400, 404].includes(answer.status)]).toEqual([path, false, true]);
    }
  } finally {
    await server.close();
  }
});
