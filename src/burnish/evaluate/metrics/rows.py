"""Prediction and target -> the row's score, a numerator and a denominator; the arm's score is the ratio of the sums."""

import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from burnish.evaluate.metrics.classification import label_table
from burnish.evaluate.metrics.custom import CustomMetric
from burnish.evaluate.metrics.extraction import count_by_name, field_table
from burnish.evaluate.metrics.fields import count_fields, is_wholly_right, ordered_of, parse_object
from burnish.evaluate.metrics.text import chrf
from burnish.evaluate.statistics import RowScores
from burnish.recipe import Metric


@dataclass(frozen=True)
class MetricInfo:
    """What a score is called and means."""

    name: str
    label: str
    explanation: str
    sha256: str | None = None
    """Of the file of a metric of the team's own."""


METRICS: dict[Metric, MetricInfo] = {
    Metric.ACCURACY: MetricInfo("accuracy", "accuracy", "The share of test rows with the right label."),
    Metric.FIELD_F1: MetricInfo(
        "field_f1",
        "field F1",
        "Micro-averaged F1 over the fields that are not null: a field counts only if its value is exactly right. "
        "List items are matched one to one, each as a whole. "
        "The first JSON object of an answer counts; an answer without one finds nothing.",
    ),
    Metric.EXACT_MATCH: MetricInfo(
        "exact_match", "exact match", "The share of answers equal to the target, but for case and white space."
    ),
    Metric.CHRF: MetricInfo(
        "chrf", "chrF", "The mean over answers of chrF, an F-score of shared character n-grams (Popovic 2015)."
    ),
}

AnyMetric = Metric | CustomMetric


def describe_metric(metric: AnyMetric) -> MetricInfo:
    """What the scores by `metric` are called and mean."""
    if isinstance(metric, CustomMetric):
        explanation = f"The mean over answers of the team's own {metric.name}."
        return MetricInfo(metric.name, metric.name, explanation, metric.sha256)
    return METRICS[metric]


def score_prediction(metric: AnyMetric, row: Mapping[str, Any]) -> tuple[float, float]:
    """(numerator, denominator) of a prediction row: id, prompt, prediction and target.

    Raises:
        RecipeError: a metric of the team's own fails on it.
    """
    if isinstance(metric, CustomMetric):
        return metric.score(row), 1.0
    return score_row(metric, row["prediction"], row["target"], ordered_of(row))


def score_row(metric: Metric, prediction: str, target: str, ordered: Collection[str] = ()) -> tuple[float, float]:
    """(numerator, denominator) of one row; `ordered` are the lists of objects whose order counts."""
    if metric is Metric.FIELD_F1:
        counts = count_fields(prediction, target, ordered)
        return 2.0 * counts.num_right, float(counts.num_predicted + counts.num_wanted)
    if metric is Metric.ACCURACY:
        return float(prediction == target), 1.0
    if metric is Metric.EXACT_MATCH:
        return float(_normal(prediction) == _normal(target)), 1.0
    return chrf(prediction, target), 1.0


def scoring_key(metric: AnyMetric, ordered: Collection[str] = ()) -> str:
    """Equal where the same answers are scored alike, so that scores can be kept between runs."""
    if isinstance(metric, CustomMetric):
        return metric.key
    return f"field_f1 by items {sorted(ordered)}" if metric is Metric.FIELD_F1 else metric.value


def row_value(numerator: float, denominator: float) -> float:
    """The score of a row by itself; nothing wanted and nothing said is right."""
    return numerator / denominator if denominator else 1.0


def collect_scores(rows: Sequence[dict[str, Any]]) -> RowScores:
    """The scores of an arm's prediction rows."""
    return RowScores(np.array([row["numerator"] for row in rows]), np.array([row["denominator"] for row in rows]))


def details(metric: AnyMetric, rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Further shares that help to read the score."""
    n = len(rows)
    shares = {"ended_share": sum(row["has_ended"] for row in rows) / n}
    if metric is Metric.FIELD_F1:
        shares["json_validity"] = sum(parse_object(row["prediction"]) is not None for row in rows) / n
        shares["exact_match"] = sum(map(is_wholly_right, rows)) / n
    if metric is Metric.CHRF:
        shares["exact_match"] = sum(_normal(row["prediction"]) == _normal(row["target"]) for row in rows) / n
        shares["length_ratio"] = sum(len(r["prediction"]) for r in rows) / max(1, sum(len(r["target"]) for r in rows))
    return shares


def breakdown(metric: AnyMetric, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The score by field (F1) or by label (share of its rows that are right)."""
    if metric is Metric.FIELD_F1:
        parts, key = field_table(rows), "f1"
    elif metric is Metric.ACCURACY:
        parts, key = [label for label in label_table(rows) if label["num_rows"]], "recall"
    else:
        parts, key = [], ""
    return [{"name": part["name"], "score": part[key], "num_rows": part["num_rows"]} for part in parts]


def part_scores(metric: AnyMetric, rows: Sequence[dict[str, Any]]) -> dict[str, RowScores]:
    """The same row by row: of each field (F1) or label (its rows) of the targets the scores of all rows.

    A row that has nothing of a part has the denominator 0 there.
    """
    if metric is Metric.FIELD_F1:
        pairs = [
            {name: (2.0 * c.num_right, float(c.num_predicted + c.num_wanted)) for name, c in found.items()}
            for found in count_by_name(rows)[1]
        ]
    elif metric is Metric.ACCURACY:
        pairs = [{row["target"]: (float(row["prediction"] == row["target"]), 1.0)} for row in rows]
    else:
        return {}
    return {
        part["name"]: RowScores(*np.array([found.get(part["name"], (0.0, 0.0)) for found in pairs]).T)
        for part in breakdown(metric, rows)
    }


def _normal(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text.casefold()).split())
