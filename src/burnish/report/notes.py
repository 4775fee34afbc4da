"""What the first screen says beside the score: parts in which the specialist is behind, and what can be left to it."""

from burnish.evaluate.delegation import spell_delegation
from burnish.evaluate.notes import spell_shown
from burnish.report.arms import best_other, find_arm, has_share_metric, own_name, plain_name, specialist_arm
from burnish.report.format import format_latency, format_per_minute, format_score
from burnish.report.record import CONSTRAINED, SPECIALIST, Json, dig, items

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


def spell_equal(evaluation: Json) -> str:
    """The fields in which it is no better, in a sentence; empty where none is, or nobody looked."""
    equal = items(evaluation, "equal_parts")
    return f"It is no better than a simpler way in {', '.join(map(str, equal))}." if equal else ""


def spell_forms(evaluation: Json) -> str:
    """What holding the answers to a schema changes; empty where that was not tried."""
    own, held = find_arm(evaluation, SPECIALIST), find_arm(evaluation, CONSTRAINED)
    scores, times, rates = (
        [dig(arm, *path) for arm in (held, own)]
        for path in (("score", "value"), ("request", "median_s"), ("answers_per_s",))
    )
    if None in scores:
        return ""
    is_share = has_share_metric(evaluation)
    parts = ["it scores {} against {}".format(*(format_score(each, is_share=is_share) for each in scores))]
    if None not in times:
        parts.append("one request takes {} against {}".format(*map(format_latency, times)))
    if None not in rates:
        parts.append("it gives {} answers a minute against {}".format(*map(format_per_minute, rates)))
    return f"Held to a schema, the specialist can write nothing else: {', '.join(parts)}."


def _spell_part(evaluation: Json, part: Json) -> str:
    is_share = has_share_metric(evaluation)
    mine, theirs = (format_score(dig(part, key), is_share=is_share) for key in ("score", "baseline_score"))
    name = plain_name(evaluation, dig(part, "baseline"))
    return f"{part['name']}: {mine}, and {name} {theirs} ({spell_shown(part)})"


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
