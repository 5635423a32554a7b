"""The other side of compare-lenses.mjs: lenses that tuned-lens and TransformerLens write themselves, and what both say through them.

`lenses_reference.py request.json` prints one JSON line. Request: {"modelFolder", "ids": [[…]], "out", "threads"}.
Matrices are drawn anew with a seed. out/tuned is what TunedLens.save writes, out/jacobian.pt what JacobianLens.save writes (half precision, as
published ones); out/readings.safetensors has ln P at the last token of each prompt, [prompts, layers, vocabulary], through each.
"""

import json
import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["WANDB_MODE"] = "disabled"

# tuned-lens 0.2.0 looks for a TransformerLens of before 4.0, and does without where there is none.
sys.modules["transformer_lens"] = None

import safetensors.torch
import torch
import transformers
from tuned_lens.nn.lenses import TunedLens

del sys.modules["transformer_lens"]

from states_in_transformer_lens import open_bridge
from transformer_lens.tools.analysis import JacobianLens


def main(path):
    request = json.load(open(path))
    torch.set_num_threads(request["threads"])
    torch.manual_seed(17)
    bridge = open_bridge(request["modelFolder"])
    model = transformers.AutoModelForCausalLM.from_pretrained(request["modelFolder"], dtype=torch.float32).eval()
    width, layers = model.config.hidden_size, model.config.num_hidden_layers
    draw = lambda *shape: torch.randn(*shape) / width**0.5

    tuned = TunedLens.from_model(model)
    for translator in tuned:
        translator.weight.data.copy_(draw(width, width) / 4)
        translator.bias.data.copy_(draw(width))
    tuned.save(os.path.join(request["out"], "tuned"))
    jacobians = {layer: torch.eye(width) + draw(width, width) / 4 for layer in range(layers - 1)}
    place = os.path.join(request["out"], "jacobian.pt")
    JacobianLens(jacobians, n_prompts=3, d_model=width).save(place)
    jacobian = JacobianLens.load(place)

    said = {"tuned": [], "jacobian": []}
    with torch.no_grad():
        for ids in request["ids"]:
            tokens = torch.tensor([ids])
            states = model(tokens, output_hidden_states=True).hidden_states
            through = [tuned.forward(states[layer][0, -1], layer) for layer in range(layers)]
            said["tuned"].append(torch.stack(through).log_softmax(-1))
            read = jacobian.readout(bridge, tokens, positions=[-1], return_full_logits=True)
            through = [read.lens_logits[layer][0] for layer in range(layers - 1)]
            said["jacobian"].append(torch.stack(through).log_softmax(-1))
    rows = {name: torch.stack(all_prompts).contiguous() for name, all_prompts in said.items()}
    safetensors.torch.save_file(rows, os.path.join(request["out"], "readings.safetensors"))
    print(json.dumps({"layers": layers, "width": width}))


if __name__ == "__main__":
    main(sys.argv[1])
