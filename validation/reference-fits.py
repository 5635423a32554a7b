"""Expected fits from numpy, scipy and scikit-learn, computed apart from inward's own code: the accuracy matrix by numpy.linalg.lstsq,
Song et al.'s regression from numpy correlations, multinomial logistic regression by scikit-learn's solver.

For tests/unit/score-matrix-fit.test.ts, score-song.test.ts and score-input-only.test.ts. tests/fixtures/score/fits.md has the command.
"""

import json
from pathlib import Path

import numpy as np
from scipy import stats
from scipy.special import logsumexp
from sklearn.linear_model import LogisticRegression

SEED = 20261124
PAPER = Path(__file__).parent.parent / "tests/fixtures/score/paper-matrix.json"
rng = np.random.default_rng(SEED)


def two_way(predictors, targets, covariates, response):
    """Covariate coefficients and homoscedastic errors of response ~ predictor + target + covariates, over rows of cells."""
    dummies = [[float(name == one) for name in side] for side in (predictors, targets) for one in sorted(set(side))]
    design = np.array(dummies + covariates).T
    solution, _, rank, _ = np.linalg.lstsq(design, response, rcond=None)
    residual = response - design @ solution
    freedom = len(response) - int(rank)
    variance = residual @ residual / freedom
    covariance = variance * np.linalg.pinv(design.T @ design)
    last = slice(design.shape[1] - len(covariates), None)
    # The minimum-norm solution spreads what the data leave open over the effects; made comparable as fitMatrix does it.
    count = len(set(predictors))
    skill, ease = solution[:count], solution[count:design.shape[1] - len(covariates)]
    return {"coefficients": solution[last].tolist(), "standardErrors": np.sqrt(np.diag(covariance)[last]).tolist(),
            "degreesOfFreedom": freedom, "residualStandardDeviation": float(np.sqrt(variance)),
            "skill": dict(zip(sorted(set(predictors)), (skill + ease.mean()).tolist())),
            "predictability": dict(zip(sorted(set(targets)), (ease - ease.mean()).tolist()))}


def paper_fit(rows, names, percent):
    cells = [(i, j) for i in rows for j in range(len(names))]
    return two_way([names[i] for i, _ in cells], [names[j] for _, j in cells],
                   [[float(i == j) for i, j in cells]], np.array([percent[i][j] for i, j in cells], float))


def paper():
    table = json.loads(PAPER.read_text())
    names, percent = table["states"], table["percent"]
    trained = [index for index, name in enumerate(names) if "<" in name]
    untrained = [index for index in range(len(names)) if index not in trained]
    return {"all": paper_fit(range(len(names)), names, percent), "finetuned": paper_fit(trained, names, percent),
            "untrained": paper_fit(untrained, names, percent)}


def incomplete():
    """A matrix with holes, one of two predictors that nobody predicts, a similarity and another covariate."""
    predictors, targets = [f"p{k}" for k in range(7)], [f"p{k}" for k in range(2, 8)]
    cells = []
    for predictor in predictors:
        for target in targets:
            same = predictor == target
            cells.append({"predictor": predictor, "target": target,
                          "accuracy": float(rng.normal(0.4 + 0.1 * same, 0.1)) if rng.random() < 0.8 else None,
                          "similarity": 1.0 if same else float(rng.uniform(0.2, 0.9)),
                          "distance": float(rng.normal())})
    there = [cell for cell in cells if cell["accuracy"] is not None]
    column = lambda key: [cell[key] for cell in there]
    own = [float(cell["predictor"] == cell["target"]) for cell in there]
    return {"cells": cells, "fit": two_way(column("predictor"), column("target"),
            [column("similarity"), column("distance"), own], np.array(column("accuracy")))}


def song():
    """Five models on 60 items and two prompts; r = mean over prompts of a correlation, regressed on d and the match type."""
    items, names = 60, ["a1", "a2", "b1", "b2", "c"]
    common, families = rng.normal(size=items), {name: rng.normal(size=items) for name in "abc"}
    models = []
    for name in names:
        direct = rng.uniform(0.5, 1.5) * common + families[name[0]] + 0.7 * rng.normal(size=items)
        meta = [0.4 * direct + 0.5 * common + rng.normal(size=items) for _ in range(2)]
        models.append({"name": name, "direct": direct.tolist(), "meta": [one.tolist() for one in meta]})
    pearson = lambda x, y: float(np.corrcoef(x, y)[0, 1])
    pairs = [{"judged": a["name"], "judge": b["name"],
              "type": "self" if a is b else "same_family" if a["name"][0] == b["name"][0] else "other",
              "r": float(np.mean([pearson(a["direct"], meta) for meta in b["meta"]])),
              "d": pearson(a["direct"], b["direct"])} for a in models for b in models]
    response = np.array([pair["r"] for pair in pairs])
    design = np.array([[1.0, pair["d"], pair["type"] == "same_family", pair["type"] == "self"] for pair in pairs], float)
    solution = np.linalg.lstsq(design, response, rcond=None)[0]
    residual = response - design @ solution
    covariance = residual @ residual / (len(pairs) - 4) * np.linalg.inv(design.T @ design)
    effects = two_way([pair["judge"] for pair in pairs], [pair["judged"] for pair in pairs],
                      [[pair["d"] for pair in pairs], [float(pair["type"] == "same_family") for pair in pairs],
                       [float(pair["type"] == "self") for pair in pairs]], response)
    return {"models": models, "pairs": pairs, "names": ["intercept", "similarity", "same_family", "self"],
            "coefficients": solution.tolist(), "standardErrors": np.sqrt(np.diag(covariance)).tolist(),
            "withModelEffects": {"names": ["similarity", "same_family", "self"], "coefficients": effects["coefficients"],
                                 "standardErrors": effects["standardErrors"]}}


def song_limits(models, draws, rng):
    """Bootstrap limits of the regression's coefficients over items, as expanded percentiles, each with its Monte-Carlo error."""
    items, confidence, batches = len(models[0]["direct"]), 0.95, 10
    direct = np.array([model["direct"] for model in models])
    meta = np.array([model["meta"] for model in models])
    names = [model["name"] for model in models]
    pairs = [(a, b) for a in range(len(models)) for b in range(len(models))]
    same_family = [float(a != b and names[a][0] == names[b][0]) for a, b in pairs]
    own = [float(a == b) for a, b in pairs]
    coefficients = []
    for _ in range(draws):
        drawn = rng.integers(items, size=items)
        judged = stats.zscore(direct[:, drawn], axis=1)
        said = stats.zscore(meta[:, :, drawn], axis=2)
        agreement = np.einsum("ai,bpi->abp", judged, said).mean(axis=2) / items
        similarity = judged @ judged.T / items
        design = np.array([[1.0, similarity[a, b], same_family[at], own[at]] for at, (a, b) in enumerate(pairs)])
        coefficients.append(np.linalg.lstsq(design, np.array([agreement[a, b] for a, b in pairs]), rcond=None)[0])
    coefficients = np.array(coefficients)
    freedom = items - 1
    tail = 100 * stats.norm.cdf(-stats.t.ppf((1 + confidence) / 2, freedom) * np.sqrt(items / freedom))
    limits = lambda some: np.percentile(some, [tail, 100 - tail], axis=0)
    error = np.std([limits(some) for some in np.array_split(coefficients, batches)], axis=0, ddof=1) / np.sqrt(batches)
    return {"replicates": draws, "limits": limits(coefficients).T.tolist(), "monteCarloErrors": error.T.tolist()}


def logistic(rows, features, classes, penalty):
    """inward's objective: sum of log losses + penalty / 2 * |weights|^2 over all classes' weights, intercepts free."""
    truth = np.sin(np.arange(features * classes)).reshape(features, classes)
    inputs = np.round(rng.normal(size=(rows, features)), 3) * (rng.random((rows, features)) < 0.6)
    labels = (inputs @ truth * 1.2 + rng.gumbel(size=(rows, classes))).argmax(axis=1)
    # Two classes have one weight vector in scikit-learn and two opposite halves of it in inward: half the penalty.
    strength = 1 / penalty if classes > 2 else 2 / penalty
    model = LogisticRegression(C=strength, solver="newton-cg", tol=1e-12, max_iter=10_000).fit(inputs, labels)
    weights, intercepts = (model.coef_, model.intercept_) if classes > 2 else (
        np.vstack([-model.coef_, model.coef_]) / 2, np.array([-1.0, 1.0]) * model.intercept_ / 2)
    intercepts = intercepts - intercepts.mean()
    scores = inputs @ weights.T + intercepts
    logprobs = scores - logsumexp(scores, axis=1, keepdims=True)
    losses = -logprobs[np.arange(rows), labels]
    return {"penalty": penalty, "classes": classes, "inputs": inputs.tolist(), "labels": labels.tolist(),
            "weights": weights.tolist(), "intercepts": intercepts.tolist(), "lossNats": float(losses.sum()),
            "objective": float(losses.sum() + penalty / 2 * (weights ** 2).sum()),
            "probabilities": np.exp(logprobs[:5]).tolist()}


def main():
    fits = {"paper": paper(), "incomplete": incomplete(), "song": song(),
            "logistic": [logistic(40, 6, 3, 1.0), logistic(60, 12, 5, 0.1), logistic(30, 4, 2, 0.5), logistic(25, 40, 4, 3.0)]}
    # Draws of its own: what stands above keeps its numbers.
    fits["song"]["bootstrap"] = song_limits(fits["song"]["models"], 10_000, np.random.default_rng(SEED + 1))
    print(json.dumps(fits,
                     separators=(",", ":")).replace("],[", "],\n[").replace("},{", "},\n{"))


if __name__ == "__main__":
    main()
