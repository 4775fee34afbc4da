"""What can be left to an arm, and what a person should see: one sentence of its confidence on the test rows."""

from collections.abc import Mapping, Sequence
from typing import Any

Goal = Mapping[str, Any]


def spell_delegation(arm: Mapping[str, Any], name: str) -> str:
    """Of an arm of evaluation.json, called `name`; empty where nothing is known of its confidence.

    A goal counts where the lower limit of the accuracy on the answered test rows reaches it (`is_shown`).
    """
    measured = arm.get("classification") or arm.get("extraction") or {}
    goals = (measured.get("risk_coverage") or {}).get("goals")
    goals = [goal for goal in goals or () if goal.get("sent_share") is not None]
    if not goals:
        return ""
    right = "right in all fields" if arm.get("extraction") else "right"
    shown = [goal for goal in goals if goal.get("is_shown")]
    return _spell_shown(shown, name, right) if shown else _spell_none(goals, name, right)


def _spell_shown(shown: Sequence[Goal], name: str, right: str) -> str:
    best, strictest = max(shown, key=_answered), max(shown, key=lambda goal: float(goal["goal"]))
    more = "" if strictest is best else f" (or {_share(strictest)} at {_level(strictest)})"
    if _answered(best) >= 1:
        return f"{name} can answer all messages at {_level(best)} {right}{more}."
    what = f"{_share(best)} of the messages at {_level(best)} {right}{more}"
    return f"{name} can answer {what} and leave the rest to a person."


def _spell_none(goals: Sequence[Goal], name: str, right: str) -> str:
    tried = [goal for goal in goals if goal.get("num_answered") and (goal.get("accuracy") or 0) >= goal["goal"]]
    if not tried:
        least = min(goals, key=lambda goal: float(goal["goal"]))
        return f"Nothing can be left to {_lower(name)}: even its surest answers are less than {_level(least)} {right}."
    best = max(tried, key=lambda goal: (_answered(goal), -float(goal["goal"])))
    return (
        f"Nothing can be left to {_lower(name)} yet: of its surest answers ({_share(best)} of all) "
        f"{100 * best['accuracy']:.0f} % were {right}, but they are too few to show {_level(best)}."
    )


def _answered(goal: Goal) -> float:
    return 1 - float(goal["sent_share"])


def _share(goal: Goal) -> str:
    return f"{100 * _answered(goal):.0f} %"


def _level(goal: Goal) -> str:
    return f"{100 * goal['goal']:g} %"


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
