"""A GGUF as a transformers model folder, F32: `gguf_to_transformers.py model.gguf folder`.

transformers' own reader dequantizes and undoes llama.cpp's row order of q and k. It takes 15 s each time and leaves the model
marked as quantized, so the weights are put into a plain model once and saved.
"""

import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from transformers import AutoModelForCausalLM
from transformers.utils import logging

logging.disable_progress_bar()


def main(gguf, folder):
    read = AutoModelForCausalLM.from_pretrained(
        os.path.dirname(os.path.abspath(gguf)), gguf_file=os.path.basename(gguf), dtype=torch.float32
    )
    settings = read.config.to_dict()
    settings.pop("quantization_config", None)
    plain = AutoModelForCausalLM.from_config(type(read.config).from_dict(settings), dtype=torch.float32)
    plain.load_state_dict(read.state_dict())
    plain.save_pretrained(folder)


main(*sys.argv[1:])
