"""A multipart form, its one file written to disk as it arrives: nothing large is ever in memory, or copied."""

import hashlib
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from burnish.errors import StorageError
from burnish.files import storage_errors
from burnish.serve.errors import ApiError

MAX_TEXT_BYTES = 2**16
"""Of all texts of a form together."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Form:
    """The texts of a form, and what was learned of its file while it was written."""

    texts: dict[str, str]
    filename: str
    size_bytes: int
    sha256: str


@contextmanager
def draft_in(folder: Path) -> Iterator[Path]:
    """The name of a file to write; whatever is left of it behind the block is removed."""
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=folder, prefix=".draft.")
        os.close(handle)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


async def receive_form(request: Request, file_field: str, path: Path, max_bytes: int) -> Form:
    """Write the form's file to `path`; its length need not be known before.

    Raises:
        ApiError: 413 where the file is larger than `max_bytes`, 400 where the body is no such form.
    """
    kind, options = parse_options_header(request.headers.get("content-type"))
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise ApiError("The body must be a multipart form.", param=file_field)
    with storage_errors(path), open(path, "wb") as stream:
        reader = _Reader(file_field, stream, max_bytes)
        num_surplus = 0
        try:
            parser = MultipartParser(boundary, reader.callbacks())  # type: ignore[arg-type]
            async for chunk in request.stream():
                parser.write(chunk)
                # Most clients read no reply before they have sent all: a file that is somewhat too large is read on.
                num_surplus += len(chunk) if reader.is_over else 0
                if num_surplus > max_bytes:
                    break
            if not reader.is_over:
                parser.finalize()
        except FormParserError as error:
            raise ApiError(f"The multipart form cannot be read ({error}).", param=file_field) from None
        stream.flush()
        os.fsync(stream.fileno())
    return reader.form()


class _Reader:
    """The parser's callbacks: header by header, part by part."""

    def __init__(self, file_field: str, stream: IO[bytes], max_bytes: int) -> None:
        self.is_over = False
        self._file_field, self._stream, self._max_bytes = file_field, stream, max_bytes
        self._texts: dict[str, bytearray] = {}
        self._text_bytes = 0
        self._field, self._header, self._value = "", bytearray(), bytearray()
        self._filename: str | None = None
        self._size = 0
        self._sha256 = hashlib.sha256()
        self._is_whole = False

    def callbacks(self) -> dict[str, object]:
        return {
            "on_part_begin": self._begin_part,
            "on_header_field": lambda data, start, end: self._header.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
            "on_header_end": self._end_header,
            "on_part_data": self._take,
            "on_end": self._end,
        }

    def form(self) -> Form:
        if self.is_over:
            raise ApiError(f"The file is larger than {self._max_bytes:,} bytes.", status=413, param=self._file_field)
        if not self._is_whole:
            raise ApiError("The multipart form is not whole.", param=self._file_field)
        if self._filename is None:
            raise ApiError(f"'{self._file_field}' is missing.", param=self._file_field)
        texts = {name: bytes(value).decode(errors="replace") for name, value in self._texts.items()}
        return Form(texts, self._filename, self._size, self._sha256.hexdigest())

    def _begin_part(self) -> None:
        self._field = ""

    def _end_header(self) -> None:
        if bytes(self._header).lower() == b"content-disposition":
            _, options = parse_options_header(bytes(self._value))
            self._field = options.get(b"name", b"").decode(errors="replace")
            if self._field == self._file_field:
                if self._filename is not None:
                    raise ApiError(f"There are two parts '{self._file_field}'.", param=self._file_field)
                self._filename = options.get(b"filename", b"upload").decode(errors="replace") or "upload"
        self._header, self._value = bytearray(), bytearray()

    def _take(self, data: bytes, start: int, end: int) -> None:
        if self._field != self._file_field:
            self._text_bytes += end - start
            if self._text_bytes > MAX_TEXT_BYTES:
                raise ApiError("The texts of the form are too long.", status=413, param=self._field)
            self._texts.setdefault(self._field, bytearray()).extend(data[start:end])
            return
        self._size += end - start
        if self._size > self._max_bytes:
            self.is_over = True
            return
        piece = memoryview(data)[start:end]
        self._stream.write(piece)
        self._sha256.update(piece)

    def _end(self) -> None:
        self._is_whole = True


def cannot_keep(error: StorageError) -> ApiError:
    """What a client is told when its file cannot be kept; where on the disk is for the server's log alone."""
    if isinstance(error.__cause__, FileNotFoundError):
        return ApiError("Another request has changed it meanwhile: what it was made of is gone. Look what it is now.")
    _log.error("a client's file cannot be kept: %s", error)
    return ApiError(
        "The server's disk cannot keep the file.", status=507, kind="server_error", code="insufficient_storage"
    )
