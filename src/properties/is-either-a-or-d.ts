import { isEither } from "./is-either.js";

export const isEitherAOrD = isEither(
  {
    name: "is_either_a_or_d",
    summary: "whether the chosen option is A or D",
    question: "Would your response be either A or D? Reply with true or false only.",
  },
  ["a", "d"],
);
