"""What other programs leave in a text: HTML, the markup of mails and chats; how it is found, and the plain text."""

import html
import quopri
import re
from collections.abc import Callable
from dataclasses import dataclass

Edit = Callable[[str], str]


@dataclass(frozen=True)
class Markup:
    """One kind: `find` gives what shows it in a text, None where there is none; `clean` gives the text without it."""

    find: Callable[[str], str | None]
    clean: Edit


def find_html(text: str) -> str | None:
    """A tag that lays out text, or a character reference such as &nbsp;."""
    if "<" not in text and "&" not in text:
        return None
    text = _CODE.sub("", text)
    found = _TAG.search(text) or _PAIR.search(text) or _REFERENCE.search(text)
    return found[0].split(">")[0][:40] + (">" if found[0].startswith("<") else "") if found else None


def without_html(text: str) -> str:
    """Paragraphs and cells become lines, links keep their address, references become their characters."""
    for _ in range(3):  # what was escaped twice is HTML again: &amp;nbsp;
        if not find_html(text) or not (plain := _outside_code(text, _plain_html)):
            break
        text = plain
    return text


def find_quoted_mail(text: str) -> str | None:
    """The line with which a mail program begins the earlier mail, where there is text above it."""
    found = _REPLY.search(text)
    return found[0].strip().split("\n")[0][:60] if found and text[: found.start()].strip() else None


def without_quoted_mail(text: str) -> str:
    """What stands above it."""
    found = _REPLY.search(text)
    return text[: found.start()].rstrip() if found and text[: found.start()].strip() else text


def find_mail_footer(text: str) -> str | None:
    """A signature behind its mark, a line that a mail program adds, or a disclaimer, where there is other text."""
    found = _FOOTER.search(text)
    return found[0].strip()[:40] if found and _FOOTER.sub("", text).strip() else None


def without_mail_footer(text: str) -> str:
    return _FOOTER.sub("", text).rstrip() if find_mail_footer(text) else text


def find_quoted_printable(text: str) -> str | None:
    """Escapes of quoted-printable, in which mails are sent; one alone may be an equation."""
    found = _ESCAPE.findall(text)
    return found[0].strip() or "=" if len(found) > 1 else None


def without_quoted_printable(text: str) -> str:
    if not find_quoted_printable(text):
        return text
    decoded = quopri.decodestring(text.encode())
    try:
        return decoded.decode()
    except UnicodeDecodeError:
        return decoded.decode("cp1252", "replace")


def find_chat_markup(text: str) -> str | None:
    """Mentions and links as Slack writes them, and BBCode."""
    found = _SLACK.search(text) or _BBCODE.search(text)
    return found[0].split("\n")[0][:40] if found else None


def without_chat_markup(text: str) -> str:
    text = _SLACK.sub(
        lambda match: _named(match["label"] or match["name"] or match["id"], match["url"], match["mark"]), text
    )
    while found := _BBCODE.search(text):
        inner = _named(found["text"], found["url"] if found["tag"].lower() == "url" else None)
        text = text[: found.start()] + inner + text[found.end() :]
    return text


MARKUP = {
    "html": Markup(find_html, without_html),
    "quoted_printable": Markup(find_quoted_printable, without_quoted_printable),
    "quoted_mail": Markup(find_quoted_mail, without_quoted_mail),
    "mail_footer": Markup(find_mail_footer, without_mail_footer),
    "chat_markup": Markup(find_chat_markup, without_chat_markup),
}
"""By the name of the check that finds it."""


def _plain_html(text: str) -> str:
    text = _INVISIBLE.sub("", text)
    text = _LINK.sub(lambda match: _named(_ANY_TAG.sub("", match["text"]), match["url"]), text)
    text = _IMAGE.sub(lambda match: match["alt"], text)
    text = _BREAK.sub("\n", text)
    text = re.sub(r"<li\b[^<>]*>", "\n- ", text, flags=re.IGNORECASE)
    text = _PAIR_TAG.sub("", _ANY_TAG.sub("", text)) if _PAIR.search(text) else _ANY_TAG.sub("", text)
    text = _REFERENCE.sub(lambda match: html.unescape(match[0]).replace("\xa0", " "), text)
    return re.sub(r"\s*\n\s*\n\s*", "\n\n", re.sub(r"[ \t]+\n", "\n", text)).strip()


def _named(name: str, url: str | None, mark: str | None = None) -> str:
    """A link's text with its address behind it, unless that says the same; a mention with its mark."""
    if not url:
        return f"{mark or ''}{name}"
    bare = url.removeprefix("mailto:").removeprefix("tel:")
    return bare if name.strip() in ("", bare, bare.split("://")[-1]) else f"{name} ({bare})"


def _outside_code(text: str, edit: Edit) -> str:
    """Edited, but for code in backquotes, which stays as it is."""
    if not _CODE.search(text):
        return edit(text)
    parts = re.split(f"({_CODE.pattern})", text, flags=re.DOTALL)
    return "".join(part if i % 2 else _edit_part(part, edit) for i, part in enumerate(parts))


def _edit_part(part: str, edit: Edit) -> str:
    """White space beside code stays."""
    head, tail = part[: len(part) - len(part.lstrip())], part[len(part.rstrip()) :]
    return f"{head}{edit(part)}{tail}" if part.strip() else part


# Only tags that lay out text: <input>, <label>, <think> and <name> are what people write around the parts of a prompt.
_LAYOUT = (
    "p|br|div|span|table|tbody|thead|tfoot|tr|td|th|ul|ol|li|h[1-6]|img|hr|strong|em|font|blockquote|pre|html|body|style|"
    "script|center|sub|sup|strike|wbr|dl|dt|dd|o:p"
)
_TAG = re.compile(rf"</?(?:{_LAYOUT})(?:\s[^<>]*|\s*/)?>|<!--.*?-->|<!doctype html", re.IGNORECASE | re.DOTALL)
_ANY_TAG = re.compile(rf"</?(?:{_LAYOUT}|a|head|meta|link|title)(?:\s[^<>]*|\s*/)?>|<!doctype[^<>]*>", re.IGNORECASE)
_PAIR = re.compile(r"<(?P<tag>[abiu])(?:\s[^<>]*)?>[^<>]*</(?P=tag)>", re.IGNORECASE)
_PAIR_TAG = re.compile(r"</?[abiu](?:\s[^<>]*)?>", re.IGNORECASE)
_REFERENCE = re.compile(
    r"&(?:nbsp|amp|lt|gt|quot|apos|copy|reg|euro|pound|hellip|[lr][sd]quo|[nm]dash|bull|middot|deg|times|"
    r"[A-Za-z](?:uml|acute|grave|circ|tilde|cedil|ring)|szlig|iexcl|iquest|#\d{2,6}|#x[0-9a-f]{2,5});",
    re.IGNORECASE,
)
_INVISIBLE = re.compile(r"<(style|script|title)\b[^<>]*>.*?</\1\s*>|<!--.*?-->", re.IGNORECASE | re.DOTALL)
_BREAK = re.compile(r"<br\s*/?>|</?(?:p|div|tr|h[1-6]|blockquote|ul|ol|table|dl|hr)\b[^<>]*>|</t[dh]>", re.IGNORECASE)
_LINK = re.compile(
    r"<a\b[^<>]*?href\s*=\s*[\"'](?P<url>[^\"']*)[\"'][^<>]*>(?P<text>.*?)</a\s*>", re.IGNORECASE | re.DOTALL
)
_IMAGE = re.compile(r"<img\b[^<>]*?alt\s*=\s*[\"'](?P<alt>[^\"']*)[\"'][^<>]*>", re.IGNORECASE)
_CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
# How mail programs of several languages begin the mail that is answered: "On ... wrote:", a line, or its header.
_WROTE = r"wrote|schrieb[^\n]{0,120}|a écrit|escribió|ha scritto|schreef[^\n]{0,120}|escreveu|napisał(?:\(a\))?"
_ORIGINAL = "Original Message|Ursprüngliche Nachricht|Message d'origine|Mensaje original|Messaggio originale"
_SENT = "Sent|Date|Gesendet|Datum|Envoyé|Enviado|Inviato"
_REPLY = re.compile(
    r"^[ \t]*(?:"
    rf"(?:On|Am|Le|El|Il|Op|Em|W dniu)\b[^\n]{{5,160}}(?:\n[^\n]{{1,120}})?\b(?:{_WROTE})\s*:[ \t]*$"
    rf"|-{{2,}}[ \t]*(?:{_ORIGINAL})[ \t]*-{{2,}}"
    rf"|(?:_{{10,}}[ \t]*\n\s*)?(?:From|Von|De|Da): [^\n]+\n(?:{_SENT}) ?: [^\n]+\n(?:To|An|À|Para|A) ?: )",
    re.IGNORECASE | re.MULTILINE,
)
_FOOTER = re.compile(
    r"^-- ?\n(?:[^\n]*(?:\n|\Z)){1,12}\Z"
    r"|^(?:Sent from (?:my|Mail|Yahoo|Outlook)\b|Get Outlook for |Von meinem \w+ gesendet|Envoyé de mon |"
    r"Enviado desde mi |Inviato da )[^\n]*$\n?"
    r"|^(?:This|The (?:information|contents?)[^\n]{0,40}? this) (?:e-?mail|message|communication)\b"
    r"(?=[^\n]*(?:\n[^\n]+)*?\b(?:confidential|privileged|intended (?:solely|only|recipient|"
    r"for the (?:use|named|addressee))))[^\n]*(?:\n[^\n]+)*",
    re.IGNORECASE | re.MULTILINE,
)
_ESCAPE = re.compile(r"=\r?\n|=3D|=20$|(?:=[C-F][0-9A-F]=[89AB][0-9A-F])", re.MULTILINE)
_SLACK = re.compile(
    r"<(?:(?P<mark>[@#])(?P<id>[UWC][A-Z0-9]{5,})(?:\|(?P<name>[^<>|]+))?>"
    r"|(?P<url>(?:https?|mailto|tel):[^\s<>|]+)\|(?P<label>[^<>|]+)>)"
)
_BBCODE = re.compile(
    r"\[(?P<tag>b|i|u|s|quote|url|img|size|color|list|center)(?:=(?P<url>[^\]\n]*))?\](?P<text>.*?)\[/(?P=tag)\]",
    re.IGNORECASE | re.DOTALL,
)
