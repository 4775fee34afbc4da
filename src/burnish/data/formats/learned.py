"""The ways in which a message says whether it is learned, and what was thought before it -> one spelling."""

from collections.abc import Mapping
from typing import Any

LEARNED_KEYS = ("weight", "train", "training", "trainable", "loss", "loss_scale", "loss_weight")
CONTEXT_KEYS = ("mask", "masked")
"""True here says that the message is not learned."""
THOUGHT_KEYS = ("reasoning_content", "reasoning", "thinking", "thought")
THOUGHT_PARTS = ("thinking", "reasoning")


def read_weight(item: Mapping[str, Any]) -> dict[str, Any]:
    """The weight that the flags of a message agree on; all of the flags, as text, where they do not."""
    given = {key: item[key] for key in (*LEARNED_KEYS, *CONTEXT_KEYS) if item.get(key) is not None}
    weights = [_weight(key, value) for key, value in given.items()]
    if not given:
        return {}
    if len(set(map(repr, weights))) == 1 and weights[0] in (0, 1):
        return {"weight": weights[0]}
    if list(given) == ["weight"]:
        return given
    return {"weight": ", ".join(f"{key} = {value!r}" for key, value in given.items())}


def read_thought(item: Mapping[str, Any]) -> str:
    """The thought that stands beside the content, or in a part of it; "" if there is none."""
    for key in THOUGHT_KEYS:
        if isinstance(value := item.get(key), str) and value.strip():
            return value.strip()
    parts = item["content"] if isinstance(item.get("content"), list) else []
    thoughts = [_part_thought(part) for part in parts if is_thought_part(part)]
    return "\n".join(filter(None, thoughts)).strip()


def is_thought_part(part: Any) -> bool:
    """Whether a part of a content is a thought."""
    return isinstance(part, dict) and part.get("type") in THOUGHT_PARTS and isinstance(_part_thought(part), str)


def with_thought(thought: str, content: str) -> str:
    """An answer behind its thought, as chat templates read it."""
    return f"<think>\n{thought}\n</think>\n\n{content}"


def _part_thought(part: Mapping[str, Any]) -> Any:
    return next((part[key] for key in ("thinking", "reasoning", "text") if key in part), None)


def _weight(key: str, value: Any) -> Any:
    if isinstance(value, str):
        value = {"true": 1, "false": 0, "1": 1, "0": 0}.get(value.strip().lower(), value)
    if value not in (0, 1):
        return value
    return 1 - int(value) if key in CONTEXT_KEYS else int(value)
