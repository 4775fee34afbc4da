"""Calibration and what can be left to an arm: by hand, by simulation, and whatever the order of the rows."""

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from burnish.evaluate.metrics import measure_calibration, risk_coverage
from tests.evaluate.metrics.prediction_rows import rows_of

judged = st.lists(st.tuples(st.booleans(), st.sampled_from([0.1, 0.5, 0.6, 0.61, 0.9, 1.0])), min_size=1, max_size=60)


def judged_rows(answers: list[tuple[bool, float]]) -> list[dict[str, Any]]:
    pairs = [("right" if is_right else "wrong", "right") for is_right, _ in answers]
    return rows_of(*pairs, confidences=tuple(confidence for _, confidence in answers))


def simulated(num_rows: int, seed: int, *, shift: float = 0.0) -> list[dict[str, Any]]:
    """Rows that are right as often as their confidence says, less `shift`."""
    generator = np.random.default_rng(seed)
    confidences = generator.uniform(0.3, 1.0, num_rows)
    is_right = generator.random(num_rows) < confidences - shift
    return judged_rows([(bool(r), float(c)) for r, c in zip(is_right, confidences, strict=True)])


class TestCalibration:
    def test_by_hand(self) -> None:
        """Two groups of equal confidence, so two bins: 10 rows at 0.8 of which 6 are right, 5 at 0.4, 3 right."""
        found = measure_calibration(judged_rows([(n < 6, 0.8) for n in range(10)] + [(n < 3, 0.4) for n in range(5)]))
        assert found is not None
        assert found["ece"] == pytest.approx(10 / 15 * 0.2 + 5 / 15 * 0.2)
        assert found["brier"] == pytest.approx((6 * 0.04 + 4 * 0.64 + 3 * 0.36 + 2 * 0.16) / 15)
        assert found["mean_confidence"] == pytest.approx(10 / 15)
        assert [(b["confidence"], b["accuracy"], b["num_rows"]) for b in found["bins"]] == [
            (pytest.approx(0.4), pytest.approx(0.6), 5),
            (pytest.approx(0.8), pytest.approx(0.6), 10),
        ]

    def test_bins_have_equal_mass(self) -> None:
        found = measure_calibration(simulated(1500, 0))
        assert found is not None
        assert [b["num_rows"] for b in found["bins"]] == [100] * 15

    def test_chance_is_told_from_overconfidence(self) -> None:
        calibrated, overconfident = (
            measure_calibration(simulated(600, 1)),
            measure_calibration(simulated(600, 2, shift=0.2)),
        )
        assert calibrated is not None and overconfident is not None
        assert 0.02 < calibrated["ece_if_calibrated"]["mean"] < calibrated["ece_if_calibrated"]["high"] < 0.09
        assert calibrated["ece"] < calibrated["ece_if_calibrated"]["high"]
        assert overconfident["ece"] == pytest.approx(0.2, abs=0.05)
        assert overconfident["ece"] > overconfident["ece_if_calibrated"]["high"]

    def test_rows_without_confidence_are_not_measured(self) -> None:
        assert measure_calibration(rows_of(("a", "a"))) is None
        assert measure_calibration([*judged_rows([(True, 0.9)]), *rows_of(("a", "a"))]) is None


@settings(max_examples=50, deadline=None)
@given(judged, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_matter(answers: list[tuple[bool, float]], chance: random.Random) -> None:
    shuffled = chance.sample(answers, len(answers))
    one, other = measure_calibration(judged_rows(answers)), measure_calibration(judged_rows(shuffled))
    assert one is not None and other is not None
    assert one["ece"] == pytest.approx(other["ece"])
    assert 0 <= one["ece"] <= 1
    assert risk_coverage(judged_rows(answers)) == risk_coverage(judged_rows(shuffled))


class TestRiskCoverage:
    def test_by_hand(self) -> None:
        rows = judged_rows([(True, 0.9)] * 9 + [(False, 0.9), (True, 0.5), (False, 0.5), (False, 0.1)])
        found = risk_coverage(rows)
        assert found is not None
        assert [(p["threshold"], p["coverage"], p["accuracy"]) for p in found["curve"]] == [
            (0.9, pytest.approx(10 / 13), 0.9),
            (0.5, pytest.approx(12 / 13), pytest.approx(10 / 12)),
            (0.1, 1.0, pytest.approx(10 / 13)),
        ]
        assert (found["chosen_on"], found["num_rows_chosen_on"]) == ("test", 13)
        best, _, least = found["goals"]
        assert (best["threshold"], best["num_answered"], best["accuracy"], best["sent_share"]) == (None, 0, None, 1.0)
        assert (least["threshold"], least["num_answered"], least["accuracy"]) == (0.9, 10, 0.9)
        assert least["sent_share"] == pytest.approx(3 / 13)
        # One-sided Clopper-Pearson at 1 - 0.05 / 3, since three thresholds could have been chosen.
        exact = binomtest(9, 10, alternative="greater").proportion_ci(1 - 0.05 / 3, method="exact")
        assert least["low"] == pytest.approx(exact.low)
        assert not least["is_shown"]

    def test_a_threshold_of_validation_is_told_of_the_test(self) -> None:
        validation = judged_rows([(True, 0.8)] * 50 + [(False, 0.3)] * 50)
        test = judged_rows([(True, 0.85)] * 60 + [(False, 0.85)] * 3 + [(True, 0.79)] * 37)
        found = risk_coverage(test, validation)
        assert found is not None
        assert (found["chosen_on"], found["num_rows_chosen_on"]) == ("validation", 100)
        for goal in found["goals"]:
            assert (goal["threshold"], goal["num_answered"]) == (0.8, 63)
            assert goal["accuracy"] == pytest.approx(60 / 63)
            exact = binomtest(60, 63, alternative="greater").proportion_ci(0.95, method="exact")
            assert goal["low"] == pytest.approx(exact.low)
        assert [goal["is_shown"] for goal in found["goals"]] == [False, False, False]

    def test_an_arm_that_meets_the_goal_by_itself_answers_everything(self) -> None:
        """Also rows that are less confident than any of validation."""
        found = risk_coverage(judged_rows([(True, 0.1)] * 400), judged_rows([(True, 0.5)] * 20))
        assert found is not None
        assert [goal["sent_share"] for goal in found["goals"]] == [0.0, 0.0, 0.0]
        assert found["goals"][0]["is_shown"]

    def test_the_curve_has_at_most_100_points_and_ends_with_all_rows(self) -> None:
        rows = simulated(731, 3)
        found = risk_coverage(rows)
        assert found is not None
        assert len(found["curve"]) == 100
        assert found["curve"][-1]["coverage"] == 1.0
        assert found["curve"][-1]["accuracy"] == pytest.approx(sum(row["score"] for row in rows) / len(rows))

    @pytest.mark.parametrize("has_validation", [True, False])
    def test_the_bound_holds_in_repeated_draws(self, has_validation: bool) -> None:
        """The true accuracy of the answered rows is their mean confidence; it may lie below the bound in 1 of 20."""
        num_false = num_bounds = 0
        for seed in range(150):
            rows = simulated(200, seed)
            found = risk_coverage(rows, simulated(200, 1000 + seed) if has_validation else ())
            assert found is not None
            goal = found["goals"][2]
            if goal["num_answered"]:
                answered = [row["confidence"] for row in rows if row["confidence"] >= goal["threshold"]]
                num_false += goal["low"] > np.mean(answered)
                num_bounds += 1
        assert num_bounds > 100
        assert num_false <= 0.08 * num_bounds

    def test_rows_without_confidence_are_not_measured(self) -> None:
        assert risk_coverage(rows_of(("a", "a"))) is None
        assert risk_coverage(judged_rows([(True, 0.9)]), rows_of(("a", "a"))) is None
