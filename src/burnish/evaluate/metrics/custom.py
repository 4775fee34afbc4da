"""Metrics of the team's own: a Python function beside the recipe."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from numbers import Real
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from burnish.errors import RecipeError

_KEYS = ("id", "prompt", "prediction", "target")


@dataclass(frozen=True)
class CustomMetric:
    """A function that scores one answer, and the name `module:function` that it was asked for by."""

    name: str
    function: Callable[[str, str, dict[str, Any]], float]

    def __str__(self) -> str:
        return self.name

    def score(self, row: Mapping[str, Any]) -> float:
        """The score of a prediction row, between 0 and 1; the function gets prediction, target and the row.

        The row has id, prompt (the messages that the arm was given), prediction and target.

        Raises:
            RecipeError: the function raises, or returns anything else than a number from 0 to 1.
        """
        where = f"metric {self.name!r}, row {row['id']}"
        try:
            value: object = self.function(row["prediction"], row["target"], {key: row[key] for key in _KEYS})
        except Exception as error:  # whatever a foreign function may raise
            raise RecipeError(
                f"{where}: {type(error).__name__}: {error}. Mend the function, or leave it out."
            ) from error
        if not isinstance(value, Real | np.bool_) or not 0 <= float(value) <= 1:
            raise RecipeError(f"{where}: it returned {value!r}. Return a number from 0 to 1.")
        return float(value)


def load_metric(name: str, folder: Path) -> CustomMetric:
    """The function of "module:function", from module.py in the recipe's `folder` ("a.b" is a/b.py); it is run there.

    Raises:
        RecipeError: the name is none, file or function are missing, or the file cannot be imported.
    """
    module, separator, function = name.partition(":")
    if not (separator and function.isidentifier() and all(part.isidentifier() for part in module.split("."))):
        raise RecipeError(f'metric {name!r} names no function. Write "module:function", e.g. "scores:tone".')
    path = folder.joinpath(*module.split(".")).with_suffix(".py")
    if not path.is_file():
        raise RecipeError(f"metric {name!r}: there is no {path}. Put the file beside the recipe, or mend the name.")
    found = getattr(_import(path, name), function, None)
    if not callable(found):
        raise RecipeError(f"metric {name!r}: {path} has no function {function!r}. Define it, or mend the name.")
    return CustomMetric(name, found)


def _import(path: Path, name: str) -> ModuleType:
    """The module of `path`, under a name of its own: the team's `statistics.py` must not stand in for Python's."""
    spec = spec_from_file_location(f"burnish_metric_{path.stem}", path)
    assert spec and spec.loader
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever a foreign module may raise
        raise RecipeError(
            f"metric {name!r}: {path} can't be imported ({type(error).__name__}: {error}). Mend the file."
        ) from error
    return module
