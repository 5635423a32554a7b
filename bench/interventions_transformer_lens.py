"""TransformerLens' side of interventions-per-second.mjs: `run_with_hooks` for each layer and span, all strings in one batch, or one by one.

`interventions_transformer_lens.py request.json` prints one JSON line.

Request: {"modelFolder", "prompts", "spans", "layers", "width", "values", "threads", "alone"}; values: a file of float32, a row for each string and
layer. Read are the logprobs of the whole vocabulary after each prompt. Seconds are of the loop alone, without loading; the peak is the process's.
"""

import json
import os
import resource
import sys
import time

os.environ["WANDB_MODE"] = "disabled"
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "validation"))

import numpy
import torch
from states_in_transformer_lens import open_bridge


def main(path):
    request = json.load(open(path))
    torch.set_num_threads(request["threads"])
    bridge = open_bridge(request["modelFolder"])
    ids = torch.tensor(request["prompts"])
    strings, layers = len(ids), request["layers"]
    values = torch.from_numpy(numpy.fromfile(request["values"], dtype=numpy.float32)).reshape(strings, layers, request["width"])
    batches = [slice(one, one + 1) for one in range(strings)] if request["alone"] else [slice(0, strings)]
    seconds, best = {}, []
    with torch.no_grad():
        bridge(ids[:1])
        for span, tokens in request["spans"].items():
            found = torch.zeros(strings, layers, dtype=torch.float64)
            begun = time.perf_counter()
            for layer in range(layers):
                for some in batches:

                    def hook(value, hook):
                        value[:, tokens] = values[some, layer][:, None]
                        return value

                    name = f"blocks.{layer}.hook_resid_post"
                    logits = bridge.run_with_hooks(ids[some], fwd_hooks=[(name, hook)])[:, -1]
                    found[some, layer] = logits.double().log_softmax(-1).amax(-1)
            seconds[span] = time.perf_counter() - begun
            best += found.reshape(-1).tolist()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds, "best": best, "peakBytes": peak}))


main(sys.argv[1])
