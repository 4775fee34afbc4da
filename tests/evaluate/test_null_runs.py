"""The verdict's own error rate: noise is seldom called better, a gain of the printed size mostly is.

Predictions are simulated; verdicts go the product's own way, through `evaluate`. Training on noise is in
scripts/proof_check.py.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from burnish.evaluate.arms import Arm
from burnish.evaluate.evaluation import ASSUMED_DISCORDANCE, ArmRun, Intervals, evaluate, expected_sensitivity
from burnish.evaluate.recommendation import Forgetting
from burnish.evaluate.statistics import FloatArray, RowScores, wilson_interval
from burnish.recipe import Metric

NUM_RUNS = 200
INTERVALS = Intervals(0.95, 299)
BASELINES = (Arm.ZERO_SHOT, Arm.FEW_SHOT)
Draw = Callable[[np.random.Generator, FloatArray], RowScores]


def arm_run(scores: RowScores) -> ArmRun:
    fixed = {"prediction": "{}", "target": "{}", "has_ended": True, "prompt_tokens": 10, "latency_s": 0.1}
    pairs = zip(scores.numerators.tolist(), scores.denominators.tolist(), strict=True)
    return ArmRun([{**fixed, "numerator": n, "denominator": d} for n, d in pairs], 1.0)


def evaluation(
    specialist: RowScores, baselines: Sequence[RowScores], *, metric: Metric = Metric.ACCURACY, **options: Any
) -> dict[str, Any]:
    arms = {arm: arm_run(scores) for arm, scores in zip(BASELINES, baselines, strict=False)}
    return evaluate(
        {**arms, Arm.SPECIALIST: arm_run(specialist)},
        metric=metric,
        intervals=INTERVALS,
        retention=None,
        forgetting=Forgetting(),
        sensitivity=(None, ""),
        **options,
    )


def outcome(*scores: Any, **options: Any) -> str:
    return str(evaluation(*scores, **options)["verdict"]["outcome"])


def draw_right_wrong(rng: np.random.Generator, skill_N: FloatArray) -> RowScores:
    return RowScores(rng.binomial(1, skill_N).astype(float), np.ones(len(skill_N)))


def draw_f1(rng: np.random.Generator, skill_N: FloatArray) -> RowScores:
    wanted, said = rng.integers(1, 6, (2, len(skill_N)))
    return RowScores(2.0 * rng.binomial(np.minimum(wanted, said), skill_N), (wanted + said).astype(float))


def draw_graded(rng: np.random.Generator, skill_N: FloatArray) -> RowScores:
    return RowScores(rng.beta(4 * skill_N, 4 * (1 - skill_N)), np.ones(len(skill_N)))


def difficulties(rng: np.random.Generator, num_rows: int) -> FloatArray:
    """How likely each row is answered by anybody: what makes the arms' scores correlate."""
    return np.clip(rng.beta(2, 1.5, num_rows), 0.02, 0.98)


def assert_rare(num_better: int, num_runs: int = NUM_RUNS) -> None:
    assert num_better <= 0.05 * num_runs
    assert wilson_interval(num_better, num_runs).high <= 0.09


@pytest.mark.parametrize(
    ("draw", "metric"),
    [(draw_right_wrong, Metric.ACCURACY), (draw_f1, Metric.FIELD_F1), (draw_graded, Metric.CHRF)],
)
class TestNull:
    def test_one_good_arm_among_bad_ones_is_not_beaten_by_its_equal(self, draw: Draw, metric: Metric) -> None:
        """The bad arm is easily beaten, so Holm tests the other at the full alpha: the hardest null for a family."""
        rng = np.random.default_rng(2)
        outcomes = []
        for _ in range(NUM_RUNS):
            skill_N = difficulties(rng, 80)
            equal, specialist, bad = draw(rng, skill_N), draw(rng, skill_N), draw(rng, skill_N / 5)
            outcomes.append(outcome(specialist, [bad, equal], metric=metric))
        assert_rare(outcomes.count("better"))
        assert_rare(outcomes.count("worse"))

    def test_shuffled_predictions(self, draw: Draw, metric: Metric) -> None:
        """A run's scores dealt anew to its rows: the same score with no relation to the rows."""
        rng = np.random.default_rng(3)
        outcomes = []
        for _ in range(NUM_RUNS // 4):
            scores = draw(rng, difficulties(rng, 80))
            order = rng.permutation(80)
            shuffled = RowScores(scores.numerators[order], scores.denominators[order])
            outcomes.append(outcome(shuffled, [scores], metric=metric))
        assert outcomes.count("better") == 0

    def test_rows_of_a_group_that_rise_and_fall_together(self, draw: Draw, metric: Metric) -> None:
        """10 groups of 8 rows: each arm is good at some groups and bad at others, but none is better."""
        rng = np.random.default_rng(4)
        groups = [f"group {n // 8}" for n in range(80)]
        seen, blind = [], []
        for _ in range(NUM_RUNS // 2):
            arms = [draw(rng, np.repeat(difficulties(rng, 10), 8)) for _ in range(2)]
            seen.append(outcome(arms[0], arms[1:], metric=metric, groups=groups))
            blind.append(outcome(arms[0], arms[1:], metric=metric))
        assert seen.count("better") <= 0.05 * len(seen)
        assert blind.count("better") > seen.count("better"), "without groups noise passes for skill"


def test_a_test_that_is_opened_again_and_again() -> None:
    """A team tries five adapters, none of them good, on one test: that any is called better must stay as rare."""
    rng = np.random.default_rng(5)
    is_fooled, would_be_fooled = [], []
    for _ in range(NUM_RUNS):
        skill_N = difficulties(rng, 150)
        baseline = draw_right_wrong(rng, skill_N)
        tries = [evaluation(draw_right_wrong(rng, skill_N), [baseline], num_openings=k) for k in range(1, 6)]
        pairs = [found["comparisons"][0] for found in tries]
        is_fooled.append("better" in [found["verdict"]["outcome"] for found in tries])
        would_be_fooled.append(any(pair["p_value"] < 0.05 and pair["difference"]["value"] > 0 for pair in pairs))
    assert_rare(sum(is_fooled))
    assert sum(would_be_fooled) > sum(is_fooled), "without the correction the same tries fool"


def draw_lifted(rng: np.random.Generator, right_N: FloatArray, gain: float, discordance: float) -> RowScores:
    """Rows of which a share `discordance` differs from `right_N`, half of it right, to a gain of `gain`."""
    win_share, loss_share = discordance + gain, discordance - gain
    chance_N = np.where(right_N == 1, 1 - loss_share, win_share)
    return draw_right_wrong(rng, chance_N)


@pytest.mark.parametrize("num_baselines", [1, 2])
def test_a_gain_of_the_printed_size_is_found_in_right_wrong_rows(num_baselines: int) -> None:
    rng = np.random.default_rng(6)
    blank = arm_run(RowScores(np.zeros(200), np.ones(200)))
    gain, _ = expected_sensitivity(Metric.ACCURACY, dict.fromkeys(BASELINES[:num_baselines], blank))
    assert gain is not None
    found = []
    for _ in range(NUM_RUNS):
        specialist = draw_right_wrong(rng, np.full(200, 0.5))
        baselines = [draw_lifted(rng, specialist.numerators, -gain, ASSUMED_DISCORDANCE) for _ in range(num_baselines)]
        found.append(outcome(specialist, baselines) == "better")
    assert 0.75 <= np.mean(found) <= 0.95


def test_a_gain_of_the_printed_size_is_found_in_graded_rows() -> None:
    rng = np.random.default_rng(7)
    found = []
    for _ in range(NUM_RUNS):
        skill_N = 0.6 * difficulties(rng, 150)
        wanted = rng.integers(1, 6, 150)
        zero_shot, few_shot = (RowScores(2.0 * rng.binomial(wanted, skill_N), 2.0 * wanted) for _ in range(2))
        printed, _ = expected_sensitivity(
            Metric.FIELD_F1, {Arm.ZERO_SHOT: arm_run(zero_shot), Arm.FEW_SHOT: arm_run(few_shot)}
        )
        assert printed is not None
        specialist = RowScores(2.0 * rng.binomial(wanted, skill_N + printed), 2.0 * wanted)
        found.append(outcome(specialist, [zero_shot, few_shot], metric=Metric.FIELD_F1) == "better")
    assert 0.75 <= np.mean(found) <= 0.99
