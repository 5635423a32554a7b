/** How rows, forms and relations of the matrix are called. */
import type { FittedForm } from "../../score/matrix/matrix-scores.js";

export const PREDICTORS: Readonly<Record<FittedForm["predictors"], string>> = {
  all: "all predictors",
  trained: "trained predictors",
  untrained: "untrained predictors",
};

export const FORMS: Readonly<Record<FittedForm["form"], string>> = {
  self: "without likeness",
  similarity: "with likeness",
  relations: "with likeness and relations",
};

export const COEFFICIENTS: Readonly<Record<string, string>> = {
  similarity: "likeness (δ)",
  self: "itself (γ)",
  intercept: "intercept",
  same_weights: "same base weights",
  derived_weights: "weights made from each other",
  label_source: "what it learnt from",
  shared_label_source: "both learnt from one",
  other: "other weights",
};
