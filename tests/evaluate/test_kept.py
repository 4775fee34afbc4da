"""An arm's rows are answered once: a stopped arm goes on, a changed one starts anew, one that is too slow is left."""

import time
from pathlib import Path
from typing import Any

import pytest

from burnish.evaluate.kept import ROWS_AT_ONCE, Budget, answer_rows

NUM_ROWS = 2 * ROWS_AT_ONCE + 5


class Answerer:
    def __init__(self, stop_at: int = NUM_ROWS, seconds: float = 0.0) -> None:
        self.asked: list[int] = []
        self.stop_at, self.seconds = stop_at, seconds

    def __call__(self, rows: range) -> list[dict[str, Any]]:
        if rows.start >= self.stop_at:
            raise KeyboardInterrupt
        time.sleep(self.seconds)
        self.asked += rows
        return [{"row": row} for row in rows]


def test_a_stopped_arm_goes_on_behind_its_last_rows(tmp_path: Path) -> None:
    path = tmp_path / "arm.jsonl"
    with pytest.raises(KeyboardInterrupt):
        answer_rows(path, {"k": 1}, NUM_ROWS, Answerer(stop_at=ROWS_AT_ONCE))
    with path.open("a") as file:
        file.write('{"row": 64}\n')  # written, but not counted
    rest = Answerer()
    run = answer_rows(path, {"k": 1}, NUM_ROWS, rest)
    assert rest.asked == list(range(ROWS_AT_ONCE, NUM_ROWS))
    assert run is not None and [row["row"] for row in run.rows] == list(range(NUM_ROWS))
    again = Answerer()
    read = answer_rows(path, {"k": 1}, NUM_ROWS, again)
    assert again.asked == [] and read is not None and read.rows == run.rows
    assert read.elapsed_s == pytest.approx(run.elapsed_s, abs=0.01)


def test_a_changed_arm_starts_anew(tmp_path: Path) -> None:
    path = tmp_path / "arm.jsonl"
    answer_rows(path, {"k": 1}, NUM_ROWS, Answerer())
    changed = Answerer()
    answer_rows(path, {"k": 2}, NUM_ROWS, changed)
    assert changed.asked == list(range(NUM_ROWS))


def test_an_arm_that_would_not_be_done_in_time_is_left_and_can_be_taken_up_again(tmp_path: Path) -> None:
    path, budget = tmp_path / "arm.jsonl", Budget(0.75)
    slow = Answerer(seconds=0.5)
    assert answer_rows(path, {}, NUM_ROWS, slow, budget=budget) is None
    assert slow.asked == list(range(ROWS_AT_ONCE)) and budget.left == pytest.approx(0.25, abs=0.2)
    assert answer_rows(tmp_path / "fast.jsonl", {}, NUM_ROWS, Answerer(), budget=budget) is not None
    short = answer_rows(tmp_path / "short.jsonl", {}, 3, slow, budget=Budget(0.01))
    assert short is not None and len(short.rows) == 3  # done, though late
    rest = Answerer()
    assert answer_rows(path, {}, NUM_ROWS, rest) is not None and rest.asked[0] == ROWS_AT_ONCE
