"""The verdict: better, worse, or not shown; and on data without any difference, `better` is as rare as promised."""

from collections.abc import Callable

import numpy as np
import pytest

from burnish.evaluate.statistics import RowScores, compare_paired, holm, paired_sd, rows_needed, wilson_interval
from burnish.evaluate.verdict import Opponent, Outcome, Verdict, judge

Draw = Callable[[np.random.Generator, int], RowScores]


def right_first(num_right: int, num_rows: int) -> RowScores:
    """The first rows are right, the others wrong."""
    return RowScores((np.arange(num_rows) < num_right).astype(float), np.ones(num_rows))


def verdict_on(specialist: RowScores, *baselines: RowScores, num_resamples: int = 1000) -> Verdict:
    results = [compare_paired(specialist, baseline, num_resamples=num_resamples) for baseline in baselines]
    opponents = [
        Opponent(
            title=f"Prompt {n}",
            score=baseline.value,
            comparison=result,
            adjusted_p=p,
            rows_needed=rows_needed(result.difference.value, paired_sd(specialist, baseline)),
        )
        for n, (baseline, result, p) in enumerate(
            zip(baselines, results, holm([result.p_value for result in results]), strict=True)
        )
    ]
    return judge(opponents, specialist_score=specialist.value, metric="accuracy", num_rows=len(specialist), alpha=0.05)


class TestOutcomes:
    def test_better_than_every_baseline(self) -> None:
        verdict = verdict_on(right_first(90, 100), right_first(60, 100), right_first(70, 100))
        assert verdict.outcome is Outcome.BETTER
        assert verdict.headline == "The specialist is better: 90.0 accuracy against 70.0 for the best baseline."
        assert verdict.rows_needed is None
        assert verdict.reasons[0].startswith("Against the prompt 0: +30.0 points of accuracy (95% interval +")
        assert verdict.reasons[0].endswith("p < 0.001); 30 of 100 rows became better, 0 worse.")
        assert len(verdict.reasons) == 2

    def test_better_than_one_of_two_is_not_shown(self) -> None:
        verdict = verdict_on(right_first(90, 100), right_first(60, 100), right_first(88, 100))
        assert verdict.outcome is Outcome.NOT_SHOWN
        assert verdict.headline == "No difference is shown: 90.0 accuracy against 88.0 for the best baseline."
        assert verdict.rows_needed is not None
        assert verdict.rows_needed > 100
        assert f"That is within chance; about {verdict.rows_needed:,} test rows would" in verdict.reasons[1]
        assert "within chance" not in verdict.reasons[0]

    def test_a_difference_that_no_test_set_would_show_gets_no_number_of_rows(self) -> None:
        """One row more of 100, where 99 others differ both ways."""
        ours, theirs = np.arange(100) % 2 == 0, np.arange(100) % 2 == 1
        theirs[99] = False
        verdict = verdict_on(*(RowScores(right.astype(float), np.ones(100)) for right in (ours, theirs)))
        assert verdict.rows_needed is None
        assert verdict.reasons[0].endswith("so little that more test rows would hardly show it.")

    def test_worse_than_one_is_worse(self) -> None:
        verdict = verdict_on(right_first(70, 100), right_first(40, 100), right_first(95, 100))
        assert verdict.outcome is Outcome.WORSE
        assert verdict.headline == "The specialist is worse: 70.0 accuracy against 95.0 for the prompt 1."

    def test_equal(self) -> None:
        verdict = verdict_on(right_first(70, 100), right_first(70, 100))
        assert verdict.outcome is Outcome.NOT_SHOWN
        assert verdict.rows_needed is None
        assert verdict.reasons[0].endswith("p = 1.000); 0 of 100 rows became better, 0 worse. That is within chance.")

    @pytest.mark.parametrize(("num_right", "num_baseline"), [(29, 0), (0, 29)])
    def test_too_few_rows_for_any_verdict(self, num_right: int, num_baseline: int) -> None:
        verdict = verdict_on(right_first(num_right, 29), right_first(num_baseline, 29))
        assert verdict.outcome is Outcome.NOT_SHOWN
        assert verdict.headline == "With 29 test rows no verdict is given; at least 30 are needed."
        assert verdict.rows_needed == 30

    def test_thirty_rows_are_enough(self) -> None:
        assert verdict_on(right_first(30, 30), right_first(0, 30)).outcome is Outcome.BETTER

    def test_no_baselines(self) -> None:
        verdict = verdict_on(right_first(100, 100))
        assert verdict == Verdict(Outcome.NOT_SHOWN, "Nothing was compared: the run has no baseline arm.", [], None)

    def test_the_family_counts(self) -> None:
        """6 wins and no loss is p = 0.031: enough against one baseline, not against two such (Holm)."""
        specialist, baseline = right_first(66, 100), right_first(60, 100)
        assert verdict_on(specialist, baseline).outcome is Outcome.BETTER
        assert verdict_on(specialist, baseline, baseline).outcome is Outcome.NOT_SHOWN


def draw_binary(rng: np.random.Generator, num_rows: int) -> RowScores:
    return RowScores(rng.binomial(1, 0.6, num_rows).astype(float), np.ones(num_rows))


def draw_f1(rng: np.random.Generator, num_rows: int) -> RowScores:
    wanted, said = rng.integers(1, 6, num_rows), rng.integers(1, 6, num_rows)
    return RowScores(2.0 * rng.binomial(np.minimum(wanted, said), 0.6), (wanted + said).astype(float))


@pytest.mark.parametrize("draw", [draw_binary, draw_f1])
class TestErrorRates:
    def test_no_difference_is_seldom_called_better(self, draw: Draw) -> None:
        rng = np.random.default_rng(7)
        verdicts = [verdict_on(draw(rng, 60), draw(rng, 60), num_resamples=200) for _ in range(200)]
        num_better = sum(verdict.outcome is Outcome.BETTER for verdict in verdicts)
        assert num_better <= 0.05 * 200
        assert wilson_interval(num_better, 200).high <= 0.09

    def test_a_large_difference_is_mostly_called_better(self, draw: Draw) -> None:
        """Without this, a judge that never says `better` would pass."""
        rng = np.random.default_rng(8)
        outcomes = []
        for _ in range(20):
            baseline, lift = draw(rng, 60), rng.random(60) < 0.7
            raised = np.where(lift, baseline.denominators, baseline.numerators)
            outcomes.append(verdict_on(RowScores(raised, baseline.denominators), baseline, num_resamples=200).outcome)
        assert outcomes.count(Outcome.BETTER) >= 19
