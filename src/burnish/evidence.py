"""What helps to read a run's scores, besides the answers to the test rows: likelihoods, confidence, more data."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from burnish.calibrating import validation_answers
from burnish.classify import read_classifier_card
from burnish.conversation import Task
from burnish.data import can_judge_labels
from burnish.evaluate.analysis import Evidence, Rows
from burnish.evaluate.arms import CLASSIFIERS, Arm
from burnish.evaluate.more_data import Curve, find_weak_spots, forecast_gain, measure_curve, score_embeddings
from burnish.examination import read_schema
from burnish.model.adapter import adapter_off
from burnish.preparation import Divided, Prepared
from burnish.run_dir import RunDir
from burnish.screen import Screen
from burnish.solution import JUDGED_TASKS, encoder_if_there
from burnish.train.loop import example_losses

SHARES_OF_MORE = (0.25, 1.0, 3.0)
"""Of the rows that there are, how many more are forecast."""


def gather_evidence(model: Any, prepared: Prepared, run_dir: RunDir, screen: Screen) -> Evidence:
    """How sure the specialist is on validation rows, and how likely base and specialist find the reference answers."""
    task, split = prepared.recipe.task, prepared.split
    validation = held_out_answers(run_dir)
    if task in JUDGED_TASKS:
        validation[Arm.SPECIALIST.value] = validation_answers(model, prepared, run_dir, screen)
    specialist_nats, base_nats = list[float](), list[float]()
    rows, limit = prepared.rendered["test"], int(prepared.recipe.train.micro_batch_tokens)
    if task in (Task.CHAT, Task.COMPLETION) and len(rows) == len(split.test):
        screen.say("Measuring how likely base and specialist find the reference answers ...")
        specialist_nats = example_losses(model, rows, micro_batch_tokens=limit).tolist()
        with adapter_off(model):
            base_nats = example_losses(model, rows, micro_batch_tokens=limit).tolist()
    evidence = evidence_of_rows(prepared, validation=validation)
    return replace(evidence, specialist_nats=specialist_nats, base_nats=base_nats)


def evidence_of_rows(prepared: Divided, *, validation: Mapping[str, Rows]) -> Evidence:
    """What no language model is needed for; `validation` has the answers to rows that thresholds are chosen on."""
    return Evidence(
        task=prepared.recipe.task,
        examples=prepared.split.test,
        fields=prepared.form.fields,
        schema=read_schema(prepared.recipe),
        validation=validation,
        custom=[prepared.custom[name] for name in prepared.recipe.evaluate.metrics],
        train_targets=[example.target for example in prepared.split.train],
    )


def held_out_answers(run_dir: RunDir) -> dict[str, Rows]:
    """By classifier, how sure it was of rows that were held out while it was fitted, and whether it was right."""
    found = dict[str, Rows]()
    for arm in CLASSIFIERS:
        if run_dir.solution(arm.value).is_dir():
            held = read_classifier_card(run_dir.solution(arm.value)).held_out
            answers = zip(held.confidences, held.is_right, strict=True)
            found[arm.value] = [{"confidence": sure, "prediction": right, "target": True} for sure, right in answers]
    return found


def forecast_more_data(prepared: Divided, screen: Screen) -> dict[str, Any] | None:
    """What more rows of the same kind would bring a classifier on embeddings, which stands in for all arms.

    None where there are no labels, too few rows to tell, or no encoder.
    """
    rows = [*prepared.split.train, *prepared.split.validation]
    if prepared.recipe.task is not Task.CLASSIFICATION or not can_judge_labels(rows):
        return None
    if (encoder := encoder_if_there(screen.say)) is None:
        return None
    labels = [row.target for row in rows]
    _, labels_N = np.unique(labels, return_inverse=True)
    groups = [row.group or row.duplicate_key for row in rows]
    scorer = score_embeddings(encoder.embed([row.asked for row in rows]), labels_N)
    curve = measure_curve(scorer, labels, groups=groups, seed=prepared.recipe.train.seed)
    spots = find_weak_spots(labels, curve.points[-1].scores) if curve.points else []
    forecast = describe_curve(curve, len(rows), stands_for="logistic regression on embeddings")
    return {**forecast, "weak_spots": [spot.to_dict() for spot in spots]}


def describe_curve(curve: Curve, num_rows: int, *, stands_for: str) -> dict[str, Any]:
    """A learning curve, and what it says of more rows than the `num_rows` that there are."""
    more = [round(share * num_rows) for share in SHARES_OF_MORE]
    forecasts = [forecast_gain(curve, num_rows=num_rows, num_more=count) for count in more]
    return {
        "stands_for": stands_for,
        "curve": curve.to_dict(),
        "forecasts": [forecast.to_dict() for forecast in forecasts],
        "weak_spots": [],
    }
