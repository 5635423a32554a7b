"""
Opens what `npx inward export` wrote with the packages that it is for, and compares what they read with each other:
    python validation/check-exports.py <folder of an export to csv, parquet, chat, lm-eval and inspect>
Needs pyarrow, pandas, datasets, lm_eval and inspect_ai. Prints what was read; fails on the first difference.
"""

import glob
import json
import os
import sys

import pandas as pd
import pyarrow.parquet as pq

folder = sys.argv[1]
index = json.load(open(os.path.join(folder, "export.json")))
counts = {entry["path"]: entry.get("rows") for entry in index["files"]}

for name in ["trials", "answers", "behaviors"]:
    parquet = pq.read_table(os.path.join(folder, f"{name}.parquet")).to_pandas()
    csv = pd.read_csv(os.path.join(folder, f"{name}.csv"), keep_default_na=False, dtype=str)
    assert len(parquet) == len(csv) == counts[f"{name}.parquet"], name
    assert list(parquet.columns) == list(csv.columns), name
    for column in parquet.columns:
        for exact, text in zip(parquet[column], csv[column]):
            if isinstance(exact, str):
                assert text in (exact, "'" + exact), (name, column, exact, text)
            elif hasattr(exact, "tolist"):
                assert json.loads(text) == exact.tolist(), (name, column)
            elif pd.isna(exact):
                assert text == "", (name, column, text)
    print(f"{name}: {len(parquet)} rows, {len(parquet.columns)} columns, the same in Parquet and CSV")

import datasets

for path in glob.glob(os.path.join(folder, "chat", "*")):
    files = {split: os.path.join(path, f"{split}.jsonl") for split in ["train", "valid"]}
    read = datasets.load_dataset("json", data_files=files)
    assert {split: len(read[split]) for split in read} == {s: counts[os.path.relpath(f, folder)] for s, f in files.items()}
    print(f"datasets: {path}: {read.num_rows}")

from lm_eval.api.metrics import mean_stderr
from lm_eval.utils import get_results_filenames, get_sample_results_filenames, make_table

for path in glob.glob(os.path.join(folder, "lm-eval", "*")):
    names = glob.glob(os.path.join(path, "*"))
    [results_file] = get_results_filenames(names)
    results = json.load(open(results_file))
    print(make_table(results))
    for samples_file in get_sample_results_filenames(names):
        task = os.path.basename(samples_file)[len("samples_") :].rsplit("_", 1)[0]
        rows = [json.loads(line) for line in open(samples_file)]
        acc = [row["acc"] for row in rows if "acc" in row]
        said = results["results"][task]
        assert abs(sum(acc) / len(acc) - said["acc,none"]) < 1e-12, task
        if said["acc_stderr,none"] != "N/A":
            assert abs(mean_stderr(acc) - said["acc_stderr,none"]) < 1e-9, (task, mean_stderr(acc), said)

from inspect_ai.log import list_eval_logs, read_eval_log

answers = pq.read_table(os.path.join(folder, "answers.parquet")).to_pylist()
place = lambda row: tuple(row.get(name) for name in ["state", "task", "item", "property", "variant", "sample"])
rows = {place(row): row for row in answers}


def token(text, bytes_of_part):
    return text, list(bytes.fromhex(bytes_of_part) if bytes_of_part else text.encode())


def likely_tokens(row, at):
    """Of the place at: its token with ln P, and the likeliest ones."""
    each = row["alternativesEach"]
    lists = [row[f"alternative{name}"][at * each : (at + 1) * each] for name in ["Texts", "Bytes", "Logprobs"]]
    own = (*token(row["tokenTexts"][at], row["tokenBytes"][at]), row["logprobs"][at])
    return own, [(*token(text, part), logprob) for text, part, logprob in zip(*lists)]


def read(one):
    return one.token, one.bytes, one.logprob


def compare_logprobs(log, sample):
    """@returns tokens that were compared"""
    # A prediction is said once, of every sampled answer.
    told_of = sample.epoch - 1 if log.eval.metadata["kind"] == "answers" else 0
    about = {**log.eval.metadata, **sample.metadata, "task": log.eval.dataset.name, "sample": told_of}
    row = rows[place({"item": sample.id, **about})]
    content = [one for choice in sample.output.choices if choice.logprobs for one in choice.logprobs.content]
    if row.get("tokenTexts") is None:
        return 0
    assert len(content) == len(row["tokenTexts"]), (log.eval.task, sample.id, len(content))
    for at, one in enumerate(content):
        assert (read(one), [read(other) for other in one.top_logprobs]) == likely_tokens(row, at), (log.eval.task, sample.id, at)
    # A character that the last token leaves unfinished is U+FFFD in the text.
    said = b"".join(bytes(one.bytes) for one in content).decode(errors="replace")
    assert row["reasoning"] is not None or said.startswith(sample.output.completion), (log.eval.task, sample.id)
    return len(content)


logs = list_eval_logs(os.path.join(os.path.abspath(folder), "inspect"))
assert len(logs) == len(glob.glob(os.path.join(folder, "inspect", "*.json"))), "inspect does not list every log"
for info in logs:
    log = read_eval_log(info)
    header = read_eval_log(info, header_only=True)
    assert log.status == "success" and len(log.samples) == log.results.total_samples == header.results.total_samples
    for score in log.results.scores:
        if "accuracy" in score.metrics:
            values = [sample.scores[score.name].value == "C" for sample in log.samples if score.name in (sample.scores or {})]
            assert abs(sum(values) / len(values) - score.metrics["accuracy"].value) < 1e-12
    told = sum(compare_logprobs(log, sample) for sample in log.samples)
    print(f"inspect_ai: {log.eval.task}: {len(log.samples)} samples, ln P of {told} tokens as in Parquet")
print("everything was read, and agrees")
