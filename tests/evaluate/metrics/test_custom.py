"""A metric of the team's own is loaded, run, and blamed by name, row and remedy."""

from pathlib import Path

import pytest

from burnish.errors import RecipeError
from burnish.evaluate.metrics import CustomMetric, describe_metric, load_metric, score_prediction
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
    (tmp_path / "inner").mkdir()
    for name in ("statistics.py", "inner/deep.py"):
        (tmp_path / name).write_text(SOURCE)
    (tmp_path / "broken.py").write_text("import nothing_of_this_name")
    return tmp_path


@pytest.mark.parametrize("module", ["statistics", "inner.deep"])
def test_a_function_beside_the_recipe_scores_rows(folder: Path, module: str) -> None:
    metric = load_metric(f"{module}:is_polite", folder)
    assert isinstance(metric, CustomMetric)
    assert score_prediction(metric, ROW) == (1.0, 1.0)
    assert ROW["prediction"] == "yes, please"
    assert score_prediction(metric, rows_of(("yes", "yes"))[0]) == (0.0, 1.0)
    assert describe_metric(metric).label == str(metric) == f"{module}:is_polite"
    assert load_metric(f"{module}:mean_of_both", folder).score(ROW) == 1.0
    assert load_metric(f"{module}:numpys", folder).score(ROW) == 1.0


def test_it_does_not_stand_in_for_a_module_of_that_name(folder: Path) -> None:
    load_metric("statistics:is_polite", folder)
    import statistics

    assert statistics.mean([1, 3]) == 2


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tone", r"metric 'tone' names no function\. Write \"module:function\", e\.g\. \"scores:tone\"\."),
        ("../tone:score", r"names no function"),
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
        ("fails", r"row t:0: ZeroDivisionError: division by zero\. Mend the function, or leave it out\."),
        ("too_much", r"row t:0: it returned 100\. Return a number from 0 to 1\."),
        ("no_number", r"row t:0: it returned 'good'\. Return a number"),
        ("undefined", r"row t:0: it returned nan\. Return a number"),
    ],
)
def test_what_goes_wrong_on_a_row(folder: Path, function: str, message: str) -> None:
    metric = load_metric(f"statistics:{function}", folder)
    with pytest.raises(RecipeError, match=rf"metric 'statistics:{function}', {message}"):
        metric.score(ROW)
