"""A job -> the recipe of its run: burnish's defaults, what the server's `jobs.toml` sets, what the job itself asks."""

import json
import os
import shutil
import sqlite3
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from burnish.conversation import Task
from burnish.data import detect_file
from burnish.errors import RecipeError
from burnish.recipe import LoadedRecipe, build_recipe
from burnish.serve.jobs.shelf import path_of
from burnish.serve.jobs.store import Store
from burnish.serve.jobs.worker.order import Order
from burnish.serve.jobs.worker.progress import training_path
from burnish.serve.jobs.worker.refusal import Refusal

DEFAULT_LEARNING_RATE = 1e-3
"""What a learning_rate_multiplier of 1 means: what burnish chooses by itself."""
SMALL_FILE = 24
"""Examples below which a third each is learned from, validated and tested with: no part may have fewer than five."""
DEFAULTS: dict[str, Any] = {
    "data": {"on_too_long": "drop"},  # the others are learned; how many were not is told
    # A job is to be short, and still to tell whether training was worth it: the prompt alone, and the strongest thing
    # that needs no training, the examples most like the question in the prompt. Few-shot lies between the two.
    "evaluate": {"arms": ["zero_shot", "retrieved"], "time_budget": 10.0},
}
_FORMATS = {"chat": (Task.CHAT, ("messages",)), "prompt_completion": (Task.COMPLETION, ("prompt", "completion"))}
"""What may be in a file of supervised examples, with the columns that it must have."""


def build_job_recipe(store: Store, row: sqlite3.Row, order: Order) -> tuple[LoadedRecipe, int]:
    """The recipe, and how many examples the training file has.

    Raises:
        DataError: the file cannot be read at all.
        Refusal: it holds something else than examples for supervised training.
        RecipeError: the server's `jobs.toml` is at fault.
    """
    train = _place(store, row["training_file"], order)
    detection, num_rows = detect_file(str(train))
    task, columns = _FORMATS.get(detection.format.name, (Task.CHAT, ()))
    if not columns or not set(columns) <= set(detection.columns.by_part.values()):
        raise Refusal(
            "invalid_training_file",
            f"The file holds {detection.format.meaning}, which is not the format of supervised training. Each line is "
            '{"messages": [...]}, or {"prompt": "...", "completion": "..."}.',
            "training_file",
        )
    data: dict[str, Any] = {"train": str(train), "columns": {name: name for name in columns}}
    if validation := _validation_of(store, row):
        data["validation"] = str(_place(store, validation, order))
    elif num_rows < SMALL_FILE:
        data |= {"validation_share": 1 / 3, "test_share": 1 / 3}
    own = {
        "task": task.value,
        "data": data,
        "model": {"base": row["base"]},
        "train": {"seed": row["seed"], **_train_values(json.loads(row["hyperparameters"]))},
        "output": {"folder": order.runs},
    }
    return build_recipe(_laid_over(_laid_over(DEFAULTS, _of_server(order)), own)), num_rows


def _place(store: Store, file_id: str, order: Order) -> Path:
    """The job's own copy, which stays where the client deletes the file after the job."""
    path = training_path(order, file_id)
    if not path.is_file():
        draft = path.with_suffix(".draft")
        draft.unlink(missing_ok=True)
        try:
            os.link(path_of(store, file_id), draft)
        except OSError:  # another file system, or one without links
            shutil.copyfile(path_of(store, file_id), draft)
        os.replace(draft, path)
    return path


def _validation_of(store: Store, row: sqlite3.Row) -> str | None:
    """The validation file, unless it is the training file under this or another name."""
    if row["validation_file"] is None:
        return None
    query = "SELECT DISTINCT sha256 FROM file WHERE id IN (?, ?)"
    hashes = store.all(query, (row["training_file"], row["validation_file"]))
    return None if len(hashes) == 1 else str(row["validation_file"])


def _train_values(hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if hyperparameters["n_epochs"] != "auto":
        values["epochs"] = hyperparameters["n_epochs"]
    if hyperparameters["batch_size"] != "auto":
        values["batch_size"] = hyperparameters["batch_size"]
    if (multiplier := hyperparameters["learning_rate_multiplier"]) != "auto":
        values["learning_rate"] = multiplier * DEFAULT_LEARNING_RATE
    return values


def _of_server(order: Order) -> dict[str, Any]:
    path = order.store_folder / "jobs.toml"
    if not path.is_file():
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise RecipeError(f"{path}: cannot be read ({error}). Mend it or remove it.") from None


def _laid_over(values: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Both, section by section; where both say something the second counts."""
    both = {key: value for key, value in values.items() if key not in over}
    for key, value in over.items():
        before = values.get(key)
        is_section = isinstance(value, Mapping) and isinstance(before, Mapping)
        both[key] = {**before, **value} if is_section else value  # type: ignore[dict-item]
    return both
