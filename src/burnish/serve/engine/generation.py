"""A prompt that is being continued.

Shapes: W tokens whose logits were asked for, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from burnish.generate.answer import probability_of
from burnish.serve.engine.grammar import Follower
from burnish.serve.engine.request import FinishReason, GenerationRequest, Piece, TokenChance
from burnish.serve.engine.sampling import Sampler, chances
from burnish.serve.engine.slots import Segment, read_on
from burnish.serve.engine.text import TextStream


class Generation:
    """Its prompt is read, and then each token that it draws."""

    def __init__(
        self,
        request: GenerationRequest,
        text: TextStream,
        *,
        start_id: int,
        end_ids: frozenset[int],
        follower: Follower | None,
    ) -> None:
        self._request, self._text, self._end_ids, self._follower = request, text, end_ids, follower
        self._sampler = Sampler(request.sampling)
        self.ids = list(request.prompt_ids)
        """Read, or still to be read."""
        self._num_new = self._num_said = 0
        self._unsaid: list[TokenChance] = []
        self._start_id = start_id
        self._echo: list[TokenChance] = []
        self._log_probability = 0.0

    def next_segment(self, slot: int, num_read: int, limit: int) -> Segment:
        """At most `limit` tokens that are known but not read."""
        if self._request.echoes_prompt and not self._echo and not num_read:  # how likely the first token begins a text
            start = read_on([self._start_id], slot, 0, 1)
            return replace(start, is_trial=True)
        return read_on(self.ids, slot, num_read, limit, wants_all=self._request.echoes_prompt)

    def take(self, segment: Segment, logits_WV: Tensor) -> Piece | None:
        """The segment was read; returns what can be said, if anything."""
        if segment.is_trial:
            self._echo += self._chances(logits_WV, self.ids[:1])
            return None
        if self._request.echoes_prompt and self._num_new == 0:
            self._echo += self._chances(logits_WV, self.ids[segment.start + 1 : segment.end + 1])
        if segment.end < len(self.ids):
            return None
        if self._request.max_new_tokens == 0:
            return Piece("", 0, tuple(self._echo), FinishReason.LENGTH)
        return self._draw(logits_WV[-1:])

    def _draw(self, logits_1V: Tensor) -> Piece | None:
        is_told = self._request.num_top is not None or self._request.tells_probability
        before_1V = logits_1V.clone() if is_told else logits_1V
        if self._follower is not None:
            self._follower.forbid(logits_1V[0])
        token = self._sampler.draw(logits_1V[0])
        if self._follower is not None:
            self._follower.take(token)
        self._num_new += 1
        if self._request.tells_probability:
            self._log_probability += float(before_1V[0, token] - before_1V[0].logsumexp(-1))
        if self._request.ends_turn and token in self._end_ids:
            return self._piece(self._text.finish(), FinishReason.STOP)
        self.ids.append(token)
        self._unsaid += self._chances(before_1V, [token])
        new = self._text.add(token)
        if self._text.has_stopped:
            return self._piece(new, FinishReason.STOP)
        if self._num_new == self._request.max_new_tokens:
            rest = new + self._text.finish()
            return self._piece(rest, FinishReason.STOP if self._text.has_stopped else FinishReason.LENGTH)
        return self._piece(new, None) if new else None

    def _chances(self, logits_WV: Tensor, tokens: Sequence[int]) -> list[TokenChance]:
        if self._request.num_top is None:
            return []
        return chances(logits_WV[: len(tokens)], tokens, self._request.num_top)

    def _piece(self, text: str, finish: FinishReason | None) -> Piece:
        tokens, self._unsaid, self._echo = (*self._echo, *self._unsaid), [], []
        num_tokens, self._num_said = self._num_new - self._num_said, self._num_new
        is_whole = finish is not None and self._request.tells_probability
        probability = probability_of(self._log_probability) if is_whole else None
        return Piece(text, num_tokens, tokens, finish, probability=probability)
