"""nnsight's side of interventions-per-second.mjs: one trace for each layer and span, all strings in one batch.

`interventions_nnsight.py request.json` prints one JSON line; the request is that of interventions_transformer_lens.py. Logits are made of the last
position alone, as transformers itself allows. Seconds are of the loop alone, without loading; the peak is the process's.
"""

import json
import resource
import sys
import time

import numpy
import torch
from nnsight import NNsight
from transformers import AutoModelForCausalLM


def main(path):
    request = json.load(open(path))
    torch.set_num_threads(request["threads"])
    model = AutoModelForCausalLM.from_pretrained(request["modelFolder"], dtype=torch.float32, local_files_only=True).eval()
    traced = NNsight(model)
    ids = torch.tensor(request["prompts"])
    strings, layers = len(ids), request["layers"]
    values = torch.from_numpy(numpy.fromfile(request["values"], dtype=numpy.float32)).reshape(strings, layers, request["width"])
    seconds, best = {}, []
    with torch.no_grad():
        model(ids[:1])
        for span, tokens in request["spans"].items():
            found = torch.zeros(strings, layers, dtype=torch.float64)
            begun = time.perf_counter()
            for layer in range(layers):
                with traced.trace(ids, logits_to_keep=1):
                    out = traced.model.layers[layer].output
                    states = out if torch.is_tensor(out) else out[0]
                    states[:, tokens] = values[:, layer][:, None]
                    logits = traced.lm_head.output[:, -1].save()
                found[:, layer] = logits.double().log_softmax(-1).amax(-1)
            seconds[span] = time.perf_counter() - begun
            best += found.reshape(-1).tolist()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds, "best": best, "peakBytes": peak}))


main(sys.argv[1])
