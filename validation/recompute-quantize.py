"""Figures of a benchmark of quantized files, from logits and answers alone: called by recompute-quantize.mjs.

python3 recompute-quantize.py RUN FOLDER: RUN is the benchmark's run folder, FOLDER has source.npy and q8_0.npy, [positions, vocabulary] raw
logits, and targets.json, the tokens that follow. Prints both figures of each, and ends with 1 where they differ.
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
text = rows["q8_0"]["text"]["value"]
targets = np.array(json.loads((FOLDER / "targets.json").read_text())).reshape(-1)


def logprobs(name):
    logits = np.load(FOLDER / f"{name}.npy", mmap_mode="r")
    for at in range(len(logits)):
        row = logits[at].astype(np.float64)
        most = row.max()
        yield row - (most + np.log(np.exp(row - most).sum()))


kl, back, was, now, same = [], [], [], [], []
for at, (p, q) in enumerate(zip(logprobs("source"), logprobs("q8_0"), strict=True)):
    kl.append(float((np.exp(p) * (p - q)).sum()))
    back.append(float((np.exp(q) * (q - p)).sum()))
    was.append(p[targets[at]])
    now.append(q[targets[at]])
    same.append(int(p.argmax() == q.argmax()))
kl, back, was, now = map(np.array, (kl, back, was, now))
change = np.exp(now) - np.exp(was)

# Two engines in single precision: logprobs differ by 5e-5 at most (npx inward verify engine --against onnx). A divergence of d moves by about
# sqrt(2 d) times that, a mean of hundreds by less; a likeliest token may be another one at a tie.
check("positions", text["positions"], len(kl), 0)
check("mean KL", text["kl"]["mean"]["value"], kl.mean(), 2e-6)
check("mean KL, back", text["kl"]["backward"]["value"], back.mean(), 2e-6)
check("median KL", text["kl"]["median"]["value"], np.median(kl), 5e-6)
check("99 % of KL", text["kl"]["percentile99"]["value"], np.quantile(kl, 0.99), 2e-5)
check("99.9 % of KL", text["kl"]["percentile999"]["value"], np.quantile(kl, 0.999), 5e-5)
check("most KL", text["kl"]["most"]["value"], kl.max(), 5e-5)
check("mean change of probability", text["probability"]["mean"]["value"], change.mean(), 2e-6)
check("RMS change of probability", text["probability"]["rootMeanSquare"]["value"], np.sqrt((change**2).mean()), 5e-6)
for percent, value in text["probability"]["percentiles"].items():
    check(f"change of probability, {percent} %", value, np.quantile(change, float(percent) / 100), 5e-5)
check("same likeliest token", text["sameTop"]["value"], np.mean(same), 1.5 / len(kl))
check("ln of perplexity", np.log(text["perplexity"]["value"]["value"]), -now.mean(), 5e-6)
check("ln of the source's perplexity", np.log(text["sourcePerplexity"]["value"]["value"]), -was.mean(), 5e-6)
check("ln ratio", text["logRatio"]["value"], (was - now).mean(), 5e-6)
losses = -now
# As llama-perplexity has it: from the mean of squares, over positions less one.
error = np.exp(losses.mean()) * np.sqrt(((losses**2).mean() - losses.mean() ** 2) / (len(losses) - 1))
check("± of llama-perplexity", text["perplexity"]["llamaError"], error, 1e-3 * error)


def lines(name):
    return [json.loads(line) for line in (RUN / "02-answers" / name).read_text().splitlines() if line]


flips = rows["q8_0"]["flips"]["value"]
answers = {(one["state"], one["key"]): one for one in lines("02-object-level.jsonl") if one["split"] == "held_out"}
keys = [key for state, key in answers if state == "source"]
pairs = [(answers["source", key]["reply"], answers["q8_0", key]["reply"]) for key in keys]
check("same answers", flips["sameAnswers"]["value"], np.mean([a["tokenIds"] == b["tokenIds"] for a, b in pairs]), 1e-12)
behaviors = {}
for one in lines("03-behaviors.jsonl"):
    if one["split"] == "held_out":
        good = one["compliance"]["ok"] and one["extraction"]["ok"]
        behaviors[one["state"], one["task"], one["item"], one["property"]] = one["extraction"].get("value") if good else None
both = [
    (value, behaviors["q8_0", *place])
    for (state, *place), value in behaviors.items()
    if state == "source" and value is not None and behaviors["q8_0", *place] is not None
]
check("behaviors compared", flips["behaviors"]["n"], len(both), 0)
check("behaviors flipped", flips["behaviors"]["value"], np.mean([a != b for a, b in both]), 1e-12)

trials = lines("08-trials.jsonl")


def right(predictor, target):
    return {
        (one["task"], one["item"], one["property"], one["variant"]): one["prediction"].get("value") == one["behavior"]["value"]
        for one in trials
        if (one["predictor"], one["target"]) == (predictor, target)
        and one["objectCompliance"]["ok"]
        and one["behavior"]["ok"]
    }


own, before, by_source = right("q8_0", "q8_0"), right("source", "source"), right("source", "q8_0")
self = rows["q8_0"]["self"]["value"]
check("right of itself", self["self"]["value"], np.mean(list(own.values())), 1e-12)
for name, other in (("change", before), ("overSource", by_source)):
    shared = [own[key] - other[key] for key in own if key in other]
    check(name, self[name]["value"], np.mean(shared), 1e-12)

print(f"{len(failed)} figures differ" if failed else "every figure is the same")
sys.exit(1 if failed else 0)
