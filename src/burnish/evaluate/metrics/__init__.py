"""Predictions -> numbers: the score that decides, and what helps to read it."""

from burnish.evaluate.metrics.classification import confusion, label_table, measure_labels
from burnish.evaluate.metrics.confidence import is_target, measure_calibration, risk_coverage
from burnish.evaluate.metrics.custom import CustomMetric, load_metric
from burnish.evaluate.metrics.extraction import field_table, measure_fields
from burnish.evaluate.metrics.fields import is_wholly_right
from burnish.evaluate.metrics.likelihood import measure_likelihood
from burnish.evaluate.metrics.rows import (
    METRICS,
    AnyMetric,
    MetricInfo,
    breakdown,
    collect_scores,
    describe_metric,
    details,
    part_scores,
    row_value,
    score_prediction,
    score_row,
    scoring_key,
)
from burnish.evaluate.metrics.style import measure_style
from burnish.evaluate.metrics.text import measure_text

__all__ = [
    "METRICS",
    "AnyMetric",
    "CustomMetric",
    "MetricInfo",
    "breakdown",
    "collect_scores",
    "confusion",
    "describe_metric",
    "details",
    "field_table",
    "is_target",
    "is_wholly_right",
    "label_table",
    "load_metric",
    "measure_calibration",
    "measure_fields",
    "measure_labels",
    "measure_likelihood",
    "measure_style",
    "measure_text",
    "part_scores",
    "risk_coverage",
    "row_value",
    "score_prediction",
    "score_row",
    "scoring_key",
]
