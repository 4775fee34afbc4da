"""The terminal's streams: text that their encoding lacks is written in another way, so that no result is lost to it."""

import codecs
import io
import sys

HANDLER = "burnish.plain"
PLAIN = str.maketrans(
    {
        "\u2010": "-", "\u2011": "-", "\u2012": "-", "\u2013": "-", "\u2014": "-", "\u2212": "-",
        "\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2026": "...", "\u00a0": " ", "\u202f": " ",
        "\u00d7": "x", "\u00b1": "+/-", "\u2264": "<=", "\u2265": ">=", "\u2192": "->", "\u00b7": ".", "\u2022": "*",
        "\u2713": "ok", "\u2717": "no",
    }
)  # fmt: skip


def make_streams_tolerant() -> None:
    """Let stdout and stderr write any text, and stdin read any bytes, whatever the locale's encoding.

    Dashes, comparisons and arrows become ASCII; any other character that the encoding lacks becomes its escape,
    such as \\u00e9.
    """
    codecs.register_error(HANDLER, _write_plainly)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=HANDLER)
    if isinstance(sys.stdin, io.TextIOWrapper):
        is_ascii = codecs.lookup(sys.stdin.encoding).name == "ascii"
        sys.stdin.reconfigure(encoding="utf-8" if is_ascii else None, errors="replace")


def is_unicode(stream: object) -> bool:
    """Whether a stream can write all characters."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return codecs.lookup(encoding).name.startswith("utf")


def _write_plainly(error: UnicodeError) -> tuple[str, int]:
    """A codec's error handler: what is written in place of the characters from `start` to `end`."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(PLAIN)
    return text.encode("ascii", "backslashreplace").decode("ascii"), error.end
