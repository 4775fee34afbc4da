"""One row a message, with the id of its conversation, as helpdesks export them -> one row a conversation."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from burnish.data.finding import Check, Finding, Severity
from burnish.data.reading.header import column_name
from burnish.data.reading.missing import is_missing
from burnish.data.reading.row import Row
from burnish.data.reading.values import text_of
from burnish.data.times import sortable_time

MIN_KNOWN_SHARE = 0.9
"""Of the rows that have an author, so many have one that is known."""

MESSAGE_ROWS = Check(
    "message_rows",
    Severity.NOTE,
    "rows that are single messages, joined into conversations",
    "See by an example whether the order and the roles are right.",
)
MESSAGE_LEFT_OUT = Check(
    "message_left_out",
    Severity.WARNING,
    "a message of a conversation that is left out",
    "Nothing has to be done, unless the message belongs to the conversation.",
)
UNKNOWN_AUTHOR = Check(
    "unknown_author",
    Severity.ERROR,
    "a message whose author is neither the user nor the assistant",
    "Write user, assistant or system, or remove the row.",
)


@dataclass(frozen=True)
class ThreadColumns:
    """The columns of a file of messages: the conversation, who writes, what, and what orders them, if anything does."""

    thread: str
    author: str
    text: str
    order: str | None


def thread_columns(rows: Sequence[Row], named: Collection[str] = ()) -> ThreadColumns | None:
    """The columns of a file that has a row for each message; None if it is no such file."""
    keys = list(dict.fromkeys(key for row in rows for key in row.values))
    thread, text = _first_of(keys, _THREAD), _first_of(keys, _TEXT)
    authors = [key for key in keys if _key(key) in _AUTHOR and _are_authors([row.values.get(key) for row in rows])]
    if thread is None or text is None or not authors or (set(named) & set(keys)) - {thread}:
        return None
    if any(_key(key) in _ANSWERS for key in keys):
        return None
    ids = Counter(_id(row.values.get(thread)) for row in rows)
    if len(ids) == len(rows) or any(isinstance(row.values.get(text), list | dict) for row in rows):
        return None
    author = min(authors, key=lambda key: _AUTHOR.index(_key(key)))
    return ThreadColumns(thread, author, text, _first_of(keys, _ORDER))


def join_threads(name: str, items: Iterable[Row | Finding], columns: ThreadColumns) -> Iterator[Row | Finding]:
    """A row for each conversation, on the line of its first message.

    Messages of one author behind each other are joined. What comes before the first question or behind the last answer
    is left out and told, as are notes between colleagues.
    """
    threads: dict[str, list[Row]] = defaultdict(list)
    order = f"ordered by {columns.order!r}" if columns.order else "in the order of the file"
    told = f"by {columns.thread!r}, {order}, with roles by {columns.author!r} and texts from {columns.text!r}"
    yield MESSAGE_ROWS.found(f"{name}: messages are joined {told}.")
    for item in items:
        if isinstance(item, Finding):
            yield item
        elif is_missing(item.values.get(columns.thread)):
            yield MESSAGE_LEFT_OUT.found(f"column {columns.thread!r} is empty.", item.id)
        elif why := _aside(item.values, columns):
            yield MESSAGE_LEFT_OUT.found(why, item.id)
        else:
            threads[_id(item.values[columns.thread])].append(item)
    for rows in threads.values():
        yield from _join(rows, columns)


def _join(rows: list[Row], columns: ThreadColumns) -> Iterator[Row | Finding]:
    turns = list[tuple[str, Row]]()
    for row in _in_order(rows, columns.order):
        author = _author(row.values.get(columns.author))
        role = _role(author)
        if role is None:
            yield UNKNOWN_AUTHOR.found(f"column {columns.author!r} is {author!r}.", row.id)
            return
        turns.append((role, row))
    asked = [i for i, (role, _) in enumerate(turns) if role == "user"]
    answered = [i for i, (role, _) in enumerate(turns) if role == "assistant" and asked and i > asked[0]]
    kept = turns[asked[0] : answered[-1] + 1] if answered else []
    heads = [turn for turn in turns[: asked[0]] if turn[0] == "system"] if kept else []
    for role, row in turns:
        if (role, row) not in heads and (role, row) not in kept:
            why = "nothing is asked before it" if asked and turns.index((role, row)) < asked[0] else "no answer follows"
            yield MESSAGE_LEFT_OUT.found(f"a message of the {role} is left out: {why}.", row.id)
    if kept:
        yield _conversation([*heads, *kept], rows, columns)


def _conversation(turns: Sequence[tuple[str, Row]], rows: Sequence[Row], columns: ThreadColumns) -> Row:
    messages = list[dict[str, Any]]()
    for role, row in turns:
        content = text_of(row.values[columns.text])
        text = content.strip() if isinstance(content, str) else content
        if messages and messages[-1]["role"] == role:
            messages[-1]["content"] = f"{messages[-1]['content']}\n\n{text}"
        else:
            messages.append({"role": role, "content": text})
    taken = (columns.author, columns.text)
    first = min(rows, key=lambda row: row.line)
    shared = {
        key: value
        for key, value in turns[0][1].values.items()
        if key not in taken
        and (key in (columns.thread, columns.order) or all(row.values.get(key) == value for row in rows))
    }
    return Row(first.file, first.line, {"messages": messages, **shared})


def _in_order(rows: list[Row], column: str | None) -> list[Row]:
    """By the column where every row has a number or time in it, else as they stand."""
    if column is None:
        return rows
    try:
        keys = [sortable_time(row.values.get(column)) for row in rows]
    except ValueError:
        return rows
    if None in keys:
        return rows
    return [row for _, row in sorted(zip(keys, rows, strict=True), key=lambda pair: str(pair[0]))]


def _aside(values: Mapping[str, Any], columns: ThreadColumns) -> str | None:
    """Why a row is no message of the conversation: it has no text, or is a note between colleagues."""
    if is_missing(values.get(columns.text)):
        return f"column {columns.text!r} is empty."
    for key, value in values.items():
        if _key(key) in ("public", "is_public") and str(value).strip().lower() in ("false", "0", "no"):
            return "it is a note between colleagues."
        if _key(key) in ("private", "is_private", "internal") and str(value).strip().lower() in ("true", "1", "yes"):
            return "it is a note between colleagues."
        if _key(key) in ("part_type", "message_type", "type", "kind") and str(value).strip().lower() in _ASIDE:
            return f"its {key} is {value!r}."
    return None


def _are_authors(values: Sequence[Any]) -> bool:
    """Nearly all are known, with the user and the assistant among them."""
    authors = [_author(value) for value in values if not is_missing(value)]
    roles = Counter(_role(author) for author in authors)
    return bool(roles["user"] and roles["assistant"]) and roles[None] <= (1 - MIN_KNOWN_SHARE) * len(authors)


def _author(value: Any) -> str:
    """The kind of an author, which may stand in an object."""
    if isinstance(value, dict):
        value = next((value[key] for key in ("type", "role") if key in value), None)
    return "" if value is None else str(value)


def _role(author: str) -> str | None:
    return _ROLES.get(author.strip().lower().replace("-", "_").replace(" ", "_"))


def _first_of(keys: Sequence[str], names: Sequence[str]) -> str | None:
    found = {_key(key): key for key in reversed(keys)}
    return next((found[name] for name in names if name in found), None)


def _key(key: str) -> str:
    return column_name(key).lower().replace(" ", "_").replace("-", "_").replace(".", "_")


def _id(value: Any) -> str:
    return str(text_of(value)).strip()


_THREAD = (
    "conversation_id", "conversationid", "ticket_id", "ticketid", "thread_id", "threadid", "chat_id", "chatid",
    "dialog_id", "dialogue_id", "session_id", "case_id", "conv_id", "conversation", "thread", "dialog", "ticket",
)  # fmt: skip
_AUTHOR = (
    "role", "author_type", "author_role", "sender_type", "sender_role", "from_type", "user_type", "speaker_type",
    "author", "sender", "speaker", "from", "direction", "who", "type",
)  # fmt: skip
_TEXT = (
    "body", "message_body", "plain_body", "text", "content", "message", "message_text", "comment", "comment_body",
    "part_body", "utterance", "value", "html_body",
)  # fmt: skip
_ORDER = (
    "position", "part_index", "message_index", "turn", "turn_id", "turn_index", "index", "seq", "sequence", "order",
    "step", "created_at", "created", "timestamp", "sent_at", "time", "datetime", "date",
)  # fmt: skip
_ANSWERS = ("label", "category", "intent", "class", "sentiment", "target", "output", "answer", "completion", "fields",
            "messages", "chosen", "rejected", "response", "reply")  # fmt: skip
_ASIDE = frozenset({
    "note", "internal", "internal_note", "private_note", "assignment", "close", "open", "away_mode", "snoozed",
    "unsnoozed", "tag",
})  # fmt: skip
_USERS = (
    "user", "customer", "client", "enduser", "end_user", "lead", "visitor", "contact", "requester", "human", "caller",
    "consumer", "guest", "buyer", "member", "incoming", "inbound",
)  # fmt: skip
_ASSISTANTS = (
    "assistant", "agent", "admin", "support", "bot", "operator", "staff", "teammate", "gpt", "ai", "chatbot",
    "representative", "rep", "advisor", "employee", "helpdesk", "outgoing", "outbound", "model", "support_agent",
)  # fmt: skip
_ROLES = {**dict.fromkeys(_USERS, "user"), **dict.fromkeys(_ASSISTANTS, "assistant"), "system": "system"}
