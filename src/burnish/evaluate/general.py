"""The team's own general rows (`retention.general`): what training may replay beside the bundled texts.

They never enter the measurement, and none that is like a row of the task, or like a text that measures, is replayed:
the one would hold the base's answer against the one to learn, the other would measure what was trained on.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from burnish.conversation import Conversation, Message, Role, from_dicts, to_dicts
from burnish.data import Example, Kind, Renderer, draft_alone, find_overlaps
from burnish.errors import DataError, RenderError
from burnish.evaluate.bundled import Half, general_text, off_task_texts
from burnish.evaluate.own_rows import read_own_rows, refuse_own_rows
from burnish.files import read_json, write_json

KEY, FILE_NAME = "retention.general", "general.json"
REMEDY = (
    f'Write {{"prompt": "..."}}, {{"messages": [...]}} or {{"text": "..."}}, one a line, and name the file in {KEY}.'
)
LONG_WORDS = 13
"""Answers of fewer words are decisions, such as a label; a general text may be the same by chance."""


@dataclass(frozen=True)
class GeneralRow:
    """A prompt, which the base answers itself, or a text that is taken as it is; the other is empty."""

    id: str
    prompt: Conversation = ()
    text: str = ""

    @property
    def said(self) -> str:
        """What is compared of it with other texts."""
        return self.text or "\n".join(message.content for message in self.prompt if message.role is not Role.SYSTEM)


@dataclass(frozen=True)
class General:
    """What of a file may be replayed, and what was left out of it."""

    file: str
    num_rows: int
    """In the file."""
    num_of_task: int
    """Near copies of rows of the task."""
    num_of_measurement: int
    """Near copies of texts that measure what was forgotten."""
    num_unfit: int = 0
    """Prompts that are too long, or that the chat template refuses."""
    num_unneeded: int = 0
    """More than the run can replay."""
    rows: tuple[GeneralRow, ...] = field(default=(), repr=False)

    @property
    def counts(self) -> dict[str, Any]:
        """For evaluation.json."""
        values = {key: value for key, value in vars(self).items() if key != "rows"}
        return {**values, "num_used": len(self.rows)}

    def __str__(self) -> str:
        parts = (
            (self.num_of_task, "like rows of the task"),
            (self.num_of_measurement, "like texts that measure what is forgotten"),
            (self.num_unfit, "too long or refused by the chat template"),
            (self.num_unneeded, "more than are needed"),
        )
        left = ", ".join(f"{count} {why}" for count, why in parts if count)
        return f"{self.file}: {len(self.rows)} of {self.num_rows} rows may be replayed{left and f'; left out: {left}'}."


def read_general(path: Path) -> list[GeneralRow]:
    """The rows of a file in any format that burnish reads; answers are left out, as the base answers itself.

    Raises:
        DataError: the file cannot be read, has no row, or rows without a prompt or text; all such rows are named.
    """
    read, faults = read_own_rows(path)
    rows = list[GeneralRow]()
    for row in read:
        found = _row(row.id, row.values)
        if found is None:
            faults.append(f"{row.id}: neither prompt nor text")
        else:
            rows.append(found)
    refuse_own_rows(path, faults, len(rows), of="row", remedy=REMEDY)
    return rows


def leave_copies_out(file: str, rows: Sequence[GeneralRow], task: Sequence[Example]) -> General:
    """The rows that are like no row of the task and like no text of the measurement half."""
    said = [row.said for row in rows]
    long_answers = [e.target for e in task if len(e.target.split()) >= LONG_WORDS]
    of_task = find_overlaps(said, [*(example.asked for example in task), *long_answers])
    of_measurement = find_overlaps(said, _measuring_texts())
    kept = [row for row, *copies in zip(rows, of_task, of_measurement, strict=True) if not any(copies)]
    num_other = sum(other and not task for task, other in zip(of_task, of_measurement, strict=True))
    return General(file, len(rows), sum(of_task), num_other, rows=tuple(kept))


def fit_general(general: General, renderer: Renderer, *, max_tokens: int, max_rows: int) -> General:
    """The same with prompts of at most `max_tokens`, and at most `max_rows` rows, at equal distances.

    Raises:
        DataError: none is left.
    """
    fitting = [row for row in general.rows if row.text or _is_fit(row.prompt, renderer, max_tokens)]
    count = min(max_rows, len(fitting))
    rows = tuple(fitting[n * len(fitting) // count] for n in range(count))
    fitted = replace(
        general, rows=rows, num_unfit=len(general.rows) - len(fitting), num_unneeded=len(fitting) - len(rows)
    )
    if not rows:
        raise DataError(f"{fitted} Name other texts in {KEY}, or leave it out.")
    return fitted


def freeze_general(general: General, folder: Path) -> None:
    """Keep it in a run's folder, as the file may change before the run is resumed."""
    rows = [{"id": row.id, "prompt": to_dicts(row.prompt), "text": row.text} for row in general.rows]
    write_json(folder / FILE_NAME, {**asdict(general), "rows": rows})


def thaw_general(folder: Path) -> General | None:
    """The inverse; None where the run has none."""
    path = folder / FILE_NAME
    if not path.is_file():
        return None
    values = read_json(path)
    rows = tuple(GeneralRow(row["id"], from_dicts(row["prompt"]), row["text"]) for row in values["rows"])
    return General(**{**values, "rows": rows})


def _row(name: str, values: dict[str, Any]) -> GeneralRow | None:
    draft = draft_alone(values)
    try:
        messages = from_dicts(draft.messages) if draft else ()
    except (KeyError, ValueError, TypeError, AttributeError):
        return None
    if draft is None or not messages or not all(isinstance(message.content, str) for message in messages):
        return None
    if draft.kind is Kind.TEXT:
        return GeneralRow(name, text=messages[-1].content.strip()) if messages[-1].content.strip() else None
    asked = _without_answer(messages)
    return GeneralRow(name, asked) if asked and asked[-1].role is Role.USER and asked[-1].content.strip() else None


def _without_answer(messages: Conversation) -> tuple[Message, ...]:
    return messages[:-1] if messages[-1].role is Role.ASSISTANT else messages


def _is_fit(prompt: Conversation, renderer: Renderer, max_tokens: int) -> bool:
    try:
        return len(renderer.prompt_ids(prompt)) <= max_tokens
    except RenderError:
        return False


def _measuring_texts() -> list[str]:
    """With the passages by which the adapter's scale is chosen."""
    return [*off_task_texts(Half.MEASUREMENT), *(row["text"] for row in general_text(Half.TRAINING))]
