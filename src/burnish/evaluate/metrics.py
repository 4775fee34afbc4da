"""Prediction and target -> the row's score, a numerator and a denominator; the arm's score is the ratio of the sums."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from burnish.evaluate.fields import count_by_field, count_fields, parse_object
from burnish.evaluate.statistics import RowScores
from burnish.recipe import Metric


@dataclass(frozen=True)
class MetricInfo:
    """What a score is called and means."""

    name: str
    label: str
    explanation: str


METRICS: dict[Metric, MetricInfo] = {
    Metric.ACCURACY: MetricInfo("accuracy", "accuracy", "The share of test rows with the right label."),
    Metric.FIELD_F1: MetricInfo(
        "field_f1",
        "field F1",
        "Micro-averaged F1 over the fields that are not null: a field counts only if its value is exactly right. "
        "The first JSON object of an answer counts; an answer without one finds nothing.",
    ),
    Metric.EXACT_MATCH: MetricInfo(
        "exact_match", "exact match", "The share of answers equal to the target, but for case and white space."
    ),
    Metric.CHRF: MetricInfo(
        "chrf", "chrF", "The mean over answers of chrF, an F-score of shared character n-grams (Popovic 2015)."
    ),
}


def score_row(metric: Metric, prediction: str, target: str) -> tuple[float, float]:
    """(numerator, denominator) of one row."""
    if metric is Metric.FIELD_F1:
        counts = count_fields(prediction, target)
        return 2.0 * counts.num_right, float(counts.num_predicted + counts.num_wanted)
    if metric is Metric.ACCURACY:
        return float(prediction == target), 1.0
    if metric is Metric.EXACT_MATCH:
        return float(_normal(prediction) == _normal(target)), 1.0
    from sacrebleu import sentence_chrf

    return float(sentence_chrf(prediction, [target]).score) / 100.0, 1.0


def row_value(numerator: float, denominator: float) -> float:
    """The score of a row by itself; nothing wanted and nothing said is right."""
    return numerator / denominator if denominator else 1.0


def collect_scores(rows: Sequence[dict[str, Any]]) -> RowScores:
    """The scores of an arm's prediction rows."""
    return RowScores(np.array([row["numerator"] for row in rows]), np.array([row["denominator"] for row in rows]))


def details(metric: Metric, rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Further shares that help to read the score."""
    n = len(rows)
    shares = {"ended_share": sum(row["has_ended"] for row in rows) / n}
    if metric is Metric.FIELD_F1:
        shares["json_validity"] = sum(parse_object(row["prediction"]) is not None for row in rows) / n
        shares["exact_match"] = sum(row["prediction"] == row["target"] for row in rows) / n
    if metric is Metric.CHRF:
        shares["exact_match"] = sum(_normal(row["prediction"]) == _normal(row["target"]) for row in rows) / n
        shares["length_ratio"] = sum(len(r["prediction"]) for r in rows) / max(1, sum(len(r["target"]) for r in rows))
    return shares


def breakdown(metric: Metric, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The score by field (F1) or by label (share of its rows that are right)."""
    if metric is Metric.FIELD_F1:
        return _by_field(rows)
    if metric is Metric.ACCURACY:
        return _by_label(rows)
    return []


def _by_field(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    right: dict[str, int] = defaultdict(int)
    total: dict[str, int] = defaultdict(int)
    wanted: dict[str, int] = defaultdict(int)
    for row in rows:
        for field, counts in count_by_field(row["prediction"], row["target"]).items():
            right[field] += 2 * counts.num_right
            total[field] += counts.num_predicted + counts.num_wanted
            wanted[field] += bool(counts.num_wanted)
    fields = dict.fromkeys(key for row in rows for key in parse_object(row["target"]) or {})
    return [
        {"name": field, "score": right[field] / total[field] if total[field] else None, "num_rows": wanted[field]}
        for field in fields
    ]


def _by_label(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    by_label: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        by_label[row["target"]].append(row["numerator"])
    return [
        {"name": label, "score": sum(scores) / len(scores), "num_rows": len(scores)}
        for label, scores in sorted(by_label.items())
    ]


def _normal(text: str) -> str:
    return " ".join(text.casefold().split())
