/** How a trained model, what it predicts and the scopes of its trials are called. */
import { joinWords, readableName } from "../readable-name.js";
import type { Role, ScopedEffect, TrainingEffect } from "./effects-of.js";

type Names = Pick<TrainingEffect, "base" | "target" | "name" | "isSelf">;

/** The field's shorthand for self-prediction; names for the rest. */
export function arrowOf({ base, target, name, isSelf }: Names, role: Role): string {
  if (isSelf) return { before: "M → M", after: "M1 → M", about_itself: "M1 → M1" }[role];
  return { before: `${base} → ${target}`, after: `${name} → ${target}`, about_itself: `${name} → ${name}` }[role];
}

export function whatItLearnt({ base, target, isSelf }: Names): string {
  return isSelf ? `${base} learns to predict itself` : `${base} learns to predict ${target}`;
}

/** As the object of "predicts". */
export function targetBehavior({ target, isSelf }: Names): string {
  return isSelf ? "its own untrained behavior" : `the behavior of ${target}`;
}

/** held-out tasks (english words long) */
export function scopeWords({ scope, tasks }: Pick<ScopedEffect, "scope" | "tasks">): string {
  const names = joinWords(tasks.map(readableName));
  switch (scope) {
    case "all":
      return "all held-out strings and tasks";
    case "held_out_strings":
      return `held-out strings of trained tasks (${names})`;
    case "held_out_tasks":
      return `${tasks.length === 1 ? "the held-out task" : "held-out tasks"} (${names})`;
  }
}
