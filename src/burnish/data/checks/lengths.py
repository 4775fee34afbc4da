"""Messages that are longer, and answers that are shorter, than all others by far."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from burnish.conversation import Role
from burnish.data.example import Example
from burnish.data.finding import Check, Finding, Severity

LONG_Z = 6.0
SHORT_Z = -5.0
MIN_LONG_CHARACTERS = 8_000
MIN_TYPICAL_ANSWER = 200
_MIN_ROWS = 5
_SPREAD_FLOOR = math.log(1.25)

LONG_MESSAGE = Check(
    "long_message",
    Severity.WARNING,
    "a message that is longer than the others by far",
    "Shorten or remove it: often a whole file or thread was pasted, and one such row costs as much as hundreds.",
)
SHORT_ANSWER = Check(
    "short_answer",
    Severity.WARNING,
    "an answer that is shorter than the others by far",
    "Is it cut, or a placeholder? Complete or remove it.",
)


def check_long_messages(examples: Sequence[Example]) -> list[Finding]:
    """The rows with a message that stands out in length among those of its role."""
    findings: dict[str, Finding] = {}
    for role in (Role.ASSISTANT, Role.USER):
        of_role = [(e.id, len(m.content)) for e in examples for m in e.messages if m.role is role]
        lengths = [length for _, length in of_role]
        for (row, length), z in zip(of_role, robust_z(np.log1p(lengths)), strict=True):
            if z > LONG_Z and length >= MIN_LONG_CHARACTERS:
                said = f"a message of {length:,} characters; the median is {np.median(lengths):,.0f}."
                findings[row] = LONG_MESSAGE.found(f"{row}: {said}", row)
    return [findings[example.id] for example in examples if example.id in findings]


def check_short_answers(examples: Sequence[Example]) -> list[Finding]:
    """The rows whose answer stands out as short where answers are texts of some length."""
    lengths = [len(example.target) for example in examples]
    if len(examples) < _MIN_ROWS or np.median(lengths) < MIN_TYPICAL_ANSWER:
        return []
    median = f"{np.median(lengths):,.0f}"
    return [
        SHORT_ANSWER.found(f"an answer of {length} characters; the median is {median}.", example.id)
        for example, length, z in zip(examples, lengths, robust_z(np.log1p(lengths)), strict=True)
        if z < SHORT_Z
    ]


def robust_z(values: npt.ArrayLike, *, floor: float = _SPREAD_FLOOR) -> npt.NDArray[np.float64]:
    """Distances from the median in standard deviations, estimated as 1.4826 MAD and at least `floor`."""
    values_N = np.asarray(values, dtype=np.float64)
    if not len(values_N):
        return values_N
    distances_N = values_N - np.median(values_N)
    spread = 1.4826 * float(np.median(np.abs(distances_N)))
    return distances_N / max(spread, floor)
