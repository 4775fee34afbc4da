"""Train a job with TRL's SFTTrainer, in its own environment: run_trl.py JOB_FOLDER OUTPUT_FOLDER default|tuned.

The ids, masks, order, learning rates and the adapter's start are the job's. `default` leaves every other setting at
TRL's documented default. `tuned` is what was found fastest on a CPU: see benchmarks/README.md.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import PeftModel
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import Sampler
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import SFTConfig, SFTTrainer

TUNED: dict[str, Any] = {"bf16": False, "gradient_checkpointing": False, "optim": "adamw_torch_fused"}


class GivenOrder(Sampler[int]):
    """The examples in the order of the job."""

    def __init__(self, order: list[int]) -> None:
        self.order = order

    def __iter__(self) -> Any:
        return iter(self.order)

    def __len__(self) -> int:
        return len(self.order)


class JobTrainer(SFTTrainer):  # type: ignore[misc]
    """TRL's trainer with the job's order and learning rates."""

    job: dict[str, Any]

    def _get_train_sampler(self, *_: Any) -> Sampler[int]:
        return GivenOrder(self.job["order"])

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        rates = self.job["learning_rates"]
        self.lr_scheduler = LambdaLR(optimizer or self.optimizer, lambda step: rates[min(step, len(rates) - 1)])
        return self.lr_scheduler


class StepTimes(TrainerCallback):  # type: ignore[misc]
    """When each optimizer step ended."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.times.append(time.time())


def main(folder: Path, output: Path, tier: str) -> None:
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    rows = [
        {"input_ids": row["ids"], "labels": [i if m else -100 for i, m in zip(row["ids"], row["mask"], strict=True)]}
        for row in job["train"]
    ]
    longest = max(len(row["input_ids"]) for row in rows)
    config = SFTConfig(
        output_dir=str(output / "trl"),
        use_cpu=True,
        learning_rate=1.0,  # times the job's rate of the step
        per_device_train_batch_size=job["batch_size"],
        num_train_epochs=1,
        max_length=longest,  # no answer is cut
        max_grad_norm=job["max_grad_norm"],
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        **(TUNED if tier == "tuned" else {}),
    )
    model = AutoModelForCausalLM.from_pretrained(job["base"], dtype=torch.float32)
    model = PeftModel.from_pretrained(model, folder / "start", is_trainable=True)
    times = StepTimes()
    trainer = JobTrainer(
        model=model,
        args=config,
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(job["base"]),
        callbacks=[times],
    )
    trainer.job = job
    trainer.train()
    trainer.model.save_pretrained(output / "adapter")
    order, size = job["order"], job["batch_size"]
    batches = [[len(job["train"][i]["ids"]) for i in order[k : k + size]] for k in range(0, len(order), size)]
    facts = {
        "step_ends": times.times,
        "executed_tokens": sum(max(batch) * len(batch) for batch in batches),
        "saved_at": time.time(),
        "precision": "bf16 autocast" if config.bf16 else "fp32",
        "gradient_checkpointing": config.gradient_checkpointing,
    }
    (output / "facts.json").write_text(json.dumps(facts), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
