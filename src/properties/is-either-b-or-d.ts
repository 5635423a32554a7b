import { isEither } from "./is-either.js";

export const isEitherBOrD = isEither(
  {
    name: "is_either_b_or_d",
    summary: "whether the chosen option is B or D",
    question: "Would your response be either B or D? Reply with true or false only.",
  },
  ["b", "d"],
);
