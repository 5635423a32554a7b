// What inward's own statistics say of a made-up study. The functions are handed in, so that a test brings src/ and a script dist/.

/** Self against cross, as a run is judged, and the intervals that could stand in its place. */
export function judgeContrast(scoring, trials, contrast, settings) {
  const { paired } = scoring.pairTrials(trials, [contrast]);
  const input = {
    paired,
    contrasts: [contrast],
    resampling: scoring.resamplingOf(trials, settings),
    settings,
    over: "paired trials",
    multiplicity: "none",
  };
  const [micro, macro] = scoring.differencesOver(input);
  const complying = paired.filter(({ self, cross }) => self.prediction.ok && cross.prediction.ok);
  const rows = rowsOf(scoring, paired);
  const signFlip = flip(scoring, rows, settings);
  const { finding } = scoring.judgeDifference(
    { difference: micro.difference, signFlip, hierarchical: { ok: false, reason: "not judged here" } },
    settings,
  );
  return {
    input,
    rows,
    micro,
    macro,
    signFlip,
    finding,
    t: scoring.clusterTInterval(rows, "micro", settings.confidence),
    ...(complying.length === paired.length
      ? { compliant: micro, compliantSignFlip: signFlip }
      : {
          compliant: scoring.differencesOver({ ...input, paired: complying })[0],
          compliantSignFlip: flip(scoring, rowsOf(scoring, complying), settings),
        }),
  };
}

/** The paired trials of a contrast as rows of differences. */
export function rowsOf(scoring, paired) {
  return paired.map((pair) => {
    const [self, cross] = scoring.rightOf(pair);
    const { task, item, property } = pair.self;
    return { task, item, property, difference: self - cross };
  });
}

/** Everybody about everybody, with its draws. */
export function matrixOf(
  scoring,
  trials,
  { bootstrapReplicates: replicates, bootstrapSeed: seed },
  similarity = false,
) {
  return scoring.matrixCells(trials, { kind: "micro", replicates, seed, similarity });
}

/** The self effect of the matrix fit, with its interval. */
export function judgeMatrix(scoring, { cells, clusters, tasks }, { bootstrapReplicates: replicates, confidence }) {
  const fit = scoring.fitMatrix(cells, { bootstrap: { replicates, clusters, tasks, confidence } });
  if (!fit.ok) return undefined;
  const { value, interval } = fit.coefficients.find(({ name }) => name === "self");
  return interval.ok ? { ok: true, value, low: interval.low, high: interval.high } : { ok: false, value };
}

/** What the matrix's verdict says of these cells: it takes both scales, and needs no likeness where cells have none. */
export function judgeMatrixVerdict(scoring, { cells, clusters, tasks }, settings) {
  const bootstrap = { replicates: settings.bootstrapReplicates, clusters, tasks, confidence: settings.confidence };
  const form = { predictors: "all", average: "micro", form: "similarity" };
  const fits = [
    { ...form, scale: "accuracy", fit: scoring.fitMatrix(cells, { bootstrap }) },
    { ...form, scale: "miss", fit: scoring.fitMatrix(scoring.onMissScale(cells), { bootstrap }) },
  ];
  const names = [...new Set(cells.map(({ predictor }) => predictor))];
  const states = names.map((name) => ({ name, model: name, trained: false }));
  const song = { ok: false, reason: "not measured" };
  return scoring.matrixVerdicts({ clusters, intervalMethod: "", states, fits, preferences: [], song })[0];
}

/** Percentiles of replicates that draw tasks, and their strings. */
export function hierarchicalInterval(scoring, { input }, settings) {
  const { resampling } = input;
  const table = scoring.tableOf(input);
  const draws = scoring.hierarchicalDraws(resampling, [...resampling.tasks.keys()], 1);
  const [values] = scoring.valuesIn(table, draws, [scoring.differenceOf(table, "micro")]);
  return { ok: true, ...scoring.percentileInterval(Float64Array.from(values), settings.confidence) };
}

function flip(scoring, rows, { bootstrapSeed }) {
  return scoring.signFlipTest(scoring.stringContributions(rows, "micro"), { draws: 1000, seed: bootstrapSeed });
}
