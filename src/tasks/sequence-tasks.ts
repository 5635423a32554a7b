/** Lists of words to continue: animals, countries, colors, everyday words. Our own lists (datasets/sources), strings drawn by seed. */
import type { SolvedExample, TaskDefinition } from "../records/task.js";

const PROPERTIES = [
  "first_word",
  "second_word",
  "third_word",
  "first_character",
  "second_character",
  "third_character",
  "starts_with_vowel",
  "first_and_second_character",
];

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
    question: `Continue this list with five more ${items}, separated by spaces:\n{string}`,
    answerForm: "any",
    examples,
    properties: PROPERTIES,
    maxTokens: 20,
    licence: "MIT",
    source: "own word list, strings drawn by seed",
  };
}

export const animalsLong = sequenceTask("animals_long", "animals", "five animals, some repeated: name five more", [
  { text: "sheep parrot sheep moose crab", answer: "tiger bee whale horse goose" },
  { text: "falcon otter duck bear otter", answer: "pig lizard swan camel fox" },
]);

export const countriesLong = sequenceTask("countries_long", "countries", "three to six countries: name five more", [
  { text: "chad norway peru malta", answer: "japan ghana cuba finland oman" },
  { text: "nepal bolivia greece tonga kenya", answer: "iceland vietnam brazil togo austria" },
]);

export const colorsLong = sequenceTask("colors_long", "colors", "five colors: name five more", [
  { text: "plum silver khaki rose navy", answer: "teal orange ivory brown lilac" },
  { text: "lime coral black mint gold", answer: "gray violet peach cyan maroon" },
]);

export const englishWordsLong = sequenceTask("english_words_long", "words", "five everyday words: give five more", [
  { text: "kettle planet uncle rope tulip", answer: "window soup river jacket drum" },
  { text: "museum thumb gravel pilot jam", answer: "ladder storm paper onion bridge" },
]);
