"""Train a job with burnish: python benchmarks/run_burnish.py JOB_FOLDER OUTPUT_FOLDER [shared_prefix=off]."""

import json
import sys
import time
from pathlib import Path

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from burnish.data import RenderedExample
from burnish.model.adapter import adapter_parameters
from burnish.model.attention import packed_attention
from burnish.train.pack import pack_examples
from burnish.train.step import train_step

MICRO_BATCH_TOKENS = 2048


def main(folder: Path, output: Path, switched_off: set[str]) -> None:
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    examples = [
        RenderedExample(str(i), tuple(row["ids"]), tuple(map(bool, row["mask"])), row["mask"].index(1))
        for i, row in enumerate(job["train"])
    ]
    model = AutoModelForCausalLM.from_pretrained(job["base"], dtype=torch.float32)
    model = PeftModel.from_pretrained(model, folder / "start", is_trainable=True)
    parameters = list(adapter_parameters(model).values())
    optimizer = torch.optim.AdamW(parameters, weight_decay=0.0, fused=True)
    times, fed = [], 0
    model.train()
    with packed_attention(model.get_base_model()):
        for step, rate in enumerate(job["learning_rates"]):
            chosen = [examples[i] for i in job["order"][step * job["batch_size"] : (step + 1) * job["batch_size"]]]
            optimizer.param_groups[0]["lr"] = rate
            metrics = train_step(
                model,
                parameters,
                optimizer,
                pack_examples(
                    chosen,
                    max_tokens=MICRO_BATCH_TOKENS,
                    device=model.device,
                    shared_prefix="shared_prefix" not in switched_off,
                ),
                num_supervised=sum(example.num_supervised for example in chosen),
                max_grad_norm=job["max_grad_norm"],
                step=step + 1,
                epoch=0.0,
            )
            fed += metrics.tokens
            times.append(time.time())
    model.save_pretrained(output / "adapter")
    facts = {"step_ends": times, "executed_tokens": fed, "saved_at": time.time()}
    (output / "facts.json").write_text(json.dumps(facts), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), {word.removesuffix("=off") for word in sys.argv[3:]})
