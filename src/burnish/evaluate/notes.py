"""What the score alone hides, in sentences: answers that are fully right, weak parts, what can be left to the arm."""

from collections.abc import Mapping, Sequence
from typing import Any

from burnish.evaluate.delegation import spell_delegation
from burnish.evaluate.metrics import is_wholly_right

MAX_PARTS = 5
LIKENESS = frozenset({"chrf"})
"""Metrics of likeness, by which hardly any answer is ever fully right."""


def list_notes(
    arms: Sequence[Mapping[str, Any]],
    *,
    candidate: str,
    used: str,
    metric: str,
    weaker: Sequence[Mapping[str, Any]],
    equal: Sequence[str] = (),
) -> list[str]:
    """Of the arms of evaluation.json; `used` is the arm to use, `weaker` and `equal` are what `parts.py` found."""
    by_name = {arm["name"]: arm for arm in arms}
    titles = {name: _lower(str(arm["title"])) for name, arm in by_name.items()}
    own = by_name[candidate]
    counts = [] if metric in LIKENESS else [f"Fully right: {own['num_fully_right']} of {own['num_rows']} answers."]
    parts = [_spell_part(part, titles) for part in weaker[:MAX_PARTS]]
    if len(weaker) > MAX_PARTS:
        parts.append(f"It is behind a simpler way in {len(weaker) - MAX_PARTS} parts more; the report lists them.")
    if equal:
        parts.append(f"No better than a simpler way in {', '.join(equal)}.")
    left = spell_delegation(by_name[used], f"The {titles[used]}")
    return [*counts, *parts, *([left] if left else [])]


def count_fully_right(rows: Sequence[Mapping[str, Any]], *, is_object: bool) -> int:
    """Of prediction rows; an answer that was to be an object must be one, even where nothing was to be found."""
    return sum(is_wholly_right(row) if is_object else row["numerator"] >= row["denominator"] for row in rows)


def spell_shown(part: Mapping[str, Any]) -> str:
    """Whether a difference is more than chance: "shown", "within chance"."""
    return "not tested" if part.get("is_shown") is None else "shown" if part["is_shown"] else "within chance"


def _spell_part(part: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    scores = f"{100 * part['score']:.1f} against {100 * part['baseline_score']:.1f}"
    return f"Worse than the {titles[part['baseline']]} in {part['name']}: {scores} ({spell_shown(part)})."


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
