"""The team's own prompts whose answers must not change (`retention.keep`): read, and compared answer by answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from burnish.conversation import Conversation, Role, build_conversation, from_dicts
from burnish.evaluate.own_rows import read_own_rows, refuse_own_rows

REMEDY = (
    'Write {"prompt": "..."} or {"messages": [...]} that ends with the user, one a line, and name the file in '
    "retention.keep."
)


@dataclass(frozen=True)
class KeptPrompt:
    """A prompt and the row that it comes from."""

    id: str
    prompt: Conversation


def read_kept_prompts(path: Path) -> list[KeptPrompt]:
    """The prompts of a file, in order; an assistant's turn at the end is left out, as the base answers itself.

    Raises:
        DataError: the file cannot be read, has no row, or a row without a prompt; all such rows are named.
    """
    rows, faults = read_own_rows(path)
    found = list[KeptPrompt]()
    for row in rows:
        prompt = _prompt(row.values)
        if prompt is None:
            faults.append(f"{row.id}: no prompt")
        else:
            found.append(KeptPrompt(row.id, prompt))
    refuse_own_rows(path, faults, len(found), of="prompt", remedy=REMEDY)
    return found


def compare_answers(prompts: Sequence[KeptPrompt], base: Sequence[str], specialist: Sequence[str]) -> dict[str, Any]:
    """For evaluation.json: how many answers are the base's to the letter, and all rows."""
    rows = [
        {
            "id": kept.id,
            "prompt": kept.prompt[-1].content,
            "base": before,
            "specialist": after,
            "is_kept": before == after,
        }
        for kept, before, after in zip(prompts, base, specialist, strict=True)
    ]
    return {"num_kept": sum(bool(row["is_kept"]) for row in rows), "num_rows": len(rows), "rows": rows}


def _prompt(values: dict[str, Any]) -> Conversation | None:
    text, turns = values.get("prompt"), values.get("messages")
    if isinstance(text, str) and text.strip():
        return build_conversation(None, (Role.USER, text.strip()))
    try:
        messages = from_dicts(turns) if isinstance(turns, list) else ()
    except (KeyError, ValueError, TypeError, AttributeError):
        return None
    if messages and messages[-1].role is Role.ASSISTANT:
        messages = messages[:-1]
    return messages if messages and messages[-1].role is Role.USER and messages[-1].content.strip() else None
