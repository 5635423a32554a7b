"""Figures of a benchmark of quantized files, from logits and answers alone: called by recompute-quantize.mjs.

python3 recompute-quantize.py RUN FOLDER: RUN is the benchmark's run folder, FOLDER has <row>.npy of the source and of each row, [positions, vocabulary]
raw logits, targets.json, the tokens that follow, and readings.json, their log-probabilities read whole and a token at a time. Prints both figures of
each, and ends with 1 where they differ.
"""

import json
import sys
from pathlib import Path

import numpy as np

RUN, FOLDER = map(Path, sys.argv[1:3])
failed = []


def check(name, ours, theirs, tolerance):
    apart = abs(ours - theirs)
    good = apart <= tolerance
    print(f"{'ok ' if good else 'BAD'} {name}: {ours:.9g} here, {theirs:.9g} by numpy, apart {apart:.1e} of {tolerance:.0e}")
    if not good:
        failed.append(name)


results = json.loads((RUN / "05-results.json").read_text())
rows = {row["variant"]["name"]: row for row in results["rows"]}
targets = np.array(json.loads((FOLDER / "targets.json").read_text())).reshape(-1)
readings = json.loads((FOLDER / "readings.json").read_text())
stepped = {row["variant"]["name"]: row for row in json.loads((FOLDER / "steps/05-results.json").read_text())["rows"]}


def logprobs(name):
    logits = np.load(FOLDER / f"{name}.npy", mmap_mode="r")
    for at in range(len(logits)):
        row = logits[at].astype(np.float64)
        most = row.max()
        yield row - (most + np.log(np.exp(row - most).sum()))


def check_divergence(name):
    text = rows[name]["text"]["value"]
    kl, back, was, now, same = [], [], [], [], []
    for at, (p, q) in enumerate(zip(logprobs("source"), logprobs(name), strict=True)):
        kl.append(float((np.exp(p) * (p - q)).sum()))
        back.append(float((np.exp(q) * (q - p)).sum()))
        was.append(p[targets[at]])
        now.append(q[targets[at]])
        same.append(int(p.argmax() == q.argmax()))
    kl, back, was, now = map(np.array, (kl, back, was, now))
    change = np.exp(now) - np.exp(was)

    # Two engines in single precision: logprobs differ by 5e-5 at most (npx inward verify engine --against onnx). A divergence of d moves by about
    # sqrt(2 d) times that, a mean of hundreds by less; a likeliest token may be another one at a tie.
    def near(what, ours, theirs, tolerance):
        check(f"{name}, {what}", ours, theirs, tolerance)

    check(f"{name}, positions", text["positions"], len(kl), 0)
    near("mean KL", text["kl"]["mean"]["value"], kl.mean(), 2e-6)
    near("mean KL, back", text["kl"]["backward"]["value"], back.mean(), 2e-6)
    near("median KL", text["kl"]["median"]["value"], np.median(kl), 5e-6)
    near("99 % of KL", text["kl"]["percentile99"]["value"], np.quantile(kl, 0.99), 2e-5)
    near("99.9 % of KL", text["kl"]["percentile999"]["value"], np.quantile(kl, 0.999), 5e-5)
    near("most KL", text["kl"]["most"]["value"], kl.max(), 5e-5)
    near("mean change of probability", text["probability"]["mean"]["value"], change.mean(), 2e-6)
    near("RMS change of probability", text["probability"]["rootMeanSquare"]["value"], np.sqrt((change**2).mean()), 5e-6)
    for percent, value in text["probability"]["percentiles"].items():
        near(f"change of probability, {percent} %", value, np.quantile(change, float(percent) / 100), 5e-5)
    check(f"{name}, same likeliest token", text["sameTop"]["value"], np.mean(same), 1.5 / len(kl))
    near("ln of perplexity", np.log(text["perplexity"]["value"]["value"]), -now.mean(), 5e-6)
    near("ln of the source's perplexity", np.log(text["sourcePerplexity"]["value"]["value"]), -was.mean(), 5e-6)
    near("ln ratio", text["logRatio"]["value"], (was - now).mean(), 5e-6)
    losses = -now
    # As llama-perplexity has it: from the mean of squares, over positions less one.
    error = np.exp(losses.mean()) * np.sqrt(((losses**2).mean() - losses.mean() ** 2) / (len(losses) - 1))
    check(f"{name}, ± of llama-perplexity", text["perplexity"]["llamaError"], error, 1e-3 * error)


def check_steps(name):
    # The first window, read whole and a token at a time.
    steps = stepped[name]["steps"]["value"]
    apart = np.abs(np.array(readings[name]["whole"]) - np.array(readings[name]["steps"]))
    check(f"{name}, steps: positions", steps["positions"], len(apart), 0)
    check(f"{name}, steps: mean of a logprob", steps["logprobMean"], apart.mean(), 1e-12)
    check(f"{name}, steps: most of a logprob", steps["logprobMost"], apart.max(), 1e-12)


def lines(path):
    return [json.loads(line) for line in (RUN / path).read_text().splitlines() if line]


def check_answers(name):
    # A graph's are beside the study's, which holds the source's.
    graph = (RUN / f"02-onnx-answers/{name}.jsonl").exists()

    def both(studys, graphs):
        return lines(f"02-answers/{studys}") + (lines(f"02-onnx-answers/{graphs}") if graph else [])

    flips = rows[name]["flips"]["value"]
    answered = both("02-object-level.jsonl", f"{name}.jsonl")
    answers = {(one["state"], one["key"]): one for one in answered if one["split"] == "held_out" and "property" not in one}
    keys = [key for state, key in answers if state == "source"]
    pairs = [(answers["source", key]["reply"], answers[name, key]["reply"]) for key in keys]
    check(f"{name}, same answers", flips["sameAnswers"]["value"], np.mean([a["tokenIds"] == b["tokenIds"] for a, b in pairs]), 1e-12)
    behaviors = {}
    for one in both("03-behaviors.jsonl", "behaviors.jsonl"):
        if one["split"] == "held_out":
            good = one["compliance"]["ok"] and one["extraction"]["ok"]
            value = one["extraction"].get("value") if good else None
            behaviors[one["state"], one["task"], one["item"], one["property"]] = value
    shown = [
        (value, behaviors[name, *place])
        for (state, *place), value in behaviors.items()
        if state == "source" and value is not None and behaviors[name, *place] is not None
    ]
    check(f"{name}, behaviors compared", flips["behaviors"]["n"], len(shown), 0)
    check(f"{name}, behaviors flipped", flips["behaviors"]["value"], np.mean([a != b for a, b in shown]), 1e-12)

    trials = both("08-trials.jsonl", "trials.jsonl")

    def right(predictor, target):
        return {
            (one["task"], one["item"], one["property"], one["variant"]): one["prediction"].get("value") == one["behavior"]["value"]
            for one in trials
            if (one["predictor"], one["target"]) == (predictor, target)
            and one["objectCompliance"]["ok"]
            and one["behavior"]["ok"]
        }

    own, before, by_source = right(name, name), right("source", "source"), right("source", name)
    self = rows[name]["self"]["value"]
    check(f"{name}, right of itself", self["self"]["value"], np.mean(list(own.values())), 1e-12)
    for figure, other in (("change", before), ("overSource", by_source)):
        shared = [own[key] - other[key] for key in own if key in other]
        check(f"{name}, {figure}", self[figure]["value"], np.mean(shared), 1e-12)


for row in rows:
    if row == "source":
        continue
    check_divergence(row)
    check_answers(row)
    if row.startswith("onnx"):
        check_steps(row)

print(f"{len(failed)} figures differ" if failed else "every figure is the same")
sys.exit(1 if failed else 0)
