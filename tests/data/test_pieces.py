"""Tokens as text: nothing is lost or doubled, and what is learned is told apart from what is not."""

from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from burnish.data import PieceKind, RenderedExample, Renderer, cut_into_pieces
from tests.data.test_render import build_renderer, example

RENDERER = build_renderer()


@settings(max_examples=100, deadline=None)
@given(st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20))
def test_the_pieces_are_the_text(question: str, answer: str) -> None:
    (rendered,) = RENDERER.render(example(question, answer))
    pieces = cut_into_pieces(RENDERER, rendered)
    assert "".join(piece.text for piece in pieces) == RENDERER.tokenizer.decode(list(rendered.input_ids))
    assert tuple(token for piece in pieces for token in piece.ids) == rendered.input_ids
    learned = [piece.kind is not PieceKind.CONTEXT for piece in pieces for _ in piece.ids]
    assert tuple(learned) == rendered.loss_mask
    assert [piece.text for piece in pieces if piece.kind is PieceKind.END] == ["<|im_end|>"]


def test_bytes_that_are_one_character_together_are_one_piece() -> None:
    (rendered,) = RENDERER.render(example("a", "ü🙂"))
    learned = [piece for piece in cut_into_pieces(RENDERER, rendered) if piece.kind is PieceKind.LEARNED]
    assert [(piece.text, piece.num_tokens) for piece in learned] == [("ü", 2), ("🙂", 4)]


def test_a_space_that_a_tokenizer_drops_at_the_beginning_is_kept_between() -> None:
    core = Tokenizer(models.WordLevel({"▁Hello": 0, "▁there": 1, "</s>": 2}, unk_token="</s>"))
    core.pre_tokenizer, core.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    words = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="</s>")
    assert words.decode([1]) == "there"
    pieces = cut_into_pieces(Renderer(words, frozenset({2})), RenderedExample("a", (0, 1, 1), (False, True, True), 1))
    assert [piece.text for piece in pieces] == ["Hello", " there", " there"]
