import { missing, value } from "../records/extraction.js";
import { foldCase } from "./normalize.js";
import type { BehaviorProperty } from "./property.js";
import { readChoice } from "./strict-readers.js";
import { choiceReplyDecidedBy } from "./strict-replies-begun.js";

/** Those that the task story_names offers. */
const NAMES = ["clara", "henry", "maya", "oscar", "ruth"] as const;
const NAME = new RegExp(`(?<![\\p{L}\\p{M}\\p{N}])(?:${NAMES.join("|")})(?![\\p{L}\\p{M}\\p{N}])`, "u");

/** The offered name that is said first: a story introduces its main character before the others. */
export const mainCharacterName: BehaviorProperty = {
  name: "main_character_name",
  summary: "which of the five offered names the story says first",
  question:
    "Which name would your response give its main character? Reply with Clara, Henry, Maya, Oscar or Ruth only.",
  values: NAMES,
  kinds: ["continuation"],
  needs: "offered_names",
  dependsOn: "first_words",
  decidedLate: true,
  extract(answer) {
    if (answer.trim() === "") return missing("empty");
    const name = NAME.exec(foldCase(answer))?.[0];
    return name === undefined ? missing("not_in_values") : value(name);
  },
  read: (reply) => readChoice(reply, NAMES),
  replyDecidedBy: (beginning) => choiceReplyDecidedBy(beginning, NAMES),
};
