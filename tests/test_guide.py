"""The guides name every check, as bad as it is, and every knob."""

import importlib
import pkgutil
from pathlib import Path

import burnish.data
from burnish.data import Check
from burnish.recipe import describe_keys

DOCS = Path(__file__).parents[1] / "docs"
GUIDE = DOCS / "guide-data.md"


def test_every_check_is_in_the_guide() -> None:
    names = [found.name for found in pkgutil.walk_packages(burnish.data.__path__, "burnish.data.")]
    checks = set[Check]()
    for name in (*names, "burnish.examination", "burnish.preparation"):
        checks |= {value for value in vars(importlib.import_module(name)).values() if isinstance(value, Check)}
    guide = GUIDE.read_text(encoding="utf-8")
    assert len(checks) > 80
    assert [c.id for c in checks if f"| `{c.id}` | {c.severity.value} |" not in guide] == []


def test_every_knob_is_in_the_guide() -> None:
    guide = (DOCS / "guide-recipe.md").read_text(encoding="utf-8")
    keys = [key for key, _ in describe_keys()]
    assert len(keys) > 60
    assert [key for key in keys if f"`{key}`" not in guide] == []
