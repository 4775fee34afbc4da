"""What the script of every peer does: reads the job, and writes what bench.py wants to know. Standard library alone."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

IGNORED = -100  # the label of a token that is not learned, in all of them
MICRO_BATCH, MOST_TOKENS = 4, 4096


class Job:
    """The numbers of JOB_FOLDER/job.json."""

    def __init__(self, folder: Path) -> None:
        found: dict[str, Any] = json.loads((folder / "job.json").read_text(encoding="utf-8"))
        self.base: str = found["base"]
        self.start = folder / "start"
        self.batch_size: int = found["batch_size"]
        self.learning_rates: list[float] = found["learning_rates"]
        self.max_grad_norm: float = found["max_grad_norm"]
        self.body_weights: int = found["body_weights"]
        self.head_weights: int = found["head_weights"]
        size, order = self.batch_size, found["order"]
        self.steps = [[found["train"][i] for i in order[k : k + size]] for k in range(0, len(order), size)]

    @property
    def longest(self) -> int:
        """Tokens of the longest row; nothing is to be cut."""
        return max(len(row["ids"]) for step in self.steps for row in step)

    @property
    def micro_batch(self) -> int:
        """What is fastest for tuned peers: four examples, or one where four would not fit into 24 GB of memory."""
        return MICRO_BATCH if MICRO_BATCH * self.longest <= MOST_TOKENS else 1

    @property
    def learned_tokens(self) -> list[int]:
        """Of each step."""
        return [sum(sum(row["mask"]) for row in step) for step in self.steps]

    def rows(self, *, sorted_by_length: bool = True) -> list[dict[str, list[int]]]:
        """All rows with their labels, step after step; within a step those of like length stand together.

        The order within a step moves no gradient, and spares padding where a step is cut into micro-batches.
        """
        return [
            {"input_ids": row["ids"], "labels": labels_of(row)}
            for step in self.steps
            for row in _ordered(step, sorted_by_length)
        ]

    def padded_tokens(self, micro_batch: int, *, sorted_by_length: bool = True, multiple: int = 1) -> list[int]:
        """Tokens of each step, where micro-batches are padded to their longest row, and that to a multiple."""
        found = []
        for step in self.steps:
            lengths = [len(row["ids"]) for row in _ordered(step, sorted_by_length)]
            parts = [lengths[k : k + micro_batch] for k in range(0, len(lengths), micro_batch)]
            found.append(sum(-(-max(part) // multiple) * multiple * len(part) for part in parts))
        return found


def _ordered(step: list[dict[str, list[int]]], by_length: bool) -> list[dict[str, list[int]]]:
    return sorted(step, key=lambda row: -len(row["ids"])) if by_length else step


def labels_of(row: dict[str, list[int]]) -> list[int]:
    """A row's ids where they are learned."""
    return [i if learned else IGNORED for i, learned in zip(row["ids"], row["mask"], strict=True)]


def write_facts(
    output: Path,
    step_ends: Sequence[float],
    executed_tokens: Sequence[int],
    *,
    saved_at: float | None = None,
    head_tokens: Sequence[int] | None = None,
    precision: str = "fp32",
    recomputes: bool = False,
) -> None:
    """The end of each step and the moment when the adapter was saved (in seconds of the clock), and tokens by step.

    `head_tokens` are those whose logits are computed, all of them unless given.
    """
    facts = {
        "step_ends": list(step_ends),
        "executed_tokens": list(executed_tokens),
        "head_tokens": list(head_tokens or executed_tokens),
        "saved_at": saved_at or time.time(),
        "precision": precision,
        "recomputes": recomputes,
    }
    (output / "facts.json").write_text(json.dumps(facts), encoding="utf-8")
