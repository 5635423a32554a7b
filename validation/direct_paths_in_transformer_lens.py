"""The other side of compare-direct-paths.mjs: logits taken apart, and states in other places, by TransformerLens in double precision.

`direct_paths_in_transformer_lens.py request.json` prints one JSON line.

Request: {"modelFolder", "threads", "attributions": [{"ids", "tokens", "parts": {component: logits}}],
"patches": [{"ids", "at", "into", "donorIds", "from", "taken", "rows"}], "rows": a file of float32, "ours", "vocabulary"}.
A patch without rows puts the donor's state in the place of the prompt's own; with rows, what it has in their span.
"""

import json
import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["WANDB_MODE"] = "disabled"

import numpy
import torch
from states_in_transformer_lens import NAMES, open_bridge


def name_of(site):
    part, layer = site.split(".")
    return NAMES[part].format(layer)


def parts_of(bridge, ids, tokens):
    """A norm is what it makes of each number of the last residual."""
    _, cache = bridge.run_with_cache(torch.tensor([ids]))
    inner = bridge.original_model
    layers = inner.config.num_hidden_layers
    last = lambda name: cache[name][0, -1]
    end = last(f"blocks.{layers - 1}.hook_resid_post")
    factors = inner.model.norm(end[None])[0] / end
    rows = inner.lm_head.weight[tokens]
    logits = lambda part: (rows @ (factors * part)).tolist()
    parts = {"embedding": logits(last("blocks.0.hook_resid_pre"))}
    for layer in range(layers):
        parts[f"attention.{layer}"] = logits(last(f"blocks.{layer}.hook_attn_out"))
        parts[f"mlp.{layer}"] = logits(last(f"blocks.{layer}.hook_mlp_out"))
        values = last(f"blocks.{layer}.attn.hook_z").reshape(inner.config.num_attention_heads, -1)
        columns = weight_of(inner.model.layers[layer].self_attn.o_proj).split(values.shape[1], dim=1)
        for head, own in enumerate(values):
            parts[f"head.{layer}.{head}"] = logits(columns[head] @ own)
    return parts


def weight_of(module):
    """TransformerLens wraps the layers that it has hooks in."""
    while not hasattr(module, "weight"):
        module = module.original_component
    return module.weight


def main(path):
    request = json.load(open(path))
    torch.set_num_threads(request["threads"])
    bridge = open_bridge(request["modelFolder"], torch.float64)
    rows = torch.from_numpy(numpy.fromfile(request["rows"], dtype=numpy.float32)).double()
    ours = numpy.fromfile(request["ours"], dtype=numpy.float32).reshape(-1, request["vocabulary"])
    found = {"parts": {}, "patches": {}}
    plain = {}
    start = 0
    with torch.no_grad():
        for item in request["attributions"]:
            theirs = parts_of(bridge, item["ids"], item["tokens"])
            assert sorted(theirs) == sorted(item["parts"]), set(theirs) ^ set(item["parts"])
            for component, logits in theirs.items():
                kind = component.split(".")[0]
                one = found["parts"].setdefault(kind, {"count": 0, "apart": 0.0, "largest": 0.0})
                one["count"] += 1
                own = item["parts"][component]
                one["apart"] = max(one["apart"], max(abs(a - b) for a, b in zip(own, logits)))
                one["largest"] = max(one["largest"], max(abs(a) for a in logits))
        for number, item in enumerate(request["patches"]):
            name = name_of(item["from"])
            taken = []
            keep = lambda value, hook: taken.append(value[0, item["taken"]].clone())
            bridge.run_with_hooks(torch.tensor([item["donorIds"]]), fwd_hooks=[(name, keep)])
            (state,) = taken
            span = None
            if item["rows"] > 0:
                count = item["rows"] * len(state)
                span = rows[start : start + count].reshape(item["rows"], -1)
                start += count

            def hook(value, hook):
                made = value.clone()
                own = value[0, item["at"]]
                if span is None:
                    made[0, item["at"]] = state
                else:
                    shares = torch.linalg.lstsq(span.T, (state - own)[:, None]).solution[:, 0]
                    made[0, item["at"]] = own + shares @ span
                return made

            ids = torch.tensor([item["ids"]])
            key = tuple(item["ids"])
            if key not in plain:
                plain[key] = bridge(ids)[0, -1].log_softmax(-1)
            theirs = bridge.run_with_hooks(ids, fwd_hooks=[(name_of(item["into"]), hook)])[0, -1].log_softmax(-1)
            seen = theirs > -13.8
            one = found["patches"].setdefault(item["what"], {"count": 0, "apart": 0.0, "moved": 0.0})
            one["count"] += 1
            own = torch.from_numpy(ours[number]).double()
            one["apart"] = max(one["apart"], float((own - theirs).abs()[seen].max()))
            one["moved"] = max(one["moved"], float((plain[key] - theirs).abs()[seen].max()))
    assert start == len(rows), (start, len(rows))
    print(json.dumps(found))


main(sys.argv[1])
