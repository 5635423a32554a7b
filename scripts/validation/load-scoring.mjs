// The built functions that are put to the test: dist/ must be there (npm run build).
const dist = (path) => import(new URL(`../../dist/score/${path}.js`, import.meta.url).href);

export async function loadScoring() {
  const modules = await Promise.all(
    [
      "comparison/pair-trials",
      "comparison/resampling",
      "comparison/difference-over",
      "comparison/judge-difference",
      "comparison/sign-flip",
      "comparison/string-contributions",
      "comparison/cluster-t-interval",
      "matrix/matrix-cells",
      "matrix/fit-matrix",
      "matrix/miss-scale",
      "power/power-of",
      "percentile-interval",
      "clopper-pearson",
    ].map(dist),
  );
  return Object.assign({}, ...modules);
}
