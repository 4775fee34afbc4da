"""White space at the edges of answers, which serving does not give back."""

from collections.abc import Iterator, Mapping
from typing import Any

from burnish.conversation import Role, Task
from burnish.data.finding import Check, Finding, Severity
from burnish.data.formats.draft import Draft, Kind
from burnish.data.load import Table

EDGE_SPACE = Check(
    "edge_space",
    Severity.WARNING,
    "answers that begin or end with white space",
    "Answers are served without it. Take it out (--fix does), or put what needs it, such as code, between ``` lines.",
)
_NAMES = {" ": "space", "\n": "line break", "\t": "tab"}


def check_edges(table: Table) -> list[Finding]:
    """The rows with such an answer. Labels and fields are compared by value, and a plain text is learned as it is."""
    if table.task not in (Task.CHAT, Task.COMPLETION):
        return []
    found = list[Finding]()
    for row, draft in zip(table.rows, table.drafts, strict=True):
        if draft.kind not in (Kind.REPLY, Kind.PREFERENCE):
            continue
        for place, text in _answers(row.values, draft):
            if (told := _describe(text)) is not None:
                found.append(EDGE_SPACE.found(f"{place} {told}.", row.id))
                break
    return found


def _answers(values: Mapping[str, Any], draft: Draft) -> Iterator[tuple[str, str]]:
    """Each answer as the file has it, with its place; a flat row's draft holds it without its edges."""
    for i, message in enumerate(draft.messages):
        if message.get("role") != Role.ASSISTANT or message.get("weight") == 0:
            continue
        text = values.get(draft.columns[i]) if draft.columns else message.get("content")
        if isinstance(text, str) and text.strip():
            yield draft.place(i), text


def _describe(text: str) -> str | None:
    before, after = text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]
    edges = [(verb, edge) for verb, edge in (("begins", before), ("ends", after)) if edge]
    return " and ".join(f"{verb} with {_count(edge)}" for verb, edge in edges) or None


def _count(edge: str) -> str:
    """ "2 spaces", "1 line break"; white space of several kinds together is characters of white space."""
    name = _NAMES.get(edge[0]) if len(set(edge)) == 1 else None
    name = name or "character of white space"
    plural = name.replace("character", "characters") if name.startswith("character") else f"{name}s"
    return f"{len(edge)} {name if len(edge) == 1 else plural}"
