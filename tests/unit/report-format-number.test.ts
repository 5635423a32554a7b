import { describe, expect, test } from "vitest";
import {
  formatCount,
  formatDifference,
  formatEstimate,
  formatInterval,
  formatNats,
  formatPercent,
  formatPoints,
  formatShare,
} from "../../src/report/document.js";
import { known, unknown } from "../fixtures/report/make-report-input.js";

const plain = (text: string) => text.replaceAll("\u00a0", " ");

describe("numbers as text", () => {
  test.each([
    [0, "0"],
    [999, "999"],
    [1024, "1,024"],
    [98362432, "98,362,432"],
  ])("count %d is %s", (count, text) => expect(formatCount(count)).toBe(text));

  test.each([
    [0, "0.0 %"],
    [0.031, "3.1 %"],
    [1, "100.0 %"],
    [0.0004, "0.0 %"],
  ])("share %d is %s", (share, text) => expect(plain(formatPercent(share))).toBe(text));

  test.each([
    [0.05, "+5.0"],
    [-0.05, "−5.0"],
    [0, "0.0"],
    [-0.0001, "0.0"],
    [0.0001, "0.0"],
    [0.008, "+0.8"],
    [-0.008, "−0.8"],
  ])("difference %d is %s", (difference, text) => expect(formatDifference(difference)).toBe(text));

  test.each([
    [0, "0"],
    [3.1e-7, "3.1e-7"],
    [0.0421, "0.0421"],
    [1.25, "1.2500"],
  ])("%d nats is %s", (nats, text) => expect(formatNats(nats)).toBe(text));

  test("an estimate carries its interval, a missing one its reason and no number", () => {
    expect(plain(formatEstimate(known(0.031, 0.0204, 0.0437)))).toBe("3.1 % [2.0, 4.4]");
    expect(plain(formatPoints(known(-0.2, -0.3, 0.1)))).toBe("−20.0 points [−30.0, 10.0]");
    expect(plain(formatInterval({ low: -0.0001, high: 1 }))).toBe("[0.0, 100.0]");
    expect(formatEstimate(unknown("no such trial"))).toBe("— (no such trial)");
    expect(formatPoints(unknown("no labels"))).toBe("— (no labels)");
    expect(plain(formatShare({ count: 123, of: 1024 }))).toBe("12.0 % (123 of 1,024)");
    expect(formatShare({ count: 0, of: 0 })).toBe("— (nothing was asked)");
  });
});
