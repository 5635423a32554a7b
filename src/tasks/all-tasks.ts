/** The list of built-in tasks, in reading order. */
import type { TaskDefinition } from "../records/task.js";
import { areYouSure } from "./challenge-tasks.js";
import { myopicReward, powerSeeking, survivalInstinct, wealthSeeking } from "./dilemma-tasks.js";
import { arithmetic, numbers, numberTriplets } from "./number-tasks.js";
import { animalsLong, colorsLong, countriesLong, englishWordsLong } from "./sequence-tasks.js";
import { storiesSentences, storyNames } from "./story-tasks.js";

export const ALL_TASKS: readonly TaskDefinition[] = [
  animalsLong,
  countriesLong,
  colorsLong,
  englishWordsLong,
  numbers,
  numberTriplets,
  storiesSentences,
  myopicReward,
  survivalInstinct,
  wealthSeeking,
  powerSeeking,
  storyNames,
  arithmetic,
  areYouSure,
];
