"""A table as rows of text, and how its cells spell what was measured."""

from dataclasses import dataclass
from typing import Any

from burnish.report.format import NOT_MEASURED, format_interval, format_score
from burnish.report.record import dig

SHARES = (
    "validity",
    "match",
    "accuracy",
    "f1",
    "precision",
    "recall",
    "share",
    "rate",
    "agreement",
    "coverage",
)
SPELLINGS = {
    "json": "JSON",
    "f1": "F1",
    "nll": "NLL",
    "kl": "KL",
    "chrf": "chrF",
    "bleu": "BLEU",
    "p50": "p50",
}


@dataclass(frozen=True)
class Cell:
    """One cell; the first of a row is its header."""

    text: str
    note: str = ""
    arm_index: int | None = None
    share: float | None = None  # drawn as a thin bar under the text
    counts: tuple[int, ...] | None = None  # wins, ties, losses, drawn as a divided bar


@dataclass(frozen=True)
class Table:
    """A table with a caption and the heads of its columns."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


def spell_score(estimate: Any, is_share: bool) -> str:
    """The value of an estimate of the metric."""
    return format_score(dig(estimate, "value"), is_share=is_share)


def spell_interval(estimate: Any, is_share: bool, *, is_signed: bool = False, absent: str = NOT_MEASURED) -> str:
    """The interval of an estimate of the metric, or, with `is_signed`, of a difference."""
    low, high = dig(estimate, "low"), dig(estimate, "high")
    if low is None or high is None:
        return absent
    return format_interval(low, high, is_share=is_share, is_signed=is_signed)


def spell_name(name: str) -> str:
    """A key as a person would write it: "json_validity" reads "JSON validity"."""
    words = [SPELLINGS.get(word, word) for word in name.split("_")]
    return " ".join(
        [words[0][:1].upper() + words[0][1:] if words[0] not in SPELLINGS.values() else words[0], *words[1:]]
    )
