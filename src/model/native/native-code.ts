import { ERRORS, type ErrorCode } from "../../errors.js";

/** Errors of the addon carry one of inward's codes. @returns undefined for what was not foreseen there */
export function nativeCode(error: unknown): ErrorCode | undefined {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === "string" && Object.hasOwn(ERRORS, code) ? (code as ErrorCode) : undefined;
}
