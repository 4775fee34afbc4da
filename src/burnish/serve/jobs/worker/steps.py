"""The steps of a run -> events of its job, and a checkpoint that can be used by name at the end of each epoch."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from burnish.files import read_json
from burnish.recipe import Recipe, load_recipe
from burnish.run_dir import RunDir
from burnish.serve.jobs.events import tell
from burnish.serve.jobs.job import change
from burnish.serve.jobs.store import Store
from burnish.serve.jobs.worker.checkpoints import keep_checkpoint
from burnish.serve.jobs.worker.job_recipe import DEFAULT_LEARNING_RATE
from burnish.serve.jobs.worker.order import Order

MAX_STEP_EVENTS = 500
"""Of a run; a longer one tells every second step, or every third, and always the ends of its epochs."""


@dataclass(frozen=True)
class RunLength:
    """How many steps a run may have, and which of them are told."""

    per_epoch: int
    total: int

    def is_end(self, step: int) -> bool:
        return step % self.per_epoch == 0 or step == self.total

    def is_told(self, step: int) -> bool:
        return step == 1 or self.is_end(step) or step % math.ceil(self.total / MAX_STEP_EVENTS) == 0


class StepTeller:
    """Reads what a run has written about its steps since the last time, and tells it."""

    def __init__(self, store: Store, order: Order, run_dir: RunDir) -> None:
        self._store, self._order, self._run_dir = store, order, run_dir
        self._recipe = load_recipe(run_dir.recipe).recipe
        self._offset = 0
        self._waiting: dict[str, Any] | None = None
        """The last step of an epoch, until its validation is known."""
        row = store.one("SELECT last_step FROM job WHERE id = ?", (order.job_id,))
        self._last = int(row["last_step"]) if row else 0

    def begin(self) -> None:
        """Tell with what the training begins."""
        rate = _learning_rate(self._recipe, self._run_dir)
        settled = {
            "batch_size": int(self._recipe.train.batch_size),
            "learning_rate_multiplier": round(rate / DEFAULT_LEARNING_RATE, 6),
            "n_epochs": int(self._recipe.train.epochs),
        }
        with self._store.transaction() as connection:
            change(connection, self._order.job_id, self._order.token, hyperparameters=json.dumps(settled))
            told = (
                f"Training with learning rate {rate:.3g} (burnish's own {DEFAULT_LEARNING_RATE:g} times "
                f"{settled['learning_rate_multiplier']:g}), batch size {settled['batch_size']}, at most "
                f"{settled['n_epochs']} epochs"
            )
            tell(connection, self._order.job_id, told, once=True)

    def look(self) -> None:
        """Tell what is new."""
        self._settle_waiting()
        if not self._run_dir.metrics.is_file():
            return
        with open(self._run_dir.metrics, "rb") as stream:
            stream.seek(self._offset)
            lines = stream.read()
        whole = lines[: lines.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.splitlines():
            row = json.loads(line)
            if row["step"] <= self._last:
                continue  # told before the run was stopped
            self._last = row["step"]
            length = self._length(row)
            if row["step"] > length.total:
                continue  # mends the adapter
            if length.is_end(row["step"]):
                self._waiting = row
                self._settle_waiting()
            elif length.is_told(row["step"]):
                self._tell(row, length, None)

    def _settle_waiting(self) -> None:
        """The end of an epoch is told with its validation, which comes a moment later."""
        if self._waiting is None:
            return
        loss = _validation_loss(self._run_dir, self._waiting["step"])
        if loss is None:
            return
        row, self._waiting = self._waiting, None
        metrics = self._tell(row, self._length(row), loss)
        keep_checkpoint(self._store, self._order, self._run_dir, row["step"], metrics)

    def _tell(self, row: dict[str, Any], length: RunLength, validation: float | None) -> dict[str, Any]:
        metrics = {"step": row["step"], "train_loss": row["loss_per_token"]}
        losses = f"training loss={row['loss_per_token']:.2f}"
        if validation is not None:
            metrics["full_valid_loss"] = validation
            losses += f", full validation loss={validation:.2f}"
        # The end of an epoch is done with when its checkpoint is kept; a stop may come between.
        done = row["step"] if validation is None else row["step"] - 1
        with self._store.transaction() as connection:
            change(connection, self._order.job_id, self._order.token, last_step=done)
            told = f"Step {row['step']}/{length.total}: {losses}"
            tell(connection, self._order.job_id, told, data={**metrics, "total_steps": length.total}, once=True)
        return metrics

    def _length(self, row: dict[str, Any]) -> RunLength:
        per_epoch = round(row["step"] / row["epoch"])
        return RunLength(per_epoch, per_epoch * int(self._recipe.train.epochs))


def validations_of(folder: Path) -> dict[int, float]:
    """The loss on all validation rows by step, as the checkpoint in `folder` knows it."""
    return {each["step"]: each["loss"] for each in read_json(folder / "progress.json")["validations"]}


def _validation_loss(run_dir: RunDir, step: int) -> float | None:
    newest = sorted(path.parent for path in run_dir.checkpoints.glob("step-*/progress.json"))[-1:]
    return validations_of(newest[0]).get(step) if newest else None


def _learning_rate(recipe: Recipe, run_dir: RunDir) -> float:
    if run_dir.trials.is_file():
        return float(read_json(run_dir.trials)["chosen"])
    return float(recipe.train.learning_rate)
