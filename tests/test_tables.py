"""The result table fits a terminal of the usual width, whatever the metric."""

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from burnish.cli.tables import print_evaluation
from burnish.files import read_json
from tests.report.sample_run import build_sample_run


@pytest.fixture
def evaluation(tmp_path: Path) -> dict[str, Any]:
    found: dict[str, Any] = read_json(build_sample_run(tmp_path).evaluation)
    return found


@pytest.mark.parametrize("metric", ["exact match", "accuracy", "chrF"])
def test_nothing_is_cut_in_80_columns(evaluation: dict[str, Any], metric: str) -> None:
    evaluation["metric"]["label"] = metric
    evaluation["arms"][0]["score"] |= {"value": 1.0, "low": 0.999, "high": 1.0}
    for arm in evaluation["arms"]:
        arm["prompt_tokens"]["mean"] = 12_345
        arm["request"]["median_s"] = 123.4
    out = io.StringIO()
    print_evaluation(Console(file=out, width=80), evaluation)
    assert "…" not in out.getvalue()
    assert metric in out.getvalue()
    assert "12,345" in out.getvalue()


def test_the_kinds_of_text_that_changed_most_are_printed(evaluation: dict[str, Any]) -> None:
    out = io.StringIO()
    print_evaluation(Console(file=out, width=200), evaluation)
    worst = "chat +0.031, business email +0.019, table +0.016, german +0.012, news +0.004"
    assert f"Of 6 kinds of general text these changed most: {worst}." in out.getvalue()
    del evaluation["retention"]["general_text_nll_change_by_kind"]  # a run of before
    out = io.StringIO()
    print_evaluation(Console(file=out, width=200), evaluation)
    assert "Retention:" in out.getvalue() and "kinds of general text" not in out.getvalue()
