"""A prompt that is being continued.

Shapes: W tokens whose logits were asked for, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from burnish.serve.engine.grammar import Follower
from burnish.serve.engine.request import FinishReason, GenerationRequest, Piece, TokenChance
from burnish.serve.engine.sampling import Sampler, chances
from burnish.serve.engine.saying import Saying
from burnish.serve.engine.slots import Segment, read_on


class Generation:
    """Its prompt is read, and then each token that it draws."""

    def __init__(self, request: GenerationRequest, saying: Saying, *, start_id: int, follower: Follower | None) -> None:
        self._request, self._saying, self._follower = request, saying, follower
        self._sampler = Sampler(request.sampling)
        self.ids = list(request.prompt_ids)
        """Read, or still to be read."""
        self._start_id = start_id
        self._has_begun = False

    def next_segment(self, slot: int, num_read: int, limit: int) -> Segment:
        """At most `limit` tokens that are known but not read."""
        if self._request.echoes_prompt and not self._has_begun:  # how likely the first token begins a text
            start = read_on([self._start_id], slot, 0, 1)
            return replace(start, is_trial=True)
        return read_on(self.ids, slot, num_read, limit, wants_all=self._request.echoes_prompt)

    def take(self, segment: Segment, logits_WV: Tensor) -> Piece | None:
        """The segment was read; returns what can be said, if anything."""
        self._has_begun = True
        if segment.is_trial:
            self._saying.echo(self._chances(logits_WV, self.ids[:1]))
            return None
        if self._request.echoes_prompt and self._saying.num_new == 0:
            self._saying.echo(self._chances(logits_WV, self.ids[segment.start + 1 : segment.end + 1]))
        if segment.end < len(self.ids):
            return None
        if self._request.max_new_tokens == 0:
            return self._saying.end(FinishReason.LENGTH)
        return self._draw(logits_WV[-1:])

    def _draw(self, logits_1V: Tensor) -> Piece | None:
        is_told = self._request.num_top is not None or self._request.tells_probability
        before_1V = logits_1V.clone() if is_told else logits_1V
        if self._follower is not None:
            self._follower.forbid(logits_1V[0])
        token = self._sampler.draw(logits_1V[0])
        if self._follower is not None:
            self._follower.take(token)
        self.ids.append(token)
        sure = float(before_1V[0, token] - before_1V[0].logsumexp(-1)) if self._request.tells_probability else 0.0
        return self._saying.take(token, self._chances(before_1V, [token]), sure)

    def _chances(self, logits_WV: Tensor, tokens: Sequence[int]) -> list[TokenChance]:
        if self._request.num_top is None:
            return []
        return chances(logits_WV[: len(tokens)], tokens, self._request.num_top)
