"""A rendered example, as the model sees it: prompt dim, learned tokens green by turns, the end of the turn reversed."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from burnish.data import Piece, PieceKind, RenderedExample, Renderer, cut_into_pieces

# A longer stretch that is not learned is shown with its first and last tokens only.
MAX_CONTEXT = 240
KEPT = 80
# By turns, so that one sees where a token ends.
LEARNED_STYLES = ("green", "bold bright_green")
STYLES = {PieceKind.CONTEXT: "dim", PieceKind.END: "bold reverse green"}


def print_preview(console: Console, renderer: Renderer, example: RenderedExample, *, whole: bool = False) -> None:
    """Print one example with its loss mask; long prompts are folded in their middle unless `whole`."""
    pieces = cut_into_pieces(renderer, example)
    text = Text()
    for kind, stretch in groupby(pieces, key=lambda piece: piece.kind):
        for words, style in _styled(kind, list(stretch), whole):
            text.append(words, style)
    total = len(example.input_ids)
    title = f"{example.id}: {total:,} tokens, {example.num_supervised:,} learned (green; the end of the turn reversed)"
    console.print(Panel(text, title=Text(title), title_align="left"))
    if not console.is_terminal:  # without colour the mask is told in words
        for answer in _answers(pieces):
            console.print(f"learned: {answer!r}", markup=False, highlight=False, soft_wrap=True)


def _styled(kind: PieceKind, stretch: Sequence[Piece], whole: bool) -> Iterator[tuple[str, str]]:
    if kind is PieceKind.LEARNED:
        for i, piece in enumerate(stretch):
            yield piece.text, LEARNED_STYLES[i % len(LEARNED_STYLES)]
        return
    num_folded = sum(piece.num_tokens for piece in stretch[KEPT:-KEPT])
    if kind is PieceKind.CONTEXT and not whole and len(stretch) > MAX_CONTEXT:
        yield "".join(piece.text for piece in stretch[:KEPT]), STYLES[kind]
        yield f" ... {num_folded:,} tokens ... ", "italic yellow"
        stretch = stretch[-KEPT:]
    yield "".join(piece.text for piece in stretch), STYLES[kind]


def _answers(pieces: Sequence[Piece]) -> list[str]:
    """What is learned, stretch by stretch, each with its end."""
    runs = groupby(pieces, key=lambda piece: piece.kind is not PieceKind.CONTEXT)
    return ["".join(piece.text for piece in run) for is_learned, run in runs if is_learned]
