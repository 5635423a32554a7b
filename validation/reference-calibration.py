"""Expected calibration scores from numpy, scipy and pandas, computed apart from inward's own code, for tests/unit/score-calibration-reference.test.ts.

Makes synthetic distributions from a fixed seed and prints them as JSON together with what their scores must be.
tests/fixtures/score/README.md has the command.
"""

import json
import warnings
from collections import Counter

import numpy as np
import pandas as pd
from scipy.stats import entropy, norm, pearsonr, spearmanr
from scipy.stats import t as student

SEED = 20261125
REPLICATES = 1500
CONFIDENCE = 0.95
MIXING = 0.01
TASKS = {"animals": 24, "numbers": 31}
VALUES = {"first_letter": list("abcdefg"), "is_even": ["false", "true"]}
TARGET = "m"
PREDICTORS = {"m1": "self", "m": "untrained", "n1": "cross"}
SAMPLES, PROCEDURES = 20, 400
rng = np.random.default_rng(SEED)
# A stream of its own, so that what was there before stays.
sampling = np.random.default_rng(SEED + 1)


def rounded(probabilities):
    return {value: round(float(p), 5) for value, p in probabilities.items() if p > 5e-6}


def make_lines():
    """Lines [side, state, task, item, property, values, not compliant, tail]; some strings lack a side, some show no value."""
    lines = []
    for task, strings in TASKS.items():
        for number in range(strings):
            item = f"s{number:03d}"
            for prop, values in VALUES.items():
                p = rng.dirichlet(np.full(len(values), 0.4))
                mass, tail = (0.0, 0.0) if rng.random() < 0.05 else (0.7 + 0.3 * rng.random(), 0.02 * rng.random())
                shown = rounded({v: mass * (1 - tail) * x for v, x in zip(values, p) if x > 0.01})
                lines.append(["object_level", TARGET, task, item, prop, shown, round(tail, 5)])
                for predictor, kind in PREDICTORS.items():
                    if kind == "cross" and rng.random() < 0.2:
                        continue
                    mix = {"self": 0.7, "untrained": 0.2, "cross": 0.4}[kind]
                    q = mix * p + (1 - mix) * rng.dirichlet(np.full(len(values), 0.6))
                    tail = 0.03 * rng.random()
                    said = (1 - tail) * (0.5 + 0.5 * rng.random())
                    shown = rounded({v: said * x for v, x in zip(values, q) if x > 0.02})
                    lines.append(["hypothetical", predictor, task, item, prop, shown, round(tail, 5)])
    return lines


def comparisons(lines, predictor):
    """(task, item, prop) -> (p_obj renormalized, p_hyp, mass of p_obj, tail of p_obj, tail of p_hyp)."""
    target = {tuple(line[2:5]): line for line in lines if line[0] == "object_level"}
    found = {}
    for line in lines:
        if line[0] != "hypothetical" or line[1] != predictor:
            continue
        behavior = target[tuple(line[2:5])]
        mass = sum(behavior[5].values())
        if mass > 0:
            p = {value: share / mass for value, share in behavior[5].items()}
            found[tuple(line[2:5])] = (p, line[5], mass, behavior[6], line[6])
    return found


def constant_of(lines):
    cells = {}
    for key, (p, *_rest) in comparisons(lines, "m").items():
        cells.setdefault((key[0], key[2]), {})[key[1]] = p
    def constant(task, item, prop):
        others = [p for name, p in cells[task, prop].items() if name != item]
        return {v: float(np.mean([p.get(v, 0.0) for p in others])) for v in VALUES[prop]}
    seen = {cell: len({v for p in strings.values() for v in p}) for cell, strings in cells.items()}
    return constant, seen


def points(rows, rank=None):
    found = []
    for (task, item, _), (p, q, *_rest) in rows:
        top = sorted(p, key=lambda value: (-p[value], value))[:3]
        for place, value in enumerate(top):
            if rank is None or place == rank:
                found.append((p[value], q.get(value, 0.0)))
    return np.array(found).reshape(-1, 2)


def mad(xy):
    bins = pd.qcut(pd.Series(xy[:, 0]), 10, duplicates="drop")
    means = pd.DataFrame(xy, columns=["p", "q"]).groupby(bins, observed=True).mean()
    return float(100 * (means.p - means.q).abs().mean())


def twenty(shares):
    """Twenty draws, counted; what is left of 1 is a reply without a value."""
    values = [*shares, None]
    left = max(0.0, 1 - sum(shares.values()))
    p = np.array([*shares.values(), left])
    return Counter(values[at] for at in sampling.choice(len(values), size=SAMPLES, p=p / p.sum()))


def mad20(rows):
    """MAD as the paper's scripts have it: 20 answers, 20 predictions, the three values seen most often."""
    found = []
    for _ in range(PROCEDURES):
        xy = []
        for _, (p, q, *_rest) in rows:
            done, said = twenty(p), twenty(q)
            xy += [(n / SAMPLES, said[value] / SAMPLES) for value, n in done.most_common(3) if value is not None]
        found.append(mad(np.array(xy)))
    return {"value": float(np.mean(found)), "standardDeviation": float(np.std(found)), "procedures": PROCEDURES}


def complying(rows):
    """Replies with a value alone."""
    return [(key, (p, {v: x / sum(q.values()) for v, x in q.items()}, *rest)) for key, (p, q, *rest) in rows if sum(q.values()) > 0]


def brier(p, q):
    """As it is defined: the expectation over a behavior drawn from p."""
    values = sorted(set(p) | set(q))
    return sum(p[v] * sum(((u == v) - q.get(u, 0.0)) ** 2 for u in values) for v in p)


def variation(p, q):
    """Half the summed distance with "no value" as an outcome of its own."""
    values = sorted(set(p) | set(q))
    return 0.5 * (sum(abs(p.get(u, 0.0) - q.get(u, 0.0)) for u in values) + 1 - sum(q.values()))


def kl(p, q, seen):
    """scipy's entropy would normalize q, so what is missing from 1 is an outcome of its own."""
    mixed = [(1 - MIXING) * q.get(v, 0.0) + MIXING / seen for v in p]
    return float(entropy([*p.values(), 0.0], [*mixed, 1 - sum(mixed)]))


def ece(rows):
    tops = [(max(q.values()), p.get(min(q, key=lambda v: (-q[v], v)), 0.0)) for _, (p, q, *_rest) in rows if q]
    held, done = np.array(tops).T
    bins = np.minimum(np.digitize(held, np.arange(1, 10) / 10), 9)
    return float(sum(abs((held - done)[bins == b].sum()) for b in range(10)) / len(tops))


def rank_correlation(p, q):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        x, y = list(p.values()), [q.get(v, 0.0) for v in p]
        return float(spearmanr(x, y).statistic) if len(p) > 1 and len(set(x)) > 1 and len(set(y)) > 1 else float("nan")


def means_of(rows, seen):
    return {
        "brier": np.array([brier(p, q) for _, (p, q, *_r) in rows]),
        "excessBrier": np.array([brier(p, q) - brier(p, p) for _, (p, q, *_r) in rows]),
        "totalVariation": np.array([variation(p, q) for _, (p, q, *_r) in rows]),
        "klNats": np.array([kl(p, q, seen[key[0], key[2]]) for key, (p, q, *_r) in rows]),
        "rankCorrelation": np.array([rank_correlation(p, q) for _, (p, q, *_r) in rows]),
    }


def metrics(rows, seen):
    xy = points(rows)
    values = {"madPoints": mad(xy), "pearson": float(pearsonr(*xy.T).statistic), "spearman": float(spearmanr(*xy.T).statistic),
              "expectedCalibrationError": ece(rows)}
    return {**values, **{name: float(np.nanmean(each)) for name, each in means_of(rows, seen).items()}}


def resample(rows):
    """Strings of a task are drawn together, with all their rows."""
    groups = {}
    for row in rows:
        groups.setdefault(row[0][:2], []).append(row)
    drawn = []
    for task, strings in TASKS.items():
        for number in rng.integers(strings, size=strings):
            drawn += groups.get((task, f"s{number:03d}"), [])
    return drawn


def interval(replicates, strings):
    """Expanded percentiles (Hesterberg 2015), by Student's t with strings - tasks degrees of freedom."""
    degrees = max(1, len(strings) - len({task for task, _ in strings}))
    tail = 100 * norm.cdf(-student.ppf((1 + CONFIDENCE) / 2, degrees) * np.sqrt(len(strings) / degrees))
    low, high = np.percentile(replicates, [tail, 100 - tail])
    return {"low": float(low), "high": float(high), "standardError": float(np.std(replicates))}


def scope(found, seen, constant, prop):
    rows = [(key, row) for key, row in found.items() if prop is None or key[2] == prop]
    fixed = [(key, (row[0], constant(*key), *row[2:])) for key, row in rows]
    expected = metrics(rows, seen)
    other = metrics(fixed, seen)
    own = dict(zip([key for key, _ in rows], np.array(list(means_of(rows, seen).values())).T))
    averaged = list(means_of(rows, seen))
    bootstrap = {name: [] for name in ["madPoints", "pearson", "spearman", "expectedCalibrationError", *averaged, "skill"]}
    reference = {key: brier(row[0], row[1]) for key, row in fixed}
    for _ in range(REPLICATES):
        drawn = resample(rows)
        xy = points(drawn)
        bootstrap["madPoints"].append(mad(xy))
        bootstrap["pearson"].append(pearsonr(*xy.T).statistic)
        bootstrap["spearman"].append(spearmanr(*xy.T).statistic)
        bootstrap["expectedCalibrationError"].append(ece(drawn))
        means = dict(zip(averaged, np.nanmean([own[key] for key, _ in drawn], axis=0)))
        for name, mean in means.items():
            bootstrap[name].append(mean)
        bootstrap["skill"].append(1 - means["brier"] / np.mean([reference[key] for key, _ in drawn]))
    among = complying(rows)
    beside = [(key, (row[0], constant(*key))) for key, row in among]
    mean_brier = lambda some: float(np.mean([brier(row[0], row[1]) for _, row in some]))
    return {
        "mad20": mad20(rows), "constantMad20": mad20(fixed),
        "compliant": {"comparisons": len(among), "madPoints": mad(points(among)), "brier": mean_brier(among),
                      "totalVariation": float(np.mean([variation(row[0], row[1]) for _, row in among])),
                      "skill": 1 - mean_brier(among) / mean_brier(beside), "mad20": mad20(among)},
        "comparisons": len(rows), "points": len(points(rows)), "strings": len({key[:2] for key, _ in rows}),
        "metrics": expected, "constant": other, "madByRankPoints": [mad(points(rows, 0)), mad(points(rows, 1))],
        "skill": 1 - expected["brier"] / other["brier"],
        "objectCompliantMass": float(np.mean([row[2] for _, row in rows])),
        "bootstrap": {name: interval(replicates, {key[:2] for key, _ in rows}) for name, replicates in bootstrap.items()},
    }


def difference(first, second):
    keys = [key for key in first if key in second]
    one, other = ([(key, found[key]) for key in keys] for found in (first, second))
    gap = lambda score: float(np.mean([score(*row[:2]) for _, row in one]) - np.mean([score(*row[:2]) for _, row in other]))
    # Both sides of a drawn string move together.
    gaps = {name: {key: score(*first[key][:2]) - score(*second[key][:2]) for key in keys}
            for name, score in [("brier", brier), ("totalVariation", variation)]}
    bootstrap = {"madPoints": [], "brier": [], "totalVariation": []}
    for _ in range(REPLICATES):
        drawn = [key for key, _ in resample(one)]
        bootstrap["madPoints"].append(mad(points([(key, first[key]) for key in drawn])) - mad(points([(key, second[key]) for key in drawn])))
        for name, own in gaps.items():
            bootstrap[name].append(np.mean([own[key] for key in drawn]))
    strings = {key[:2] for key in keys}
    return {"comparisons": len(keys), "madPoints": mad(points(one)) - mad(points(other)), "brier": gap(brier),
            "totalVariation": gap(variation),
            "bootstrap": {name: interval(replicates, strings) for name, replicates in bootstrap.items()}}


def main():
    lines = make_lines()
    constant, seen = constant_of(lines)
    found = {predictor: comparisons(lines, predictor) for predictor in PREDICTORS}
    print(json.dumps({
        "confidence": CONFIDENCE,
        "replicates": REPLICATES,
        "klMixing": MIXING,
        "lineFields": ["side", "state", "task", "item", "property", "values", "tail"],
        "lines": lines,
        "pairs": [{"predictor": predictor, "target": TARGET, "kind": kind} for predictor, kind in PREDICTORS.items()],
        "rows": [{"predictor": predictor, "property": prop, **scope(found[predictor], seen, constant, prop)}
                 for predictor in PREDICTORS for prop in [None, *VALUES]],
        "differences": [{"minus": other, **difference(found["m1"], found[other])} for other in ["m", "n1"]],
    }, separators=(",", ":")).replace('],[', '],\n[').replace('},{', '},\n{'))


if __name__ == "__main__":
    main()
