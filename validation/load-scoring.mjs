// The built functions that are put to the test: dist/ must be there (npm run build).
const dist = (path) => import(new URL(`../dist/score/${path}.js`, import.meta.url).href);

export async function loadScoring() {
  const modules = await Promise.all(
    [
      "comparison/comparison",
      "comparison/difference",
      "comparison/judge",
      "comparison/judge-change",
      "comparison/net-of-skill",
      "comparison/tests",
      "matrix/cells",
      "matrix/fit",
      "contrast-power",
      "interval",
      "power-analysis",
      "probability",
      "resampling",
      "verdicts/matrix-verdict",
    ].map(dist),
  );
  return Object.assign({}, ...modules);
}
