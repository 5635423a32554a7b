"""The other side of compare-states.mjs --against transformer-lens: what inward captured, opened as a pandas table and as a cache of TransformerLens.

`states_in_transformer_lens.py request.json` prints one JSON line.

Request: {"modelFolder", "folder", "threads"}; folder: what `inward states` wrote, of all tokens of the prompts.
Of each of TransformerLens' own names: the greatest difference from what it computes itself, as a share of the greatest number of the token's
vector. Then its own sums over the layers are taken of a cache made of inward's numbers, and held against those of its own cache.
"""

import json
import os
import sys
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["WANDB_MODE"] = "disabled"

import numpy
import pandas
import safetensors.numpy
import tokenizers
import torch
import transformers
from transformer_lens import ActivationCache
from transformer_lens.model_bridge import TransformerBridge
from transformers.utils import logging

logging.disable_progress_bar()

NAMES = {
    "residual_before": "blocks.{}.hook_resid_pre",
    "attention_output": "blocks.{}.hook_attn_out",
    "residual_middle": "blocks.{}.hook_resid_mid",
    "mlp_output": "blocks.{}.hook_mlp_out",
    "residual_after": "blocks.{}.hook_resid_post",
    "head_values": "blocks.{}.attn.hook_z",
    "attention_weights": "blocks.{}.attn.hook_pattern",
}


def open_bridge(folder, dtype=torch.float32):
    """Token ids are given: the tokenizer is there because TransformerLens wants one."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="eager").eval()
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({"<unk>": 0}, unk_token="<unk>"))
    marks = {name: "<unk>" for name in ("unk_token", "bos_token", "eos_token", "pad_token")}
    with tempfile.TemporaryDirectory() as place:
        transformers.PreTrainedTokenizerFast(tokenizer_object=words, **marks).save_pretrained(place)
        tokenizer = transformers.AutoTokenizer.from_pretrained(place)
        return TransformerBridge.boot_transformers(folder, hf_model=model, device="cpu", dtype=dtype, tokenizer=tokenizer)


def main(path):
    request = json.load(open(path))
    torch.set_num_threads(request["threads"])
    index = pandas.read_json(os.path.join(request["folder"], "index.jsonl"), lines=True, dtype={"prompt": str})
    files = {
        name: safetensors.numpy.load_file(os.path.join(request["folder"], name)) for name in index["file"].unique()
    }
    bridge = open_bridge(request["modelFolder"])
    apart = {part: 0.0 for part in NAMES}
    sums = 0.0
    for _, rows in index.sort_values("position").groupby("prompt"):
        ids = torch.tensor([rows["tokenId"].tolist()])
        with torch.no_grad():
            _, theirs = bridge.run_with_cache(ids)
        tensors = files[rows["file"].iloc[0]]
        ours = {}
        for site, tensor in tensors.items():
            part, layer = site.split(".")
            name = NAMES[part].format(layer)
            own = tensor[rows["row"].to_numpy()].astype(numpy.float32)
            their = theirs[name][0].numpy()
            if part == "attention_weights":
                own = own[:, :, : len(rows)].transpose(1, 0, 2)
            own = own.reshape(their.shape)
            axes = (0, 2) if part == "attention_weights" else tuple(range(1, own.ndim))
            size = numpy.abs(their).max(axis=axes)
            apart[part] = max(apart[part], float((numpy.abs(own - their).max(axis=axes) / size).max()))
            ours[name] = torch.from_numpy(own.copy())[None]
        cache = ActivationCache(ours, bridge)
        layers = bridge.cfg.n_layers
        one, labels = cache.accumulated_resid(layer=layers, incl_mid=True, return_labels=True)
        other = theirs.accumulated_resid(layer=layers, incl_mid=True)
        assert one.shape == other.shape == (2 * layers + 1, 1, len(rows), bridge.cfg.d_model), (one.shape, other.shape, labels)
        share = (one - other).abs().amax(dim=-1) / other.abs().amax(dim=-1)
        sums = max(sums, float(share.max()))
    # What a person does with a table: one number a token, beside its text.
    site = next(name for tensors in files.values() for name in tensors if name.startswith("residual_after"))
    index["norm"] = [float(numpy.linalg.norm(files[file][site][row].astype(numpy.float64))) for file, row in zip(index["file"], index["row"])]
    table = index.groupby("text")["norm"].mean()
    assert len(table) > 1 and table.notna().all()
    print(json.dumps({"prompts": int(index["prompt"].nunique()), "tokens": len(index), "parts": apart, "sums": sums}))


if __name__ == "__main__":
    main(sys.argv[1])
