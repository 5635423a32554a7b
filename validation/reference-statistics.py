"""Expected statistics from numpy and scipy, computed apart from inward's own code, for tests/unit/score-reference.test.ts.

Makes a synthetic set of trials from a fixed seed and prints it as JSON together with what the scores must be.
tests/fixtures/score/README.md has the command.
"""

import json
from collections import Counter

import numpy as np
from scipy.stats import binomtest, entropy, norm
from scipy.stats import t as student

SEED = 20261124
REPLICATES = 20_000
CONFIDENCE = 0.95
NOISE_FLOOR = 0.1
TASKS = {"animals": 40, "numbers": 25, "words": 60}
PROPERTIES = ["first_letter", "is_even", "last_word"]
VALUES = {"first_letter": list("abcde"), "is_even": ["false", "true"], "last_word": ["cat", "dog", "elk"]}
rng = np.random.default_rng(SEED)


def make_trials():
    """Rows of a string share a difficulty, so they are correlated; some answers and replies do not comply."""
    rows, labels = [], []
    for task, strings in TASKS.items():
        weights = {prop: rng.dirichlet(np.ones(len(VALUES[prop]))) for prop in PROPERTIES}
        for number in range(strings):
            skill = rng.beta(1.0, 1.5)
            complies = bool(rng.random() < 0.9)
            for prop in PROPERTIES:
                behavior = str(rng.choice(VALUES[prop], p=weights[prop])) if rng.random() < 0.95 else None
                guess = behavior if rng.random() < skill else str(rng.choice(VALUES[prop]))
                prediction = guess if rng.random() < 0.8 else None
                rule = str(rng.choice(VALUES[prop])) if rng.random() < 0.9 else None
                margin = round(float(rng.exponential(0.5)), 3)
                rows.append([task, f"s{number:03d}", prop, complies, behavior, prediction, rule, margin])
        for prop in PROPERTIES:
            labels += [[task, prop, str(value)] for value in rng.choice(VALUES[prop], p=weights[prop], size=30)]
    return rows, labels


def most_common(values):
    counts = Counter(values)
    return min(counts, key=lambda value: (-counts[value], value))


def points_of(rows, labels):
    """measure -> list of (task, item, property, points) over the trials that the measure counts."""
    scored = [row for row in rows if row[3] and row[4] is not None]
    measures = {name: [] for name in
                ["accuracy", "accuracyWhenCompliant", "accuracyAboveNoiseFloor", "modeBaselineTrain",
                 "modeBaselineOracle", "aboveModeTrain", "last_item"]}
    for task, item, prop, _, behavior, prediction, rule, margin in scored:
        train = most_common([value for t, p, value in labels if (t, p) == (task, prop)])
        oracle = most_common([row[4] for row in scored if (row[0], row[2]) == (task, prop)])
        right = int(prediction is not None and prediction == behavior)
        where = (task, item, prop)
        measures["accuracy"].append((*where, right))
        if prediction is not None:
            measures["accuracyWhenCompliant"].append((*where, right))
        if margin > NOISE_FLOOR:
            measures["accuracyAboveNoiseFloor"].append((*where, right))
        measures["modeBaselineTrain"].append((*where, int(behavior == train)))
        measures["modeBaselineOracle"].append((*where, int(behavior == oracle)))
        measures["aboveModeTrain"].append((*where, right - int(behavior == train)))
        measures["last_item"].append((*where, int(rule is not None and rule == behavior)))
    return measures


DRAWS = {task: rng.multinomial(strings, np.full(strings, 1 / strings), size=REPLICATES) for task, strings in TASKS.items()}


def sums(points, task, prop):
    """Per replicate: points and trials of one cell; the last entry is the data set itself."""
    amount, count = np.zeros(TASKS[task]), np.zeros(TASKS[task])
    for t, item, p, value in points:
        if (t, p) == (task, prop):
            amount[int(item[1:])] += value
            count[int(item[1:])] += 1
    return (np.append(DRAWS[task] @ amount, amount.sum()), np.append(DRAWS[task] @ count, count.sum()))


def tail_of(clusters, tasks):
    """Percent below the lower limit: expanded percentiles (Hesterberg 2015), by Student's t with clusters - tasks degrees of freedom."""
    degrees = max(1, clusters - tasks)
    return 100 * norm.cdf(-student.ppf((1 + CONFIDENCE) / 2, degrees) * np.sqrt(clusters / degrees))


def summary(means, points):
    replicates, value = means[:-1], means[-1]
    clusters = {point[:2] for point in points}
    tail = tail_of(len(clusters), len({task for task, _ in clusters}))
    low, high = np.nanpercentile(replicates, [tail, 100 - tail])
    return {"value": float(value), "low": float(low), "high": float(high), "n": len(points),
            "clusters": len(clusters),
            "standardError": float(np.nanstd(replicates))}


def scores(measures):
    cells, averages = [], {"micro": {}, "macro": {}}
    for name, points in measures.items():
        parts = {(task, prop): sums(points, task, prop) for task in TASKS for prop in PROPERTIES}
        for (task, prop), (amount, count) in parts.items():
            here = [point for point in points if (point[0], point[2]) == (task, prop)]
            cells.append({"task": task, "property": prop, "measure": name, **summary(amount / count, here)})
        micro = sum(amount for amount, _ in parts.values()) / sum(count for _, count in parts.values())
        averages["micro"][name] = summary(micro, points)
        averages["macro"][name] = summary(np.mean([amount / count for amount, count in parts.values()], axis=0), points)
    return {"cells": cells, **averages}


def wilson(count, of, confidence):
    interval = binomtest(count, of).proportion_ci(confidence, method="wilson")
    return {"count": count, "of": of, "confidence": confidence, "low": interval.low, "high": interval.high}


def unanimous(of, confidence):
    interval = binomtest(of, of).proportion_ci(confidence, method="exact")
    return {"clusters": of, "confidence": confidence, "low": interval.low, "high": interval.high}


def main():
    rows, labels = make_trials()
    histograms = [[1], [7, 7], [1, 2, 3, 4], [100, 1], [25] * 4, [60, 30, 6, 3, 1]]
    print(json.dumps({
        "confidence": CONFIDENCE,
        "replicates": REPLICATES,
        "noiseFloorNats": NOISE_FLOOR,
        "entropy": [{"counts": counts, "bits": float(entropy(counts, base=2))} for counts in histograms],
        "wilson": [wilson(*case) for case in
                   [(0, 1, 0.95), (1, 1, 0.95), (0, 20, 0.95), (1, 20, 0.9), (7, 30, 0.99), (50, 100, 0.95),
                    (299, 300, 0.999), (13, 13, 0.6)]],
        "unanimous": [unanimous(*case) for case in [(2, 0.95), (10, 0.95), (50, 0.9), (300, 0.99)]],
        "percentile": [{"numbers": numbers, "confidence": confidence,
                        "low": float(np.percentile(numbers, 50 * (1 - confidence))),
                        "high": float(np.percentile(numbers, 50 * (1 + confidence)))}
                       for numbers, confidence in [([3, 1, 2], 0.95), ([5], 0.9), (list(range(11)), 0.8), ([0, 0, 1, 1, 7, 9], 0.5)]],
        "normal": [{"z": z, "below": float(norm.cdf(z))} for z in [-37, -12.5, -5, -3.0001, -2.9999, -1, -1e-9, 0, 0.3, 1.959964, 4, 9]],
        "normalQuantile": [{"probability": p, "z": float(norm.ppf(p))} for p in [1e-200, 1e-9, 0.001, 0.025, 0.2, 0.5, 0.9, 0.975, 0.99999]],
        "student": [{"t": x, "degreesOfFreedom": df, "below": float(student.cdf(x, df))}
                    for x in [-30, -2.5, -0.01, 0.7, 2, 8] for df in [1, 1.7, 3, 19, 59.3, 400, 20000]],
        "studentQuantile": [{"probability": p, "degreesOfFreedom": df, "t": float(student.ppf(p, df))}
                            for p in [0.55, 0.9, 0.975, 0.9995] for df in [1, 2.4, 7, 48, 1e5]],
        "expandedTail": [{"clusters": n, "tasks": k, "tail": tail_of(n, k) / 100} for n, k in [(5, 1), (20, 1), (50, 10), (200, 4), (3, 3), (20000, 7)]],
        "rowFields": ["task", "item", "property", "answerComplies", "behavior", "prediction", "lastItem", "minMargin"],
        "rows": rows,
        "labelFields": ["task", "property", "value"],
        "labels": labels,
        "scores": scores(points_of(rows, labels)),
    }, separators=(",", ":")).replace('],[', '],\n[').replace('},{', '},\n{'))


if __name__ == "__main__":
    main()
