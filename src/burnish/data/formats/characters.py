"""The checks of one text: characters that nobody meant to write, and a length that is no message's."""

import re
from collections.abc import Iterator

from burnish.data.finding import Check, Severity

LONG_MESSAGE_CHARS = 25_000

CONTROL_CHARACTER = Check("control_character", Severity.WARNING, "a control character in a text", "Remove it.")
INVISIBLE_CHARACTER = Check(
    "invisible_character",
    Severity.WARNING,
    "a character that cannot be seen, or turns the direction of text",
    "Remove it.",
)
LINE_SEPARATOR = Check(
    "line_separator", Severity.NOTE, "U+2028 or U+2029 in a text", "Write a line feed where other tools read the file."
)
REPLACEMENT_CHARACTER = Check(
    "replacement_character", Severity.WARNING, "U+FFFD, left where a text was decoded wrongly", "Restore the character."
)
LONG_MESSAGE = Check(
    "long_message",
    Severity.WARNING,
    f"a message of {LONG_MESSAGE_CHARS:,} characters or more",
    "See whether it is one message; it may be too long for the base model.",
)


def check_text(place: str, text: str) -> Iterator[tuple[Check, str]]:
    """What is wrong with the text that stands at `place`."""
    if len(text) >= LONG_MESSAGE_CHARS:
        yield LONG_MESSAGE, f"{place} has {len(text):,} characters."
    if text.isprintable() and "\ufffd" not in text:
        return  # nothing that is looked for below can be printed, and most texts are soon seen to be clean
    for check, pattern in _CHARACTERS:
        if match := pattern.search(text):
            yield check, f"{place} holds U+{ord(match[0][0]):04X} at character {match.start() + 1:,}."


# Tabs, line ends, joiners and the marks of right-to-left text belong to sound texts; tag characters do as part of a
# flag, which has fewer of them than a hidden text.
INVISIBLE = re.compile("[\u200b\u2060-\u2064\ufeff\u202a-\u202e\u2066-\u2069]|[\U000e0000-\U000e007f]{8,}")
SEPARATORS = re.compile("[\u2028\u2029]")
_CHARACTERS = (
    (CONTROL_CHARACTER, re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")),
    (INVISIBLE_CHARACTER, INVISIBLE),
    (LINE_SEPARATOR, SEPARATORS),
    (REPLACEMENT_CHARACTER, re.compile("\ufffd")),
)
