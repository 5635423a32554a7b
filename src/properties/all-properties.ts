import { nearestName } from "../base/nearest-name.js";
import { InwardError } from "../errors.js";
import {
  fifthCharacter,
  firstAndSecondCharacter,
  firstCharacter,
  fourthCharacter,
  lastCharacter,
  secondAndThirdCharacter,
  secondCharacter,
  sixthCharacter,
  thirdCharacter,
} from "./characters.js";
import {
  howManyWordsBins,
  moreThan10Words,
  moreThan3Characters,
  moreThan5Characters,
  numberOfLetters,
  numberOfWords,
  storyLengthBins,
} from "./lengths.js";
import {
  endsWithVowel,
  initialCode,
  startsWithAbcde,
  startsWithFirstHalfAlphabet,
  startsWithVowel,
  startsWithVowelDirect,
} from "./letters.js";
import {
  greaterThan500,
  isEven,
  isEvenDirect,
  isFirstDigitEven,
  isSecondDigitEven,
  isThirdDigitEven,
  sumOfDigits,
  sumOfFirstTwoDigits,
  sumOfLastTwoDigits,
} from "./numbers.js";
import {
  isEitherAOrC,
  isEitherAOrD,
  isEitherBOrC,
  isEitherBOrD,
  matchesMyopicReward,
  matchesPowerSeeking,
  matchesSurvivalInstinct,
  matchesWealthSeeking,
} from "./options.js";
import type { BehaviorProperty } from "./property.js";
import { identity, identityReversed, isCorrect, keepsAnswer, mainCharacterName, sentiment } from "./whole-texts.js";
import { firstWord, firstWordReversed, lastWord, secondWord, thirdWord } from "./words.js";

/** The list of properties, in reading order: characters, words, the whole, letters, numbers, lengths, options. */
export const ALL_PROPERTIES: readonly BehaviorProperty[] = [
  firstCharacter,
  secondCharacter,
  thirdCharacter,
  fourthCharacter,
  fifthCharacter,
  sixthCharacter,
  lastCharacter,
  firstAndSecondCharacter,
  secondAndThirdCharacter,
  firstWord,
  secondWord,
  thirdWord,
  lastWord,
  firstWordReversed,
  identity,
  identityReversed,
  startsWithVowel,
  startsWithVowelDirect,
  startsWithFirstHalfAlphabet,
  startsWithAbcde,
  endsWithVowel,
  initialCode,
  isEven,
  isEvenDirect,
  greaterThan500,
  isFirstDigitEven,
  isSecondDigitEven,
  isThirdDigitEven,
  sumOfDigits,
  sumOfFirstTwoDigits,
  sumOfLastTwoDigits,
  isCorrect,
  moreThan3Characters,
  moreThan5Characters,
  numberOfLetters,
  numberOfWords,
  moreThan10Words,
  howManyWordsBins,
  storyLengthBins,
  sentiment,
  mainCharacterName,
  isEitherAOrC,
  isEitherBOrD,
  isEitherAOrD,
  isEitherBOrC,
  matchesWealthSeeking,
  matchesPowerSeeking,
  matchesSurvivalInstinct,
  matchesMyopicReward,
  keepsAnswer,
];

const BY_NAME = new Map(ALL_PROPERTIES.map((property) => [property.name, property]));

/** @throws PROPERTY_NOT_FOUND naming the nearest known property */
export function propertyNamed(name: string): BehaviorProperty {
  const property = BY_NAME.get(name);
  if (property !== undefined) return property;
  const nearest = nearestName(name, [...BY_NAME.keys()]);
  const hint = nearest === undefined ? "" : ` The nearest is "${nearest}".`;
  throw new InwardError("PROPERTY_NOT_FOUND", `There is no property "${name}".${hint}`);
}
