"""What counts as missing, the same for every reader: typed nulls are missing; texts that spell it may be."""

import json
import math
from collections.abc import Collection
from typing import Any

from burnish.data.texts import json_in


def is_missing(value: Any) -> bool:
    """Null, NaN, NaT, an empty or blank text, an empty list or object."""
    if value is None or (isinstance(value, str | list | tuple | dict) and not value):
        return True
    if isinstance(value, str):
        return not value.strip()
    if isinstance(value, float):
        return math.isnan(value)
    return type(value).__name__ in ("NaTType", "NAType")


def spells_missing(text: str) -> bool:
    """Whether a whole text is one of the usual spellings of a missing value."""
    return len(text) <= _LONGEST and _folded(text) in _MACHINE | _HUMAN


def is_written_by_machine(text: str) -> bool:
    """Whether it is such a spelling that programs write and people do not: nan, NULL, None, #REF!."""
    folded = _folded(text)
    return folded in _MACHINE and (folded not in _ALSO_WORDS or text.strip() in ("None", "NULL", "NIL"))


def without_missing(value: Any, spellings: Collection[str]) -> Any:
    """A value with null in place of each text, at any depth, that is one of the spellings; case does not count."""
    return _replaced(value, frozenset(map(_folded, spellings)))


def _replaced(value: Any, folded: frozenset[str]) -> Any:
    if isinstance(value, str):
        return None if _folded(value) in folded else _inside(value, folded)
    if isinstance(value, dict):
        return {key: _replaced(item, folded) for key, item in value.items()}
    return [_replaced(item, folded) for item in value] if isinstance(value, list) else value


def _inside(text: str, folded: frozenset[str]) -> str:
    """The same for the object that a cell may hold as JSON."""
    value = json_in(text)
    clean = _replaced(value, folded)
    return text if clean == value else json.dumps(clean, ensure_ascii=False)


def _folded(text: str) -> str:
    return text.strip().casefold()


# Spreadsheets' errors, and the nulls of pandas, R, SQL and Python as they are printed.
_MACHINE = frozenset({
    "nan", "-nan", "1.#qnan", "1.#ind", "-1.#ind", "nat", "<na>", "<nan>", "null", "<null>", "(null)", "[null]", "none",
    "<none>", "nil", "undefined", "\\n", "#n/a", "#na", "#n/a!", "#ref!", "#value!", "#div/0!", "#name?", "#num!",
    "#null!", "#error!", "#spill!", "#calc!", "#getting_data",
})  # fmt: skip
_ALSO_WORDS = frozenset({"none", "null", "nil", "undefined"})
# What people write into an empty cell.
_HUMAN = frozenset({
    "na", "n/a", "n.a.", "n.a", "n/a.", "n/k", "-", "--", "---", "\u2013", "\u2014", "?", "??", "???", ".", "..", "...",
    "(blank)", "(empty)", "(none)",
})  # fmt: skip
_LONGEST = 24
