"""Metrics of the team's own: a Python function beside the recipe."""

import hashlib
import reprlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from burnish.errors import RecipeError

_KEYS = ("id", "prompt", "prediction", "target")


@dataclass(frozen=True)
class CustomMetric:
    """A function that scores one answer, the name `module:function` that it was asked for by, and its file."""

    name: str
    function: Callable[[str, str, dict[str, Any]], float]
    path: Path
    sha256: str
    """Of the file: another one may score otherwise."""

    def __str__(self) -> str:
        return self.name

    @property
    def key(self) -> str:
        """Equal for metrics that score alike."""
        return f"{self.name} {self.sha256}"

    def score(self, row: Mapping[str, Any]) -> float:
        """The score of a prediction row, between 0 and 1; the function gets prediction, target and the row.

        The row has id, prompt (the messages that the arm was given), prediction and target.

        Raises:
            RecipeError: the function raises, or returns anything else than a number from 0 to 1.
        """
        where = f"metric {self.name!r}, row {row['id']}, prediction {reprlib.repr(row['prediction'])}"
        try:
            value: object = self.function(row["prediction"], row["target"], {key: row[key] for key in _KEYS})
        except Exception as error:  # whatever a foreign function may raise
            raise RecipeError(f"{where}: {type(error).__name__}: {error}. Mend the function in {self.path}.") from error
        if not isinstance(value, Real | np.bool_) or not 0 <= float(value) <= 1:
            raise RecipeError(f"{where}: it returned {value!r}. Return a number from 0 to 1 in {self.path}.")
        return float(value)


def load_metric(name: str, folder: Path) -> CustomMetric:
    """The function of "module:function", from module.py in the recipe's `folder`; the file is run.

    Raises:
        RecipeError: the name is none, file or function are missing, or the file cannot be imported.
    """
    module, separator, function = name.partition(":")
    if not (separator and module.isidentifier() and function.isidentifier()):
        raise RecipeError(f'metric {name!r} names no function. Write "module:function", e.g. "scores:tone".')
    path = folder / f"{module}.py"
    if not path.is_file():
        raise RecipeError(f"metric {name!r}: there is no {path}. Put the file beside the recipe, or mend the name.")
    source = path.read_bytes()
    found = getattr(_import(path, source, name), function, None)
    if not callable(found):
        raise RecipeError(f"metric {name!r}: {path} has no function {function!r}. Define it, or mend the name.")
    return CustomMetric(name, found, path, hashlib.sha256(source).hexdigest())


def _import(path: Path, source: bytes, name: str) -> ModuleType:
    """The module, under a name of its own: the team's `statistics.py` must not stand in for Python's.

    Not by importlib, which may take what it has kept of the file for what now stands there.
    """
    module = ModuleType(f"burnish_metric_{path.stem}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # dataclasses look their module up
    try:
        exec(compile(source, path, "exec"), module.__dict__)
    except Exception as error:  # whatever a foreign module may raise
        raise RecipeError(
            f"metric {name!r}: {path} can't be imported ({type(error).__name__}: {error}). Mend the file."
        ) from error
    return module
