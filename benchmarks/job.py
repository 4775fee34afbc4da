"""A training job as plain numbers, the same for every system: token ids, loss masks, order, learning rates.

    python benchmarks/job.py WORKLOAD DATA_FOLDER JOB_FOLDER [--rows N] [--seed N]

Writes JOB_FOLDER/job.json and JOB_FOLDER/start/ (the adapter before the first step, in peft's format).
"""

import argparse
import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from work import weights_of

from burnish.conversation import Task
from burnish.data import Renderer, TaskForm, build_examples, load_table, render_rows
from burnish.model.adapter import attach_adapter
from burnish.model.base import find_base, load_model, load_tokenizer
from burnish.recipe import Schedule
from burnish.train.loop import TrainOptions, rate_of_step
from burnish.train.savings import Savings
from burnish.train.schedule import examples_of_run

OPTIONS = TrainOptions(
    seed=0,
    epochs=1,
    batch_size=16,
    learning_rate=1e-3,
    schedule=Schedule.LINEAR,
    warmup_share=0.05,
    weight_decay=0.0,
    max_grad_norm=1.0,
    micro_batch_tokens=2048,
)
RANK, ALPHA = 16, 32
# What the ablation switches off, one after the other.
SWITCHES = (*(field.name for field in fields(Savings)), "in_place_lora")


@dataclass(frozen=True)
class Workload:
    """Rows of a public dataset; `held_out` rows of its test file judge the adapters."""

    folder: str
    task: Task
    rows: int
    held_out: int


WORKLOADS = {
    "W1": Workload("bank_chat", Task.CHAT, 770, 256),
    "W2": Workload("gsm8k", Task.COMPLETION, 400, 32),
    "W3": Workload("medquad", Task.COMPLETION, 300, 12),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("workload", choices=WORKLOADS)
    parser.add_argument("data", type=Path)
    parser.add_argument("job", type=Path)
    parser.add_argument("--rows", type=int)
    parser.add_argument("--seed", type=int, default=OPTIONS.seed, help="of the order and of the adapter's start")
    given = parser.parse_args()
    workload = WORKLOADS[given.workload]
    base = find_base("smollm2-135m-instruct")
    renderer = Renderer(*load_tokenizer(base))

    def rendered(name: str, count: int) -> list[dict[str, Any]]:
        path = given.data / workload.folder / name
        table = load_table(path, workload.task, columns={}, max_rows=count)
        examples = build_examples(table, TaskForm(workload.task, "", (), ()))
        found = render_rows(renderer, examples, supervise_all=True).rendered
        return [{"ids": list(example.input_ids), "mask": [int(m) for m in example.loss_mask]} for example in found]

    train = rendered("train.jsonl", given.rows or workload.rows)
    order = examples_of_run(len(train), OPTIONS.batch_size, OPTIONS.epochs, given.seed)
    model = load_model(base, dtype=torch.float32, device=torch.device("cpu"))
    model = attach_adapter(model, rank=RANK, alpha=ALPHA, dropout=0.0, target_modules="all-linear", seed=given.seed)
    body_weights, head_weights = weights_of(model)
    job = {
        "workload": given.workload,
        "base": str(base.folder),
        "train": train,
        "held_out": rendered("test.jsonl", workload.held_out),
        "order": [i for step in order for i in step],
        "batch_size": OPTIONS.batch_size,
        "learning_rates": [rate_of_step(step, range(len(order)), OPTIONS) for step in range(len(order))],
        "max_grad_norm": OPTIONS.max_grad_norm,
        "body_weights": body_weights,
        "head_weights": head_weights,
    }
    given.job.mkdir(parents=True, exist_ok=True)
    (given.job / "job.json").write_text(json.dumps(job), encoding="utf-8")
    model.save_pretrained(given.job / "start")


if __name__ == "__main__":
    main()
