"""A metric of the team's own is loaded, run, and blamed by name, row and remedy."""

import os
from pathlib import Path

import pytest

from burnish.errors import RecipeError
from burnish.evaluate.metrics import CustomMetric, describe_metric, load_metric, score_prediction
from burnish.files import sha256_of_file
from tests.evaluate.metrics.prediction_rows import rows_of

SOURCE = """
from dataclasses import dataclass

@dataclass
class Tone:
    warmth: float

def is_polite(prediction, target, row):
    row["prediction"] = "changed"
    return Tone(float("please" in prediction)).warmth

def mean_of_both(prediction, target, row):
    return (row["id"] == "t:0") / 2 + (prediction == row["prediction"]) / 2

def numpys(prediction, target, row):
    import numpy as np
    return np.isclose(np.float32(len(prediction)), 11)

def fails(prediction, target, row):
    return 1 / 0

def too_much(prediction, target, row):
    return 100

def no_number(prediction, target, row):
    return "good"

def undefined(prediction, target, row):
    return float("nan")

not_a_function = 3
"""
ROW = rows_of(("yes, please", "yes"))[0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "statistics.py").write_text(SOURCE)
    (tmp_path / "broken.py").write_text("import nothing_of_this_name")
    return tmp_path


def test_a_function_beside_the_recipe_scores_rows(folder: Path) -> None:
    metric = load_metric("statistics:is_polite", folder)
    assert isinstance(metric, CustomMetric)
    assert score_prediction(metric, ROW) == (1.0, 1.0)
    assert ROW["prediction"] == "yes, please"
    assert score_prediction(metric, rows_of(("yes", "yes"))[0]) == (0.0, 1.0)
    assert describe_metric(metric).label == str(metric) == "statistics:is_polite"
    assert describe_metric(metric).sha256 == sha256_of_file(folder / "statistics.py")
    assert load_metric("statistics:mean_of_both", folder).score(ROW) == 1.0
    assert load_metric("statistics:numpys", folder).score(ROW) == 1.0


def test_a_file_that_was_changed_within_the_second_is_another_metric(folder: Path) -> None:
    (folder / "own.py").write_text("def score(*_):\n    return 0.2\n")
    before = load_metric("own:score", folder)
    stat = (folder / "own.py").stat()
    (folder / "own.py").write_text("def score(*_):\n    return 0.7\n")
    os.utime(folder / "own.py", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    after = load_metric("own:score", folder)
    assert (before.score(ROW), after.score(ROW)) == (0.2, 0.7)
    assert before.key != after.key
    assert not (folder / "__pycache__").exists()


def test_it_does_not_stand_in_for_a_module_of_that_name(folder: Path) -> None:
    load_metric("statistics:is_polite", folder)
    import statistics

    assert statistics.mean([1, 3]) == 2


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tone", r"metric 'tone' names no function\. Write \"module:function\", e\.g\. \"scores:tone\"\."),
        ("../tone:score", r"names no function"),
        ("inner.tone:score", r"names no function"),
        (
            "tone:score",
            r"metric 'tone:score': there is no .*tone\.py\. Put the file beside the recipe, or mend the name",
        ),
        ("statistics:tone", r"metric 'statistics:tone': .*statistics\.py has no function 'tone'\. Define it, or mend"),
        ("statistics:not_a_function", r"has no function 'not_a_function'"),
        ("broken:score", r"broken\.py can't be imported \(ModuleNotFoundError: No module named .*\)\. Mend the file\."),
    ],
)
def test_what_cannot_be_loaded(folder: Path, name: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_metric(name, folder)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            "fails",
            r"row t:0, prediction 'yes, please': ZeroDivisionError: division by zero\. Mend the .*statistics\.py\.",
        ),
        ("too_much", r"row t:0, .*: it returned 100\. Return a number from 0 to 1 in .*statistics\.py\."),
        ("no_number", r"row t:0, .*: it returned 'good'\. Return a number"),
        ("undefined", r"row t:0, .*: it returned nan\. Return a number"),
    ],
)
def test_what_goes_wrong_on_a_row(folder: Path, function: str, message: str) -> None:
    metric = load_metric(f"statistics:{function}", folder)
    with pytest.raises(RecipeError, match=rf"metric 'statistics:{function}', {message}"):
        metric.score(ROW)
