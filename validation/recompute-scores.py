#!/usr/bin/env python3
"""Computes the accuracies of a run again, independently of inward: plain Python on 01, 03, 06 and 07.

Reads behaviors from 03-behaviors.jsonl and the 06-behaviors files and predictions from the raw replies in 07-hypothetical.jsonl with
readers of its own (words, characters, true/false), then compares every cell and micro average, of every predictor about every target, with
08-scores.json. Properties it has no reader
for are named and left out.

    python3 validation/recompute-scores.py runs/<folder>
"""
import json
import re
import sys
import unicodedata
from collections import Counter, defaultdict
from pathlib import Path

WORDS = {"first_word", "second_word", "third_word"}
CHARACTERS = {"first_character", "second_character", "third_character"}
PAIRS = {"first_and_second_character"}
TRUTHS = {"starts_with_vowel", "is_even", "greater_than_500", "is_first_digit_even"}


def clean(text):
    text = unicodedata.normalize("NFC", text).lower().strip()
    text = re.sub(r"\s+", " ", text)
    return text.strip("\"'`“”‘’").rstrip(".,;:!?").strip("\"'`“”‘’").strip() or text


def read(prop, reply, stop):
    """The prediction, or None when the reply does not comply."""
    if prop not in WORDS | CHARACTERS | PAIRS | TRUTHS and not prop.startswith("matches_"):
        raise KeyError(prop)
    if stop == "max_tokens" or not reply.strip():
        return None
    words = reply.split()
    if prop in WORDS:
        return clean(reply) if len(words) == 1 else None
    if prop in TRUTHS or prop.startswith("matches_"):
        value = clean(reply)
        return value if value in ("true", "false") else None
    if prop in CHARACTERS | PAIRS:
        size = 1 if prop in CHARACTERS else 2
        text = unicodedata.normalize("NFC", reply.strip()).lower()
        if len(text) == size + 2 and text[0] == text[-1] and text[0] in "\"'`":
            text = text[1:-1]
        return text if len(text) == size else None


def label_source(plan, state):
    """Whose train behaviors serve: what an adapter learnt from; for a changed one, what that did which it goes on from."""
    adapter = plan.get("adapters", {}).get(state)
    if adapter is None:
        return state
    return label_source(plan, adapter["change"]["from"] if "change" in adapter else adapter["target"])


def main(folder):
    run = Path(folder)
    whole = lambda name: json.loads((run / name).read_text(encoding="utf-8"))
    lines = lambda name: [json.loads(line) for line in (run / name).open(encoding="utf-8")] if (run / name).exists() else []
    plan, scores = whole("01-plan.json"), whole("08-scores.json")
    truth = {}
    train = defaultdict(Counter)
    for row in lines("03-behaviors.jsonl") + lines("06-behaviors-adapted.jsonl") + lines("06-behaviors-readapted.jsonl"):
        value = row["extraction"]["value"] if row["extraction"]["ok"] and row["compliance"]["ok"] else None
        if row["split"] == "train":
            if value is not None:
                train[row["state"], row["task"], row["property"]][value] += 1
        else:
            truth[row["state"], row["task"], row["item"], row["property"]] = value
    targets = defaultdict(list)
    for pair in plan["predictions"]:
        targets[pair["predictor"]].append(pair["target"])
    cells = defaultdict(list)
    unread = set()
    for row in lines("07-hypothetical.jsonl"):
        prop = row["property"]
        try:
            said = read(prop, row["reply"]["text"], row["reply"]["stop"])
        except KeyError:
            unread.add(prop)
            continue
        for target in targets[row["state"]]:
            done = truth[target, row["task"], row["item"], prop]
            cells[row["state"], target, row["task"], prop].append((done, said))
    take = lambda estimate: estimate["value"] if estimate["ok"] else None
    wrong = 0

    def compare(key, ours, theirs):
        nonlocal wrong
        for name in ours:
            if ours[name] is None or theirs[name] is None:
                same = ours[name] == theirs[name]
            else:
                same = abs(ours[name] - theirs[name]) < 1e-12
            if not same:
                wrong += 1
                print(f"different: {key} {name}: here {ours[name]}, inward {theirs[name]}")

    for cell in scores["cells"]:
        key = cell["predictor"], cell["target"], cell["task"], cell["property"]
        if key not in cells:
            continue
        rows = [(done, said) for done, said in cells[key] if done is not None]
        labels = train[label_source(plan, cell["target"]), cell["task"], cell["property"]]
        mode = sorted(labels.items(), key=lambda pair: (-pair[1], pair[0]))[0][0] if labels else None
        compare(key, {
            "n": len(rows),
            "accuracy": sum(done == said for done, said in rows) / len(rows) if rows else None,
            "mode": sum(done == mode for done, _ in rows) / len(rows) if rows and mode is not None else None,
            "oracle": Counter(done for done, _ in rows).most_common(1)[0][1] / len(rows) if rows else None,
            "complied": sum(said is not None for _, said in cells[key]),
        }, {
            "n": cell["objectCompliance"]["count"],
            "accuracy": take(cell["accuracy"]),
            "mode": take(cell["modeBaselineTrain"]),
            "oracle": take(cell["modeBaselineOracle"]),
            "complied": cell["hypotheticalCompliance"]["count"],
        })
    averages = 0
    for average in scores["averages"]:
        own = [rows for key, rows in cells.items() if key[:2] == (average["predictor"], average["target"])]
        asked = sum(1 for cell in scores["cells"] if (cell["predictor"], cell["target"]) == (average["predictor"], average["target"]))
        if average["kind"] != "micro" or len(own) < asked:
            continue
        rows = [(done, said) for cell in own for done, said in cell if done is not None]
        right = sum(done == said for done, said in rows) / len(rows) if rows else None
        compare((average["predictor"], average["target"], "micro"), {"accuracy": right}, {"accuracy": take(average["accuracy"])})
        averages += 1
    print(f"{len(cells)} cells and {averages} micro averages computed again, {wrong} numbers different; "
          f"no reader here for: {', '.join(sorted(unread)) or 'none'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
