"""Tokens of an answer to the pieces that can be said of it, and where it ends; alike for every engine."""

from collections.abc import Callable, Sequence

from burnish.generate.answer import probability_of
from burnish.serve.engine.request import FinishReason, GenerationRequest, Piece, TokenChance
from burnish.serve.engine.text import TextStream


class Saying:
    """What has been drawn and not been said yet."""

    def __init__(
        self, request: GenerationRequest, decode: Callable[[Sequence[int]], str], end_ids: frozenset[int]
    ) -> None:
        self._text = TextStream(decode, request.stop)
        self._end_ids = end_ids if request.ends_turn else frozenset[int]()
        self._limit = request.max_new_tokens
        self._num_new = self._num_said = 0
        self._unsaid: list[TokenChance] = []
        self._tells_probability, self._log_probability = request.tells_probability, 0.0

    @property
    def num_new(self) -> int:
        """Tokens that were drawn."""
        return self._num_new

    def echo(self, prompt: Sequence[TokenChance]) -> None:
        """Tokens of the prompt, which are said first."""
        self._unsaid += prompt

    def take(self, token: int, chances: Sequence[TokenChance] = (), log_probability: float = 0.0) -> Piece | None:
        """The next token was drawn, and how likely it was, in nats; returns what can be said, if anything."""
        self._num_new += 1
        self._log_probability += log_probability
        if token in self._end_ids:
            return self.end(FinishReason.STOP)
        self._unsaid += chances
        new = self._text.add(token)
        if self._text.has_stopped:
            return self._piece(new, FinishReason.STOP)
        if self._num_new >= self._limit:
            return self.end(FinishReason.LENGTH, new)
        return self._piece(new, None) if new else None

    def end(self, finish: FinishReason, new: str = "") -> Piece:
        """No token follows: `new` and what was held back."""
        rest = new + self._text.finish()
        return self._piece(rest, FinishReason.STOP if self._text.has_stopped else finish)

    def _piece(self, text: str, finish: FinishReason | None) -> Piece:
        tokens, self._unsaid = tuple(self._unsaid), []
        num_tokens, self._num_said = self._num_new - self._num_said, self._num_new
        is_whole = finish is not None and self._tells_probability
        probability = probability_of(self._log_probability) if is_whole else None
        return Piece(text, num_tokens, tokens, finish, probability=probability)
