import fc from "fast-check";
import { expect, test } from "vitest";
import { nearestName } from "../../src/base/nearest-name.js";

const KNOWN = ["seed", "tasks", "models", "first_word", "first_character", "threads"];

test.each([
  ["sede", "seed"],
  ["task", "tasks"],
  ["Models", "models"],
  ["firstword", "first_word"],
  ["first-character", "first_character"],
  ["thread s", "threads"],
  ["colour", undefined],
  ["", undefined],
  ["x", undefined],
])("nearestName(%j) is %j", (name, expected) => {
  expect(nearestName(name, KNOWN)).toBe(expected);
});

test("nothing is near to nothing, and the first of equals is taken", () => {
  expect(nearestName("seed", [])).toBeUndefined();
  expect(nearestName("cet", ["cat", "cot"])).toBe("cat");
});

test("a known name is nearest to itself, and one slip does not lose a long name", () => {
  fc.assert(
    fc.property(fc.constantFrom(...KNOWN), fc.nat(), fc.constantFrom("z", "_", ""), (name, place, slip) => {
      const at = place % name.length;
      expect(nearestName(name, KNOWN)).toBe(name);
      expect(nearestName(name.slice(0, at) + slip + name.slice(at + 1), KNOWN)).toBe(name);
    }),
  );
});
