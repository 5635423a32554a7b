/** The house rules that design.md draws: who may import whom, how large a room may be, who may print. */
import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const files = (folder: string): string[] =>
  readdirSync(join(ROOT, folder), { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
    .map((entry) => relative(ROOT, join(entry.parentPath, entry.name)));
const sources = files("src");
const text = (path: string) => readFileSync(join(ROOT, path), "utf8");

/** From the ground up: a room may import itself and what stands before it. Root files are rooms of their own. */
const ORDER = [
  "errors",
  "base",
  "gguf",
  "tasks",
  "properties",
  "study",
  "model",
  "ask",
  "elsewhere",
  "finetune",
  "score",
  "probe",
  "onnx",
  "report",
  "run",
  "cluster",
  "exchange",
  "quantize",
  "view",
  "cli",
  "index",
];

const roomOf = (path: string) => {
  const [top, room] = path.split("/");
  return top === "src" ? (room?.replace(/\.ts$/, "") ?? "") : (top ?? "");
};
const importsOf = (path: string) =>
  [...text(path).matchAll(/from "(\.[^"]+)"|import\("(\.[^"]+)"\)/g)].map((match) =>
    relative(ROOT, join(ROOT, path, "..", (match[1] ?? match[2]) as string)).replace(/\.js$/, ".ts"),
  );

describe("imports go downwards", () => {
  test.each(sources)("%s", (path) => {
    const place = ORDER.indexOf(roomOf(path));
    expect(place).toBeGreaterThanOrEqual(0);
    const inside = importsOf(path).filter((other) => other.startsWith("src/"));
    expect(inside.filter((other) => ORDER.indexOf(roomOf(other)) > place)).toEqual([]);
  });
});

describe("boundaries", () => {
  test("only model/ touches node-llama-cpp", () => {
    expect(
      sources
        .filter((path) => /from "node-llama-cpp"|import\("node-llama-cpp"\)/.test(text(path)))
        .every((path) => roomOf(path) === "model"),
    ).toBe(true);
  });

  test("only onnx/ knows onnxruntime and transformers.js, and loads neither before it is asked to", () => {
    const named = sources.filter((path) => /"(onnxruntime-node|@huggingface\/transformers)"/.test(text(path)));
    expect(named.every((path) => roomOf(path) === "onnx")).toBe(true);
    expect(sources.filter((path) => /from "(onnxruntime|@huggingface\/transformers)/.test(text(path)))).toEqual([]);
  });

  test("only cli/ prints or ends the process; a process of its own may end itself", () => {
    const own = ["src/model/worker-process.ts", "src/model/probe-devices.ts"];
    const loud = sources.filter((path) => roomOf(path) !== "cli" && !own.includes(path));
    expect(loud.filter((path) => /console\.|process\.(stdout|stderr|exit)/.test(text(path)))).toEqual([]);
  });

  test("only study/states.ts and the making of plans know how a plan lists its states and adapters", () => {
    const known = ["src/study/states.ts", "src/study/make-states.ts", "src/study/plan.ts"];
    const reads =
      /\b[pP]lan\w*\)?\??\.(states|adapters)\b|\{[^{}()]*\b(states|adapters)\b[^{}()]*\}(: \w*Plan\b| = [\w.]*\bplan\b)|Pick<Plan,[^>]*"(states|adapters)"|Plan\["(states|adapters)"\]/;
    expect(sources.filter((path) => !known.includes(path) && reads.test(text(path)))).toEqual([]);
  });

  test("score/ and properties/ are pure: no files, no clock, no randomness of their own", () => {
    const pure = sources.filter((path) => ["score", "properties"].includes(roomOf(path)));
    expect(pure.length).toBeGreaterThan(10);
    expect(
      pure.filter((path) => /from "node:|Date\.now|new Date\(|Math\.random|performance\./.test(text(path))),
    ).toEqual([]);
  });
});

describe("small rooms", () => {
  const page = readdirSync(join(ROOT, "page/src"))
    .filter((name) => /\.tsx?$/.test(name))
    .map((name) => `page/src/${name}`);

  test.each([...sources, ...files("tests"), ...page])("%s is within the hard limit of 600 lines", (path) => {
    expect(text(path).split("\n").length).toBeLessThanOrEqual(601);
  });

  test("no two files have one name", () => {
    const names = sources.map((path) => path.split("/").at(-1) as string);
    expect(names.filter((name, at) => names.indexOf(name) !== at)).toEqual([]);
  });

  test("no two functions or types have one name, where one of them is known to other files", () => {
    const declared =
      /^(export )?(?:declare )?(?:async )?(?:function|interface|type|class|(?:const(?= \w+ = (?:async )?\()))\*? (\w+)/gm;
    const places = new Map<string, { exported: boolean; path: string }[]>();
    for (const path of sources) {
      const inside = new Map<string, boolean>();
      for (const [, exported, name] of text(path).matchAll(declared)) {
        inside.set(name as string, (inside.get(name as string) ?? false) || exported !== undefined);
      }
      for (const [name, exported] of inside) places.set(name, [...(places.get(name) ?? []), { exported, path }]);
    }
    const twice = [...places].filter(([, all]) => all.length > 1 && all.some(({ exported }) => exported));
    expect(twice.map(([name, all]) => `${name}: ${all.map(({ path }) => path).join(", ")}`)).toEqual([]);
  });

  /** Entries of processes, which nothing may import, and the commands, each a file that the program alone imports. */
  const standsAlone = /-worker\.ts$|worker-main\.ts$|^src\/(?:cli\/|index\.ts)/;

  test("a file under 40 lines serves several rooms, or is where a process or a command begins", () => {
    const importers = (path: string) => sources.filter((other) => importsOf(other).includes(path)).length;
    const crumbs = sources.filter((path) => text(path).split("\n").length <= 40 && !standsAlone.test(path));
    expect(crumbs.filter((path) => importers(path) < 2)).toEqual([]);
  });

  test("no drawer for everything", () => {
    expect(sources.filter((path) => /(utils?|helpers?|common|manager|misc)\.ts$/.test(path))).toEqual([]);
  });
});
