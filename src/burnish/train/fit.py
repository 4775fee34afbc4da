"""Training from start to best adapter: logs each step, validates, keeps the best, stops early, can be resumed.

Where the best one is over the retention budget, a few steps more are to mend it (`train/mend.py`).
"""

import json
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from burnish.data.rendering.render import RenderedExample
from burnish.errors import Interrupted
from burnish.files import storage_errors, write_jsonl
from burnish.model.adapter import adapter_scaled
from burnish.train.anchor import Anchor
from burnish.train.checkpoint import (
    Forgotten,
    Prefers,
    Progress,
    RowScore,
    Validation,
    has_lower_loss,
    is_over_budget,
    list_checkpoints,
    load_checkpoint,
    save_checkpoint,
)
from burnish.train.loop import TrainOptions, TrainState, count_steps, loss_per_token, start_training, train
from burnish.train.mend import ROUNDS, can_mend, mend, round_from
from burnish.train.ranks import ALONE, Ranks
from burnish.train.schedule import steps_per_epoch
from burnish.train.step import StepMetrics


@dataclass(frozen=True)
class FitOptions:
    """When to validate, stop and save."""

    validations_per_epoch: int
    patience: int
    checkpoint_s: float


@dataclass(frozen=True)
class Mending:
    """What it took to bring the adapter nearer to the retention budget."""

    num_steps: int
    elapsed_s: float
    before: Validation
    """Of the adapter that was to be mended; whether it was, `FitResult.best` tells."""


@dataclass(frozen=True)
class FitResult:
    """How training went; the model holds the best adapter."""

    num_steps: int
    """Without those of the mending."""
    best: Validation
    stopped_early: bool
    validations: list[Validation]
    elapsed_s: float
    mending: Mending | None = None


@dataclass(frozen=True)
class Choice:
    """How a validation is scored, and which of two is better."""

    score: Callable[[], Sequence[RowScore]] = lambda: ()
    """The scores of the answers to the validation rows; called on every rank."""
    prefers: Prefers = has_lower_loss
    forgotten: Callable[[], Forgotten | None] = lambda: None
    """What the adapter has forgotten, and the scale at which it is judged; called on every rank."""


@dataclass(frozen=True)
class FitEvents:
    """What the caller is told as it happens, and how it asks for a stop."""

    on_step: Callable[[StepMetrics, int], None] = lambda metrics, num_steps: None
    on_validation: Callable[[Validation], None] = lambda validation: None
    on_mending: Callable[[range], None] = lambda steps: None
    """Before each round of steps that mend; they are told by `on_step`, too."""
    should_stop: Callable[[], bool] = lambda: False


def fit(
    model: Any,
    train_examples: Sequence[RenderedExample],
    validation_examples: Sequence[RenderedExample],
    *,
    options: TrainOptions,
    fit_options: FitOptions,
    checkpoints: Path,
    metrics_path: Path,
    events: FitEvents,
    choice: Choice = Choice(),
    ranks: Ranks = ALONE,
    anchor: Anchor | None = None,
) -> FitResult:
    """Train the adapter of `model` and leave the best one, by `choice`, in it.

    Goes on from the newest checkpoint if there is one; on the CPU the end is then the same, bit for bit (on several
    ranks with dropout, the other ranks' dropout aside). Only the first rank writes.

    Raises:
        Interrupted: `should_stop` said so, on any rank; a checkpoint of the last whole step was kept.
    """
    torch.manual_seed(options.seed + ranks.rank)  # each rank its own dropout
    state = start_training(model, options)
    progress, best = Progress(), dict[str, Tensor]()
    is_begun = ranks.agree(bool(list_checkpoints(checkpoints)))
    if is_begun:
        progress, best = load_checkpoint(state, checkpoints)
    if ranks.is_first:
        _cut_metrics(metrics_path, state.step)
    num_steps = count_steps(len(train_examples), options)
    per_epoch = steps_per_epoch(len(train_examples), options.batch_size)
    validate_at = _validation_steps(num_steps, per_epoch, fit_options.validations_per_epoch)
    started, saved_at = time.monotonic() - progress.elapsed_s, time.monotonic()

    def save() -> None:
        if not ranks.is_first:
            return
        progress.elapsed_s = time.monotonic() - started
        save_checkpoint(state, progress, best, checkpoints)

    def finish(metrics: StepMetrics, *, is_due: bool) -> None:
        """Note a step; if it is due, judge the adapter, and keep it if it is the best."""
        nonlocal best
        events.on_step(metrics, num_steps)
        validation = validate(model, validation_examples, metrics.step, choice, options, ranks) if is_due else None
        if ranks.is_first:
            _log(metrics_path, metrics, validation)
        if validation:
            if progress.add(validation, choice.prefers):
                best = {name: p.detach().cpu().clone() for name, p in state.parameters.items()}
            events.on_validation(validation)

    if not is_begun:
        save()  # so that the very first minutes can be resumed, and an unwritable disk shows at once
    if progress.num_worse < fit_options.patience:
        for metrics in train(state, train_examples, options, ranks, anchor):
            finish(metrics, is_due=metrics.step in validate_at)
            if progress.num_worse >= fit_options.patience:
                break
            if ranks.any(events.should_stop()):
                save()
                raise Interrupted
            # What the adapter was at the end of an epoch may be wanted by name; see serve/jobs.
            is_epoch_end = metrics.step % per_epoch == 0 and metrics.step < num_steps
            if is_epoch_end or time.monotonic() - saved_at >= fit_options.checkpoint_s:
                save()
                saved_at = time.monotonic()
    save()
    _put(state, best)
    assert progress.best is not None, "the last step is validated"
    trained, before, began = state.step, progress.best, time.monotonic()
    if is_over_budget(before.forgotten) and can_mend(anchor):  # done again from its start if it is stopped
        for n in range(ROUNDS):
            steps, is_done = round_from(state.step, num_steps), False
            events.on_mending(steps)
            for metrics in mend(state, train_examples, options, anchor, steps, ranks):
                is_done = metrics.step == steps.stop and (n == ROUNDS - 1 or not is_over_budget(choice.forgotten()))
                finish(metrics, is_due=is_done)
                if ranks.any(events.should_stop()):
                    raise Interrupted
            if is_done:
                break
        _put(state, best)
    mended = state.step - trained
    return FitResult(
        num_steps=trained,
        best=progress.best,
        stopped_early=trained < num_steps,
        validations=progress.validations,
        elapsed_s=time.monotonic() - started,
        mending=Mending(mended, time.monotonic() - began, before) if mended else None,
    )


def validate(
    model: Any,
    examples: Sequence[RenderedExample],
    step: int,
    choice: Choice,
    options: TrainOptions,
    ranks: Ranks = ALONE,
) -> Validation:
    """What the validation rows say of the adapter after `step`, at the scale that keeps the retention budget."""
    forgotten = choice.forgotten()
    with adapter_scaled(model, forgotten.scale) if forgotten else nullcontext():
        loss = loss_per_token(model, examples, micro_batch_tokens=options.micro_batch_tokens, ranks=ranks)
        return Validation(step, loss, tuple(choice.score()), forgotten)


def _validation_steps(num_steps: int, per_epoch: int, times: int) -> set[int]:
    every = max(1, per_epoch // times)
    return {*range(every, num_steps, every), num_steps}


def _put(state: TrainState, tensors: dict[str, Tensor]) -> None:
    with torch.no_grad():
        for name, tensor in tensors.items():
            state.parameters[name].copy_(tensor)


def _log(path: Path, metrics: StepMetrics, validation: Validation | None) -> None:
    row = asdict(metrics)
    if validation and validation.forgotten:
        row["forgotten"] = asdict(validation.forgotten)
    with storage_errors(path), open(path, "a", encoding="utf-8") as stream:
        stream.write(json.dumps(row) + "\n")


def _cut_metrics(path: Path, step: int) -> None:
    """Drop the rows of steps that are done again after a checkpoint, and a row that a crash cut off."""
    if not path.is_file():
        return
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    rows = [json.loads(line) for line in whole.split("\n") if line]
    write_jsonl(path, [row for row in rows if row["step"] <= step])
