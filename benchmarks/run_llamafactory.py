"""Train a job with LLaMA-Factory, in its own environment: run_llamafactory.py JOB_FOLDER OUTPUT_FOLDER.

The ids, masks, order, learning rates and the adapter's start are the job's, all by documented arguments: a tokenized
dataset on disk in the order of the job, no shuffling, an adapter to resume, and a callback for the learning rates.
Settings are for speed on a CPU: fp32, no gradient checkpointing, fused AdamW.
"""

import json
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

PADDED_TO = 8  # the collator's multiple; it cannot be set


def main(folder: Path, output: Path) -> None:
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    order, size = job["order"], job["batch_size"]
    ordered = [job["train"][i] for i in order]
    rows = [
        {
            "input_ids": row["ids"],
            "attention_mask": [1] * len(row["ids"]),
            "labels": [i if m else -100 for i, m in zip(row["ids"], row["mask"], strict=True)],
        }
        for row in ordered
    ]
    tokenized = output / "tokenized"
    DatasetDict({"train": Dataset.from_list(rows)}).save_to_disk(str(tokenized))
    callback = JobRates(job["learning_rates"])
    run_exp(
        {
            "stage": "sft",
            "do_train": True,
            "model_name_or_path": job["base"],
            "finetuning_type": "lora",
            "adapter_name_or_path": str(folder / "start"),
            "dataset": "job",  # must be given; the tokenized one is what is read
            "tokenized_path": str(tokenized),
            "template": "default",  # renders nothing here
            "disable_shuffling": True,
            "cutoff_len": max(len(row["ids"]) for row in ordered),
            "output_dir": str(output / "adapter"),
            "use_cpu": True,
            "infer_dtype": "float32",
            "bf16": False,
            "disable_gradient_checkpointing": True,
            "optim": "adamw_torch_fused",
            "learning_rate": 1.0,
            "lr_scheduler_type": "linear",
            "per_device_train_batch_size": size,
            "gradient_accumulation_steps": 1,
            "num_train_epochs": 1,
            "max_grad_norm": job["max_grad_norm"],
            "save_strategy": "no",
            "report_to": "none",
            "disable_tqdm": True,
        },
        callbacks=[callback],
    )
    saved_at = time.time()
    longest = [max(len(row["ids"]) for row in ordered[k : k + size]) for k in range(0, len(ordered), size)]
    lengths = [-(-length // PADDED_TO) * PADDED_TO for length in longest]
    facts = {
        "step_ends": callback.times,
        "executed_tokens": sum(length * len(ordered[n * size : (n + 1) * size]) for n, length in enumerate(lengths)),
        "saved_at": saved_at,
        "precision": "fp32",
        "gradient_checkpointing": False,
    }
    (output / "facts.json").write_text(json.dumps(facts), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
