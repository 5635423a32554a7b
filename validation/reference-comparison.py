"""Expected values from numpy, scipy and statsmodels, computed apart from inward's own code, for tests/unit/score-comparison-reference.test.ts.

Paired comparison of two predictors (with seeds), behavioral change, and the tests that go with them, on synthetic trials from a
fixed seed. tests/fixtures/score/README-comparison.md has the command.
"""

import json
from collections import Counter, defaultdict
from fractions import Fraction

import numpy as np
import pandas as pd
import statsmodels.api as sm
from scipy.stats import binom, binomtest, chi2, norm, permutation_test
from scipy.stats import t as student
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

SEED = 20261125
REPLICATES = 20_000
CONFIDENCE = 0.95
TASKS = {"animals": 24, "colors": 12, "numbers": 15, "stories": 8, "words": 30}
PROPERTIES = ["first_letter", "is_even"]
VALUES = {"first_letter": list("abcd"), "is_even": ["false", "true"]}
SEEDS = 3
rng = np.random.default_rng(SEED)


def make_rows():
    """[task, item, property, behavior, self, cross of each seed, what cross itself does]; rows of a string share a difficulty."""
    rows = []
    for task, strings in TASKS.items():
        skill = rng.normal(0.1, 0.15)
        weights = {prop: rng.dirichlet(np.ones(len(VALUES[prop]))) for prop in PROPERTIES}
        for number in range(strings):
            easy = rng.beta(1.0, 1.2)
            for prop in PROPERTIES:
                draw = lambda: str(rng.choice(VALUES[prop], p=weights[prop]))
                behavior = draw() if rng.random() < 0.95 else None
                guess = lambda chance: (behavior if rng.random() < chance else draw()) if rng.random() < 0.9 else None
                rows.append([task, f"s{number:02d}", prop, behavior, guess(easy + skill),
                             *[guess(easy) for _ in range(SEEDS)], draw()])
    return rows


def paired(rows, seeds, keep=lambda row, cross: True):
    """(task, item, property, seed, behavior, self right, cross right) of the rows with a behavior."""
    return [(row[0], row[1], row[2], seed, row[3], int(row[4] == row[3]), int(row[5 + seed] == row[3]))
            for seed in seeds for row in rows if row[3] is not None and keep(row, row[5 + seed])]


def tail_of(clusters, tasks):
    """Percent below the lower limit: expanded percentiles (Hesterberg 2015), by Student's t with clusters - tasks degrees of freedom."""
    degrees = max(1, clusters - tasks)
    return 100 * norm.cdf(-student.ppf((1 + CONFIDENCE) / 2, degrees) * np.sqrt(clusters / degrees))


def summary(value, replicates, points, levels=False):
    """Where tasks are drawn as well, percentiles are plain ones."""
    strings = {point[:2] for point in points}
    tail = 50 * (1 - CONFIDENCE) if levels else tail_of(len(strings), len({task for task, _ in strings}))
    low, high = np.nanpercentile(replicates, [tail, 100 - tail])
    return {"value": float(value), "low": float(low), "high": float(high), "n": len(points),
            "clusters": len(strings), "standardError": float(np.nanstd(replicates))}


def tensors(points, strata):
    """(task, property, stratum) -> differences and counts, each [seed, string]."""
    cells = defaultdict(lambda: None)
    for task, item, prop, seed, behavior, own, other in points:
        key = (task, prop, behavior if strata else "")
        if cells[key] is None:
            cells[key] = np.zeros((2, SEEDS, TASKS[task]))
        cells[key][:, seed, int(item[1:])] += [own - other, 1]
    return dict(cells)


def means(cells, weights, copies, kind):
    """One replicate: weights[task] is [seed, string], copies[task] how often the task was drawn."""
    by_cell = defaultdict(list)
    for (task, prop, _), cell in cells.items():
        points, count = (cell * weights[task]).sum(axis=(1, 2))
        if count > 0:
            by_cell[task, prop].append((points / count, count))
    total = weight = 0.0
    for (task, _), strata in by_cell.items():
        mean = np.mean([value for value, _ in strata])
        amount = sum(count for _, count in strata) if kind == "micro" else copies[task]
        total, weight = total + amount * mean, weight + amount
    return total / weight if weight else np.nan


def bootstrap(points, kind, strata=False, levels=False, replicates=REPLICATES):
    cells = tensors(points, strata)
    seeds = 1 + max(point[3] for point in points)
    ones = {task: np.ones((SEEDS, strings)) for task, strings in TASKS.items()}
    once = dict.fromkeys(TASKS, 1)
    drawn = []
    for _ in range(replicates):
        copies = once
        seed_weight = np.ones(SEEDS)
        if levels:
            names = list(TASKS)
            copies = Counter({task: 0 for task in TASKS})
            copies.update(names[at] for at in rng.integers(len(names), size=len(names)))
            seed_weight = np.zeros(SEEDS)
            seed_weight[:seeds] = rng.multinomial(seeds, np.full(seeds, 1 / seeds))
        weights = {task: np.outer(seed_weight, rng.multinomial(copies[task] * strings, np.full(strings, 1 / strings)))
                   for task, strings in TASKS.items()}
        drawn.append(means(cells, weights, copies, kind))
    return summary(means(cells, ones, once, kind), np.array(drawn), points, levels)


def flip_exactly(contributions):
    """P(|sum of sign-flipped contributions| >= observed), by counting all patterns in whole numbers of any size."""
    counts = {0: 1}
    for size in contributions:
        after = defaultdict(int)
        for total, ways in counts.items():
            after[total + size] += ways
            after[total - size] += ways
        counts = after
    observed = abs(sum(contributions))
    return float(Fraction(sum(ways for total, ways in counts.items() if abs(total) >= observed), 2 ** len(contributions)))


def flip_by_scipy(contributions):
    """The exact two-sided permutation test of scipy on pairs (contribution, 0)."""
    values = np.array(contributions, float)
    result = permutation_test((values, np.zeros(len(values))), lambda a, b: np.sum(a - b), permutation_type="samples",
                              n_resamples=np.inf, alternative="two-sided")
    return float(result.pvalue)


def by_string(points):
    sums = defaultdict(int)
    for task, item, _, _, _, own, other in points:
        sums[task, item] += own - other
    return [sums[key] for key in sorted(sums)]


def design_effect(points):
    """Clustered over plain variance of the mean difference, both as statsmodels has them for a regression on a constant."""
    values = np.array([own - other for *_, own, other in points], float)
    names = {key: place for place, key in enumerate(sorted({point[:2] for point in points}))}
    groups = np.array([names[point[:2]] for point in points])
    model = sm.OLS(values, np.ones(len(values)))
    clustered = model.fit(cov_type="cluster", cov_kwds={"groups": groups, "use_correction": True}).cov_params()[0, 0]
    return float(clustered / model.fit().cov_params()[0, 0])


def scatter(points, kind):
    """Of the weighted mean difference: per task the strings' influences and contributions, and the sum of all weights."""
    frame = pd.DataFrame([(task, item, prop, own - other) for task, item, prop, _, _, own, other in points],
                         columns=["task", "item", "prop", "difference"])
    cells = frame.groupby(["task", "prop"])["difference"]
    frame["weight"] = 1.0 if kind == "micro" else 1 / cells.transform("size")
    total = frame["weight"].sum()
    mean = (frame["weight"] * frame["difference"]).sum() / total
    frame["contribution"] = frame["weight"] * (frame["difference"] - mean)
    frame["influence"] = frame["weight"] * (frame["difference"] - (mean if kind == "micro" else cells.transform("mean")))
    return mean, total, frame.groupby(["task", "item"])[["weight", "contribution", "influence"]].sum()


def t_and_power(points, kind, difference=0.1, power=0.9):
    """The interval by cluster-robust error and Welch's degrees of freedom, and the strings that a difference takes, by chi-square's limit (Browne 1995)."""
    mean, total, strings = scatter(points, kind)
    variances = strings.groupby("task")["influence"].agg(lambda some: len(some) * some.var(ddof=1))
    counts = strings.groupby("task").size()
    variance = variances.sum()
    degrees = variance ** 2 / (variances ** 2 / (counts - 1)).sum()
    error = np.sqrt(variance) / total
    half = student.ppf((1 + CONFIDENCE) / 2, degrees) * error
    more = degrees / chi2.ppf(0.2, degrees)
    n = len(strings)
    about = ((strings["contribution"] + difference * strings["weight"]) ** 2).sum() + (more * n / (n - 1) - 1) * (strings["contribution"] ** 2).sum()
    rejecting = norm.ppf((1 + CONFIDENCE) / 2) * np.sqrt(about)
    spread = np.sqrt(more * variance)
    times = ((rejecting + norm.ppf(power) * spread) / (difference * total)) ** 2
    return {"value": mean, "low": mean - half, "high": mean + half, "standardError": error, "degreesOfFreedom": degrees,
            "difference": difference, "asked": power, "strings": (times * counts).to_dict(),
            "pilotPower": norm.cdf((difference * total - rejecting) / spread)}


def make_shifts():
    """[task, item, property, before, after, prediction]."""
    rows = []
    for task in ["animals", "words"]:
        for number in range(40):
            for prop in PROPERTIES:
                before = str(rng.choice(VALUES[prop])) if rng.random() < 0.95 else None
                skewed = np.arange(len(VALUES[prop]), 0, -1) ** 2.0
                after = before if rng.random() < 0.4 else str(rng.choice(VALUES[prop], p=skewed / skewed.sum()))
                said = after if rng.random() < 0.5 else before if rng.random() < 0.5 else str(rng.choice(VALUES[prop]))
                rows.append([task, f"s{number:02d}", prop, before, after, said])
    return rows


def shifted(rows):
    return [row for row in rows if row[3] is not None and row[4] is not None and row[3] != row[4]]


def mode_share(values):
    counts = Counter(values)
    return counts[min(counts, key=lambda value: (-counts[value], value))] / len(values)


def shift_scores(rows):
    some = shifted(rows)
    cells = defaultdict(list)
    for row in some:
        cells[row[0], row[2]].append(row)
    share = lambda side: float(np.mean([row[5] == row[side] for row in some]))
    mode = lambda side: float(sum(mode_share([row[side] for row in cell]) * len(cell) for cell in cells.values()) / len(some))
    macro = lambda side: float(np.mean([np.mean([row[5] == row[side] for row in cell]) for cell in cells.values()]))
    return {"shifted": len(some), "micro": {"old": share(3), "new": share(4), "modeOld": mode(3), "modeNew": mode(4)},
            "macro": {"old": macro(3), "new": macro(4)}, "matched": matched_by_drawing(cells)}


def matched_by_drawing(cells, draws=20_000):
    """The paper's way: of each answer keep at random as many rows as the side that has fewer; averaged over many draws."""
    totals = []
    for _ in range(draws):
        right, kept = np.zeros(2), 0
        for cell in cells.values():
            for value in {row[3] for row in cell} & {row[4] for row in cell}:
                sides = [[row for row in cell if row[side] == value] for side in (3, 4)]
                fewer = min(map(len, sides))
                kept += fewer
                for side, rows in enumerate(sides):
                    chosen = rng.choice(len(rows), size=fewer, replace=False)
                    right[side] += sum(rows[at][5] == value for at in chosen)
        totals.append(right / kept)
    return {"n": kept, "old": float(np.mean(totals, axis=0)[0]), "new": float(np.mean(totals, axis=0)[1]),
            "standardError": (np.std(totals, axis=0) / np.sqrt(draws)).tolist()}


def balanced_by_drawing(points, draws=20_000):
    """One cell with every behavior drawn down to the rarest one's number of rows; averaged over many draws."""
    values = defaultdict(list)
    for point in points:
        values[point[4]].append(point[5] - point[6])
    fewest = min(map(len, values.values()))
    means_ = [np.mean([rng.choice(rows, size=fewest, replace=False) for rows in values.values()]) for _ in range(draws)]
    return {"value": float(np.mean(means_)), "standardError": float(np.std(means_) / np.sqrt(draws))}


def main():
    rows, shifts = make_rows(), make_shifts()
    one, all_seeds = paired(rows, [0]), paired(rows, range(SEEDS))
    words = [point for point in one if point[0] == "words" and point[2] == "first_letter"]
    tables = [(9, 1), (1, 7), (6, 16), (59, 6), (0, 5), (150, 86), (40, 40), (3, 4)]
    signs = [[3], [1, 1, 1, 1, -1], [4, -2, 3, 0, 1, -1, 2], [2, 2, 2], [1, -1], [5, 1, -3, 2, 2, -1, 4, 0, 1, 1, -2, 3]]
    p_values = [[0.01, 0.04, 0.03, 0.005], [0.5], [0.2, 0.2, 0.01], [1e-9, 0.9, 0.04, 0.04, 0.3]]
    print(json.dumps({
        "confidence": CONFIDENCE, "replicates": REPLICATES, "seeds": SEEDS,
        "binomial": [{"count": k, "of": n, "probability": p, "upTo": float(binom.cdf(k, n, p)), "mass": float(binom.pmf(k, n, p))}
                     for k, n, p in [(0, 5, 0.5), (3, 10, 0.2), (9, 10, 0.97), (400, 1000, 0.5), (7, 7, 0.3), (12, 40, 0.9), (60, 5000, 0.02)]],
        "clopperPearson": [{"count": k, "of": n, "confidence": c,
                            **dict(zip(("low", "high"), map(float, binomtest(k, n).proportion_ci(c, method="exact"))))}
                           for k, n, c in [(0, 1, 0.95), (1, 1, 0.95), (0, 20, 0.9), (4, 20, 0.95), (7, 30, 0.99), (263, 1000, 0.95), (4999, 5000, 0.999)]],
        "mcnemar": [{"first": b, "second": c, "exactP": float(mcnemar([[0, b], [c, 0]], exact=True).pvalue),
                     "midP": float(mcnemar([[0, b], [c, 0]], exact=True).pvalue - binom.pmf(min(b, c), b + c, 0.5)) if b != c
                     else float(1 - binom.pmf(b, b + c, 0.5) / 2)} for b, c in tables],
        "holm": [{"p": some, "adjusted": multipletests(some, method="holm")[1].tolist()} for some in p_values],
        "signFlip": [{"contributions": some, "p": flip_by_scipy(some)} for some in signs if len(some) > 1]
        + [{"contributions": by_string(one), "p": flip_exactly(by_string(one))}],
        "fractions": [{"contributions": some, "p": flip_by_scipy(some)} for some in
                      [[0.5, -0.25, 0.75, 0.1], [round(float(x), 3) for x in rng.normal(0.3, 1, 12)]]],
        "tAndPower": {kind: t_and_power(one, kind) for kind in ("micro", "macro")},
        "designEffect": {"one": design_effect(one), "all": design_effect(all_seeds)},
        "rowFields": ["task", "item", "property", "behavior", "self", "cross1", "cross2", "cross3", "crossBehavior"],
        "rows": rows,
        "difference": {kind: {
            "one": bootstrap(one, kind), "all": bootstrap(all_seeds, kind),
            "oneLevels": bootstrap(one, kind, levels=True), "allLevels": bootstrap(all_seeds, kind, levels=True),
            "balanced": bootstrap(one, kind, strata=True),
            "compliant": bootstrap(paired(rows, [0], lambda row, cross: row[4] is not None and cross is not None), kind),
            "differ": bootstrap(paired(rows, [0], lambda row, _: row[8] != row[3]), kind),
        } for kind in ("micro", "macro")},
        "balancedByDrawing": balanced_by_drawing(words),
        "shiftFields": ["task", "item", "property", "before", "after", "prediction"],
        "shifts": shifts,
        "shiftScores": shift_scores(shifts),
    }, separators=(",", ":")).replace('],[', '],\n[').replace('},{', '},\n{'))


if __name__ == "__main__":
    main()
