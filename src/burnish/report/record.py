"""A finished run folder, read once into memory; everything that the page prints comes from here."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from burnish.errors import RunError
from burnish.files import read_json, read_jsonl, sha256_of_file
from burnish.run_dir import RunDir

Json = dict[str, Any]
SPECIALIST, CONSTRAINED, ENCODER, RECORDED = "specialist", "constrained", "encoder", "recorded"
ADAPTER_WEIGHTS = "adapter_model.safetensors"


@dataclass(frozen=True)
class RunRecord:
    """What the files of one run say; a file that is not there is an empty value."""

    folder: str  # as a command would name it from the project's folder: "runs/20261121-..."
    run_id: str
    evaluation: Json
    metrics: tuple[Json, ...]
    predictions: dict[str, tuple[Json, ...]]  # by arm, in the order of the evaluation's arms
    environment: Json
    recipe: str
    adapter_sha256: str | None
    card: Json  # of the data; runs of earlier versions have none


def read_record(run: RunDir) -> RunRecord:
    """The record of a finished run.

    Raises:
        RunError: the run is not finished, or one of its files is damaged.
    """
    if not run.evaluation.is_file():
        raise RunError(
            f"{run.path}: there is no {run.evaluation.name}, so the run is not finished. "
            f"Go on with `burnish run --resume {run.run_id}`."
        )
    evaluation = _read(run.evaluation)
    arms = [str(arm["name"]) for arm in items(evaluation, "arms")]
    predictions = {arm: rows for arm in arms if (rows := _read_rows(run.predictions(arm)))}
    weights, card = run.adapter / ADAPTER_WEIGHTS, run.data / "card.json"
    return RunRecord(
        folder=f"{run.path.parent.name}/{run.run_id}",
        run_id=run.run_id,
        evaluation=_complete(evaluation, predictions),
        metrics=_read_rows(run.metrics),
        predictions=predictions,
        environment=_read(run.environment) if run.environment.is_file() else {},
        recipe=run.recipe.read_text(encoding="utf-8") if run.recipe.is_file() else "",
        adapter_sha256=sha256_of_file(weights) if weights.is_file() else None,
        card=_read(card) if card.is_file() else {},
    )


def _complete(evaluation: Json, predictions: dict[str, tuple[Json, ...]]) -> Json:
    """With what runs of earlier versions did not count: the answers of each arm that are fully right."""
    is_object = dig(evaluation, "metric", "name") == "field_f1"
    from burnish.evaluate.notes import count_fully_right  # numpy and scipy, which `burnish runs` does without

    for arm in items(evaluation, "arms"):
        rows = predictions.get(str(arm["name"]), ())
        if "num_fully_right" not in arm and rows and all({"numerator", "denominator"} <= set(row) for row in rows):
            arm["num_fully_right"] = count_fully_right(rows, is_object=is_object)
    return evaluation


def dig(value: Any, *keys: str) -> Any:
    """The value under `keys`, one inside the other; None where any of them is absent or null."""
    for key in keys:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def items(value: Any, *keys: str) -> list[Any]:
    """The list under `keys`; empty where it is absent or null."""
    return dig(value, *keys) or []


def _read(path: Path) -> Json:
    try:
        value = read_json(path)
    except ValueError as error:
        raise _damaged(path, error) from error
    if not isinstance(value, dict):
        raise RunError(f"{path}: this is not a JSON object. The file is damaged; run the recipe again.")
    return value


def _read_rows(path: Path) -> tuple[Json, ...]:
    if not path.is_file():
        return ()
    try:
        return tuple(read_jsonl(path))
    except ValueError as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: ValueError) -> RunError:
    where = f":{error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
    return RunError(f"{path}{where}: this is not JSON. The file is damaged; run the recipe again.")
