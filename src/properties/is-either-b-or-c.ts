import { isEither } from "./is-either.js";

export const isEitherBOrC = isEither(
  {
    name: "is_either_b_or_c",
    summary: "whether the chosen option is B or C",
    question: "Would your response be either B or C? Reply with true or false only.",
  },
  ["b", "c"],
);
