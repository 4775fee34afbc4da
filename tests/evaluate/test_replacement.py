"""May the specialist take the place of the recorded model? Both ways, at a margin, and never the other way round."""

from typing import Any

import numpy as np
import pytest

from burnish.evaluate.arms import Arm
from burnish.evaluate.evaluation import ArmRun, Intervals, evaluate
from burnish.evaluate.recommendation import Forgetting
from burnish.evaluate.statistics import RowScores, noninferiority_p_value
from burnish.recipe import Metric


def run_of(is_right: "np.ndarray[Any, Any]", prompt_tokens: int | None = 9) -> ArmRun:
    """Rows of accuracy, right or wrong."""
    rows = [
        {
            "id": f"rows:{n}",
            "prediction": "yes" if right else "no",
            "target": "yes",
            "score": float(right),
            "numerator": float(right),
            "denominator": 1.0,
            "has_ended": True,
            "latency_s": 0.5,
            "prompt_tokens": prompt_tokens,
        }
        for n, right in enumerate(is_right)
    ]
    return ArmRun(rows, 1.0)


def judge(num_rows: int, losses: int, wins: int, **options: Any) -> dict[str, Any]:
    """The recorded model is right on nine of ten rows; the specialist loses and wins so many of its own."""
    recorded = np.arange(num_rows) % 10 != 0
    specialist = recorded.copy()
    specialist[np.flatnonzero(recorded)[:losses]] = False
    specialist[np.flatnonzero(~recorded)[:wins]] = True
    arms = {
        Arm.ZERO_SHOT: run_of(np.arange(num_rows) % 2 == 0),
        Arm.RECORDED: run_of(recorded, prompt_tokens=None),
        Arm.SPECIALIST: run_of(specialist),
    }
    return evaluate(
        arms,
        metric=Metric.ACCURACY,
        intervals=Intervals(0.95, 200),
        retention=None,
        forgetting=Forgetting(),
        sensitivity=(None, ""),
        **options,
    )


@pytest.mark.parametrize(
    ("num_rows", "losses", "wins", "standing", "sentence"),
    [
        (1000, 12, 10, "as_good", "The specialist is shown to be at most 2 points worse than the recorded model: 89.8"),
        (1000, 10, 60, "better", "The specialist is shown to be better than the recorded model: 95.0 accuracy"),
        (1000, 40, 20, "worse", "The specialist is shown to be worse than the recorded model, and not shown to be at"),
        (100, 4, 4, "not_shown", "The specialist is not shown to be at most 2 points worse than the recorded model"),
        (29, 0, 2, "not_shown", "The specialist is not shown to be at most 2 points worse than the recorded model"),
    ],
)
def test_it_is_shown_or_not(num_rows: int, losses: int, wins: int, standing: str, sentence: str) -> None:
    found = judge(num_rows, losses, wins)
    replacement = found["replacement"]
    assert (replacement["standing"], replacement["is_shown"]) == (standing, standing in ("as_good", "better"))
    assert replacement["sentence"].startswith(sentence)
    assert found["verdict"]["reasons"][-1] == replacement["sentence"]
    if num_rows < 30:
        assert "29 test rows are too few, at least 30 are needed" in replacement["sentence"]


def test_the_sentence_agrees_with_the_interval_that_stands_in_it() -> None:
    for losses in range(0, 40, 2):
        found = judge(1000, losses, 10)
        interval = found["comparisons"][-1]["difference"]
        assert found["replacement"]["is_shown"] == (interval["low"] > -0.02), (losses, interval)


def test_a_wider_margin_and_more_openings_count() -> None:
    assert judge(200, 8, 8)["replacement"]["standing"] == "not_shown"
    wide = judge(200, 8, 8, margin=0.07)["replacement"]
    assert wide["standing"] == "as_good" and "at most 7 points worse" in wide["sentence"]
    once, often = (judge(200, 8, 8, margin=0.07, num_openings=count)["replacement"] for count in (1, 5))
    assert often["p_value"] == pytest.approx(min(1.0, 20 * once["p_value"])) and often["standing"] == "not_shown"


def test_the_p_value_is_that_of_the_specialist_against_the_recorded_model() -> None:
    recorded = np.arange(500) % 10 != 0
    specialist = recorded.copy()
    specialist[np.flatnonzero(recorded)[:7]] = False
    ones = np.ones(500)
    expected = noninferiority_p_value(
        RowScores(specialist.astype(float), ones), RowScores(recorded.astype(float), ones), margin=0.03
    )
    assert judge(500, 7, 0, margin=0.03)["replacement"]["p_value"] == pytest.approx(expected)


def test_what_is_to_be_replaced_is_no_way_to_take() -> None:
    found = judge(1000, 200, 0)  # the recorded model is far better than the specialist
    assert found["verdict"]["recommended_arm"] == "specialist" and found["leader_comparisons"] == []
    assert "recorded" not in found["verdict"]["advice"] and "recorded" not in found["verdict"]["headline"]
    pair = found["comparisons"][-1]
    assert (pair["candidate"], pair["baseline"], pair["num_losses"]) == ("specialist", "recorded", 200)
    assert pair["p_value_within_margin"] is None
    arms = {arm["name"]: arm for arm in found["arms"]}
    assert arms["recorded"]["prompt_tokens"] == {"mean": None, "max": None}
    assert arms["recorded"]["latency_s"]["p50"] == 0.5


def test_a_recorded_arm_does_not_weaken_the_verdict_on_the_others() -> None:
    with_it = judge(400, 10, 10)
    recorded = np.arange(400) % 10 != 0
    specialist = recorded.copy()
    specialist[np.flatnonzero(recorded)[:10]] = False
    specialist[np.flatnonzero(~recorded)[:10]] = True
    without = evaluate(
        {Arm.ZERO_SHOT: run_of(np.arange(400) % 2 == 0), Arm.SPECIALIST: run_of(specialist)},
        metric=Metric.ACCURACY,
        intervals=Intervals(0.95, 200),
        retention=None,
        forgetting=Forgetting(),
        sensitivity=(None, ""),
    )
    assert with_it["comparisons"][:1] == without["comparisons"]
    assert with_it["verdict"]["reasons"][:-1] == without["verdict"]["reasons"] and without["replacement"] is None
