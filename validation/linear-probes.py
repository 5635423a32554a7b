"""Expected fits of linear probes by scikit-learn, for tests/unit/linear-probe.test.ts; tests/fixtures/probe/fits.md has the command.

Numbers are made up. States are wider than there are rows in some cases, as residual vectors are; one case is separable.
"""

import json

import numpy as np
from sklearn.linear_model import LogisticRegression

rng = np.random.default_rng(20261129)


def case(rows, width, classes, c, noise=1.0):
    truth = rng.normal(size=(width, classes)) / np.sqrt(width)
    inputs = np.round(rng.normal(size=(rows, width)) * 2 + rng.normal(size=width) * 3, 3)
    labels = ((inputs - inputs.mean(axis=0)) @ truth + noise * rng.gumbel(size=(rows, classes))).argmax(axis=1)
    labels[:classes] = np.arange(classes)
    held = np.round(rng.normal(size=(4, width)) * 2, 3)
    model = LogisticRegression(C=c, solver="newton-cg", tol=1e-13, max_iter=10_000).fit(inputs, labels)
    return {"c": c, "inputs": inputs.tolist(), "labels": [f"class {label}" for label in labels], "heldOut": held.tolist(),
            "weights": model.coef_.tolist(), "intercepts": model.intercept_.tolist(),
            "probabilities": model.predict_proba(held).tolist()}


print(json.dumps([case(40, 6, 3, 1.0), case(30, 60, 4, 0.1), case(50, 8, 2, 10.0), case(24, 70, 2, 1.0),
                  case(36, 5, 6, 100.0, 0.3), case(12, 3, 2, 0.01)], separators=(",", ":")).replace("],[", "],\n[").replace("},{", "},\n{"))
