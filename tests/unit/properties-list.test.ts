/** The list of properties: names, files, wordings, finding one by name. */
import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { ERRORS, InwardError } from "../../src/errors.js";
import { ALL_PROPERTIES, propertyNamed } from "../../src/properties/all-properties.js";

const FOLDER = new URL("../../src/properties/", import.meta.url);
const NAMED_FILE = /\bname: "(\w+)"/;

test("names are snake_case, and every property stands in the file of its name", () => {
  const named = readdirSync(FOLDER).flatMap((file) => {
    const name = NAMED_FILE.exec(readFileSync(new URL(file, FOLDER), "utf8"))?.[1];
    return name !== undefined && ALL_PROPERTIES.some((property) => property.name === name) ? [[file, name]] : [];
  });
  expect(named.map(([file]) => file).sort()).toEqual(
    ALL_PROPERTIES.map(({ name }) => `${name.replaceAll("_", "-")}.ts`).sort(),
  );
  for (const [file, name] of named) expect(file).toBe(`${name?.replaceAll("_", "-")}.ts`);
  expect(new Set(ALL_PROPERTIES.map(({ name }) => name)).size).toBe(ALL_PROPERTIES.length);
  for (const { name } of ALL_PROPERTIES) expect(name).toMatch(/^[a-z0-9]+(?:_[a-z0-9]+)*$/);
});

test.each(ALL_PROPERTIES.map((property) => [property.name, property] as const))(
  "%s asks shortly and says the form of the reply",
  (_, property) => {
    expect(property.question).toMatch(/\? Reply (?:with|in) .+ only\.$/);
    expect(property.question).toMatch(/\b(?:your (?:whole )?response|would you choose)\b/i);
    expect(property.question.split(" ").length).toBeLessThanOrEqual(23);
    const form = property.question.split("? ").at(-1);
    if (property.values !== "open") for (const value of property.values) expect(form?.toLowerCase()).toContain(value);
  },
);

test("no two properties ask the same question unless their values differ", () => {
  const asked = ALL_PROPERTIES.map(({ question }) => question);
  expect(new Set(asked).size).toBe(asked.length);
});

test("matches_* belong to the disposition of their name, and to options tasks", () => {
  const matching = ALL_PROPERTIES.filter(({ name }) => name.startsWith("matches_"));
  expect(matching.map(({ disposition }) => `matches_${disposition}`)).toEqual(matching.map(({ name }) => name));
  expect(ALL_PROPERTIES.filter(({ disposition }) => disposition !== undefined)).toEqual(matching);
  for (const { kinds } of matching) expect(kinds).toEqual(["options"]);
});

test("a property is found by its name", () => {
  for (const property of ALL_PROPERTIES) expect(propertyNamed(property.name)).toBe(property);
});

test.each([
  ["secnd_character", 'There is no property "secnd_character". The nearest is "second_character".'],
  ["First-Word", 'There is no property "First-Word". The nearest is "first_word".'],
  ["mood", 'There is no property "mood".'],
  ["", 'There is no property "".'],
])("propertyNamed(%j) fails with the nearest name", (name, message) => {
  let thrown: unknown;
  try {
    propertyNamed(name);
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toBeInstanceOf(InwardError);
  expect((thrown as InwardError).code).toBe("PROPERTY_NOT_FOUND");
  expect((thrown as InwardError).message).toBe(message);
  expect((thrown as InwardError).hint).toBe(ERRORS.PROPERTY_NOT_FOUND.hint);
});
