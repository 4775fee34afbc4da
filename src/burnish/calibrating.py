"""How sure the specialist may be: fitted to its answers to validation rows, which it has not learned from."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from burnish.answering import ask, card_of, spread
from burnish.conversation import Task
from burnish.evaluate.arms import Arm
from burnish.evaluate.calibration import MIN_ROWS, Calibration, fit_calibration, load_calibration
from burnish.evaluate.kept import answer_rows
from burnish.evaluate.metrics import is_target, is_wholly_right
from burnish.files import sha256_of_file, sha256_of_json
from burnish.model.adapter import WEIGHTS_NAME
from burnish.preparation import Prepared
from burnish.run_dir import RunDir
from burnish.screen import Screen
from burnish.solution import JUDGED_TASKS, PromptSolution

Rows = list[dict[str, Any]]
MAX_OBJECTS = 200
"""Validation rows whose objects are written at most: that takes as long as in the test."""


def calibrate(model: Any, prepared: Prepared, run_dir: RunDir, screen: Screen) -> None:
    """Put the calibration of the specialist beside its adapter, where the task and enough validation rows allow one."""
    task = prepared.recipe.task
    if task not in JUDGED_TASKS:
        return
    rows = _answers(model, prepared, run_dir, screen)
    is_right: Callable[[dict[str, Any]], bool] = is_target if task is Task.CLASSIFICATION else is_wholly_right
    calibration = fit_calibration([row["confidence"] for row in rows], [is_right(row) for row in rows])
    if calibration is None:
        screen.say(
            f"note: {len(rows)} validation rows are too few to calibrate the confidence of answers ({MIN_ROWS} are "
            "needed). It stays the model's own probability."
        )
        return
    calibration.save(run_dir.adapter)
    screen.say(
        f"Confidence calibrated on {len(rows)} validation rows: an answer of which the model is 90% sure counts as "
        f"{calibration.confidence(0.9):.0%}."
    )


def validation_answers(model: Any, prepared: Prepared, run_dir: RunDir, screen: Screen) -> Rows:
    """The specialist's prediction rows of validation rows, with the confidence that a test row would have."""
    rows, calibration = _answers(model, prepared, run_dir, screen), load_calibration(run_dir.adapter)
    if calibration is None:
        return rows
    return [{**row, "confidence": calibration.confidence(row["confidence"])} for row in rows]


def describe_calibration(run_dir: RunDir) -> dict[str, Any] | None:
    """For evaluation.json; None where there is none."""
    calibration: Calibration | None = load_calibration(run_dir.adapter)
    return asdict(calibration) if calibration else None


def _answers(model: Any, prepared: Prepared, run_dir: RunDir, screen: Screen) -> Rows:
    """With the model's own probabilities as confidence; kept, so that a run that goes on has them."""
    validation = prepared.split.validation
    examples = spread(validation, MAX_OBJECTS) if prepared.recipe.task is Task.EXTRACTION else list(validation)
    solution = PromptSolution(model, prepared.renderer, card_of(Arm.SPECIALIST, prepared))
    key = {
        "adapter": sha256_of_file(run_dir.adapter / WEIGHTS_NAME),
        "validation": sha256_of_json([example.to_dict() for example in examples]),
    }
    answered = answer_rows(
        run_dir.validation(Arm.SPECIALIST.value),
        key,
        len(examples),
        lambda rows: ask(solution, prepared, examples[rows.start : rows.stop]),
        begin=lambda: screen.say(f"Answering {len(examples)} validation rows, to calibrate the confidence ..."),
    )
    assert answered is not None, "no budget was given"
    return list(answered.rows)
