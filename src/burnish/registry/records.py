"""What the index says about one run, read from its folder."""

import json
import math
import tomllib
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from burnish.run_dir import RunDir

_SPECIALIST_ARM = "specialist"
_NO_BASELINES = ("constrained", "recorded")
"""The specialist in another form, and what it is to replace."""
"""What a run is about where its evaluation does not say so: those of earlier versions."""


class RunStatus(StrEnum):
    """How far a run came, as its folder shows it."""

    FINISHED = "finished"
    UNFINISHED = "unfinished"
    DAMAGED = "damaged"


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """One run; None where the folder does not say. `note` says what is wrong with a damaged one."""

    run_id: str
    path: Path
    status: RunStatus
    note: str | None = None
    task: str | None = None
    base_model: str | None = None
    data_train: str | None = None
    started_at: str | None = None
    metric_name: str | None = None
    specialist_score: float | None = None
    best_baseline_score: float | None = None
    outcome: str | None = None
    recommendation: str | None = None
    target: float | None = None
    """The score that was said to be good enough."""
    target_reach: str | None = None


def read_record(run: RunDir) -> RunRecord:
    """The record of a run folder; one that cannot be read is "damaged", with what could be read of it."""
    record = RunRecord(run_id=run.run_id, path=run.path, status=RunStatus.UNFINISHED)
    readers = (
        (run.recipe, _add_recipe),
        (run.environment, _add_environment),
        (run.evaluation, _add_evaluation),
    )
    for path, add in readers:
        try:
            record = add(record, path.read_text(encoding="utf-8"))
        except (OSError, ValueError, TypeError, OverflowError, RecursionError) as error:
            if isinstance(error, FileNotFoundError) and path != run.recipe:
                continue  # a run that has not come so far
            reason = " ".join(str(error).split()) or type(error).__name__
            return replace(record, status=RunStatus.DAMAGED, note=f"{path.name}: {reason}")
    return record


def _add_recipe(record: RunRecord, text: str) -> RunRecord:
    recipe = tomllib.loads(text)
    return replace(
        record,
        task=_text(recipe, "task"),
        base_model=_text(_table(recipe, "model"), "base"),
        data_train=_text(_table(recipe, "data"), "train"),
    )


def _add_environment(record: RunRecord, text: str) -> RunRecord:
    return replace(record, started_at=_text(_mapping(json.loads(text), "the file"), "started_at"))


def _add_evaluation(record: RunRecord, text: str) -> RunRecord:
    evaluation = _mapping(json.loads(text), "the file")
    arms = evaluation.get("arms")
    if not isinstance(arms, list):
        raise TypeError("arms is missing or not a list")
    scores = {_text(_mapping(arm, "an arm"), "name"): _number(_table(arm, "score"), "value") for arm in arms}
    for name in _NO_BASELINES:
        scores.pop(name, None)
    specialist = scores.pop(evaluation.get("candidate", _SPECIALIST_ARM), None)
    baselines = [score for score in scores.values() if score is not None]
    target = _table(evaluation, "target") if evaluation.get("target") is not None else {}
    return replace(
        record,
        status=RunStatus.FINISHED,
        metric_name=_text(_table(evaluation, "metric"), "name"),
        specialist_score=specialist,
        best_baseline_score=max(baselines, default=None),
        outcome=_text(_table(evaluation, "verdict"), "outcome"),
        recommendation=_text(_table(evaluation, "verdict"), "recommendation"),
        target=_number(target, "value"),
        target_reach=_text(target, "reach"),
    )


def _table(parent: Any, key: str) -> dict[str, Any]:
    return _mapping(_mapping(parent, f"the parent of {key}").get(key), key)


def _mapping(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"{name} is missing or not a table")
    return value


def _text(table: dict[str, Any], key: str) -> str | None:
    value = table.get(key)
    if not isinstance(value, str | None):
        raise TypeError(f"{key} is not a string")
    if value is not None:
        value.encode()  # JSON can hold half a surrogate pair, which SQLite cannot
    return value


def _number(table: dict[str, Any], key: str) -> float | None:
    value = table.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{key} is not a number")
    return None if math.isnan(value) else float(value)
