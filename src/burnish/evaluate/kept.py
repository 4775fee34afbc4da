"""An arm's prediction rows, kept as they come: a stopped run goes on behind the last one, a finished one is read."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from burnish.evaluate.evaluation import ArmRun
from burnish.files import read_json, read_jsonl, write_json, write_jsonl

ROWS_AT_ONCE = 64
"""Rows between two times of keeping."""


class Budget:
    """The seconds that several arms may take together."""

    def __init__(self, seconds: float) -> None:
        self.left = seconds

    def spend(self, seconds: float) -> None:
        self.left -= seconds


def answer_rows(
    path: Path,
    key: dict[str, Any],
    num_rows: int,
    answer: Callable[[range], list[dict[str, Any]]],
    *,
    begin: Callable[[], object] = lambda: None,
    budget: Budget | None = None,
) -> ArmRun | None:
    """All rows of an arm, those in `path` if they were made with the same `key`; None where the budget does not reach.

    That is told from the rows that have been answered: an arm that would not be done in time is not begun in earnest.
    `begin` is called before the first row that is not there yet; its time does not count.
    """
    card = path.with_suffix(".meta.json")
    rows, elapsed = _read(path, card, key)
    if len(rows) < num_rows:
        if budget is not None and budget.left <= 0:
            return None
        begin()
    while len(rows) < num_rows:
        start = time.perf_counter()
        rows += answer(range(len(rows), min(len(rows) + ROWS_AT_ONCE, num_rows)))
        seconds = time.perf_counter() - start
        elapsed += seconds
        write_jsonl(path, rows)  # first: the card counts those that are whole
        write_json(card, {"key": key, "num_rows": len(rows), "elapsed_s": round(elapsed, 2)})
        if budget is not None:
            budget.spend(seconds)
            if len(rows) < num_rows and budget.left < elapsed / len(rows) * (num_rows - len(rows)):
                return None
    return ArmRun(rows, elapsed)


def _read(path: Path, card: Path, key: dict[str, Any]) -> tuple[list[dict[str, Any]], float]:
    """What is kept of the arm; rows behind the card's count were being written when the run stopped."""
    if not (path.is_file() and card.is_file()) or (found := read_json(card))["key"] != key:
        return [], 0.0
    return read_jsonl(path)[: found["num_rows"]], float(found["elapsed_s"])
