"""What other programs left in questions and answers, which the model would learn to write: HTML, quoted mails."""

from collections.abc import Iterator, Sequence

from burnish.conversation import Role
from burnish.data.example import Example
from burnish.data.finding import Check, Finding, Severity
from burnish.data.markup import MARKUP
from burnish.data.texts import json_in, texts_in

_FIX = "`burnish check --fix` {}; add `--leave {}` where it belongs there."
_MEANINGS = {
    "html": ("HTML in a text", "writes plain text"),
    "quoted_printable": ("a text in quoted-printable, as mails are sent", "decodes it"),
    "quoted_mail": ("an earlier mail that is quoted below a text", "cuts it off"),
    "mail_footer": ("a mail's signature or disclaimer below a text", "cuts it off"),
    "chat_markup": ("links, mentions or BBCode of a chat or forum in a text", "writes plain text"),
}
MARKUP_CHECKS = {
    name: Check(name, Severity.WARNING, meaning, _FIX.format(done, name)) for name, (meaning, done) in _MEANINGS.items()
}


def check_markup(examples: Sequence[Example]) -> list[Finding]:
    """The rows with markup in what users ask or the assistant answers, once for each kind."""
    return [finding for example in examples for finding in _in_row(example)]


def _in_row(example: Example) -> Iterator[Finding]:
    texts = [
        (f"message {n} ({message.role.value})", text)
        for n, message in enumerate(example.messages, start=1)
        if message.role in (Role.USER, Role.ASSISTANT)
        for text in texts_in(json_in(message.content) or message.content)
    ]
    for name, markup in MARKUP.items():
        if found := next(((place, what) for place, text in texts if (what := markup.find(text))), None):
            yield MARKUP_CHECKS[name].found(f"{found[0]} holds {found[1]!r}.", example.id)
