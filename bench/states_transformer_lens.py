"""TransformerLens' side of states-cost.mjs: `run_with_cache` on the same tokens, residuals of every layer's border, written as safetensors.

`states_transformer_lens.py request.json` prints one JSON line.

Request: {"modelFolder", "ids": [[…]], "out", "threads", "batch", "dtype"}. Prompts of a batch are padded to its longest; the batches are of
prompts of about one length. Seconds are of the loop alone, without loading; the peak is the process's.
"""

import json
import os
import resource
import sys
import time

os.environ["WANDB_MODE"] = "disabled"
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "validation"))

import safetensors.torch
import torch
from states_in_transformer_lens import open_bridge


def main(path):
    request = json.load(open(path))
    torch.set_num_threads(request["threads"])
    bridge = open_bridge(request["modelFolder"])
    layers = bridge.cfg.n_layers
    names = [f"blocks.{layer}.hook_resid_pre" for layer in range(layers)] + [f"blocks.{layers - 1}.hook_resid_post"]
    dtype = {"f16": torch.float16, "f32": torch.float32}[request["dtype"]]
    prompts = sorted(request["ids"], key=len)
    os.makedirs(request["out"])
    begun, written = time.perf_counter(), 0
    for first in range(0, len(prompts), request["batch"]):
        some = prompts[first : first + request["batch"]]
        longest = max(map(len, some))
        ids = torch.tensor([one + [0] * (longest - len(one)) for one in some])
        # Padding stands behind: what is before it does not see it.
        with torch.no_grad():
            _, cache = bridge.run_with_cache(ids, names_filter=names)
        rows = {name: torch.cat([cache[name][at, : len(one)] for at, one in enumerate(some)]).to(dtype) for name in names}
        safetensors.torch.save_file(rows, os.path.join(request["out"], f"{first}.safetensors"))
        written += sum(map(len, some))
    seconds = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds, "tokens": written, "peakBytes": peak}))


if __name__ == "__main__":
    main(sys.argv[1])
