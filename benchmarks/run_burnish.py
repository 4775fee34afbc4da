"""Train a job with burnish: python benchmarks/run_burnish.py JOB_FOLDER OUTPUT_FOLDER [SWITCH=off]."""

import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch
from job import OPTIONS
from peft import PeftModel
from transformers import AutoModelForCausalLM

from burnish.data import RenderedExample
from burnish.model.lora import add_in_place
from burnish.train.loop import start_training, train
from burnish.train.savings import Savings


def main(folder: Path, output: Path, switched_off: set[str]) -> None:
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    examples = [
        RenderedExample(str(i), tuple(row["ids"]), tuple(map(bool, row["mask"])), row["mask"].index(1))
        for i, row in enumerate(job["train"])
    ]
    model = AutoModelForCausalLM.from_pretrained(job["base"], dtype=torch.float32)
    model = PeftModel.from_pretrained(model, folder / "start", is_trainable=True)
    if "in_place_lora" not in switched_off:
        add_in_place(model)
    savings = Savings(**{name: False for name in switched_off - {"in_place_lora"}})
    options = replace(OPTIONS, savings=savings)
    times, fed = [], 0
    for metrics in train(start_training(model, options), examples, options):
        fed += metrics.tokens
        times.append(time.time())
    model.save_pretrained(output / "adapter")
    facts = {"step_ends": times, "executed_tokens": fed, "saved_at": time.time()}
    (output / "facts.json").write_text(json.dumps(facts), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), {word.removesuffix("=off") for word in sys.argv[3:]})
