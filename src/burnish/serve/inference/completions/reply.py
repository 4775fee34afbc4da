"""Pieces -> the reply, whole or in chunks."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from burnish.serve.engine.request import FinishReason, Piece, Ticket, TokenChance
from burnish.serve.inference.chances import TokenTexts
from burnish.serve.inference.completions.plan import CompletionPlan, Prompt
from burnish.serve.inference.identity import usage
from burnish.serve.inference.tickets import read_together


class Completion:
    """One continuation as it grows."""

    def __init__(self, prompt: Prompt, plan: CompletionPlan, texts: TokenTexts | None) -> None:
        self._prompt, self._plan, self._texts = prompt, plan, texts
        self._text = ""
        self._chances: list[TokenChance] = []
        self._new_chances: list[TokenChance] = []
        self._finish = FinishReason.LENGTH
        self._has_begun = False
        self.num_tokens = 0
        self.num_cached = 0

    @property
    def score(self) -> float:
        """The mean log-probability of the generated tokens; by it the best of several are chosen."""
        values = [chance.log_probability for chance in self._new_chances]
        return sum(values) / len(values) if values else 0.0

    def take(self, piece: Piece) -> dict[str, Any]:
        """What the piece adds, as the choice of a chunk without its index."""
        text, chances, offset = piece.text, list(piece.tokens), len(self._text)
        if not self._has_begun:
            self._has_begun = True
            self.num_cached = piece.num_cached
            if self._plan.echoes:
                text = self._prompt.text + text
            chances, num_echoed = self._without_own(chances)
            self._new_chances += chances[num_echoed:]
        else:
            self._new_chances += chances
        self._text += text
        self._chances += chances
        self.num_tokens += piece.num_tokens
        self._finish = piece.finish or self._finish
        finish = None if piece.finish is None else str(piece.finish)
        return {"text": text, "logprobs": self._logprobs(chances, offset), "finish_reason": finish}

    def whole(self) -> dict[str, Any]:
        """The choice of a reply, without its index."""
        return {"text": self._text, "logprobs": self._logprobs(self._chances, 0), "finish_reason": str(self._finish)}

    def _without_own(self, chances: list[TokenChance]) -> tuple[list[TokenChance], int]:
        """The tokens of the first piece, and how many are of the prompt; what begins every text is not the client's."""
        is_echoed = self._plan.requests[0].echoes_prompt
        kept = chances[self._prompt.num_own :] if is_echoed else chances
        return kept, len(self._prompt.ids) - self._prompt.num_own if is_echoed else 0

    def _logprobs(self, chances: Sequence[TokenChance], offset: int) -> dict[str, Any] | None:
        if self._texts is None or not self._plan.has_logprobs:
            return None
        return self._texts.completion_logprobs(chances, offset)


class CompletionReply:
    """All continuations of a request."""

    def __init__(
        self,
        plan: CompletionPlan,
        tickets: Sequence[Ticket],
        texts: TokenTexts | None,
        on_first_token: Callable[[], None],
    ) -> None:
        self._plan, self._tickets, self._on_first_token = plan, tickets, on_first_token
        self._all = [Completion(prompt, plan, texts) for prompt in plan.prompts for _ in range(plan.num_drawn)]
        self._has_begun = False

    async def whole(self, head: Mapping[str, Any]) -> dict[str, Any]:
        """The reply, once every continuation has ended."""
        async for number, piece in self._pieces():
            self._all[number].take(piece)
        choices = [{"index": i, **completion.whole()} for i, completion in enumerate(self._kept())]
        return {**head, "choices": choices, "usage": self._usage()}

    async def chunks(self, head: Mapping[str, Any], *, includes_usage: bool) -> AsyncIterator[dict[str, Any]]:
        """The chunks of a stream, as the pieces come."""
        head = {**head, "usage": None} if includes_usage else head
        async for number, piece in self._pieces():
            yield {**head, "choices": [{"index": number, **self._all[number].take(piece)}]}
        if includes_usage:
            yield {**head, "choices": [], "usage": self._usage()}

    async def _pieces(self) -> AsyncIterator[tuple[int, Piece]]:
        if self._plan.is_empty:
            for number in range(len(self._all)):
                yield number, Piece("", 0, finish=FinishReason.LENGTH)
            return
        async for number, piece in read_together(self._tickets):
            if piece.num_tokens and not self._has_begun:
                self._has_begun = True
                self._on_first_token()
            yield number, piece

    def _kept(self) -> list[Completion]:
        """The most likely ones of each prompt; all of them in the order of their draws where none is left out."""
        drawn, kept = self._plan.num_drawn, self._plan.num_kept
        groups = [self._all[start : start + drawn] for start in range(0, len(self._all), drawn)]
        if kept < drawn:
            groups = [sorted(group, key=lambda one: -one.score)[:kept] for group in groups]
        return [completion for group in groups for completion in group]

    def _usage(self) -> dict[str, Any]:
        """Each prompt counts once, however many continuations it has."""
        firsts = self._all[:: self._plan.num_drawn]
        num_prompt = sum(len(prompt.ids) for prompt in self._plan.prompts)
        num_new = sum(completion.num_tokens for completion in self._all)
        return usage(num_prompt, num_new, sum(first.num_cached for first in firsts))
