"""The short corridor: the base is an encoder, fine-tuned with a head, against the same encoder as it is."""

from typing import Any

from burnish.answering import build_classifier, candidate_of, run_arm, run_recorded
from burnish.classify import read_classifier_card
from burnish.evaluate.arms import Arm
from burnish.evaluate.evaluation import ArmRun, Intervals, evaluate, expected_sensitivity
from burnish.evaluate.recommendation import Forgetting
from burnish.evidence import evidence_of_rows, forecast_more_data, held_out_answers
from burnish.journal import (
    conclude,
    count_openings,
    expect_openings,
    groups_of,
    peak_memory_bytes,
    registered,
    tell_data,
    tell_sensitivity,
    write_environment,
)
from burnish.model.encoder import load_encoder
from burnish.preparation import Divided, check_base
from burnish.recipe import AUTO
from burnish.run_dir import RunDir
from burnish.screen import Screen


def prove_encoder(prepared: Divided, run_dir: RunDir, screen: Screen) -> dict[str, Any]:
    """Fine-tune the encoder, answer the test rows with it and with its baseline, judge; gives evaluation.json.

    Raises:
        BaseModelError: the encoder cannot be had.
        RunError: it is another one by now.
    """
    recipe, test = prepared.recipe, prepared.split.test
    encoder = load_encoder(recipe.model.base, screen.say)
    check_base(run_dir, encoder.name, encoder.fingerprint)
    write_environment(prepared, run_dir, encoder.device, base_name=encoder.name, base_fingerprint=encoder.fingerprint)
    tell_data(prepared, f"{encoder.name} on {encoder.device.type}", screen)
    confidence, groups, candidate = recipe.evaluate.confidence, groups_of(test), candidate_of(recipe)
    with registered(run_dir):
        arms = {Arm(arm): _answer(Arm(arm), prepared, run_dir, screen) for arm in recipe.evaluate.arms}
        sensitivity = expected_sensitivity(
            prepared.metric,
            arms,
            confidence=confidence,
            groups=groups,
            num_openings=expect_openings(run_dir),
        )
        tell_sensitivity(sensitivity, len(test), screen)
        arms |= run_recorded(prepared, run_dir)
        arms[candidate] = _answer(candidate, prepared, run_dir, screen)
        measured = evaluate(
            arms,
            candidate=candidate,
            metric=prepared.metric,
            intervals=Intervals(confidence, recipe.evaluate.num_resamples),
            retention=None,
            forgetting=Forgetting(),
            sensitivity=sensitivity,
            groups=groups,
            num_openings=count_openings(run_dir),
            evidence=evidence_of_rows(prepared, validation=held_out_answers(run_dir)),
            margin=recipe.evaluate.margin,
            target=recipe.evaluate.target,
        )
        parts = {
            **measured,
            "more_data": forecast_more_data(prepared, screen),
            "training": {
                "num_train_rows": len(prepared.split.train),
                "num_validation_rows": len(prepared.split.validation),
                "summary": read_classifier_card(run_dir.solution(candidate.value)).describe(),
                "peak_memory_bytes": peak_memory_bytes(),
            },
        }
        return conclude(prepared, run_dir, encoder.name, parts)


def _answer(arm: Arm, prepared: Divided, run_dir: RunDir, screen: Screen) -> ArmRun:
    """The test rows, answered by a classifier on the recipe's encoder."""
    recipe = prepared.recipe
    epochs = None if recipe.train.epochs == AUTO else int(recipe.train.epochs)
    solution = build_classifier(arm, prepared, run_dir, screen, encoder_name=recipe.model.base, epochs=epochs)
    rows = run_arm(arm, lambda: solution, prepared, run_dir, screen)
    assert rows is not None, "no budget was given"
    return rows
