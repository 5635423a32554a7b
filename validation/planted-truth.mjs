// Studies whose truth is known: made-up states with a planted amount of privileged access, skill, shared heuristics, likeness and
// failures of format, on strings and tasks that cluster. Pure: a world and a seed give the same trials everywhere.
import { uniformFloat64 } from "pure-rand/distribution/uniformFloat64";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";

const VALUES = [];

/**
 * Trials of every predictor about every target of a world (its types stand in planted-truth.d.mts).
 * What a state does about (string, property): what a simple rule on the string says (`rule`), else what most states do (`likeness`), else its own.
 * What it predicts: the target's behavior if it has access (self only) or skill; else the simple rule's value (`heuristic`), else what it does itself
 * (`projection`), else a guess from the target's own histogram. Last, a reply may fail its format, and is wrong.
 * Clustering: on a share `alike` of the strings each of these draws is the same for all properties; on a share `shared` skill and
 * access are drawn once for all predictors, so that strings are hard for all of them. Chances stay exactly what the world says.
 */
export function simulateStudy(world, seed) {
  const random = xoroshiro128plus(mixed(seed));
  for (let skipped = 0; skipped < 64; skipped++) random.next();
  const draw = () => uniformFloat64(random);
  const { states, properties, alike, shared, rule } = world;
  const trials = [];
  world.strings.forEach((strings, task) => {
    const offset = world.taskOffsets[task] ?? 0;
    const own = states.map((_, state) => world.stateTaskOffsets?.[state]?.[task] ?? 0);
    for (let string = 0; string < strings; string++) {
      const stream = draw() < alike ? repeated(draw) : fresh(draw);
      const together = draw() < shared;
      for (let property = 0; property < properties; property++) {
        const rows = { draw, at: stream(), states, rule, offset, own, together };
        const heuristic = drawn(world.values, draw());
        const behaviors = behave(rows, heuristic, world.values);
        for (const [predictor, target] of world.pairs) {
          trials.push({
            target: states[target].name,
            predictor: states[predictor].name,
            task: `task${task}`,
            item: `s${string}`,
            property: `p${property}`,
            variant: "plain",
            behavior: value(behaviors[target]),
            objectCompliance: { ok: true },
            prediction: predict(rows, predictor, target, heuristic, behaviors, world),
            heuristics: { planted_rule: value(heuristic) },
            minMargin: 1,
          });
        }
      }
    }
  });
  return trials;
}

/** Expected accuracies, likenesses and similarities of a world: exact, no simulation. */
export function truthOf(world) {
  const { states, strings, rule } = world;
  const all = strings.reduce((sum, count) => sum + count, 0);
  const squares = world.values.reduce((sum, share) => sum + share ** 2, 0);
  const histogram = (state) => {
    const own = state.values ?? world.values;
    const common = rule + (1 - rule) * state.likeness;
    return world.values.map((share, at) => common * share + (1 - common) * (own[at] ?? 0));
  };
  const similarity = (first, second) => {
    if (first === second) return 1;
    const [a, b] = [states[first], states[second]];
    const both = rule ** 2 + (1 - rule) ** 2 * a.likeness * b.likeness;
    const [one, other] = [histogram(a), histogram(b)];
    const apart = one.reduce((sum, share, at) => sum + share * (other[at] ?? 0), 0);
    // Sums of squares apart from the joint draws: with one histogram for all, both + (1 − both) · squares.
    return both * (1 - squares) + apart;
  };
  const accuracy = (predictor, target) => {
    const [self, about] = [states[predictor], states[target]];
    const shares = histogram(about);
    const guess = shares.reduce((sum, share) => sum + share ** 2, 0);
    const heuristicRight = rule + shares.reduce((sum, share, at) => sum + share * world.values[at], 0) - rule * squares;
    const { heuristic, projection } = self;
    const rest = 1 - heuristic - projection;
    const without = heuristic * heuristicRight + projection * similarity(predictor, target) + rest * guess;
    const right = strings.reduce((sum, count, task) => {
      const known = knows(self, predictor === target, taskOffset(world, predictor, task));
      return sum + (count / all) * (known + (1 - known) * without);
    }, 0);
    return (1 - self.formatFailures) * right;
  };
  return { accuracy, similarity };
}

/** A state with nothing planted but what is named. */
export function plantedState(name, planted = {}) {
  return { name, access: 0, skill: 0, heuristic: 0, projection: 0, formatFailures: 0, likeness: 0, ...planted };
}

/** A world of two tasks, four properties and clustered strings, but for what is named. */
export function plantedWorld(rest) {
  const all = rest.states.flatMap((_, predictor) => rest.states.map((_, target) => [predictor, target]));
  return {
    strings: [50, 50],
    properties: 4,
    values: [0.4, 0.25, 0.15, 0.1, 0.1],
    alike: 0.4,
    shared: 0.3,
    rule: 0,
    taskOffsets: [0.1, -0.1],
    pairs: all,
    ...rest,
  };
}

function behave({ draw, states, rule }, heuristic, values) {
  const common = drawn(values, draw());
  return states.map((state) => {
    if (draw() < rule) return heuristic;
    return draw() < state.likeness ? common : drawn(state.values ?? values, draw());
  });
}

function predict({ draw, at, states, offset, own, together, rule }, predictor, target, heuristic, behaviors, world) {
  const state = states[predictor];
  if (at(`format/${predictor}/${target}`) < state.formatFailures) return { ok: false, reason: "refusal" };
  const hit = at(together ? `hit/${target}` : `hit/${predictor}/${target}`);
  if (hit < knows(state, predictor === target, offset + own[predictor])) return value(behaviors[target]);
  const way = at(`way/${predictor}/${target}`);
  if (way < state.heuristic) return value(heuristic);
  if (way < state.heuristic + state.projection) return value(behaviors[predictor]);
  const about = states[target];
  const common = draw() < rule + (1 - rule) * about.likeness;
  return value(drawn(common ? world.values : (about.values ?? world.values), draw()));
}

/** The chance of knowing the answer without guessing; offsets of tasks move skill. */
function knows(state, self, offset) {
  const skill = Math.min(1, Math.max(0, state.skill === 0 ? 0 : state.skill + offset));
  return self ? state.access + (1 - state.access) * skill : skill;
}

function taskOffset(world, state, task) {
  return (world.taskOffsets[task] ?? 0) + (world.stateTaskOffsets?.[state]?.[task] ?? 0);
}

/** One uniform number per name for all properties of a string. */
function repeated(draw) {
  const known = new Map();
  return () => (name) => {
    if (!known.has(name)) known.set(name, draw());
    return known.get(name);
  };
}

/** Numbers of their own for every property; predictors that share one still do. */
function fresh(draw) {
  return () => {
    const known = new Map();
    return (name) => {
      if (!known.has(name)) known.set(name, draw());
      return known.get(name);
    };
  };
}

/** @param shares that sum to 1 @returns which of them holds the number, from 0 */
export function drawn(shares, uniform) {
  let sum = 0;
  for (let at = 0; at < shares.length; at++) {
    sum += shares[at];
    if (uniform < sum) return at;
  }
  return shares.length - 1;
}

/** One object for each value: trials are many, and nobody writes to them. */
function value(at) {
  VALUES[at] ??= { ok: true, value: `v${at}` };
  return VALUES[at];
}

/** Neighbouring seeds far apart (an odd multiplier, then the high bits into the low ones). */
function mixed(seed) {
  const times = Math.imul(seed + 1, 0x9e3779b1);
  return (times ^ (times >>> 15)) | 0;
}
