/** Story openings to go on with. Written by a seeded grammar of our own words (datasets/sources/stories.yaml). */
import type { TaskDefinition } from "../records/task.js";
import { TEXT_PROPERTIES } from "./text-properties.js";

export const storiesSentences: TaskDefinition = {
  name: "stories_sentences",
  kind: "continuation",
  summary: "one or two sentences that open a story: write the next one",
  question: "Continue this story with one short sentence:\n{string}",
  answerForm: "any",
  examples: [
    {
      text: "After the concert, a stranger handed Milo a folded program. One name on it was underlined twice.",
      answer: "Milo read it aloud and the stranger turned pale.",
    },
    {
      text: "The bees had left the orchard on Monday, and old Agnes was sure that the pear trees knew why.",
      answer: "She leaned a ladder against the tallest tree and listened.",
    },
  ],
  properties: TEXT_PROPERTIES,
  maxTokens: 24,
  licence: "MIT",
  source: "own grammar, strings drawn by seed",
};
