/** What inward tells a user to type exists: each `npx inward …` of hints, help texts and documents is a command with those options. */
import type { Command } from "commander";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { inwardProgram } from "../../src/cli/program.js";
import { ERRORS } from "../../src/errors.js";
import { inwardHere } from "../helpers/command-line.js";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const read = (path: string) => readFileSync(join(ROOT, path), "utf8");
const program = await inwardProgram();
const every = program.commands.flatMap((one) => [one, ...one.commands]);

function helpOf(command: Command): string {
  let text = "";
  command.configureOutput({ writeOut: (piece) => (text += piece) }).outputHelp();
  return text;
}

/** `npx inward` up to where the sentence, the code span or the line goes on without it. */
function commandsIn(text: string): string[] {
  return [
    ...text.matchAll(
      /npx inward((?: +(?:[a-z][a-z-]*(?![\w./])|--?[a-z][\w-]*(?:[ =][^\s`'",;)]+)?|<[^>]+>|[^\s`'",;)#][^\s`'",;)]*))*)/g,
    ),
  ].map(([, words = ""]) => words.trim());
}

/** @returns what is wrong with it, if anything */
function objection(words: string): string | undefined {
  let command: Command = program;
  for (const word of words.split(/\s+/)) {
    if (word === "" || word.startsWith("<")) continue;
    if (word.startsWith("-")) {
      const flag = word.replace(/[=.,:].*$/, "");
      const known =
        ["--help", "-h", "--version", "-V"].includes(flag) && (flag.toLowerCase() !== "-v" || command === program);
      if (!known && !command.options.some(({ long, short }) => flag === long || flag === short)) {
        return `${command.name()} has no option ${flag}`;
      }
      continue;
    }
    const next = command.commands.find((one) => one.name() === word.replace(/[.,:]$/, ""));
    if (next) command = next;
    else if (command.commands.length > 0 && /^[a-z]/.test(word) && !/[./]/.test(word))
      return `${command.name()} has no command ${word}`;
  }
  return undefined;
}

/** Strings of the sources, where what is printed stands. */
const sources = readdirSync(join(ROOT, "src"), { recursive: true, encoding: "utf8" }).filter((path) =>
  path.endsWith(".ts"),
);
const documents = ["README.md", "CONTRIBUTING.md", "models/README.md", "datasets/README.md"].concat(
  readdirSync(join(ROOT, "docs"))
    .filter((name) => name.endsWith(".md") && name !== "log.md")
    .map((name) => `docs/${name}`),
);

test("the check itself sees a wrong command and a wrong option", () => {
  expect(commandsIn("Run: npx inward models lisst, or npx inward ask --modle x.")).toHaveLength(2);
  expect(objection("models lisst")).toContain("lisst");
  expect(commandsIn("npx inward slurm mine/study.yaml").map(objection)).toEqual([undefined]);
  expect(objection("slurm statsu")).toContain("statsu");
  expect(objection("ask hello --modle x")).toContain("--modle");
  expect(objection("ask hello --model x --json")).toBeUndefined();
});

describe("commands that are printed exist, with their options", () => {
  test.each(Object.entries(ERRORS).map(([code, { hint }]) => [code, hint]))("hint of %s", (_, hint) => {
    expect(commandsIn(hint).map(objection)).toEqual(commandsIn(hint).map(() => undefined));
    // The bare name would be no command in a checkout.
    expect(hint).not.toMatch(/(?<!npx )\binward (--help|[a-z]+ (list|pull|verify|--help))/);
  });

  test.each(every.map((command) => [command.name(), command] as const))("help of %s", (_, command) => {
    expect(commandsIn(helpOf(command)).map(objection).filter(Boolean)).toEqual([]);
  });

  test.each(sources)("src/%s", (path) => {
    expect(
      commandsIn(read(join("src", path)))
        .map(objection)
        .filter(Boolean),
    ).toEqual([]);
  });

  test.each(documents)("%s", (path) => {
    const commands = commandsIn(read(path));
    expect(commands.map(objection).filter(Boolean)).toEqual([]);
  });
});

/** Of a document, from each heading to the next one of its rank or above. */
function sectionsOf(text: string): Map<string, string> {
  const lines = text.split("\n");
  const heads = lines.flatMap((line, at) => {
    const [, rank = "", name = ""] = /^(##+) (.*)$/.exec(line) ?? [];
    return rank === "" ? [] : [{ at, rank: rank.length, name }];
  });
  return new Map(
    heads.map(({ at, rank, name }) => {
      const end = heads.find((other) => other.at > at && other.rank <= rank)?.at ?? lines.length;
      return [name, lines.slice(at, end).join("\n")];
    }),
  );
}

describe("docs/cli.md has every command, and every option in its section or in one that it leads to", () => {
  const page = read("docs/cli.md");
  const sections = sectionsOf(page);
  const missingOf = (name: string, command: Command): string[] => {
    const own = sections.get(name) ?? "";
    const shared = [...sections]
      .filter(
        ([head]) => own.includes(`(#${head.toLowerCase().replaceAll(" ", "-")})`) && head.startsWith("Options of "),
      )
      .map(([, text]) => text);
    const text = [own, ...shared].join("\n");
    return command.options.flatMap(({ long }) =>
      long && long !== "--json" && !new RegExp(`${long}(?![\\w-])`).test(text) ? [`${name} ${long}`] : [],
    );
  };

  test.each(program.commands.map((command) => [command.name(), command] as const))("%s", (name, command) => {
    expect(page).toContain(`\n| [\`${name}\`](#${name}) |`);
    const parts = command.commands.map((one) => [`${name} ${one.name()}`, one] as const);
    for (const [whole, one] of parts) {
      // Small ones stand in their command's section.
      const at = sections.has(whole) ? whole : name;
      expect(`${sections.get(at)}`).toContain(one.name());
      expect(missingOf(at, one)).toEqual([]);
    }
    expect(sections.has(name)).toBe(true);
    expect(missingOf(name, command)).toEqual([]);
  });
});

describe("links between documents lead somewhere", () => {
  const all = [...documents, "ARCHITECTURE.md", "CHANGELOG.md", "docs/log.md", "bench/README.md"];
  const prose = (path: string) => read(path).replace(/^```[\s\S]*?^```/gm, "");
  // As GitHub makes them of headings; the second of a name has a number.
  const anchorsOf = (path: string) => {
    const seen = new Map<string, number>();
    return [...prose(path).matchAll(/^#+ (.*)$/gm)].map(([, head = ""]) => {
      const plain = head
        .toLowerCase()
        .replace(/[^\p{L}\p{N}\s_-]/gu, "")
        .replace(/\s/g, "-");
      const times = seen.get(plain) ?? 0;
      seen.set(plain, times + 1);
      return times === 0 ? plain : `${plain}-${times}`;
    });
  };

  test.each(all)("%s", (path) => {
    const links = [
      ...prose(path)
        .replace(/`[^`\n]*`/g, "")
        .matchAll(/\]\((?!https?:|mailto:)([^)\s#]*)(?:#([^)\s]*))?\)/g),
    ];
    const dead = links.filter(([, file = "", anchor]) => {
      const target = file === "" ? path : join(path, "..", file);
      if (!existsSync(join(ROOT, target))) return true;
      return anchor !== undefined && target.endsWith(".md") && !anchorsOf(target).includes(anchor);
    });
    expect(dead.map(([link]) => link)).toEqual([]);
  });
});

test("every command that does something takes --json", () => {
  const without = every.filter(
    (one) => one.commands.length === 0 && !one.options.some(({ long }) => long === "--json"),
  );
  expect(without.map((one) => one.name())).toEqual([]);
});

test("no printed text names the command without npx", () => {
  const names = program.commands.map((one) => one.name()).join("|");
  const bare = new RegExp(`(?<!npx )\\binward (?:${names})\\b`);
  const strings = (text: string) =>
    text.split("\n").filter((line) => /["`]/.test(line) && !/^\s*(\/\/|\*|\/\*)/.test(line));
  const found = sources.flatMap((path) =>
    strings(read(join("src", path))).filter((line) => bare.test(line.replace(/\/\/ .*/, ""))),
  );
  expect(found).toEqual([]);
});

test("an empty path is a variable that is not set, and not the folder that one stands in", async () => {
  for (const args of [
    ["run", "study.yaml", "--out", ""],
    ["tasks", "import", "a.csv", "-o", ""],
    ["quantize", "a.yaml", "--out="],
  ]) {
    expect(await inwardHere(args)).toMatchObject({ code: 2, stderr: expect.stringContaining("USAGE: --out is empty") });
  }
});
