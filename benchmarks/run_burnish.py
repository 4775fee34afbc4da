"""Train a job with burnish: run_burnish.py JOB_FOLDER OUTPUT_FOLDER [bf16] [SWITCH=off]; bf16 is the base's format."""

# ruff: noqa: E402
import json
import sys
import time
from dataclasses import replace
from pathlib import Path

from burnish.garbage import collect_garbage_seldom

collect_garbage_seldom()  # as `burnish` does before it imports torch

import torch
from job import OPTIONS
from peer import write_facts
from peft import PeftModel
from transformers import AutoModelForCausalLM

from burnish.data import RenderedExample
from burnish.model.device import keep_freed_memory
from burnish.model.lora import add_in_place
from burnish.train.loop import start_training, train
from burnish.train.savings import Savings


def main(folder: Path, output: Path, words: set[str]) -> None:
    keep_freed_memory()  # as burnish's own `load_model` does
    switched_off = {word.removesuffix("=off") for word in words - {"bf16"}}
    dtype = torch.bfloat16 if "bf16" in words else torch.float32
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    examples = [
        RenderedExample(str(i), tuple(row["ids"]), tuple(map(bool, row["mask"])), row["mask"].index(1))
        for i, row in enumerate(job["train"])
    ]
    model = AutoModelForCausalLM.from_pretrained(job["base"], dtype=dtype)
    model = PeftModel.from_pretrained(model, folder / "start", is_trainable=True)
    if "in_place_lora" not in switched_off:
        add_in_place(model)
    savings = Savings(**{name: False for name in switched_off - {"in_place_lora"}})
    options = replace(OPTIONS, savings=savings)
    times, steps = [], []
    for metrics in train(start_training(model, options), examples, options):
        steps.append(metrics)
        times.append(time.time())
    model.save_pretrained(output / "adapter")
    fed, learned = [step.tokens for step in steps], [step.supervised_tokens for step in steps]
    head_tokens = learned if savings.supervised_logits else fed
    write_facts(output, times, fed, head_tokens=head_tokens, precision="bf16" if "bf16" in words else "fp32")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), set(sys.argv[3:]))
