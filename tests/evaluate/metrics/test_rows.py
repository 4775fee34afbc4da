"""Each metric's rows, their sum, and the breakdown that helps to read it."""

from typing import Any

import pytest

from burnish.evaluate.metrics import METRICS, breakdown, collect_scores, details, row_value, score_row
from burnish.recipe import Metric


def rows_of(metric: Metric, *pairs: tuple[str, str]) -> list[dict[str, Any]]:
    rows = []
    for n, (prediction, target) in enumerate(pairs):
        numerator, denominator = score_row(metric, prediction, target)
        rows.append(
            {
                "prediction": prediction,
                "target": target,
                "numerator": numerator,
                "denominator": denominator,
                "has_ended": n != 0,
            }
        )
    return rows


@pytest.mark.parametrize(
    ("metric", "prediction", "target", "expected"),
    [
        (Metric.ACCURACY, "refund", "refund", (1.0, 1.0)),
        (Metric.ACCURACY, "Refund", "refund", (0.0, 1.0)),
        (Metric.EXACT_MATCH, "  The\nENDE ", "the ende", (1.0, 1.0)),
        (Metric.EXACT_MATCH, "the end.", "the end", (0.0, 1.0)),
        (Metric.EXACT_MATCH, "STRASSE", "straße", (1.0, 1.0)),
        (Metric.FIELD_F1, '{"a": 1, "b": 2}', '{"a": 1, "b": null}', (2.0, 3.0)),
        (Metric.FIELD_F1, "nothing", '{"a": null}', (0.0, 0.0)),
    ],
)
def test_rows(metric: Metric, prediction: str, target: str, expected: tuple[float, float]) -> None:
    assert score_row(metric, prediction, target) == expected


def test_chrf_is_that_of_the_paper() -> None:
    assert score_row(Metric.CHRF, "Guten Morgen", "Guten Morgen") == (1.0, 1.0)
    assert score_row(Metric.CHRF, "", "Guten Morgen") == (0.0, 1.0)
    # By hand, for n = 1 alone (longer n-grams than the text are left out): precision 1/1, recall 1/2, beta 2.
    numerator, denominator = score_row(Metric.CHRF, "a", "ab")
    assert numerator == pytest.approx(5 * 1.0 * 0.5 / (4 * 1.0 + 0.5))
    assert denominator == 1.0
    near = score_row(Metric.CHRF, "the cat sat on a mat", "the cat sat on the mat")[0]
    assert score_row(Metric.CHRF, "dogs bark", "the cat sat on the mat")[0] < 0.2 < 0.6 < near < 1.0


def test_a_row_with_nothing_wanted_and_nothing_said_is_right() -> None:
    assert row_value(0.0, 0.0) == 1.0
    assert row_value(2.0, 3.0) == pytest.approx(2 / 3)


def test_f1_is_micro_averaged() -> None:
    """Not the mean of the rows' F1: (2 + 0) / (2 + 5), where the mean would be (1 + 0) / 2."""
    rows = rows_of(Metric.FIELD_F1, ('{"a": 1}', '{"a": 1}'), ('{"a": 9}', '{"a": 1, "b": 2, "c": 3, "d": 4}'))
    assert collect_scores(rows).value == pytest.approx(2 / 7)


class TestBreakdown:
    def test_by_field_of_the_targets(self) -> None:
        rows = rows_of(
            Metric.FIELD_F1,
            ('{"a": 1, "b": "x", "made_up": 1}', '{"a": 1, "b": null, "c": null}'),
            ("not JSON", '{"a": 2, "b": "y", "c": null}'),
        )
        assert breakdown(Metric.FIELD_F1, rows) == [
            {"name": "a", "score": pytest.approx(2 / 3), "num_rows": 2},
            {"name": "b", "score": 0.0, "num_rows": 1},
            {"name": "c", "score": None, "num_rows": 0},
        ]

    def test_by_label(self) -> None:
        rows = rows_of(Metric.ACCURACY, ("b", "b"), ("a", "b"), ("a", "a"))
        assert breakdown(Metric.ACCURACY, rows) == [
            {"name": "a", "score": 1.0, "num_rows": 1},
            {"name": "b", "score": 0.5, "num_rows": 2},
        ]

    def test_free_text_has_none(self) -> None:
        assert breakdown(Metric.CHRF, rows_of(Metric.CHRF, ("a", "b"))) == []


class TestDetails:
    def test_extraction(self) -> None:
        rows = rows_of(Metric.FIELD_F1, ('{"a":1}', '{"a":1}'), ('so: {"a":1}', '{"a":1}'), ('{"a":2}', '{"a":1}'))
        assert details(Metric.FIELD_F1, rows) == {
            "ended_share": pytest.approx(2 / 3),
            "json_validity": pytest.approx(2 / 3),
            "exact_match": pytest.approx(2 / 3),
        }

    def test_free_text(self) -> None:
        found = details(Metric.CHRF, rows_of(Metric.CHRF, ("A ", "a"), ("bbbb", "cc")))
        assert found == {"ended_share": 0.5, "exact_match": 0.5, "length_ratio": 2.0}

    def test_labels(self) -> None:
        assert details(Metric.ACCURACY, rows_of(Metric.ACCURACY, ("a", "a"), ("a", "b"))) == {"ended_share": 0.5}


def test_every_metric_is_named_and_explained() -> None:
    assert {info.name for info in METRICS.values()} == {metric.value for metric in Metric}
    assert set(METRICS) == set(Metric)
