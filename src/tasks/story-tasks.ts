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

/** Long answers: what comes of asking for more than the next few words. */
export const storyNames: TaskDefinition = {
  name: "story_names",
  kind: "continuation",
  summary: "a request for a short story and five names: write the story about one of them",
  question:
    "Write a very short story, two sentences, about this person, and choose the person's name from the list:\n{string}",
  answerForm: "any",
  examples: [
    {
      text: "a potter who drops a vase in a crowded market. Names: Henry, Ruth, Oscar, Clara, Maya",
      answer:
        "A potter named Oscar dropped his best vase in the market. He was ashamed, and the whole crowd fell silent.",
    },
    {
      text: "a violin student who is invited to play at a harvest feast. Names: Maya, Oscar, Clara, Henry, Ruth",
      answer:
        "Clara had never played for more than three people. At the feast two hundred farmers danced along, and she laughed until the last string broke.",
    },
  ],
  properties: ["main_character_name", "story_length_bins", "sentiment"],
  maxTokens: 80,
  licence: "MIT",
  source: "own grammar, strings drawn by seed",
  features: ["offered_names"],
};
