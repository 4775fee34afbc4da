"""The verdict: better, worse, or not shown; which arm to use; and whether to ship."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from burnish.evaluate.advice import ArmFacts, Way, advise
from burnish.evaluate.contest import Contest, Outcome, Rival, Standard
from burnish.evaluate.recommendation import Forgetting, Recommendation
from burnish.evaluate.statistics import (
    RowScores,
    compare_paired,
    holm,
    noninferiority_p_value,
    paired_sd,
    rows_needed,
    score_interval,
)
from burnish.evaluate.target import Reach, judge_target
from burnish.evaluate.verdict import Verdict, judge

LITTLE = Forgetting(upper=0.01, budget=0.02)


def right_first(num_right: int, num_rows: int) -> RowScores:
    """The first rows are right, the others wrong."""
    return RowScores((np.arange(num_rows) < num_right).astype(float), np.ones(num_rows))


def facts(title: str, rank: int, score: float, way: Way = Way.PROMPT) -> ArmFacts:
    return ArmFacts(
        name=title.lower().replace(" ", "_"),
        title=title,
        way=way,
        cost_rank=rank,
        score=score,
        prompt_tokens=100.0 * (rank + 1),
        request_s=0.05 * (rank + 1),
    )


def contest(arm: ArmFacts, mine: RowScores, others: dict[ArmFacts, RowScores]) -> Contest:
    results = [compare_paired(mine, theirs) for theirs in others.values()]
    within = [noninferiority_p_value(theirs, mine, margin=Standard().margin) for theirs in others.values()]
    return Contest(
        arm,
        [
            Rival(
                arm=other,
                comparison=result,
                adjusted_p=p,
                p_within_margin=p_within,
                rows_needed=rows_needed(result.difference.value, paired_sd(mine, theirs)),
            )
            for (other, theirs), result, p, p_within in zip(
                others.items(), results, holm([r.p_value for r in results]), holm(within), strict=True
            )
        ],
    )


def verdict_on(
    specialist: RowScores,
    *baselines: RowScores,
    constrained: RowScores | None = None,
    target: float | None = None,
    **options: Any,
) -> Verdict:
    """Baselines are prompts 0, 1, ..., from the cheapest on; the constrained form is a variant of the specialist."""
    arm = facts("Specialist", 8, specialist.value, Way.FINE_TUNING)
    others = {facts(f"Prompt {n}", n, scores.value): scores for n, scores in enumerate(baselines)}
    if constrained:
        others[facts("Constrained specialist", 9, constrained.value, Way.FINE_TUNING)] = constrained
    everybody = {arm: specialist, **others}
    leading = max(everybody, key=lambda a: a.score)
    cheaper = {a: s for a, s in everybody.items() if a.cost_rank < leading.cost_rank}
    leader = contest(leading, everybody[leading], cheaper) if leading is not arm else None
    return judge(
        contest(arm, specialist, others),
        leader=leader,
        metric="accuracy",
        num_rows=len(specialist),
        targets={}
        if target is None
        else {
            each.name: judge_target(target, each, score_interval(scores), metric="accuracy", num_rows=len(specialist))
            for each, scores in everybody.items()
        },
        **{"forgetting": LITTLE, **options},
    )


class TestOutcomes:
    def test_better_than_every_baseline(self) -> None:
        verdict = verdict_on(right_first(90, 100), right_first(60, 100), right_first(70, 100))
        assert verdict.outcome is Outcome.BETTER
        assert verdict.headline == (
            "The specialist is better than every simpler way: 90.0 accuracy against 70.0 for the best of them. "
            "Is 90.0 of 100 good enough for you? Set evaluate.target."
        )
        assert verdict.rows_needed is None
        assert verdict.reasons[0].startswith("Against the prompt 0: +30.0 points of accuracy (95% interval +")
        assert verdict.reasons[0].endswith("p < 0.001); 30 of 100 rows became better, 0 worse.")
        assert len(verdict.reasons) == 4

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
        assert verdict.outcome is Outcome.NOT_SHOWN
        assert verdict.headline == "Nothing was compared: the run has no baseline arm."
        assert verdict.recommendation is Recommendation.CANNOT_TELL
        assert verdict.reasons == ["No simpler way was measured, so nothing says whether the specialist is needed."]

    def test_the_family_counts(self) -> None:
        """6 wins and no loss is p = 0.031: enough against one baseline, not against two such (Holm)."""
        specialist, baseline = right_first(66, 100), right_first(60, 100)
        assert verdict_on(specialist, baseline).outcome is Outcome.BETTER
        assert verdict_on(specialist, baseline, baseline).outcome is Outcome.NOT_SHOWN


class TestRecommendation:
    def test_ship(self) -> None:
        verdict = verdict_on(right_first(90, 100), right_first(60, 100), right_first(70, 100), target=0.8)
        assert (verdict.recommendation, verdict.recommended_arm) == (Recommendation.SHIP, "specialist")
        assert verdict.reasons[2:] == [
            "The specialist is shown to be better than every simpler way; it reads 900 prompt tokens, and one request "
            "takes 0.45 s.",
            "It forgot no more than is allowed: its loss on general text changed by at most +0.01 nats per token "
            "(upper limit), inside the budget of 0.02 nats per token.",
            "The specialist reaches the target of 80: it scores 90.0 accuracy (95% interval 82.6 to 94.5).",
        ]
        assert verdict.headline.endswith("70.0 for the best of them. The specialist reaches the target of 80.")

    def test_what_was_forgotten_decides(self) -> None:
        rows = right_first(90, 100), right_first(60, 100)
        too_much = verdict_on(*rows, forgetting=Forgetting(upper=0.031, budget=0.02))
        assert (too_much.recommendation, too_much.recommended_arm) == (Recommendation.DO_NOT_SHIP, None)
        assert too_much.outcome is Outcome.BETTER
        assert "it forgot too much: its loss on general text changed by at most +0.031" in too_much.reasons[-1]
        assert too_much.advice.endswith(
            "The specialist beats every simpler way, but forgot too much to be used as it is: train it so that it "
            "forgets less, or take the best of the simpler ways, the prompt 0."
        )
        unknown = verdict_on(*rows, forgetting=Forgetting(upper=None, budget=0.02))
        assert (unknown.recommendation, unknown.recommended_arm) == (Recommendation.CANNOT_TELL, None)
        assert unknown.reasons[-1].startswith("What it forgot was not measured")
        for upper in (None, 0.5):
            off = verdict_on(*rows, forgetting=Forgetting(upper=upper, budget=None), target=0.8)
            assert off.recommendation is Recommendation.SHIP
            assert off.reasons[-2].endswith("What it forgot does not count: retention.budget is off.")

    def test_a_budget_that_costs_the_task_is_told(self) -> None:
        rows = right_first(90, 100), right_first(60, 100)
        small = verdict_on(*rows, forgetting=Forgetting(upper=0.01, budget=0.02, scale=0.4, task_kept=0.8))
        assert small.recommendation is Recommendation.NEEDS_TARGET
        assert small.reasons[-1].startswith(
            "Cannot keep both: to stay within 0.02 nats per token on general text the adapter was scaled to 0.4, which "
            "leaves 80% of its score on validation rows."
        )
        for kept in (0.96, 1.0, None):
            whole = verdict_on(*rows, forgetting=Forgetting(upper=0.01, budget=0.02, scale=0.9, task_kept=kept))
            assert not any("Cannot keep both" in reason for reason in whole.reasons)

    def test_a_cheaper_arm_that_is_not_shown_to_be_worse_is_the_one_to_use(self) -> None:
        verdict = verdict_on(right_first(82, 100), right_first(40, 100), right_first(80, 100))
        assert (verdict.recommendation, verdict.recommended_arm) == (Recommendation.CANNOT_TELL, "prompt_1")
        assert verdict.reasons[-1] == (
            "A simpler way, the prompt 1, is not shown to be worse than the specialist: use it, unless more test rows "
            "say otherwise; it reads 200 prompt tokens, and one request takes 0.10 s; of the specialist: it reads 900 "
            "prompt tokens, and one request takes 0.45 s."
        )

    def test_the_cheapest_of_several_is_used(self) -> None:
        verdict = verdict_on(right_first(82, 100), right_first(81, 100), right_first(82, 100))
        assert verdict.recommended_arm == "prompt_0"

    def test_a_gain_that_is_real_but_below_the_margin_does_not_pay(self) -> None:
        """20 of 5,000 rows, without a loss, are more than chance and less than a point."""
        verdict = verdict_on(right_first(4000, 5000), right_first(2000, 5000), right_first(3980, 5000))
        assert verdict.outcome is Outcome.BETTER
        assert (verdict.recommendation, verdict.recommended_arm) == (Recommendation.DO_NOT_SHIP, "prompt_1")
        assert "is shown to be less than 1 point worse than the specialist: use it; it reads" in verdict.reasons[-1]

    def test_worse_than_a_cheaper_arm(self) -> None:
        verdict = verdict_on(right_first(70, 100), right_first(40, 100), right_first(95, 100))
        assert (verdict.recommendation, verdict.recommended_arm) == (Recommendation.DO_NOT_SHIP, "prompt_1")
        assert verdict.reasons[-1].startswith("A simpler way, the prompt 1, has the best score: use it; it reads 200")

    def test_the_arm_to_use_is_measured_by_the_best_not_by_the_specialist(self) -> None:
        """Prompt 0 is as good as the specialist, but prompt 1 is shown to beat both."""
        verdict = verdict_on(right_first(50, 100), right_first(50, 100), right_first(90, 100))
        assert verdict.recommended_arm == "prompt_1"

    def test_a_better_form_of_the_specialist_is_shipped(self) -> None:
        rows = right_first(80, 100), right_first(50, 100)
        better = verdict_on(*rows, constrained=right_first(95, 100), target=0.85)
        assert (better.outcome, better.recommendation) == (Outcome.BETTER, Recommendation.SHIP)
        assert better.recommended_arm == "constrained_specialist"
        equal = verdict_on(*rows, constrained=right_first(81, 100))
        assert equal.recommended_arm == "specialist"

    def test_a_form_of_the_specialist_may_beat_what_the_specialist_does_not(self) -> None:
        verdict = verdict_on(right_first(80, 100), right_first(78, 100), constrained=right_first(95, 100), target=0.8)
        assert verdict.outcome is Outcome.NOT_SHOWN
        assert (verdict.recommendation, verdict.recommended_arm) == (Recommendation.SHIP, "constrained_specialist")

    def test_faults_of_the_data_leave_it_open(self) -> None:
        fault = "12 test rows are copies of training rows."
        verdict = verdict_on(right_first(90, 100), right_first(60, 100), data_errors=[fault])
        assert (verdict.recommendation, verdict.recommended_arm) == (Recommendation.CANNOT_TELL, None)
        assert verdict.reasons[-1] == fault

    def test_too_few_rows_leave_it_open(self) -> None:
        verdict = verdict_on(right_first(29, 29), right_first(0, 29))
        assert (verdict.recommendation, verdict.recommended_arm) == (Recommendation.CANNOT_TELL, None)
        assert verdict.reasons[-1] == "29 test rows are too few to choose an arm by."


class TestTarget:
    """Better than the alternatives is one thing, good enough another."""

    ROWS = right_first(51, 100), right_first(20, 100), right_first(30, 100)

    def test_without_one_nothing_is_shipped(self) -> None:
        verdict = verdict_on(*self.ROWS)
        assert (verdict.outcome, verdict.recommendation) == (Outcome.BETTER, Recommendation.NEEDS_TARGET)
        assert (verdict.recommended_arm, verdict.target) == ("specialist", None)
        assert verdict.headline.endswith("Is 51.0 of 100 good enough for you? Set evaluate.target.")

    @pytest.mark.parametrize(
        ("target", "reach", "recommendation", "said"),
        [
            (0.4, Reach.REACHED, Recommendation.SHIP, "The specialist reaches the target of 40"),
            (0.9, Reach.NOT_REACHED, Recommendation.DO_NOT_SHIP, "The specialist does not reach the target of 90"),
            (0.55, Reach.CANNOT_TELL, Recommendation.CANNOT_TELL,
             "The test cannot tell whether the specialist reaches the target of 55"),
        ],
    )  # fmt: skip
    def test_it_is_reached_missed_or_open(
        self, target: float, reach: Reach, recommendation: Recommendation, said: str
    ) -> None:
        verdict = verdict_on(*self.ROWS, target=target)
        assert verdict.target is not None and verdict.target.reach is reach
        assert (verdict.outcome, verdict.recommendation) == (Outcome.BETTER, recommendation)
        assert verdict.recommended_arm == "specialist"
        assert verdict.headline.endswith(f"for the best of them. {said}.")
        interval = f"{said}: it scores 51.0 accuracy (95% interval 41.3 to 60.6)"  # Wilson of 51 in 100
        assert verdict.reasons[-1].startswith(interval)

    def test_an_open_one_tells_how_many_rows_would_tell(self) -> None:
        verdict = verdict_on(*self.ROWS, target=0.55)
        assert verdict.target is not None and verdict.target.rows_needed is not None
        needed = verdict.target.rows_needed
        assert score_interval(right_first(round(0.51 * needed), needed)).high == pytest.approx(0.55, abs=0.002)
        assert verdict.reasons[-1].endswith(f"About {needed} test rows would, if the score stayed.")
        equal = verdict_on(*self.ROWS, target=0.51)
        assert equal.target is not None and equal.target.rows_needed is None
        assert equal.reasons[-1].endswith("and more test rows would hardly tell.")

    def test_the_limit_itself_counts_as_reached(self) -> None:
        low = score_interval(right_first(51, 100)).low
        exact = verdict_on(*self.ROWS, target=low).target
        assert exact is not None and exact.reach is Reach.REACHED

    def test_a_simpler_way_is_held_to_it_too(self) -> None:
        """The prompt is not shown to be worse, so it is to be used; both miss the target, so nothing is open."""
        rows = right_first(52, 100), right_first(20, 100), right_first(51, 100)
        missed = verdict_on(*rows, target=0.9)
        assert (missed.recommendation, missed.recommended_arm) == (Recommendation.DO_NOT_SHIP, "prompt_1")
        assert missed.headline.endswith("The prompt 1 does not reach the target of 90.")
        assert "Of these ways take prompting, the prompt 1, but it does not reach the target." in missed.advice
        reached = verdict_on(*rows, target=0.3)
        assert (reached.recommendation, reached.recommended_arm) == (Recommendation.CANNOT_TELL, "prompt_1")

    def test_a_simpler_way_that_misses_it_leaves_a_specialist_open_that_may_reach_it(self) -> None:
        last = RowScores((np.arange(100) >= 38).astype(float), np.ones(100))
        verdict = verdict_on(right_first(70, 100), right_first(20, 100), last, target=0.75)
        assert verdict.target is not None and verdict.target.reach is Reach.NOT_REACHED
        assert (verdict.recommendation, verdict.recommended_arm) == (Recommendation.CANNOT_TELL, "prompt_1")

    def test_what_forgot_too_much_is_not_shipped_however_good(self) -> None:
        verdict = verdict_on(*self.ROWS, target=0.1, forgetting=Forgetting(upper=0.5, budget=0.02))
        assert (verdict.recommendation, verdict.recommended_arm) == (Recommendation.DO_NOT_SHIP, None)
        assert verdict.headline.endswith("The specialist reaches the target of 10.")
        assert "forgot too much to be used as it is" in verdict.advice

    def test_few_rows_and_rows_that_do_not_vary_tell_nothing(self) -> None:
        few = verdict_on(right_first(29, 29), right_first(0, 29), target=0.1).target
        assert few is not None and (few.reach, few.rows_needed) == (Reach.CANNOT_TELL, 30)
        assert "29 test rows are too few, at least 30 are needed" in few.sentence
        halves = RowScores(np.full(50, 0.5), np.ones(50))
        alike = verdict_on(halves, right_first(0, 50), target=0.3).target
        assert alike is not None and alike.reach is Reach.CANNOT_TELL
        assert alike.sentence.endswith("all test rows score alike, which says nothing of others.")

    def test_faults_of_the_data_leave_it_open(self) -> None:
        verdict = verdict_on(*self.ROWS, target=0.9, data_errors=["12 test rows are copies of training rows."])
        assert verdict.recommendation is Recommendation.CANNOT_TELL

    def test_a_score_that_is_not_defined_reaches_nothing(self) -> None:
        nothing = RowScores(np.zeros(40), np.zeros(40))
        found = judge_target(
            0.5, facts("Specialist", 8, float("nan")), score_interval(nothing), metric="F1", num_rows=40
        )
        assert (found.reach, found.rows_needed) == (Reach.CANNOT_TELL, None)
        assert found.sentence == "The specialist has no score to hold against the target of 50."


class TestAdvice:
    def test_says_what_was_measured_of_each_way(self) -> None:
        arms = [
            facts("Zero-shot prompt", 0, 0.31),
            facts("Few-shot prompt", 2, 0.44),
            facts("Retrieved examples", 3, 0.62, Way.RETRIEVAL),
            facts("Specialist", 6, 0.8, Way.FINE_TUNING),
        ]
        assert advise(arms, recommended="specialist", metric="accuracy", num_rows=1300) == (
            "Prompt, retrieval or fine-tuning? Measured on the same 1,300 test rows, in accuracy: Prompting (the "
            "few-shot prompt) scores 44.0; it reads 300 prompt tokens, and one request takes 0.15 s. Retrieval (the "
            "retrieved examples) scores 62.0, +18.0 points against prompting; it reads 400 prompt tokens, and one "
            "request takes 0.20 s. Fine-tuning (the specialist) scores 80.0, +18.0 points against retrieval; it reads "
            "700 prompt tokens, and one request takes 0.35 s. The way to take is fine-tuning: the specialist."
        )

    def test_what_was_not_measured_has_no_number(self) -> None:
        arm = ArmFacts(
            name="embedding",
            title="Embeddings",
            way=Way.CLASSIFIER,
            cost_rank=1,
            score=0.9,
            prompt_tokens=None,
            request_s=0.004,
        )
        text = advise([arm], recommended=None, metric="accuracy", num_rows=50)
        assert "A small classifier (the embeddings) scores 90.0; one request takes 4 ms." in text
        assert text.endswith("Prompting and retrieval and fine-tuning: not measured. Which way to take stays open.")
        unscored = ArmFacts(**{**vars(arm), "score": float("nan")})
        assert advise([unscored], recommended=None, metric="F1", num_rows=50) == (
            "None of the ways has a score on the 50 test rows."
        )


def test_judging_needs_no_torch() -> None:
    code = "import sys, burnish.evaluate.verdict; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
