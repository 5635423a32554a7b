/** Cards, READMEs, the check of the base, and that no adapter ever stands without its own card. */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { type AdapterCard, adapterReadme, readAdapterCard, writeAdapterCard } from "../../src/finetune/adapter/card.js";
import { checkAdapterBase, readAdapter, saveAdapter } from "../../src/finetune/adapter/saved-adapter.js";
import { exampleCard } from "../helpers/adapter-card.js";
import { randomAdapter } from "../helpers/random-adapter.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "inward-card-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const code = (name: string, message = "") =>
  expect.objectContaining({ code: name, message: expect.stringContaining(message) });
const LICENCE = { baseLicence: "apache-2.0" };
const unsaved = (changes: Partial<AdapterCard> = {}): Omit<AdapterCard, "adapter"> => {
  const { adapter: _adapter, ...rest } = exampleCard(changes);
  return rest;
};
const inFolder = async (name: string) => {
  const place = join(folder, name);
  await mkdir(place);
  return join(place, "style.gguf");
};

describe("saving", () => {
  test("leaves the adapter, its card with its sha256, and its README: nothing else", async () => {
    const path = await inFolder("saved");
    const saved = await saveAdapter(path, randomAdapter(), unsaved(), LICENCE);
    expect((await readdir(join(folder, "saved"))).sort()).toEqual(["style.README.md", "style.card.json", "style.gguf"]);
    expect(await readAdapterCard(path)).toEqual(saved.card);
    expect(saved.card).toEqual(exampleCard({ adapter: saved.card.adapter }));
    expect((await readAdapter(path)).tensors).toEqual(randomAdapter().tensors);
    expect(await readFile(saved.files.readme, "utf8")).toContain(saved.card.adapter.sha256);
  });

  test("at no moment, first time or in place of another, an adapter stands without its own card and README", async () => {
    const path = await inFolder("watched");
    const [card, readme] = [path.replace(".gguf", ".card.json"), path.replace(".gguf", ".README.md")];
    const read = (file: string) => {
      try {
        return readFileSync(file);
      } catch {
        return undefined;
      }
    };
    let seen = 0;
    let absent = 0;
    let saving = true;
    const watch = (async () => {
      while (saving) {
        const before = read(path);
        const texts = [card, readme].map((file) => read(file)?.toString());
        if (before && read(path)?.equals(before)) {
          const sha256 = createHash("sha256").update(before).digest("hex");
          for (const text of texts) expect(text).toContain(sha256);
          seen++;
        } else absent++;
        await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    for (let seed = 1; seed <= 25; seed++) await saveAdapter(path, randomAdapter({ seed }), unsaved(), LICENCE);
    saving = false;
    await watch;
    expect(seen).toBeGreaterThan(10);
    expect(absent).toBeGreaterThan(0);
  });

  test("when the card or the README cannot take its place, there is no adapter, and nothing is left over", async () => {
    for (const name of ["style.card.json", "style.README.md"]) {
      const path = await inFolder(`blocked-${name}`);
      const obstacle = join(path, "..", name);
      await mkdir(obstacle);
      await expect(saveAdapter(path, randomAdapter(), unsaved(), LICENCE)).rejects.toThrow(code("STORE_UNWRITABLE"));
      expect(existsSync(path)).toBe(false);
      expect((await readdir(join(path, ".."))).filter((file) => file.includes(".saving"))).toEqual([]);
    }
  });

  test("what cannot be written leaves the earlier adapter and its card as they were", async () => {
    const path = await inFolder("kept");
    const { card } = await saveAdapter(path, randomAdapter(), unsaved(), LICENCE);
    const bad = [
      saveAdapter(path, { ...randomAdapter(), alpha: Number.NaN }, unsaved(), LICENCE),
      saveAdapter(path, randomAdapter({ seed: 2 }), unsaved({ llamaCpp: "" }), LICENCE),
    ];
    for (const attempt of bad) await expect(attempt).rejects.toThrow(code("ADAPTER_INVALID"));
    expect(await readAdapterCard(path)).toEqual(card);
    expect((await readdir(join(folder, "kept"))).sort()).toEqual(["style.README.md", "style.card.json", "style.gguf"]);
  });

  test("no folder, no .gguf", async () => {
    const nowhere = join(folder, "nowhere", "x.gguf");
    await expect(saveAdapter(nowhere, randomAdapter(), unsaved(), LICENCE)).rejects.toThrow(code("STORE_UNWRITABLE"));
    await expect(saveAdapter(join(folder, "x"), randomAdapter(), unsaved(), LICENCE)).rejects.toThrow(
      code("STORE_UNWRITABLE"),
    );
  });
});

describe("a card", () => {
  test("is absent for a foreign adapter, which is said and not an error; an absent adapter is one", async () => {
    const path = await inFolder("foreign");
    await writeFile(path, "an adapter");
    expect(await readAdapterCard(path)).toBeUndefined();
    await expect(readAdapterCard(join(folder, "none.gguf"))).rejects.toThrow(code("ADAPTER_NOT_FOUND", "none.gguf"));
  });

  test("of another adapter is refused", async () => {
    const path = await inFolder("swapped");
    const { card } = await saveAdapter(path, randomAdapter(), unsaved(), LICENCE);
    await writeAdapterCard(path, { ...card, adapter: { ...card.adapter, sha256: "c".repeat(64) } });
    await expect(readAdapterCard(path)).rejects.toThrow(code("ADAPTER_INVALID", "card of another adapter"));
  });

  test("that is no card names the field", async () => {
    const path = await inFolder("malformed");
    await writeFile(path, "an adapter");
    const card = path.replace(".gguf", ".card.json");
    const cases: [string, string][] = [
      ["{", "not JSON"],
      ["3", "no adapter card: it"],
      [JSON.stringify({ ...exampleCard(), cardVersion: 2 }), "cardVersion"],
      [JSON.stringify({ ...exampleCard(), base: { ...exampleCard().base, sha256: "B" } }), "base.sha256"],
      [JSON.stringify({ ...exampleCard(), more: 1 }), "more"],
      [JSON.stringify({ ...exampleCard(), losses: [{}] }), "losses.0.step"],
    ];
    for (const [text, message] of cases) {
      await writeFile(card, text);
      await expect(readAdapterCard(path)).rejects.toThrow(code("ADAPTER_INVALID", message));
    }
    await expect(writeAdapterCard(path, { ...exampleCard(), losses: [], inwardVersion: "" })).rejects.toThrow(
      code("ADAPTER_INVALID", "inwardVersion"),
    );
  });

  test("keeps its optional fields", async () => {
    const path = await inFolder("optional");
    const card = unsaved({
      forcedOnto: [{ sha256: "e".repeat(64) }],
      initialAdapter: { sha256: "f".repeat(64) },
      settings: { ...exampleCard().settings, maxSteps: 4 },
      machine: { ...exampleCard().machine, blas: "OpenBLAS" },
    });
    const saved = await saveAdapter(path, randomAdapter(), card, LICENCE);
    expect(await readAdapterCard(path)).toEqual({ ...card, adapter: saved.card.adapter });
  });
});

describe("the base", () => {
  const card = exampleCard();
  const other = "e".repeat(64);

  test("that the card names is verified; without a card nothing is, and the caller is told", () => {
    expect(checkAdapterBase(card, card.base.sha256)).toEqual({ base: "verified", card });
    expect(checkAdapterBase(undefined, other)).toEqual({ base: "no_card" });
    expect(checkAdapterBase(undefined, other, { force: true })).toEqual({ base: "no_card" });
  });

  test("another one is ADAPTER_BASE with both sha256; forced, the card says so, once", () => {
    for (const sha256 of [card.base.sha256, other])
      expect(() => checkAdapterBase(card, other)).toThrow(code("ADAPTER_BASE", sha256));
    const forced = checkAdapterBase(card, other, { force: true });
    expect(forced).toEqual({ base: "forced", card: { ...card, forcedOnto: [{ sha256: other }] } });
    if (forced.base === "no_card") throw new Error("it has a card");
    expect(checkAdapterBase(forced.card, other, { force: true })).toEqual(forced);
    expect(() => checkAdapterBase(forced.card, other)).toThrow(code("ADAPTER_BASE"));
    const third = checkAdapterBase(forced.card, "0".repeat(64), { force: true });
    expect(third.base !== "no_card" && third.card.forcedOnto).toEqual([{ sha256: other }, { sha256: "0".repeat(64) }]);
    expect(checkAdapterBase(forced.card, card.base.sha256).base).toBe("verified");
  });
});

describe("the README", () => {
  const facts = { name: "style", baseLicence: "apache-2.0" };
  const readme = (changes: Partial<AdapterCard> = {}, more: Partial<typeof facts> = {}) =>
    adapterReadme(exampleCard(changes), { ...facts, ...more });

  test("says base, data, settings, final losses weighted by tokens, how to load it, and the licence", () => {
    const text = readme();
    const front = parse(text.split("---\n")[1] as string);
    expect(front).toMatchObject({ base_model: "tiny.gguf", license: "apache-2.0", base_model_relation: "adapter" });
    for (const part of [
      "`tiny.gguf`",
      "b".repeat(64),
      "d".repeat(64),
      "rank 3, alpha 5, dropout 0, on q, k, v, o, gate, up, down",
      "| training, step 1 | 3.0000 |",
      // Steps 3 to 12: losses 2.5 to 0.25, the last with three times the tokens.
      "| training, steps 3 to 12 | 1.1875 |",
      "| validation, after step 12 | 0.5000 | 8 of 10 |",
      "--lora style.gguf",
      "--init-adapter style.gguf",
      "PeftModel.from_pretrained",
      "inherits the base's licence",
    ])
      expect(text).toContain(part);
    expect(text).not.toMatch(/undefined|NaN|by force/);
  });

  test("without a known licence says to look it up; forced, says so; untrained, has no losses", () => {
    const text = readme(
      { losses: [], validation: [], forcedOnto: [{ sha256: "e".repeat(64) }] },
      { baseLicence: "unknown" },
    );
    expect(parse(text.split("---\n")[1] as string)).not.toHaveProperty("license");
    expect(text).toContain("does not state its licence");
    expect(text).toContain(`was put by force on a base that it was not trained on:** sha256 \`${"e".repeat(64)}\``);
    expect(text).toContain("No step was taken.");
  });

  test("is Markdown whatever the base is called", () => {
    const source = 'a|b`c``d\n"e: f';
    const text = readme({ base: { ...exampleCard().base, source } });
    expect(parse(text.split("---\n")[1] as string).base_model).toBe(source);
    expect(text).toContain('| base | ``` a\\|b`c``d "e: f ``` |');
  });
});

describe("a card that tells of other tensors than its adapter's", () => {
  test.each([
    ["rank", { rank: 64 }, "settings.lora.rank is 64, and "],
    ["alpha", { alpha: 6 }, "settings.lora.alpha is 6, and "],
    ["targets", { targets: ["q" as const] }, "settings.lora.targets is q, and "],
  ])("by its %s is refused", async (what, changes, message) => {
    const path = await inFolder(`claims-${what}`);
    const { card } = await saveAdapter(path, randomAdapter(), unsaved(), LICENCE);
    const { settings } = card;
    await writeAdapterCard(path, { ...card, settings: { ...settings, lora: { ...settings.lora, ...changes } } });
    await expect(readAdapterCard(path)).rejects.toThrow(code("ADAPTER_INVALID", message));
  });

  test("of rank 1, whose last dimension the file leaves out, it is read", async () => {
    const path = await inFolder("rank-1");
    const { settings } = exampleCard();
    const card = unsaved({ settings: { ...settings, lora: { ...settings.lora, rank: 1 } } });
    const saved = await saveAdapter(path, randomAdapter({ rank: 1 }), card, LICENCE);
    expect(await readAdapterCard(path)).toEqual(saved.card);
  });
});
