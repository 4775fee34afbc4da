"""`write_preview_html`: rendered examples as the model sees them, as one HTML page that needs nothing but itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import groupby
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from burnish.data import Piece, PieceKind, RenderedExample, Renderer, cut_into_pieces
from burnish.files import write_text

# A longer stretch that is not learned is folded; a click opens it.
MAX_CONTEXT = 240
KEPT = 80


@dataclass(frozen=True)
class Stretch:
    """Tokens of one kind that follow each other; the `folded` ones stand in their middle."""

    kind: PieceKind
    head: list[Piece]
    folded: list[Piece]
    tail: list[Piece]


@dataclass(frozen=True)
class PreviewCard:
    """One rendered example."""

    id: str
    num_tokens: int
    num_learned: int
    stretches: list[Stretch]


def write_preview_html(path: Path, renderer: Renderer, examples: Sequence[RenderedExample]) -> None:
    """Write the page of `examples`.

    Raises:
        StorageError: it cannot be written.
    """
    write_text(path, render_preview(renderer, examples))


def render_preview(renderer: Renderer, examples: Sequence[RenderedExample]) -> str:
    """The whole page as HTML."""
    environment = Environment(loader=PackageLoader("burnish.report"), autoescape=True, undefined=StrictUndefined)
    style = (files("burnish.report") / "templates" / "preview.css").read_text(encoding="utf-8")
    cards = [_build_card(renderer, example) for example in examples]
    return environment.get_template("preview.html.jinja").render(cards=cards, style=Markup(style))


def _build_card(renderer: Renderer, example: RenderedExample) -> PreviewCard:
    pieces = cut_into_pieces(renderer, example)
    stretches = [_build_stretch(kind, list(run)) for kind, run in groupby(pieces, key=lambda piece: piece.kind)]
    return PreviewCard(example.id, len(example.input_ids), example.num_supervised, stretches)


def _build_stretch(kind: PieceKind, pieces: list[Piece]) -> Stretch:
    if kind is PieceKind.CONTEXT and len(pieces) > MAX_CONTEXT:
        return Stretch(kind, pieces[:KEPT], pieces[KEPT:-KEPT], pieces[-KEPT:])
    return Stretch(kind, pieces, [], [])
