"""The other side of compare-states.mjs: the states of transformers' own modules, beside those that inward wrote.

`states_reference.py request.json` prints one JSON line.

Request: {"modelFolder", "folder", "threads"}; folder: what `inward states` wrote, of all tokens of the prompts.
Reads the folder with numpy. Of each part: the greatest difference from transformers in single precision, from double precision, and of
those two from each other, each as a share of the greatest number of the token's vector, and as it is.
"""

import collections
import json
import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy
import safetensors.numpy
import torch
import transformers
from transformers.utils import logging

logging.disable_progress_bar()


def states_of(model, ids):
    """By site, [tokens, numbers], and attention weights [tokens, heads, keys]: what goes into and comes out of each layer's modules."""
    found = {}
    hooks = []

    def keep(name, value):
        found[name] = value.detach()[0].double().numpy()

    def on_input(module, name, kept=lambda value: value):
        def hook(_, positional, named):
            keep(name, kept(positional[0] if positional else named["hidden_states"]))

        hooks.append(module.register_forward_pre_hook(hook, with_kwargs=True))

    def on_output(module, name):
        def hook(_, __, output):
            keep(name, output[0] if isinstance(output, tuple) else output)

        hooks.append(module.register_forward_hook(hook))

    config = model.config
    with_norms_after = config.model_type in ("gemma2", "gemma3", "gemma3_text")
    for number, layer in enumerate(model.model.layers):
        on_input(layer, f"residual_before.{number}")
        on_output(layer, f"residual_after.{number}")
        on_input(layer.self_attn.o_proj, f"head_values.{number}")
        on_output(layer.post_attention_layernorm if with_norms_after else layer.self_attn, f"attention_output.{number}")
        middle = layer.pre_feedforward_layernorm if with_norms_after else layer.post_attention_layernorm
        on_input(middle, f"residual_middle.{number}")
        on_output(layer.post_feedforward_layernorm if with_norms_after else layer.mlp, f"mlp_output.{number}")
    with torch.no_grad():
        output = model(torch.tensor([ids]), output_attentions=True, use_cache=False)
    for hook in hooks:
        hook.remove()
    for number, weights in enumerate(output.attentions):
        found[f"attention_weights.{number}"] = weights[0].double().permute(1, 0, 2).numpy()
    return found


def main(path):
    request = json.load(open(path))
    torch.set_num_threads(request["threads"])
    single, double = (
        transformers.AutoModelForCausalLM.from_pretrained(request["modelFolder"], dtype=dtype, attn_implementation="eager").eval()
        for dtype in (torch.float32, torch.float64)
    )
    rows = collections.defaultdict(list)
    for line in open(os.path.join(request["folder"], "index.jsonl")):
        one = json.loads(line)
        rows[one["prompt"]].append(one)
    files = {}
    worst = collections.defaultdict(lambda: {"single": 0.0, "double": 0.0, "theirs": 0.0, "singleAbsolute": 0.0, "at": ""})
    numbers = 0
    for prompt, lines in rows.items():
        lines.sort(key=lambda one: one["position"])
        assert [one["position"] for one in lines] == list(range(len(lines))), prompt
        ids = [one["tokenId"] for one in lines]
        file = lines[0]["file"]
        if file not in files:
            files = {file: safetensors.numpy.load_file(os.path.join(request["folder"], file))}
        at = [one["row"] for one in lines]
        theirs = {"single": states_of(single, ids), "double": states_of(double, ids)}
        for site, tensor in files[file].items():
            ours = tensor[at].astype(numpy.float64)
            part = worst[site.split(".")[0]]
            if site.startswith("attention_weights"):
                ours = ours[:, :, : len(ids)]
            single_one, double_one = (theirs[which][site].reshape(ours.shape) for which in ("single", "double"))
            axes = tuple(range(1, ours.ndim))
            size = numpy.abs(double_one).max(axis=axes)
            share = lambda a, b: float((numpy.abs(a - b).max(axis=axes) / size).max())
            numbers += ours.size
            apart = share(ours, single_one)
            if not apart <= part["single"]:
                part["single"], part["at"] = apart, f"{site}, prompt {prompt}"
            part["double"] = max(part["double"], share(ours, double_one))
            part["theirs"] = max(part["theirs"], share(single_one, double_one))
            part["singleAbsolute"] = max(part["singleAbsolute"], float(numpy.abs(ours - single_one).max()))
    print(json.dumps({"prompts": len(rows), "tokens": sum(map(len, rows.values())), "numbers": numbers, "parts": worst}))


main(sys.argv[1])
