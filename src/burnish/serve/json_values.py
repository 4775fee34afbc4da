"""What JSON can spell and nothing behind it can carry."""

from typing import Any

MAX_DEPTH = 128
"""Of lists and objects within one another: what walks through them must not come to the end of Python's stack."""


def check_json_value(value: Any) -> None:
    """Refuse a value that no reply, file or tokenizer could take.

    Raises:
        ValueError: a text holds half of a surrogate pair, or the value is nested too deeply.
    """
    waiting = [(value, 0)]
    while waiting:
        item, depth = waiting.pop()
        if isinstance(item, str):
            try:
                item.encode()
            except UnicodeEncodeError:
                raise ValueError("a text holds half of a character, as in a cut emoji") from None
        elif isinstance(item, dict | list):
            if depth == MAX_DEPTH:
                raise ValueError(f"lists and objects are nested more than {MAX_DEPTH} deep")
            parts = [*item, *item.values()] if isinstance(item, dict) else item
            waiting += [(part, depth + 1) for part in parts]
