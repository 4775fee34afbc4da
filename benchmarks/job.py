"""A training job as plain numbers, the same for every system: token ids, loss masks, order, learning rates.

    python benchmarks/job.py WORKLOAD DATA_FOLDER JOB_FOLDER [--rows N]

Writes JOB_FOLDER/job.json and JOB_FOLDER/start/ (the adapter before the first step, in peft's format).
"""

import argparse
import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch

from burnish.conversation import Message, Role, build_conversation
from burnish.data import Example, Renderer
from burnish.model.adapter import attach_adapter
from burnish.model.base import find_base, load_model, load_tokenizer
from burnish.recipe import Schedule
from burnish.train.loop import TrainOptions, count_steps
from burnish.train.savings import Savings
from burnish.train.schedule import examples_of_step, learning_rate_at

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
    columns: tuple[str, str] | None
    """Of question and answer; None for chat rows."""
    rows: int
    held_out: int


WORKLOADS = {
    "W1": Workload("bank_chat", None, 770, 200),
    "W2": Workload("gsm8k", ("prompt", "completion"), 400, 100),
    "W3": Workload("medquad", ("question", "answer"), 300, 40),
}


def read_examples(workload: Workload, data: Path, name: str, count: int) -> list[Example]:
    """The first `count` rows as conversations."""
    lines = (data / workload.folder / name).read_text(encoding="utf-8").split("\n")
    examples = []
    for number, line in enumerate(lines[:count], start=1):
        row = json.loads(line)
        if workload.columns is None:
            messages = tuple(Message(Role(m["role"]), m["content"]) for m in row["messages"])
        else:
            question, answer = (row[column] for column in workload.columns)
            messages = build_conversation(None, (Role.USER, question), (Role.ASSISTANT, answer))
        examples.append(Example(f"{name}:{number}", messages))
    return examples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("workload", choices=WORKLOADS)
    parser.add_argument("data", type=Path)
    parser.add_argument("job", type=Path)
    parser.add_argument("--rows", type=int)
    given = parser.parse_args()
    workload = WORKLOADS[given.workload]
    base = find_base("smollm2-135m-instruct")
    renderer = Renderer(*load_tokenizer(base))

    def rendered(name: str, count: int) -> list[dict[str, Any]]:
        found = [renderer.render(example) for example in read_examples(workload, given.data, name, count)]
        return [{"ids": list(example.input_ids), "mask": [int(m) for m in example.loss_mask]} for example in found]

    train = rendered("train.jsonl", given.rows or workload.rows)
    num_steps = count_steps(len(train), OPTIONS)
    rates = [
        learning_rate_at(
            step,
            num_steps,
            peak=OPTIONS.learning_rate,
            warmup_share=OPTIONS.warmup_share,
            schedule=OPTIONS.schedule,
        )
        for step in range(num_steps)
    ]
    size, seed = OPTIONS.batch_size, OPTIONS.seed
    job = {
        "workload": given.workload,
        "base": str(base.folder),
        "train": train,
        "held_out": rendered("test.jsonl", workload.held_out),
        "order": [i for step in range(num_steps) for i in examples_of_step(step, len(train), size, seed)],
        "batch_size": size,
        "learning_rates": rates,
        "max_grad_norm": OPTIONS.max_grad_norm,
    }
    given.job.mkdir(parents=True, exist_ok=True)
    (given.job / "job.json").write_text(json.dumps(job), encoding="utf-8")
    model = load_model(base, dtype=torch.float32, device=torch.device("cpu"))
    model = attach_adapter(model, rank=RANK, alpha=ALPHA, dropout=0.0, target_modules="all-linear", seed=seed)
    model.save_pretrained(given.job / "start")


if __name__ == "__main__":
    main()
