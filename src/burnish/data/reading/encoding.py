"""A text file's bytes -> its lines, each decoded by itself, so that a bad byte costs one line and never the file."""

import gzip
import io
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from burnish.data.finding import Check, Finding, Severity
from burnish.errors import DataError

UTF8_BOM = Check(
    "utf8_bom", Severity.NOTE, "a UTF-8 byte order mark", "It is left out; the rows are read as they should be."
)
UTF16 = Check(
    "utf16", Severity.NOTE, "a file in UTF-16", "It is decoded; save it as UTF-8 if other tools read it, too."
)
CRLF = Check("crlf", Severity.NOTE, "lines that end in CR LF", "They are read as lines; nothing has to be done.")
NOT_UTF8 = Check(
    "not_utf8",
    Severity.WARNING,
    "a line that is not UTF-8, read as Windows-1252",
    "See whether it reads well, and save the file as UTF-8.",
)
EMPTY_FILE = Check(
    "empty_file", Severity.ERROR, "a file of no bytes", "Each row is one example; name the file that has them."
)
WHITESPACE_ONLY = Check(
    "whitespace_only", Severity.ERROR, "a file of white space", "Each row is one example; name the file that has them."
)
BLANK_LINE = Check("blank_line", Severity.NOTE, "a blank line", "It is passed over.")

NumberedLine = tuple[int, str]
"""A line's number, counted from 1, and its text with the line end."""


def decode_lines(path: Path, name: str) -> Iterator[NumberedLine | Finding]:
    """The lines of a text file, which may be gzipped, and what is odd about their encoding. Only LF ends a line.

    Raises:
        DataError: the file cannot be read.
    """
    with open_binary(path) as stream:
        encoding = _utf16_of(stream.peek(4)[:4])
        lines = _utf16_lines(stream, encoding, name) if encoding else _utf8_lines(stream, name)
        has_crlf = False
        for line in lines:
            if not has_crlf and isinstance(line, tuple) and line[1].endswith("\r\n"):
                has_crlf = True
                yield CRLF.found(f"{name}: lines end in CR LF.")
            yield line


@contextmanager
def open_binary(path: Path) -> Iterator[io.BufferedReader]:
    """The bytes of a file, unpacked if its name ends in .gz.

    Raises:
        DataError: it cannot be read.
    """
    try:
        with gzip.open(path) if path.suffix.lower() == ".gz" else open(path, "rb") as stream:
            yield stream  # type: ignore[misc]  # a GzipFile has the same methods
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path.name}: not a whole gzip file ({error}). Compress it again.") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}). Check its permissions.") from None


def suffix_of(path: Path) -> str:
    """What the name of a file ends in, in lower case; of a packed one, what stands before .gz."""
    suffix = path.suffix.lower()
    return Path(path.stem).suffix.lower() if suffix == ".gz" else suffix


def _utf16_of(head: bytes) -> str | None:
    """The kind of UTF-16 by its mark; without one, by the zeros that it has where a text begins in ASCII."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    if len(head) == 4 and head[1] == head[3] == 0 and head[0] and head[2]:
        return "utf-16-le"
    if len(head) == 4 and head[0] == head[2] == 0 and head[1] and head[3]:
        return "utf-16-be"
    return None


def _utf16_lines(stream: IO[bytes], encoding: str, name: str) -> Iterator[NumberedLine | Finding]:
    """What is not UTF-16 becomes U+FFFD, which has a check of its own."""
    yield UTF16.found(f"{name}: the file is UTF-16.")
    yield from enumerate(io.TextIOWrapper(stream, encoding, errors="replace", newline="\n"), start=1)


def _utf8_lines(stream: IO[bytes], name: str) -> Iterator[NumberedLine | Finding]:
    for number, line in enumerate(stream, start=1):
        if number == 1 and line.startswith(b"\xef\xbb\xbf"):
            yield UTF8_BOM.found(f"{name}: the file begins with a byte order mark.")
            line = line[3:]
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            byte = line[error.start]
            yield NOT_UTF8.found(
                f"byte {byte:#04x} is not UTF-8; the line is read as Windows-1252.", f"{name}:{number}"
            )
            text = _decode_windows(line)
        yield number, text


def _decode_windows(line: bytes) -> str:
    try:
        return line.decode("cp1252")
    except UnicodeDecodeError:
        return line.decode("latin-1")  # which has a character for every byte


def told_if_empty(name: str, lines: Iterable[NumberedLine | Finding]) -> Iterator[NumberedLine | Finding]:
    """The same lines; if there is nothing on any of them, that is told in their place."""
    blank, is_blank = list[NumberedLine](), True
    for item in lines:
        if is_blank and not isinstance(item, Finding):
            if not item[1].strip():
                blank.append(item)
                continue
            is_blank = False
            yield from blank
        yield item
    if is_blank:
        check, what = (WHITESPACE_ONLY, "holds nothing but white space") if blank else (EMPTY_FILE, "is empty")
        yield check.found(f"{name}: the file {what}.")
