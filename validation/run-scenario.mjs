// A scenario's studies, one after another, counted.

/**
 * @param settings confidence and bootstrapReplicates; noiseFloorNats plays no part in what is judged here
 * @returns shares with their exact 95 % intervals: how far 1,000 studies themselves can be off
 */
export function runScenario(scoring, scenario, { replications, firstSeed, confidence, bootstrapReplicates }) {
  const counts = new Map(Object.keys(scenario.measures).map((name) => [name, { count: 0, of: 0 }]));
  const sums = new Map();
  for (let replication = 0; replication < replications; replication++) {
    const seed = firstSeed + replication;
    const settings = { confidence, bootstrapReplicates, bootstrapSeed: seed, noiseFloorNats: 0 };
    const { seen, numbers } = scenario.study(scoring, seed, settings);
    for (const [name, outcome] of Object.entries(seen)) {
      const counted = counts.get(name);
      if (outcome === undefined) continue;
      counted.of++;
      if (outcome) counted.count++;
    }
    for (const [name, number] of Object.entries(numbers)) {
      if (number === undefined) continue;
      const { sum, of } = sums.get(name) ?? { sum: 0, of: 0 };
      sums.set(name, { sum: sum + number, of: of + 1 });
    }
  }
  return {
    name: scenario.name,
    question: scenario.question,
    replications,
    measures: [...counts].map(([name, counted]) => measured(scoring, name, scenario.measures[name], counted)),
    means: Object.fromEntries([...sums].map(([name, { sum, of }]) => [name, Number((sum / of).toPrecision(6))])),
  };
}

function measured(scoring, name, { what, within }, { count, of }) {
  if (of === 0) return { name, what, count, of };
  const share = count / of;
  const { low, high } = scoring.clopperPearsonInterval({ count, of }, 0.95);
  return {
    name,
    what,
    count,
    of,
    share,
    low: Number(low.toFixed(4)),
    high: Number(high.toFixed(4)),
    ...(within ? { within, ok: share >= within[0] && share <= within[1] } : {}),
  };
}
