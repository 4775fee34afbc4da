"""Train a job with TRL's SFTTrainer, in its own environment: run_trl.py JOB_FOLDER OUTPUT_FOLDER default|tuned [bf16].

The ids, masks, steps, learning rates and the adapter's start are the job's. `default` leaves every other setting at
TRL's documented default, micro-batches of eight included. `tuned` is what was found fastest on a CPU; with `bf16` the
base is in bf16, the adapter in fp32, as peft has it.
"""

import sys
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from job_rates import JobRates
from peer import Job, write_facts
from peft import PeftModel
from torch.utils.data import Sampler, SequentialSampler
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

TUNED: dict[str, Any] = {
    "bf16": False,
    "gradient_checkpointing": False,
    "optim": "adamw_torch_fused",
}


class JobTrainer(SFTTrainer):  # type: ignore[misc]
    """TRL's trainer, the rows in the order in which they are given."""

    def _get_train_sampler(self, *_: Any) -> Sampler[int]:
        return SequentialSampler(self.train_dataset)


def main(folder: Path, output: Path, words: set[str]) -> None:
    job, is_tuned, is_bf16 = Job(folder), "tuned" in words, "bf16" in words
    config = SFTConfig(
        output_dir=str(output / "trl"),
        use_cpu=True,
        learning_rate=1.0,  # times the job's rate of the step
        lr_scheduler_type="linear",
        num_train_epochs=1,
        max_length=job.longest,
        max_grad_norm=job.max_grad_norm,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        **(TUNED | {"per_device_train_batch_size": job.micro_batch} if is_tuned else {}),
    )
    config.gradient_accumulation_steps = job.batch_size // config.per_device_train_batch_size
    model = AutoModelForCausalLM.from_pretrained(job.base, dtype=torch.bfloat16 if is_bf16 else torch.float32)
    rates = JobRates(job.learning_rates)
    trainer = JobTrainer(
        model=PeftModel.from_pretrained(model, job.start, is_trainable=True),
        args=config,
        train_dataset=Dataset.from_list(job.rows(sorted_by_length=is_tuned)),
        processing_class=AutoTokenizer.from_pretrained(job.base),
        callbacks=[rates],
    )
    trainer.train()
    trainer.model.save_pretrained(output / "adapter")
    write_facts(
        output,
        rates.times,
        job.padded_tokens(config.per_device_train_batch_size, sorted_by_length=is_tuned),
        precision="bf16 autocast" if config.bf16 else "bf16" if is_bf16 else "fp32",
        recomputes=config.gradient_checkpointing,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), set(sys.argv[3:]))
