"""The other side of compare-interventions.mjs: the same interventions as hooks of TransformerLens, on the same weights in single precision.

`interventions_in_transformer_lens.py request.json` prints one JSON line.

Request: {"modelFolder", "threads", "items": [{"ids", "site", "tokens", "operation", "factor", "heads", "rows"}], "values", "ours", "vocabulary"};
values: a file of float32, the items' rows one after the other; ours: a file of float32, the vocabulary's logprobs after each item.
Of each part: the greatest difference of a logprob of a token of probability 1e-6 or more, of ours from theirs in single precision, from theirs in
double precision, and of those two from each other; how far the interventions moved them; and the greatest difference where the hook at
hook_resid_mid returns a tensor instead of writing into it.
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
        made = (one.double() - shares @ span).to(one.dtype)
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
    bridges = {dtype: open_bridge(request["modelFolder"], dtype) for dtype in (torch.float32, torch.float64)}
    values = torch.from_numpy(numpy.fromfile(request["values"], dtype=numpy.float32))
    ours = numpy.fromfile(request["ours"], dtype=numpy.float32).reshape(-1, request["vocabulary"])
    found = collections.defaultdict(lambda: {"items": 0, "single": 0.0, "double": 0.0, "theirs": 0.0, "moved": 0.0})
    returned = 0.0
    plain = {}
    start = 0
    with torch.no_grad():
        for number, item in enumerate(request["items"]):
            ids = torch.tensor([item["ids"]])
            key = tuple(item["ids"])
            if key not in plain:
                plain[key] = bridges[torch.float64](ids)[0, -1].log_softmax(-1)
            part, layer = item["site"].split(".")
            name = NAMES[part].format(layer)
            count = item["rows"] * item["width"]
            rows = values[start : start + count].reshape(item["rows"], item["width"])
            start += count

            def asked(dtype, in_place=part == "residual_middle"):
                hook = hook_of(item, rows.to(dtype), in_place)
                return bridges[dtype].run_with_hooks(ids, fwd_hooks=[(name, hook)])[0, -1].double().log_softmax(-1)

            single, double = asked(torch.float32), asked(torch.float64)
            own = torch.from_numpy(ours[number]).double()
            apart = lambda one, other: float((one - other).abs()[double > -13.8].max())
            one = found[part]
            one["items"] += 1
            one["moved"] = max(one["moved"], apart(double, plain[key]))
            for what, pair in {"single": (own, single), "double": (own, double), "theirs": (single, double)}.items():
                one[what] = max(one[what], apart(*pair))
            if part == "residual_middle":
                returned = max(returned, apart(asked(torch.float32, False), own))
            print(f"{number + 1} of {len(request['items'])}", item["site"], item["operation"], apart(own, double), apart(single, double), file=sys.stderr)
    assert start == len(values), (start, len(values))
    print(json.dumps({"parts": found, "returned": returned}))


main(sys.argv[1])
