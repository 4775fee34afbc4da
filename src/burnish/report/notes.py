"""What the first screen says beside the score: parts in which the specialist is behind, and what can be left to it."""

from burnish.evaluate.delegation import spell_delegation
from burnish.evaluate.notes import spell_shown
from burnish.report.arms import best_other, find_arm, has_share_metric, own_name, plain_name, specialist_arm
from burnish.report.format import format_score
from burnish.report.record import Json, dig, items

NUM_OPEN = 3
"""Parts that stand open; the others are folded."""


def spell_left(evaluation: Json) -> str:
    """What can be left to the arm to use, and what not; empty where nothing is known of its confidence."""
    name = dig(evaluation, "verdict", "recommended_arm") or own_name(evaluation)
    arm = find_arm(evaluation, name)
    return "" if arm is None else spell_delegation(arm, _upper(plain_name(evaluation, name)))


def spell_weaker(evaluation: Json) -> tuple[str, ...]:
    """A line for each part in which a simpler way scores higher, the largest difference first."""
    return tuple(_spell_part(evaluation, part) for part in find_weaker(evaluation))


def find_weaker(evaluation: Json) -> list[Json]:
    """The parts as `weaker_parts` has them; of runs of earlier versions, which did not test them, without a p-value."""
    if dig(evaluation, "weaker_parts") is not None:
        return items(evaluation, "weaker_parts")
    other, own = best_other(evaluation), specialist_arm(evaluation)
    theirs = {part["name"]: dig(part, "score") for part in items(other, "breakdown")}
    found = [
        {"name": part["name"], "baseline": dig(other, "name"), "score": dig(part, "score"), "baseline_score": score}
        for part in items(own, "breakdown")
        if dig(part, "score") is not None and (score := theirs.get(part["name"])) is not None and score > part["score"]
    ]
    return sorted(found, key=lambda part: part["score"] - part["baseline_score"])


def _spell_part(evaluation: Json, part: Json) -> str:
    is_share = has_share_metric(evaluation)
    mine, theirs = (format_score(dig(part, key), is_share=is_share) for key in ("score", "baseline_score"))
    name = plain_name(evaluation, dig(part, "baseline"))
    return f"{part['name']}: {mine}, and {name} {theirs} ({spell_shown(part)})"


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
