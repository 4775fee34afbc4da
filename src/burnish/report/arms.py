"""The arms of a run: which is which, what they are called, and which two the page holds against each other."""

from collections.abc import Sequence
from typing import Any

from burnish.report.record import CONSTRAINED, RECORDED, SPECIALIST, Json, dig, items

NUM_LOOKS = 8
"""Colours and markers; a run has no more arms."""
PLAIN_NAMES = {
    "zero_shot": "a plain prompt",
    "few_shot": "a prompt with solved examples",
    "retrieved": "a prompt with similar examples looked up",
    "embedding": "a simple classifier",
    "encoder": "a small trained classifier",
    "previous": "the model in use before",
    RECORDED: "the recorded model",
    SPECIALIST: "the fine-tuned model",
    CONSTRAINED: "the fine-tuned model, held to the form of the answer",
}


def arm_indexes(names: Sequence[str]) -> dict[str, int]:
    """The colour and marker of each arm: 0 for the specialist, the others in their order."""
    others = [name for name in names if name != SPECIALIST]
    return {SPECIALIST: 0} | {name: 1 + i % (NUM_LOOKS - 1) for i, name in enumerate(others)}


def arm_titles(evaluation: Json) -> dict[str, str]:
    """Each arm's title by its name."""
    return {arm["name"]: str(arm.get("title") or arm["name"]) for arm in items(evaluation, "arms")}


def plain_name(evaluation: Json, name: str | None) -> str:
    """An arm in words for a reader who knows none of them: "a prompt with solved examples"."""
    title = arm_titles(evaluation).get(str(name), str(name))
    return PLAIN_NAMES.get(str(name), title[:1].lower() + title[1:])


def find_arm(evaluation: Json, name: str | None) -> Json | None:
    """The arm of that name, where there is one."""
    return next((arm for arm in items(evaluation, "arms") if arm["name"] == name), None)


def specialist_arm(evaluation: Json) -> Json | None:
    """The arm that the run is about, where there is one: the specialist, or the encoder that was the base."""
    return find_arm(evaluation, own_name(evaluation))


def own_name(evaluation: Json) -> str:
    """The name of that arm; runs of earlier versions do not tell it."""
    return str(dig(evaluation, "candidate") or SPECIALIST)


def best_other(evaluation: Json) -> Json | None:
    """The highest-scoring arm that does without the adapter and could be used instead."""
    no_other = (own_name(evaluation), CONSTRAINED, RECORDED)
    arms = [arm for arm in items(evaluation, "arms") if arm["name"] not in no_other]
    scored = [arm for arm in arms if dig(arm, "score", "value") is not None]
    return max(scored, key=lambda arm: float(arm["score"]["value"]), default=None)


def told_arm(evaluation: Json) -> Json | None:
    """The arm that the page tells most of: the specialist, or the best other where there is none."""
    return specialist_arm(evaluation) or best_other(evaluation)


def dig_sureness(arm: Json | None, *path: str) -> Any:
    """What is known of how sure an arm was and how often right, of labels or of objects; None where nothing is."""
    found = dig(arm, "classification", *path)
    return dig(arm, "extraction", *path) if found is None else found


def main_comparison(evaluation: Json) -> Json | None:
    """The specialist against the best other arm."""
    baseline = dig(best_other(evaluation), "name")
    pairs = items(evaluation, "comparisons")
    return next((c for c in pairs if (c["candidate"], c["baseline"]) == (own_name(evaluation), baseline)), None)


def has_share_metric(evaluation: Json) -> bool:
    """Whether scores are shares, to be shown as percent points."""
    return dig(evaluation, "metric", "is_share") is not False


def score_heading(evaluation: Json) -> str:
    """The metric's name for a column or a figure: "field F1"."""
    return str(dig(evaluation, "metric", "label") or dig(evaluation, "metric", "name") or "Score")
