"""The peer's side of train-tokens-per-second.mjs: LoRA finetuning as users of transformers and peft write it, F32, on the CPU.

`peft_peer.py request.json`; request: modelFolder, examples ({tokenIds, answerStart}), batches (example indices per optimizer
step), forwardExamples (examples per forward pass; 0: the whole batch), settings (TrainingSettings), threads. Prints one JSON
line. Batches are padded to their longest example; the loss is the model's own on masked labels; attention is the default.
"""

import json
import os
import resource
import sys
import time

os.environ["HF_HUB_OFFLINE"] = "1"

import peft
import torch
import transformers
from transformers.utils import logging

logging.disable_progress_bar()

MODULES = {"q": "q_proj", "k": "k_proj", "v": "v_proj", "o": "o_proj", "gate": "gate_proj", "up": "up_proj", "down": "down_proj"}
IGNORED = -100


def collate(examples):
    """Token ids, attention mask and labels, [examples, longest]; padding stands on the right and is never attended to."""
    longest = max(len(example["tokenIds"]) for example in examples)
    ids = torch.zeros(len(examples), longest, dtype=torch.long)
    mask = torch.zeros_like(ids)
    labels = torch.full_like(ids, IGNORED)
    for row, example in enumerate(examples):
        tokens = torch.tensor(example["tokenIds"])
        ids[row, : len(tokens)] = tokens
        mask[row, : len(tokens)] = 1
        labels[row, example["answerStart"] : len(tokens)] = tokens[example["answerStart"] :]
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def peak_bytes():
    """Peak resident memory of this process. ru_maxrss would count what the process that started this one held."""
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))
    except FileNotFoundError:
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return used if sys.platform == "darwin" else used * 1024


def main(path):
    with open(path) as file:
        request = json.load(file)
    settings = request["settings"]
    torch.set_num_threads(request["threads"])
    torch.manual_seed(settings["seed"])
    model = transformers.AutoModelForCausalLM.from_pretrained(request["modelFolder"], dtype=torch.float32)
    model.config.use_cache = False
    non_embedding = sum(parameter.numel() for parameter in model.model.layers.parameters() if parameter.dim() == 2)
    lora = settings["lora"]
    model = peft.get_peft_model(
        model,
        peft.LoraConfig(
            r=lora["rank"],
            lora_alpha=lora["alpha"],
            lora_dropout=lora["dropout"],
            target_modules=[MODULES[target] for target in lora["targets"]],
            task_type="CAUSAL_LM",
        ),
    )
    model.train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(
        trained,
        lr=settings["learningRate"],
        betas=(settings["beta1"], settings["beta2"]),
        eps=settings["epsilon"],
        weight_decay=settings["weightDecay"],
    )
    steps = []
    for batch in request["batches"]:
        examples = [request["examples"][index] for index in batch]
        begun = time.perf_counter()
        answer_tokens = sum(len(example["tokenIds"]) - example["answerStart"] for example in examples)
        at_once = request["forwardExamples"] or len(examples)
        loss_sum = 0.0
        evaluated = 0
        for first in range(0, len(examples), at_once):
            inputs = collate(examples[first : first + at_once])
            # With num_items_in_batch the parts of an accumulated batch add up to the mean over the whole of it.
            loss = model(**inputs, num_items_in_batch=answer_tokens).loss
            loss.backward()
            loss_sum += loss.item()
            evaluated += inputs["input_ids"].numel()
        if settings["maxGradientNorm"] > 0:
            torch.nn.utils.clip_grad_norm_(trained, settings["maxGradientNorm"])
        optimizer.step()
        optimizer.zero_grad()
        milliseconds = (time.perf_counter() - begun) * 1000
        # Padding included: this is what was computed.
        steps.append({"milliseconds": milliseconds, "lossNatsPerToken": loss_sum, "evaluatedTokens": evaluated})
    print(
        json.dumps(
            {
                "steps": steps,
                "peakBytes": peak_bytes(),
                "parameters": {"trained": sum(parameter.numel() for parameter in trained), "nonEmbedding": non_embedding},
                "versions": {
                    "python": sys.version.split()[0],
                    "torch": torch.__version__,
                    "transformers": transformers.__version__,
                    "peft": peft.__version__,
                },
                "torchKernels": torch.backends.cpu.get_cpu_capability(),
                "threads": torch.get_num_threads(),
            }
        )
    )


main(sys.argv[1])
