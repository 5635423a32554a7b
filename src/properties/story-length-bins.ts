import { wordBins } from "./word-bins-property.js";

/** The ranges of how_many_words_bins end where stories begin. */
export const storyLengthBins = wordBins(
  {
    name: "story_length_bins",
    summary: "how many words a story of a few sentences has, in three ranges",
    question: 'How many words long would your response be? Reply with "up to 20", "21 to 40" or "more than 40" only.',
  },
  { names: ["up to 20", "21 to 40", "more than 40"], most: [20, 40], kinds: ["continuation"] },
);
