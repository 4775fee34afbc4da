"""A rendered example cut into pieces that can be shown: its tokens, or a few that only together are text."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from burnish.data.rendering.render import RenderedExample, Renderer

# An emoji of several code points is at most about this many byte tokens; what is longer is not text.
MAX_TOKENS = 8
BROKEN = "\N{REPLACEMENT CHARACTER}"


class PieceKind(StrEnum):
    """What a token is to the training."""

    CONTEXT = "context"
    LEARNED = "learned"
    END = "end"
    """Learned, and it ends the turn."""


@dataclass(frozen=True)
class Piece:
    """The text of one token, or of several that hold a part of a character each."""

    text: str
    ids: tuple[int, ...]
    kind: PieceKind

    @property
    def num_tokens(self) -> int:
        return len(self.ids)


def cut_into_pieces(renderer: Renderer, rendered: RenderedExample) -> list[Piece]:
    """All tokens in order; pieces never lie across the edge of what is learned."""
    return list(_pieces(renderer, rendered))


def _pieces(renderer: Renderer, rendered: RenderedExample) -> Iterator[Piece]:
    before, group = tuple[int, ...](), tuple[int, ...]()
    kinds = [
        _kind(renderer, token, learned) for token, learned in zip(rendered.input_ids, rendered.loss_mask, strict=True)
    ]
    for i, token in enumerate(rendered.input_ids):
        group = (*group, token)
        text = _text_behind(renderer, before, group)
        is_edge = i + 1 == len(kinds) or kinds[i + 1] is not kinds[i]
        if is_edge or not text.endswith(BROKEN) or len(group) == MAX_TOKENS:
            yield Piece(text, group, kinds[i])
            before, group = group, ()


def _kind(renderer: Renderer, token: int, is_learned: bool) -> PieceKind:
    if not is_learned:
        return PieceKind.CONTEXT
    return PieceKind.END if token in renderer.end_of_turn_ids else PieceKind.LEARNED


def _text_behind(renderer: Renderer, before: Sequence[int], ids: Sequence[int]) -> str:
    """What the ids add to the text; some tokenizers drop the space that a token begins with if it comes first."""

    def decode(tokens: Sequence[int]) -> str:
        return str(renderer.tokenizer.decode(list(tokens), clean_up_tokenization_spaces=False))

    return decode([*before, *ids])[len(decode(before)) :] if before else decode(ids)
