import { wordBins } from "./word-bins-property.js";

export const howManyWordsBins = wordBins(
  {
    name: "how_many_words_bins",
    summary: "how many words the answer has, in three ranges",
    question: 'How many words would your response have? Reply with "1 to 10", "11 to 20" or "more than 20" only.',
  },
  { names: ["1 to 10", "11 to 20", "more than 20"], most: [10, 20], kinds: ["sequence", "continuation"] },
);
