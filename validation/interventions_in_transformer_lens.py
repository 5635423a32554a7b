"""The other side of compare-interventions.mjs: the same interventions as hooks of TransformerLens, on the same weights in single precision.

`interventions_in_transformer_lens.py request.json` prints one JSON line.

Request: {"modelFolder", "threads", "items": [{"ids", "site", "tokens", "operation", "factor", "heads", "rows"}], "values", "ours", "vocabulary"};
values: a file of float32, the items' rows one after the other; ours: a file of float32, the vocabulary's logprobs after each item.
Of each part: the greatest difference of a logprob, over all tokens and over those of probability 1e-6 or more; how far the interventions moved
them; and the greatest difference where the hook at hook_resid_mid returns a tensor instead of writing into it.
"""

import collections
import json
import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["WANDB_MODE"] = "disabled"

import numpy
import torch
from states_in_transformer_lens import NAMES, open_bridge


def edited(state, item, rows):
    """[numbers] of one token, the item's own rows [rows, numbers]."""
    one = state.reshape(-1)
    chosen = torch.ones_like(one, dtype=torch.bool)
    if item["heads"] is not None:
        chosen = torch.zeros(state.shape, dtype=torch.bool)
        chosen[item["heads"]] = True
        chosen = chosen.reshape(-1)
    if item["operation"] == "replace":
        made = rows[0]
    elif item["operation"] == "add":
        made = one + item["factor"] * rows[0]
    elif item["operation"] == "scale":
        made = item["factor"] * one
    else:
        # The nearest point of the span, by least squares.
        span = (rows * chosen).double()
        shares = torch.linalg.lstsq(span.T, one.double()[:, None]).solution[:, 0]
        made = (one.double() - shares @ span).float()
    return torch.where(chosen, made, one).reshape(state.shape)


def hook_of(item, rows, in_place):
    def hook(value, hook):
        result = value if in_place else value.clone()
        for at, token in enumerate(item["tokens"]):
            own = rows if item["operation"] == "project_out" or len(rows) <= 1 else rows[at : at + 1]
            result[0, token] = edited(value[0, token], item, own)
        return result

    return hook


def main(path):
    request = json.load(open(path))
    torch.set_num_threads(request["threads"])
    bridge = open_bridge(request["modelFolder"])
    values = torch.from_numpy(numpy.fromfile(request["values"], dtype=numpy.float32))
    ours = numpy.fromfile(request["ours"], dtype=numpy.float32).reshape(-1, request["vocabulary"])
    found = collections.defaultdict(lambda: {"items": 0, "all": 0.0, "likely": 0.0, "moved": 0.0})
    returned = 0.0
    plain = {}
    start = 0
    with torch.no_grad():
        for number, item in enumerate(request["items"]):
            ids = torch.tensor([item["ids"]])
            key = tuple(item["ids"])
            if key not in plain:
                plain[key] = bridge(ids)[0, -1].double().log_softmax(-1)
            part, layer = item["site"].split(".")
            name = NAMES[part].format(layer)
            count = item["rows"] * item["width"]
            rows = values[start : start + count].reshape(item["rows"], item["width"])
            start += count

            def asked(in_place):
                logits = bridge.run_with_hooks(ids, fwd_hooks=[(name, hook_of(item, rows, in_place))])
                return logits[0, -1].double().log_softmax(-1)

            theirs = asked(part == "residual_middle")
            own = torch.from_numpy(ours[number]).double()
            one = found[part]
            one["items"] += 1
            one["all"] = max(one["all"], float((theirs - own).abs().max()))
            one["likely"] = max(one["likely"], float((theirs - own).abs()[theirs > -13.8].max()))
            one["moved"] = max(one["moved"], float((theirs - plain[key]).abs().max()))
            if part == "residual_middle":
                returned = max(returned, float((asked(False) - own).abs().max()))
    assert start == len(values), (start, len(values))
    print(json.dumps({"parts": found, "returned": returned}))


main(sys.argv[1])
