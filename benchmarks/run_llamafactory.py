"""Train a job with LLaMA-Factory, in its own environment: run_llamafactory.py JOB_FOLDER OUTPUT_FOLDER.

The ids, masks, order, learning rates and the adapter's start are the job's, all by documented arguments: a tokenized
dataset on disk in the order of the job, no shuffling, an adapter to resume, and a callback for the learning rates.
Settings are for speed on a CPU: fp32, no gradient checkpointing, fused AdamW.
"""

import sys
import time
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import torch

if torch.version.cuda is None:
    # The package index has these two for CUDA only: beside a CPU build of torch they do not load. A job of text uses
    # neither, but LLaMA-Factory imports the one for its audio, and transformers the other where it is installed.
    sys.modules["torchvision"] = None  # type: ignore[assignment]
    sys.modules["torchaudio"] = ModuleType("torchaudio")
    sys.modules["torchaudio"].__spec__ = ModuleSpec("torchaudio", None)

from datasets import Dataset, DatasetDict
from job_rates import JobRates
from llamafactory.train.tuner import run_exp
from peer import Job, write_facts

PADDED_TO = 8  # the collator's multiple; it cannot be set


def main(folder: Path, output: Path) -> None:
    job = Job(folder)
    rows = [{**row, "attention_mask": [1] * len(row["input_ids"])} for row in job.rows()]
    tokenized = output / "tokenized"
    DatasetDict({"train": Dataset.from_list(rows)}).save_to_disk(str(tokenized))
    rates = JobRates(job.learning_rates)
    run_exp(
        {
            "stage": "sft",
            "do_train": True,
            "model_name_or_path": job.base,
            "finetuning_type": "lora",
            "adapter_name_or_path": str(job.start),
            "dataset": "job",  # must be given; the tokenized one is what is read
            "tokenized_path": str(tokenized),
            "template": "default",  # renders nothing here
            "disable_shuffling": True,
            "cutoff_len": job.longest,
            "output_dir": str(output / "adapter"),
            "use_cpu": True,
            "infer_dtype": "float32",
            "bf16": False,
            "disable_gradient_checkpointing": True,
            "optim": "adamw_torch_fused",
            "learning_rate": 1.0,
            "lr_scheduler_type": "linear",
            "per_device_train_batch_size": job.micro_batch,
            "gradient_accumulation_steps": job.batch_size // job.micro_batch,
            "num_train_epochs": 1,
            "max_grad_norm": job.max_grad_norm,
            "save_strategy": "no",
            "report_to": "none",
            "disable_tqdm": True,
        },
        callbacks=[rates],
    )
    saved_at = time.time()
    tokens = job.padded_tokens(job.micro_batch, multiple=PADDED_TO)
    write_facts(output, rates.times, tokens, saved_at=saved_at)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
