"""Texts and Markdown -> pieces to learn as they are: cut at headings and blank lines, never inside a line."""

import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from burnish.data.finding import Finding
from burnish.data.reading.encoding import NumberedLine, decode_lines, suffix_of
from burnish.data.reading.row import Row
from burnish.errors import DataError

MAX_PIECE_CHARS = 4000
SUFFIXES = (".txt", ".md")

Block = list[NumberedLine]


def read_folder(folder: Path, named: Collection[str] = ()) -> Iterator[Row | Finding]:
    """The pieces of all texts in a folder and the folders in it."""
    texts = texts_in(folder)
    if not texts:
        raise DataError(f"{folder}: a folder without a text ({', '.join(SUFFIXES)}). Name a file of examples in it.")
    for path, name in texts:
        yield from _pieces(path, name)


def read_text(path: Path, named: Collection[str] = ()) -> Iterator[Row | Finding]:
    """The pieces of one .txt or .md file."""
    return _pieces(path, path.name)


def texts_in(folder: Path) -> list[tuple[Path, str]]:
    """The texts in a folder and the folders in it with their names below it, sorted; hidden ones are left out."""
    paths = [path for path in sorted(folder.rglob("*")) if suffix_of(path) in SUFFIXES and path.is_file()]
    names = [path.relative_to(folder) for path in paths]
    return [
        (path, name.as_posix())
        for path, name in zip(paths, names, strict=True)
        if not any(part.startswith(".") for part in name.parts)
    ]


def _pieces(path: Path, name: str) -> Iterator[Row | Finding]:
    lines = list[NumberedLine]()
    for item in decode_lines(path, name):
        if isinstance(item, Finding):
            yield item
        else:
            lines.append((item[0], item[1].rstrip("\r\n")))
    starts_piece = _headings(lines) if suffix_of(path) == ".md" else set[int]()
    for piece in _pack(_blocks(lines, starts_piece), starts_piece):
        yield Row(name, piece[0][0], {"text": "\n".join(text for _, text in piece).rstrip()})


def _headings(lines: Sequence[NumberedLine]) -> set[int]:
    """The numbers of the lines with a Markdown heading; a # in a fenced block of code is none."""
    headings, fence = set[int](), ""
    for number, text in lines:
        if mark := _FENCE.match(text):
            if not fence:
                fence = mark[1]
            elif mark[1].startswith(fence) and not text.strip(" `~"):
                fence = ""
        elif not fence and _HEADING.match(text):
            headings.add(number)
    return headings


def _blocks(lines: Sequence[NumberedLine], headings: set[int]) -> Iterator[Block]:
    """Runs of lines that belong together: paragraphs with the blank lines behind them, headings apart."""
    block: Block = []
    for number, text in lines:
        is_new_paragraph = bool(text.strip() and block and not block[-1][1].strip())
        if block and (
            is_new_paragraph or number in headings or block[-1][0] in headings or _size(block) > MAX_PIECE_CHARS
        ):
            yield block
            block = []
        if text.strip() or block:
            block.append((number, text))
    if block:
        yield block


def _pack(blocks: Iterator[Block], headings: set[int]) -> Iterator[Block]:
    """Join blocks up to the limit; a heading begins a piece, unless there are only headings before it."""
    piece: Block = []
    for block in blocks:
        is_cut = block[0][0] in headings and any(number not in headings and text.strip() for number, text in piece)
        if piece and (is_cut or _size(piece) + _size(block) > MAX_PIECE_CHARS):
            yield piece
            piece = []
        piece = piece + block
    if piece:
        yield piece


def _size(block: Block) -> int:
    return sum(len(text) + 1 for _, text in block)


_HEADING = re.compile(r" {0,3}#{1,6}(\s|$)")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
