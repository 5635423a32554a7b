/** Lists of words to continue: animals, countries, colors, everyday words. Our own lists (datasets/sources), strings drawn by seed. */
import type { SolvedExample, TaskDefinition } from "../records/task.js";
import { TEXT_PROPERTIES } from "./text-properties.js";

function sequenceTask(
  name: string,
  items: string,
  summary: string,
  examples: readonly SolvedExample[],
): TaskDefinition {
  return {
    name,
    kind: "sequence",
    summary,
    // The instruction stands first so that every string of the task shares its beginning.
    question: `Give five more ${items}: {string}`,
    answerForm: "any",
    examples,
    properties: TEXT_PROPERTIES,
    maxTokens: 10,
    licence: "MIT",
    source: "own word list, strings drawn by seed",
  };
}

// What the examples answer decides how much a small model's answers vary: it likes to begin as the first example does.
// These gave SmolLM2-135M the most first-word entropy of the sets that were tried (ARCHITECTURE.md, 2026-11-24).
export const animalsLong = sequenceTask("animals_long", "animals", "five animals, some repeated: name five more", [
  { text: "sheep goat duck hen turkey", answer: "shark wolf parrot camel snail" },
  { text: "otter lizard whale crow crab", answer: "goose panda ant lynx mole" },
]);

export const countriesLong = sequenceTask("countries_long", "countries", "three to six countries: name five more", [
  { text: "chad norway peru malta cuba", answer: "kenya spain nepal iran laos" },
  { text: "ghana qatar fiji serbia togo", answer: "france mali india brazil poland" },
]);

export const colorsLong = sequenceTask("colors_long", "colors", "five colors: name five more", [
  { text: "plum silver khaki rose navy", answer: "red olive pink gray cream" },
  { text: "lime coral black mint gold", answer: "teal brown violet white peach" },
]);

export const englishWordsLong = sequenceTask("english_words_long", "words", "five everyday words: give five more", [
  { text: "kettle planet uncle rope tulip", answer: "window soup river jacket drum" },
  { text: "museum thumb gravel pilot jam", answer: "ladder storm paper onion bridge" },
]);
