"""The style sheet: every pair of colours that carries text is readable in both schemes."""

import itertools
import math
import re
from importlib.resources import files

import pytest

from burnish.report.arms import NUM_LOOKS
from burnish.report.plots.svg import ARM_COLOURS, ARM_MARKERS

CSS = (files("burnish.report") / "templates" / "report.css").read_text(encoding="utf-8")
BLOCKS = re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)
LIGHT, DARK = (dict(re.findall(r"--([\w-]+): (#\w{6})", block)) for block in BLOCKS[:2])
GROUNDS = ("paper", "surface", "sunken")
TEXT_PAIRS = [(text, ground) for text in ("ink", "muted", "accent", "good", "bad", "open") for ground in GROUNDS]
TINT_PAIRS = [
    ("ink", "good-tint-2"),
    ("ink", "bad-tint-2"),
    ("good", "good-tint"),
    ("bad", "bad-tint"),
    ("open", "open-tint"),
    ("ink", "bad-tint"),
    ("ink", "open-tint"),
]
TINT_PAIRS += [("muted", "bad-tint")]
PLOT_PAIRS = [(f"arm-{i}", "paper") for i in range(8)]


@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
def test_colours_have_the_contrast_that_wcag_asks_for(scheme: dict[str, str]) -> None:
    too_weak = [pair for pair in TEXT_PAIRS + TINT_PAIRS if _contrast(scheme, *pair) < 4.5]
    too_weak += [pair for pair in PLOT_PAIRS if _contrast(scheme, *pair) < 3]
    assert too_weak == []


@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
def test_eight_arms_can_be_told_apart(scheme: dict[str, str]) -> None:
    colours = [_channels(scheme[f"arm-{i}"]) for i in range(8)]
    nearest = min(math.dist(a, b) for a, b in itertools.combinations(colours, 2))
    assert nearest > 0.15 and len(set(ARM_MARKERS)) == len(ARM_COLOURS) == NUM_LOOKS == 8


def test_dark_redefines_every_colour() -> None:
    assert set(LIGHT) == set(DARK)


def _contrast(scheme: dict[str, str], first: str, second: str) -> float:
    low, high = sorted((_luminance(scheme[first]), _luminance(scheme[second])))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.2."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in _channels(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _channels(colour: str) -> list[float]:
    return [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
