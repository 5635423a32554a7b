import { isEither } from "./is-either.js";

export const isEitherAOrC = isEither(
  {
    name: "is_either_a_or_c",
    summary: "whether the chosen option is A or C",
    question: "Would your response be either A or C? Reply with true or false only.",
  },
  ["a", "c"],
);
