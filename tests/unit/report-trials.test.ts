/** Trials inside a report: packed and unpacked they are what the viewer shows; what has no room is left out by whole strings, and said. */
import { cp, mkdtemp } from "node:fs/promises";
import { createHash } from "node:crypto";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { beforeAll, expect, test } from "vitest";
import { trialsPageHtml, trialsSection } from "../../src/report/trials-in-page.js";
import { type RunFile, RunFolder } from "../../src/run/folder.js";
import { isWritten } from "../../src/run/stages.js";
import { embedTrials } from "../../src/run/trials/embedded-trials.js";
import { PackedValues, unpacked } from "../../src/run/trials/packed-values.js";
import { readTrialTable } from "../../src/run/trials/trial-table.js";
import type { TrialTable, TrialView } from "../../src/run/trials/trial-shapes.js";
import { type OpenTrials, openTrials, trialView } from "../../src/run/trials/trial-view.js";
import { HOSTILE_TEXTS, madeRun } from "../helpers/viewed-runs.js";

const throughJson = (values: readonly unknown[]) => {
  const packed = new PackedValues();
  const all = values.map((value) => packed.add(value));
  const [list, ...said] = JSON.parse(`[${packed.list()},${all.join(",")}]`) as [unknown[], ...unknown[]];
  return said.map((one) => unpacked(list, one));
};

test("what is packed comes out as JSON would give it, names of the packing's own included", () => {
  const key = fc.oneof(fc.constantFrom("$", "list", "__proto__", "text"), fc.string({ maxLength: 3 }));
  const value = fc.letrec((tie) => ({
    any: fc.oneof(
      { maxDepth: 4 },
      fc.constantFrom(...HOSTILE_TEXTS, "</script><!--", "\ud800 alone", "\u2028"),
      fc.integer(),
      fc.boolean(),
      fc.constant(null),
      fc.string({ unit: "binary", maxLength: 30 }),
      fc.array(tie("any"), { maxLength: 4 }),
      fc.array(fc.tuple(key, tie("any")), { maxLength: 4 }).map((fields) => Object.fromEntries(fields)),
    ),
  })).any;
  fc.assert(
    fc.property(fc.array(value, { minLength: 1, maxLength: 6 }), (values) => {
      expect(throughJson(values)).toEqual(JSON.parse(JSON.stringify(values)));
    }),
    { numRuns: 30 },
  );
});

test("nothing in it ends an element, turns a line or hides", () => {
  const packed = new PackedValues();
  const said = packed.add({ [HOSTILE_TEXTS[0]]: [...HOSTILE_TEXTS, "</script><!-- &amp; \ud800"] }) + packed.list();
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  expect(said).not.toMatch(/[<>&\u0000-\u001f\u202a-\u202e\u200b\ufeff\ud800]/);
});

test("what was added after a mark is taken back", () => {
  const packed = new PackedValues();
  packed.add(["a text that is long enough", 1]);
  const [before, list] = [packed.mark(), packed.list()];
  packed.add({ another: "text that is long enough as well" });
  packed.backTo(before);
  expect([packed.list(), packed.bytes]).toEqual([list, before.bytes]);
});

const opened = async (run: RunFolder) => {
  const [folder, has] = [{ folder: run.path }, (file: RunFile) => isWritten(run.plan, file)];
  return openTrials(run, await readTrialTable(folder, run.plan, has), folder, has);
};

let run: RunFolder;
let open: OpenTrials;
beforeAll(async () => {
  const path = await mkdtemp(join(tmpdir(), "inward-report-trials-"));
  await cp(await madeRun(), path, { recursive: true });
  run = await RunFolder.look(path);
  open = await opened(run);
});
const FILES = ["objectLevel", "behaviors", "hypothetical", "trials"] as const;

interface Embedded {
  readonly list: readonly unknown[];
  readonly table: unknown;
  readonly trials: Readonly<Record<string, unknown>>;
}

test("every trial of a small run is in it, as the viewer shows it", async () => {
  const { json, ...counts } = await embedTrials(run, new Set(FILES));
  expect(counts).toEqual({ shown: 40, of: 40, strings: 10, ofStrings: 10, tooLarge: 0 });
  const { list, table, trials } = JSON.parse(json) as Embedded;
  const shown = unpacked(list, table) as TrialTable;
  expect(shown.columns.line).toEqual(open.read.table.columns.line);
  for (const [row, line] of shown.columns.line.entries()) {
    const { view } = unpacked(list, trials[line]) as { view: TrialView };
    expect(view).toEqual(JSON.parse(JSON.stringify(await trialView(open, line))));
    expect(shown.texts[shown.columns.replyOf[row] as number]).toBe(view.row.reply?.slice(0, 1000));
    expect(shown.items[shown.columns.itemOf[row] as number]?.id).toBe(view.row.item);
    expect(shown.words[shown.columns.becauseOf[row] as number]).toBe(view.row.because);
  }
  expect(trialsSection({ json, ...counts }).title).toBe("All trials");
});

test("where there is no room, whole strings are left out by a rule that sees no answer, and how many is said", async () => {
  const whole = await embedTrials(run, new Set(FILES));
  const mostBytes = Math.floor(Buffer.byteLength(whole.json) / 2);
  const some = await embedTrials(run, new Set(FILES), { mostBytes });
  expect(Buffer.byteLength(some.json)).toBeLessThanOrEqual(mostBytes);
  expect(some.shown).toBe(4 * some.strings);
  expect(some.strings).toBeGreaterThan(2);
  expect(some.strings).toBeLessThan(10);
  const { list, table, trials } = JSON.parse(some.json) as Embedded;
  const shown = unpacked(list, table) as TrialTable;
  expect(Object.keys(trials).map(Number)).toEqual(shown.columns.line);
  expect(shown.items.length).toBe(some.strings);
  expect(JSON.stringify(trialsSection(some).blocks)).toContain(
    `${some.shown} trials are in this file, all of ${some.strings} of 10 strings`,
  );
  expect(await embedTrials(run, new Set(FILES), { mostBytes })).toEqual(some);
});

test("the page may run its own script and no other", () => {
  const page = { script: 'const a = "</script><!--";', style: "a::after { content: '</style>' }" };
  const { policy, html } = trialsPageHtml("{}", page);
  const [, script = ""] = /<script type="module">([\s\S]*?)<\/script>/.exec(html) ?? [];
  expect(script).toBe('const a = "\\x3C/script>\\x3C!--";\n');
  expect(policy).toContain(`script-src 'sha256-${createHash("sha256").update(script).digest("base64")}';`);
  expect(html.match(/<\/style>/g)).toHaveLength(1);
});
