"""Finding what is private in texts and rows, and telling it without repeating it."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

from burnish.conversation import Message, Role
from burnish.data.example import Example
from burnish.data.finding import Check, Finding, Severity
from burnish.data.privacy.contacts import find_emails, find_ips, find_phones
from burnish.data.privacy.numbers import find_cards, find_ibans, find_national_ids
from burnish.data.privacy.secrets import find_secrets
from burnish.data.privacy.span import PrivateKind, Span

# In the order of precedence: the digits of a card are no telephone number.
_FINDERS: dict[PrivateKind, Callable[[str], Iterator[tuple[int, int]]]] = {
    PrivateKind.SECRET: find_secrets,
    PrivateKind.IBAN: find_ibans,
    PrivateKind.CARD: find_cards,
    PrivateKind.EMAIL: find_emails,
    PrivateKind.IP: find_ips,
    PrivateKind.NATIONAL_ID: find_national_ids,
    PrivateKind.PHONE: find_phones,
}
_NOUNS = {
    PrivateKind.SECRET: ("a password or key", "passwords or keys"),
    PrivateKind.IBAN: ("an IBAN", "IBANs"),
    PrivateKind.CARD: ("a payment card number", "payment card numbers"),
    PrivateKind.EMAIL: ("an e-mail address", "e-mail addresses"),
    PrivateKind.IP: ("a public IP address", "public IP addresses"),
    PrivateKind.NATIONAL_ID: ("a national identity number", "national identity numbers"),
    PrivateKind.PHONE: ("a telephone number", "telephone numbers"),
}
_REMEDY = "A model can repeat what it has learned: put a placeholder in its place with --redact, or remove the row."
PRIVACY_CHECKS = {
    kind: Check(kind.value, Severity.WARNING, f"a row that holds {one}", _REMEDY) for kind, (one, _) in _NOUNS.items()
}
PRIVACY_CHECKS[PrivateKind.SECRET] = Check(
    PrivateKind.SECRET.value,
    Severity.WARNING,
    "a row that holds a password or key",
    "Withdraw it where it is still valid, and put a placeholder in its place with --redact.",
)
_MAX_SHOWN = 3


def find_private(text: str) -> list[Span]:
    """The private values in a text, in order and without overlap."""
    spans: list[Span] = []
    for kind, find in _FINDERS.items():
        for start, end in find(text):
            if all(end <= span.start or span.end <= start for span in spans):
                spans.append(Span(start, end, kind))
    return sorted(spans)


def check_privacy(examples: Sequence[Example]) -> list[Finding]:
    """The rows that hold private values: one finding for each row and kind."""
    rows_of_system: dict[str, list[str]] = defaultdict(list)
    findings: list[Finding] = []
    for example in examples:
        head = example.messages[0]
        if head.role is Role.SYSTEM:
            rows_of_system[head.content].append(example.id)
        findings += _findings("this row", _texts(example), example.id)
    for system, ids in rows_of_system.items():
        where = f"the system message of {len(ids)} rows" if len(ids) > 1 else "the system message"
        findings += _findings(where, [system], ids[0], ids[1:])
    return findings


def mask(value: str) -> str:
    """The beginning of a private value: enough to find it in its row, not enough to use it."""
    return value[: min(4, len(value) // 4)] + "…"


def _texts(example: Example) -> Iterator[str]:
    """Every text of a row but the system message, which rows mostly share."""
    for message in example.messages:
        if message.role is not Role.SYSTEM or message is not example.messages[0]:
            yield from _texts_of(message)
    if example.rejected is not None:
        yield example.rejected


def _texts_of(message: Message) -> Iterator[str]:
    yield message.content
    for call in message.tool_calls:
        yield call.arguments


def _findings(where: str, texts: Iterator[str] | Sequence[str], row: str, related: Sequence[str] = ()) -> list[Finding]:
    values: dict[PrivateKind, list[str]] = defaultdict(list)
    for text in texts:
        for span in find_private(text):
            values[span.kind].append(text[span.start : span.end])
    return [PRIVACY_CHECKS[kind].found(_message(where, kind, found), row, related) for kind, found in values.items()]


def _message(where: str, kind: PrivateKind, values: Sequence[str]) -> str:
    different = list(dict.fromkeys(values))
    one, many = _NOUNS[kind]
    what = one if len(different) == 1 else f"{len(different)} {many}"
    shown = ", ".join(mask(value) for value in different[:_MAX_SHOWN])
    more = ", …" if len(different) > _MAX_SHOWN else ""
    return f"{where} holds {what} ({shown}{more})."
