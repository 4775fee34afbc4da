"""Prompt, retrieval or fine-tuning: what each way scored and cost, in words, made of measured numbers only."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Way(StrEnum):
    """The ways to do a task, by how much there is to set up and keep."""

    PROMPT = "prompting"
    RETRIEVAL = "retrieval"
    CLASSIFIER = "a small classifier"
    FINE_TUNING = "fine-tuning"


@dataclass(frozen=True, kw_only=True)
class ArmFacts:
    """What was measured of an arm, and how it ranks by cost (of setting it up and keeping it; 0 is the cheapest)."""

    name: str
    title: str
    way: Way
    cost_rank: int
    score: float
    """NaN where it is not defined."""
    prompt_tokens: float | None
    """Mean tokens that are read for an answer; None where none are or it was not measured."""
    request_s: float | None
    """Median time of one request alone; None where not measured."""

    def __str__(self) -> str:
        return self.title[:1].lower() + self.title[1:]


def advise(
    arms: Sequence[ArmFacts],
    *,
    recommended: str | None,
    barred: str | None = None,
    falls_short: bool = False,
    metric: str,
    num_rows: int,
) -> str:
    """A paragraph on which way to take; a way of which no arm was measured is said to be not measured.

    `barred`: the arm that would be recommended if it had not forgotten too much. `falls_short`: the recommended arm is
    shown to miss the target.
    """
    scored = [arm for arm in arms if not math.isnan(arm.score)]
    if not scored:
        return f"None of the ways has a score on the {num_rows:,} test rows."
    best = [max((a for a in scored if a.way is way), key=lambda a: a.score, default=None) for way in Way]
    sentences = [f"Prompt, retrieval or fine-tuning? Measured on the same {num_rows:,} test rows, in {metric}:"]
    simpler: ArmFacts | None = None
    for way, arm in zip(Way, best, strict=True):
        if arm is not None:
            sentences.append(_sentence(way, arm, simpler))
            simpler = arm if simpler is None or arm.score > simpler.score else simpler
    if missing := [way.value for way, arm in zip(Way, best, strict=True) if arm is None and way is not Way.CLASSIFIER]:
        sentences.append(f"{' and '.join(missing).capitalize()}: not measured.")
    sentences.append(_conclusion(scored, recommended, barred, falls_short))
    return " ".join(sentences)


def _conclusion(scored: Sequence[ArmFacts], recommended: str | None, barred: str | None, falls_short: bool) -> str:
    by_name = {arm.name: arm for arm in scored}
    if recommended in by_name:
        arm = by_name[recommended]
        if falls_short:
            return f"Of these ways take {arm.way}, the {arm}, but it does not reach the target."
        return f"The way to take is {arm.way}: the {arm}."
    if barred in by_name:
        others = [arm for arm in scored if arm.cost_rank < by_name[barred].cost_rank]
        best = max(others, key=lambda arm: arm.score)
        return (
            f"The {by_name[barred]} beats every simpler way, but forgot too much to be used as it is: train it so that "
            f"it forgets less, or take the best of the simpler ways, the {best}."
        )
    return "Which way to take stays open."


def spell_cost(arm: ArmFacts) -> str:
    """What an answer costs: "it reads 118 prompt tokens, and one request takes 0.31 s"."""
    tokens = f"it reads {arm.prompt_tokens:,.0f} prompt tokens" if arm.prompt_tokens else None
    request = f"one request takes {_spell_seconds(arm.request_s)}" if arm.request_s is not None else None
    parts = [part for part in (tokens, request) if part]
    return ", and ".join(parts) or "what an answer costs was not measured"


def _sentence(way: Way, arm: ArmFacts, simpler: ArmFacts | None) -> str:
    gain = f", {100 * (arm.score - simpler.score):+.1f} points against {simpler.way}" if simpler else ""
    name = way.value[:1].upper() + way.value[1:]
    return f"{name} (the {arm}) scores {100 * arm.score:.1f}{gain}; {spell_cost(arm)}."


def _spell_seconds(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms" if seconds < 0.1 else f"{seconds:.2f} s"
