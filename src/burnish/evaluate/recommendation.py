"""What to do with the specialist, and which arm to use: outcome, cost, forgetting, data and target joined."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from burnish.evaluate.advice import ArmFacts, Way, spell_cost
from burnish.evaluate.contest import (
    MIN_TEST_ROWS,
    Contest,
    Outcome,
    Rival,
    Standard,
    is_shown,
    is_shown_worse,
    is_within,
)
from burnish.evaluate.target import Reach, Target

MIN_TASK_KEPT = 0.95
"""Of the task's score without a budget; below it the two cannot be had together."""


class Recommendation(StrEnum):
    """What to do with the specialist."""

    SHIP = "ship"
    """It is better than every simpler way and good enough."""
    DO_NOT_SHIP = "do_not_ship"
    CANNOT_TELL = "cannot_tell"
    NEEDS_TARGET = "needs_target"
    """It is better than every simpler way; nobody has said how good is good enough."""


@dataclass(frozen=True)
class Forgetting:
    """The rise of the loss on general text, nats per token: its upper confidence limit, None where not measured."""

    upper: float | None = None
    budget: float | None = None
    """None: the user set no budget, so forgetting does not count."""
    scale: float = 1.0
    """What the adapter was multiplied with to keep the budget."""
    task_kept: float | None = None
    """What that left of the task's score, on validation rows; None where it is not known."""

    @property
    def is_over_budget(self) -> bool:
        """Whether more was forgotten than is allowed."""
        return self.upper is not None and self.budget is not None and self.upper > self.budget

    @property
    def costs_the_task(self) -> bool:
        """Whether budget and task cannot both be kept."""
        return self.task_kept is not None and self.task_kept < MIN_TASK_KEPT


@dataclass(frozen=True)
class Choice:
    """The recommendation, the arm to use (None where the evidence names none), and why."""

    recommendation: Recommendation
    arm: ArmFacts | None
    reasons: tuple[str, ...]
    target: Target | None = None
    """Of the arm to use, else of the specialist."""


def recommend(
    contest: Contest,
    leader: Contest | None,
    outcome: Outcome,
    *,
    num_rows: int,
    forgetting: Forgetting,
    data_errors: Sequence[str],
    targets: Mapping[str, Target],
    standard: Standard,
) -> Choice:
    """What `judge` describes; `targets` has one for each arm by name, or none where no target was set."""
    choice = _choose(contest, leader, outcome, num_rows, forgetting, data_errors, standard)
    if forgetting.costs_the_task and forgetting.budget is not None:
        choice = replace(choice, reasons=(*choice.reasons, _cannot_keep_both(forgetting)))
    return _hold_to_target(choice, contest.arm, targets, may_decide=not data_errors)


def _choose(
    contest: Contest,
    leader: Contest | None,
    outcome: Outcome,
    num_rows: int,
    forgetting: Forgetting,
    data_errors: Sequence[str],
    standard: Standard,
) -> Choice:
    """Without a look at the target."""
    if data_errors:
        return Choice(Recommendation.CANNOT_TELL, None, tuple(data_errors))
    if not contest.cheaper:
        why = f"No simpler way was measured, so nothing says whether the {contest.arm} is needed."
        return Choice(Recommendation.CANNOT_TELL, None, (why,))
    if num_rows < MIN_TEST_ROWS:
        return Choice(Recommendation.CANNOT_TELL, None, (f"{num_rows} test rows are too few to choose an arm by.",))
    if math.isnan(contest.arm.score):
        return Choice(Recommendation.CANNOT_TELL, None, (f"The {contest.arm} has no score to choose an arm by.",))
    # An arm that leads without being the specialist is no reason to leave a specialist that has beaten all the others.
    leading = leader if leader and outcome is not Outcome.BETTER else contest
    simpler = [r for r in leading.cheaper if r.arm.name != contest.arm.name]
    if good := [r for r in simpler if is_within(r, standard) or not is_shown_worse(r, standard.alpha)]:
        is_settled = outcome is Outcome.WORSE or any(is_within(r, standard) for r in contest.cheaper)
        recommendation = Recommendation.DO_NOT_SHIP if is_settled else Recommendation.CANNOT_TELL
        return Choice(recommendation, good[0].arm, (_why_simpler(good[0], leading.arm, standard),))
    if leading.arm.cost_rank < contest.arm.cost_rank:
        why = f"A simpler way, the {leading.arm}, has the best score: use it; {spell_cost(leading.arm)}."
        recommendation = Recommendation.DO_NOT_SHIP if outcome is Outcome.WORSE else Recommendation.CANNOT_TELL
        return Choice(recommendation, leading.arm, (why,))
    return _unless_it_forgot(_best_form(leading, standard.alpha), forgetting)


def _why_simpler(rival: Rival, arm: ArmFacts, standard: Standard) -> str:
    costs = f"{spell_cost(rival.arm)}; of the {arm}: {spell_cost(arm)}"
    if is_within(rival, standard):
        points = f"{100 * standard.margin:g} point" + ("" if standard.margin == 0.01 else "s")
        shown = f"is shown to be less than {points} worse than the {arm}: use it"
    else:
        shown = f"is not shown to be worse than the {arm}: use it, unless more test rows say otherwise"
    return f"A simpler way, the {rival.arm}, {shown}; {costs}."


def _best_form(contest: Contest, alpha: float) -> ArmFacts:
    """The arm, or the best of the costlier ones that are shown to beat it, such as its own constrained form."""
    costlier = [r for r in contest.rivals if r.arm.cost_rank >= contest.arm.cost_rank and is_shown(r, alpha)]
    better = [r.arm for r in costlier if r.comparison.difference.value < 0]
    return max(better, key=lambda arm: arm.score, default=contest.arm)


def _unless_it_forgot(arm: ArmFacts, forgetting: Forgetting) -> Choice:
    why = f"The {arm} is shown to be better than every simpler way; {spell_cost(arm)}."
    if arm.way is Way.CLASSIFIER:
        return Choice(Recommendation.SHIP, arm, (f"{why} It writes no text, so there is nothing to forget.",))
    if forgetting.budget is None:
        return Choice(Recommendation.SHIP, arm, (f"{why} What it forgot does not count: retention.budget is off.",))
    budget = f"the budget of {forgetting.budget:g} nats per token"
    if forgetting.upper is None:
        unknown = f"What it forgot was not measured, so nothing says whether it keeps {budget}."
        return Choice(Recommendation.CANNOT_TELL, None, (why, unknown))
    rise = f"its loss on general text changed by at most {forgetting.upper:+.3g} nats per token (upper limit)"
    if forgetting.is_over_budget:
        return Choice(Recommendation.DO_NOT_SHIP, None, (why, f"But it forgot too much: {rise}, over {budget}."))
    return Choice(Recommendation.SHIP, arm, (why, f"It forgot no more than is allowed: {rise}, inside {budget}."))


def _cannot_keep_both(forgetting: Forgetting) -> str:
    return (
        f"Cannot keep both: to stay within {forgetting.budget:g} nats per token on general text the adapter was scaled "
        f"to {forgetting.scale:g}, which leaves {forgetting.task_kept:.0%} of its score on validation rows. A larger "
        "retention.budget keeps more of the task."
    )


def _hold_to_target(choice: Choice, specialist: ArmFacts, targets: Mapping[str, Target], *, may_decide: bool) -> Choice:
    """Better than the alternatives is one thing, good enough another: nothing is shipped without both."""
    is_ready = choice.recommendation is Recommendation.SHIP
    if not targets:
        return replace(choice, recommendation=Recommendation.NEEDS_TARGET) if is_ready else choice
    target = targets[(choice.arm or specialist).name]
    found = replace(choice, reasons=(*choice.reasons, target.sentence), target=target)
    # An open question is settled where neither the arm to use nor the specialist is good enough.
    both_miss = {target.reach, targets[specialist.name].reach} == {Reach.NOT_REACHED}
    if may_decide and both_miss:
        return replace(found, recommendation=Recommendation.DO_NOT_SHIP)
    if is_ready and target.reach is Reach.NOT_REACHED:
        return replace(found, recommendation=Recommendation.DO_NOT_SHIP)
    if is_ready and target.reach is Reach.CANNOT_TELL:
        return replace(found, recommendation=Recommendation.CANNOT_TELL)
    return found
