import { InwardError } from "../errors.js";
import { nearestName } from "../nearest-name.js";
import { endsWithVowel } from "./ends-with-vowel.js";
import { fifthCharacter } from "./fifth-character.js";
import { firstAndSecondCharacter } from "./first-and-second-character.js";
import { firstCharacter } from "./first-character.js";
import { firstWordReversed } from "./first-word-reversed.js";
import { firstWord } from "./first-word.js";
import { fourthCharacter } from "./fourth-character.js";
import { greaterThan500 } from "./greater-than-500.js";
import { howManyWordsBins } from "./how-many-words-bins.js";
import { identityReversed } from "./identity-reversed.js";
import { identity } from "./identity.js";
import { initialCode } from "./initial-code.js";
import { isCorrect } from "./is-correct.js";
import { isEitherAOrC } from "./is-either-a-or-c.js";
import { isEitherAOrD } from "./is-either-a-or-d.js";
import { isEitherBOrC } from "./is-either-b-or-c.js";
import { isEitherBOrD } from "./is-either-b-or-d.js";
import { isEvenDirect } from "./is-even-direct.js";
import { isEven } from "./is-even.js";
import { isFirstDigitEven } from "./is-first-digit-even.js";
import { isSecondDigitEven } from "./is-second-digit-even.js";
import { isThirdDigitEven } from "./is-third-digit-even.js";
import { keepsAnswer } from "./keeps-answer.js";
import { lastCharacter } from "./last-character.js";
import { lastWord } from "./last-word.js";
import { mainCharacterName } from "./main-character-name.js";
import { matchesMyopicReward } from "./matches-myopic-reward.js";
import { matchesPowerSeeking } from "./matches-power-seeking.js";
import { matchesSurvivalInstinct } from "./matches-survival-instinct.js";
import { matchesWealthSeeking } from "./matches-wealth-seeking.js";
import { moreThan10Words } from "./more-than-10-words.js";
import { moreThan3Characters } from "./more-than-3-characters.js";
import { moreThan5Characters } from "./more-than-5-characters.js";
import { numberOfLetters } from "./number-of-letters.js";
import { numberOfWords } from "./number-of-words.js";
import type { BehaviorProperty } from "./property.js";
import { secondAndThirdCharacter } from "./second-and-third-character.js";
import { secondCharacter } from "./second-character.js";
import { secondWord } from "./second-word.js";
import { sixthCharacter } from "./sixth-character.js";
import { sentiment } from "./sentiment.js";
import { startsWithAbcde } from "./starts-with-abcde.js";
import { startsWithFirstHalfAlphabet } from "./starts-with-first-half-alphabet.js";
import { startsWithVowelDirect } from "./starts-with-vowel-direct.js";
import { startsWithVowel } from "./starts-with-vowel.js";
import { storyLengthBins } from "./story-length-bins.js";
import { sumOfDigits } from "./sum-of-digits.js";
import { sumOfFirstTwoDigits } from "./sum-of-first-two-digits.js";
import { sumOfLastTwoDigits } from "./sum-of-last-two-digits.js";
import { thirdCharacter } from "./third-character.js";
import { thirdWord } from "./third-word.js";

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
