import type { clopperPearsonInterval } from "../src/score/probability.js";
import type { contrastPower } from "../src/score/contrast-power.js";
import type { clusterTInterval } from "../src/score/interval.js";
import type { differenceOf, differencesOver, rightOf, tableOf } from "../src/score/comparison/difference.js";
import type { judgeChange } from "../src/score/comparison/judge-change.js";
import type { judgeDifference } from "../src/score/comparison/judge.js";
import type { compareOverall, pairTrials } from "../src/score/comparison/comparison.js";
import type { measureNetOfSkill } from "../src/score/comparison/net-of-skill.js";
import type { hierarchicalDraws, resamplingOf, valuesIn } from "../src/score/resampling.js";
import type { signFlipTest } from "../src/score/comparison/tests.js";
import type { stringContributions } from "../src/score/comparison/difference.js";
import type { fitMatrix } from "../src/score/matrix/fit.js";
import type { matrixCells } from "../src/score/matrix/cells.js";
import type { matrixVerdicts } from "../src/score/verdicts/matrix-verdict.js";
import type { onMissScale } from "../src/score/matrix/fit.js";
import type { percentileInterval } from "../src/score/interval.js";
import type { powerOf } from "../src/score/power-analysis.js";

/** What is put to the test. */
export interface Scoring {
  readonly clopperPearsonInterval: typeof clopperPearsonInterval;
  readonly clusterTInterval: typeof clusterTInterval;
  readonly contrastPower: typeof contrastPower;
  readonly differenceOf: typeof differenceOf;
  readonly differencesOver: typeof differencesOver;
  readonly fitMatrix: typeof fitMatrix;
  readonly hierarchicalDraws: typeof hierarchicalDraws;
  readonly judgeChange: typeof judgeChange;
  readonly judgeDifference: typeof judgeDifference;
  readonly compareOverall: typeof compareOverall;
  readonly measureNetOfSkill: typeof measureNetOfSkill;
  readonly matrixCells: typeof matrixCells;
  readonly matrixVerdicts: typeof matrixVerdicts;
  readonly onMissScale: typeof onMissScale;
  readonly pairTrials: typeof pairTrials;
  readonly percentileInterval: typeof percentileInterval;
  readonly powerOf: typeof powerOf;
  readonly resamplingOf: typeof resamplingOf;
  readonly rightOf: typeof rightOf;
  readonly signFlipTest: typeof signFlipTest;
  readonly stringContributions: typeof stringContributions;
  readonly tableOf: typeof tableOf;
  readonly valuesIn: typeof valuesIn;
}
