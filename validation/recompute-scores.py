#!/usr/bin/env python3
"""Computes a run's behaviors, predictions, trials and scores again, independently of inward: plain Python on the stored answers.

Behaviors are read from the object-level answers (02, 06) and compared with 03 and 06-behaviors; predictions from the raw replies in
07-hypothetical.jsonl; both, by property_readers.py, which has a reader of its own for every property. The trials made of them are compared
with 08-trials.jsonl row by row, and every cell and average of 08-scores.json is computed from the trials made here. A run that was scored
before there was 08-trials.jsonl is compared without it (npx inward score <run> makes it).

    python3 validation/recompute-scores.py runs/<folder> [runs/<folder> ...]
"""
import json
import math
import sys
from collections import Counter, defaultdict
from pathlib import Path

from property_readers import SHOWN, behavior, complies, prediction, seen

ROUNDS = ("", "-adapted", "-readapted")


class Run:
    def __init__(self, folder):
        self.folder = Path(folder)
        self.plan = self.whole("01-plan.json")
        self.tasks = {task["definition"]["name"]: task for task in self.plan["tasks"]}
        self.items = {(name, item["id"]): item for name, task in self.tasks.items() for item in task["train"] + task["heldOut"]}
        self.numbers = Counter()
        self.wrong = Counter()

    def whole(self, name):
        return json.loads((self.folder / name).read_text(encoding="utf-8"))

    def lines(self, name):
        path = self.folder / name
        return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line] if path.exists() else []

    def compare(self, what, key, ours, theirs):
        self.numbers[what] += 1
        same = abs(ours - theirs) < 1e-12 if isinstance(ours, float) and isinstance(theirs, (int, float)) else ours == theirs
        if not same:
            self.wrong[what] += 1
            if self.wrong[what] <= 5:
                print(f"  different {what} {key}: here {ours!r}, inward {theirs!r}")

    def label_source(self, state, asked):
        """Whose train behaviors serve: its own where its train strings were asked; else those of what an adapter learnt from, and for a
        changed one of what that did which it goes on from."""
        adapter = self.plan.get("adapters", {}).get(state)
        if adapter is None or state in asked:
            return state
        return self.label_source(adapter["change"]["from"] if "change" in adapter else adapter["target"], asked)


def value_of(extraction):
    return extraction["value"] if extraction["ok"] else None


def said(reply, reasoning="off"):
    """What of a reply is read: behind the mark of reasoning that its prompt left open."""
    return reply["text"] if reasoning == "keep" else reply.get("opened", "") + reply["text"]


def read_behaviors(run):
    """(state, task, item, sample, property) -> what the object-level answer shows; compared with the stored behaviors."""
    answers, final, behaviors = {}, {}, {}
    object_files = ["02-object-level.jsonl", *(f"06-object-level{round}.jsonl" for round in ROUNDS[1:])]
    challenged_files = ["02-challenged.jsonl", *(f"06-challenged{round}.jsonl" for round in ROUNDS[1:])]
    for files, into in ((object_files, answers), (challenged_files, final)):
        for name in files:
            for row in run.lines(name):
                into[row["state"], row["task"], row["item"], row.get("sample", 0)] = row
    for key, row in answers.items():
        state, task, item, sample = key
        definition = run.tasks[task]["definition"]
        last = final.get(key)
        for prop in run.tasks[task]["properties"]:
            about = {"split": row["split"], "answered": "setAside" not in row, "complies": False, "value": None, "margin": None}
            if about["answered"]:
                use = run.plan["objectLevel"].get("reasoning", "off")
                text, stop, margins = said(row["reply"], use), row["reply"]["stop"], list(row["reply"]["margins"])
                about["complies"] = complies(text, definition["answerForm"], stop, use)
                context = run.items[task, item].get("target")
                if prop == "place_in_list":
                    context = run.items[task, item]["text"]
                lost = False
                if prop == "keeps_answer":
                    context = None
                    if last is not None and "reply" in last:
                        context = seen(said(last["reply"], use))
                        margins += last["reply"]["margins"]
                        lost = not complies(context, definition["answerForm"], last["reply"]["stop"], use)
                about["value"] = None if lost else behavior(prop, text, stop, context, use)
                about["margin"] = min(margins) if margins else None
            behaviors[*key, prop] = about
    for name in ["03-behaviors.jsonl", *(f"06-behaviors{round}.jsonl" for round in ROUNDS[1:])]:
        for row in run.lines(name):
            key = row["state"], row["task"], row["item"], row["sample"], row["property"]
            ours = behaviors.get(key, {"complies": "no answer", "value": "no answer", "margin": "no answer"})
            run.compare("behaviors", key, (ours["complies"], ours["value"]), (row["compliance"]["ok"], value_of(row["extraction"])))
            run.compare("margins", key, ours["margin"], row.get("minMargin"))
    return behaviors


def make_trials(run, behaviors):
    """Every held-out behavior beside each prediction about it. Of greedy answers sample 0 counts."""
    held_out = defaultdict(list)
    for (state, task, item, sample, prop), done in behaviors.items():
        if done["split"] == "held_out" and not (done["margin"] is not None and sample != 0):
            held_out[state, task, item, prop].append((sample, done))
    targets = defaultdict(list)
    for pair in run.plan["predictions"]:
        targets[pair["predictor"]].append(pair["target"])
    trials = {}
    for row in run.lines("07-hypothetical.jsonl"):
        reply = row.get("reply")
        read = prediction(row["property"], said(reply), reply["stop"]) if reply else None
        margin = min(reply["margins"]) if reply and reply["margins"] else None
        for target in targets[row["state"]]:
            for sample, done in held_out[target, row["task"], row["item"], row["property"]]:
                key = target, row["state"], row["task"], row["item"], row["property"], row["variant"], sample
                trials[key] = {
                    "outcome": outcome_of(done, reply is not None, read),
                    "behavior": done["value"],
                    "complies": done["complies"],
                    "answered": done["answered"],
                    "replied": reply is not None,
                    "said": read,
                    "reply": reply["text"] if reply else None,
                    "margins": (done["margin"], margin),
                }
    return trials


def outcome_of(done, replied, said):
    if not done["answered"]:
        return "excluded", "no_answer"
    if not done["complies"]:
        return "excluded", "answer_not_compliant"
    if done["value"] is None:
        return "excluded", "no_behavior"
    if not replied:
        return "excluded", "no_reply"
    if said is None:
        return "wrong", "no_prediction"
    return ("right", "equal") if said == done["value"] else ("wrong", "other_value")


def compare_trials(run, trials, floor):
    rows = run.lines("08-trials.jsonl")
    for row in rows:
        key = tuple(row[name] for name in ("target", "predictor", "task", "item", "property", "variant", "sample"))
        ours = trials.get(key)
        if ours is None:
            run.compare("trials", key, "no such trial", row["outcome"])
            continue
        both = None if None in ours["margins"] else min(ours["margins"])
        run.compare("trials", key, {
            "outcome": ours["outcome"],
            "behavior": ours["behavior"],
            "complies": ours["complies"],
            "prediction": ours["said"],
            "reply": ours["reply"],
            "cluster": run.items[row["task"], row["item"]].get("cluster"),
            "margins": (*ours["margins"], both),
            "above": None if both is None else both > floor,
        }, {
            "outcome": (row["outcome"], row["because"]),
            "behavior": value_of(row["behavior"]),
            "complies": row["objectCompliance"]["ok"],
            "prediction": value_of(row["prediction"]),
            "reply": row.get("reply"),
            "cluster": row.get("cluster"),
            "margins": (row.get("answerMargin"), row.get("replyMargin"), row.get("minMargin")),
            "above": row.get("aboveNoiseFloor"),
        })
        ours["heuristics"] = {rule: value_of(said) for rule, said in row["heuristics"].items()}
    if rows:
        run.compare("trials", "how many", len(trials), len(rows))
    return bool(rows)


def measures_of(rows, mode, floor, has_rules):
    """What a cell says of its trials: (points, trials) of each measure; nothing where none is counted."""
    counted = [row for row in rows if row["outcome"][0] != "excluded"]
    right = lambda row: row["outcome"][0] == "right"
    values = Counter(row["behavior"] for row in counted)
    oracle = sorted(values.items(), key=lambda pair: (-pair[1], pair[0]))[0][0] if values else None
    measures = {
        "accuracy": [right(row) for row in counted],
        "accuracyWhenCompliant": [right(row) for row in counted if row["said"] is not None],
        "accuracyAboveNoiseFloor": [right(row) for row in counted if None not in row["margins"] and min(row["margins"]) > floor],
        "modeBaselineTrain": [row["behavior"] == mode for row in counted] if mode is not None else [],
        "modeBaselineOracle": [row["behavior"] == oracle for row in counted],
        "aboveModeTrain": [right(row) - (row["behavior"] == mode) for row in counted] if mode is not None else [],
    }
    if any(None in row["margins"] for row in counted):
        measures["accuracyAboveNoiseFloor"] = []
    if has_rules:
        for rule in {rule for row in rows for rule in row.get("heuristics", {})}:
            said = [row for row in counted if rule in row.get("heuristics", {})]
            measures[f"heuristic {rule}"] = [row["heuristics"][rule] == row["behavior"] for row in said]
    return {name: (sum(points), len(points)) for name, points in measures.items() if points}


def hardly_varies(labels):
    """Of the train strings' values: such a task and property is in no average. Of fewer than 20 it is not known."""
    n = sum(labels.values())
    if n < 20:
        return False
    bits = sum(count / n * math.log2(n / count) for count in labels.values())
    return bits < 0.5 or max(labels.values()) / n > 0.9


def compare_scores(run, trials, behaviors, floor, has_rules):
    scores = run.whole("08-scores.json")
    train = defaultdict(Counter)
    asked = {key[0] for key, done in behaviors.items() if done["split"] == "train"}
    for (state, task, _, _, prop), done in behaviors.items():
        if done["split"] == "train" and done["complies"] and done["value"] is not None:
            train[state, task, prop][done["value"]] += 1
    cells = defaultdict(list)
    for (target, predictor, task, _, prop, variant, _), trial in trials.items():
        cells[target, predictor, task, prop, variant].append(trial)
    measured = {}
    left_out = set()
    for key, rows in cells.items():
        labels = train[run.label_source(key[0], asked), key[2], key[3]]
        if hardly_varies(labels):
            left_out.add((key[0], key[2], key[3]))
        mode = sorted(labels.items(), key=lambda pair: (-pair[1], pair[0]))[0][0] if labels else None
        measured[key] = measures_of(rows, mode, floor, has_rules)

    def compare_estimate(what, key, name, ours, theirs):
        if theirs["ok"] or ours is None or ours[1] == 0:
            run.compare(what, (*key, name), None if ours is None else ours[0] / ours[1], theirs["value"] if theirs["ok"] else None)
            if theirs["ok"] and ours is not None:
                run.compare(what, (*key, name, "n"), ours[2] if len(ours) > 2 else ours[1], theirs["n"])
        else:
            # Refused with its reason, such as one string alone: the value stands in the reason.
            text = f"value {ours[0] / ours[1]:.3f} of n = {ours[2] if len(ours) > 2 else ours[1]}"
            run.compare(what, (*key, name, "refused"), text in theirs["reason"], True)

    def estimates(row):
        plain = {name: row[name] for name in row if isinstance(row[name], dict) and "ok" in row[name]}
        rules = {f"heuristic {rule}": one for rule, one in row["heuristics"].items()} if has_rules else {}
        return {**plain, **rules}

    def compliance(rows):
        return {
            "objectCompliance": (sum(row["complies"] and row["behavior"] is not None for row in rows), sum(row["answered"] for row in rows)),
            "hypotheticalCompliance": (sum(row["said"] is not None for row in rows), sum(row["replied"] for row in rows)),
        }

    run.compare("cells", "how many", len(cells), len(scores["cells"]))
    theirs_left = {(one["target"], one["task"], one["property"]) for one in scores["notAveraged"]}
    run.compare("averages", "not averaged", sorted(left_out), sorted(left for left in theirs_left if left in {(key[0], key[2], key[3]) for key in cells}))
    for cell in scores["cells"]:
        key = cell["target"], cell["predictor"], cell["task"], cell["property"], cell["variant"]
        for name, theirs in estimates(cell).items():
            compare_estimate("cells", key, name, measured.get(key, {}).get(name), theirs)
        for name, ours in compliance(cells[key]).items():
            run.compare("cells", (*key, name), ours, (cell[name]["count"], cell[name]["of"]))
    for average in scores["averages"]:
        asked = {key: one for key, one in measured.items() if key[:2] == (average["target"], average["predictor"])}
        own = {key: one for key, one in asked.items() if (key[0], key[2], key[3]) not in left_out}
        key = average["target"], average["predictor"], average["kind"]
        for name, theirs in estimates(average).items():
            units = defaultdict(lambda: (0, 0))
            for (_, _, task, prop, _), one in own.items():
                if name in one:
                    points, count = units[task, prop] if average["kind"] == "macro" else units[""]
                    units[(task, prop) if average["kind"] == "macro" else ""] = (points + one[name][0], count + one[name][1])
            found = None
            if any(count for _, count in units.values()):
                shares = [points / count for points, count in units.values() if count]
                found = (math.fsum(shares), len(shares), sum(count for _, count in units.values()))
            compare_estimate("averages", key, name, found, theirs)
        for name, ours in compliance([row for one in asked for row in cells[one]]).items():
            run.compare("averages", (*key, name), ours, (average[name]["count"], average[name]["of"]))
    return len(cells)


def main(folders):
    failed = False
    for folder in folders:
        run = Run(folder)
        without = {prop for task in run.tasks.values() for prop in task["properties"]} - set(SHOWN)
        if without:
            print(f"{folder}: no reader for {', '.join(sorted(without))}")
            failed = True
            continue
        behaviors = read_behaviors(run)
        trials = make_trials(run, behaviors)
        floor = max([0, *(one["maxMarginDifference"] for one in run.whole("07-noise-floor.json"))])
        has_trials = compare_trials(run, trials, floor)
        cells = compare_scores(run, trials, behaviors, floor, has_trials)
        parts = ", ".join(f"{count - run.wrong[what]} of {count} {what}" for what, count in run.numbers.items())
        print(f"{folder}: {cells} cells; agree: {parts}{'' if has_trials else ' (no 08-trials.jsonl: heuristics and trials left out)'}")
        failed = failed or sum(run.wrong.values()) > 0
    return 1 if failed else 0


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1:]))
