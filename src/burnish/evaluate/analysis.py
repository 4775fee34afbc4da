"""All that helps to read the scores: each arm by the metrics of its task, slices, mistakes, likelihood and style."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from burnish.conversation import Task
from burnish.data import Example
from burnish.evaluate.metrics import (
    CustomMetric,
    measure_fields,
    measure_labels,
    measure_likelihood,
    measure_style,
    measure_text,
)
from burnish.evaluate.mistakes import list_changes, list_worst
from burnish.evaluate.slices import slice_scores
from burnish.evaluate.statistics import RowScores, score_interval

Rows = Sequence[dict[str, Any]]


@dataclass(frozen=True)
class Evidence:
    """What is known beside the arms' answers to the test rows; what is left empty is not measured."""

    task: Task
    examples: Sequence[Example]
    """The test rows, in the order of the predictions."""
    fields: Sequence[str] = ()
    """Extraction: the keys that an answer may have."""
    schema: Mapping[str, Any] | None = None
    validation: Mapping[str, Rows] = field(default_factory=dict)
    """Prediction rows of validation by arm, to choose thresholds on."""
    train_targets: Sequence[str] = ()
    custom: Sequence[CustomMetric] = ()
    """Metrics of the team's own."""
    base_nats: Sequence[float] = ()
    """Negative log-likelihood of each test target under the base; with `specialist_nats`."""
    specialist_nats: Sequence[float] = ()


def analyse_arm(
    name: str, rows: Rows, evidence: Evidence, *, confidence: float, num_resamples: int
) -> dict[str, dict[str, Any]]:
    """An arm by the metrics of its task, under a key for each: classification, extraction or text; custom.

    Raises:
        RecipeError: a metric of the team's own fails.
    """
    custom = {
        metric.name: score_interval(
            RowScores(np.array([metric.score(row) for row in rows]), np.ones(len(rows))),
            confidence=confidence,
            num_resamples=num_resamples,
        ).to_dict()
        for metric in evidence.custom
    }
    more = {"custom": custom} if custom else {}
    validation = evidence.validation.get(name, ())
    if evidence.task is Task.CLASSIFICATION:
        return {"classification": measure_labels(rows, validation, confidence=confidence), **more}
    if evidence.task is Task.EXTRACTION:
        measured = measure_fields(
            rows,
            [example.asked for example in evidence.examples],
            validation,
            fields=evidence.fields,
            schema=evidence.schema,
            confidence=confidence,
            num_resamples=num_resamples,
        )
        return {"extraction": measured, **more}
    return {"text": measure_text(rows, confidence=confidence, num_resamples=num_resamples), **more}


def analyse_arms(
    arms: Mapping[str, Rows], evidence: Evidence, *, candidate: str, base: str | None, confidence: float
) -> dict[str, Any]:
    """What takes several arms: `slices` of candidate against base, `errors`, and `likelihood` and `style` or None.

    `base` is the arm that has the same model and no training; without it there are no slices and no style.
    """
    return {
        "slices": _slices(arms, evidence, candidate, base, confidence) if base else None,
        "errors": {
            "changes": [
                {"candidate": candidate, "baseline": name, **list_changes(arms[candidate], rows)}
                for name, rows in arms.items()
                if name != candidate
            ],
            "worst": {name: list_worst(rows) for name, rows in arms.items()},
        },
        "likelihood": _likelihood(evidence, confidence),
        "style": _style(arms, evidence, candidate, base, confidence) if base else None,
    }


def _slices(
    arms: Mapping[str, Rows], evidence: Evidence, candidate: str, base: str, confidence: float
) -> dict[str, Any]:
    found = slice_scores(arms[candidate], arms[base], evidence.examples, task=evidence.task, confidence=confidence)
    return {"candidate": candidate, "baseline": base, **found}


def _likelihood(evidence: Evidence, confidence: float) -> dict[str, Any] | None:
    if not (evidence.base_nats and evidence.specialist_nats):
        return None
    sizes = [len(example.target.encode()) for example in evidence.examples]
    return measure_likelihood(evidence.base_nats, evidence.specialist_nats, sizes, confidence=confidence)


def _style(
    arms: Mapping[str, Rows], evidence: Evidence, candidate: str, base: str, confidence: float
) -> dict[str, Any] | None:
    """Only of free text: labels and objects have no style."""
    if evidence.task not in (Task.CHAT, Task.COMPLETION):
        return None
    answers = {candidate: [row["prediction"] for row in arms[candidate]]}
    answers["target"] = [example.target for example in evidence.examples]
    written = [row["prediction"] for row in arms[base]]
    return measure_style(evidence.train_targets, written, answers, confidence=confidence)
