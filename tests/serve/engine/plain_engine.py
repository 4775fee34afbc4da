"""An engine as plain as can be: one request at a time, the whole sequence through the model for each token.

What it says is the reference that the real engine is compared with.
"""

import copy
import math
import queue
import random
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from llguidance import LLMatcher
from torch import Tensor

from burnish.data import Renderer
from burnish.generate.chance import add_chance
from burnish.generate.constrained import forbid, spelling, take
from burnish.generate.plain import score_labels
from burnish.serve.engine.request import (
    AdapterRef,
    EngineBusy,
    EngineStats,
    FinishReason,
    GenerationRequest,
    LabelAnswer,
    LabelRequest,
    Piece,
    Ticket,
    TokenChance,
)

HALF = "\N{REPLACEMENT CHARACTER}"
Request = GenerationRequest | LabelRequest


class PlainEngine:
    """Answers requests in the order in which they come, in a thread of its own."""

    def __init__(self, model: Any, renderer: Renderer, *, max_length: int = 2048, max_waiting: int = 64) -> None:
        self._model, self._renderer = model, renderer
        self._max_length, self._max_waiting = max_length, max_waiting
        self._adapted: dict[AdapterRef, Any] = {}
        self._line: queue.Queue[tuple[Request, Ticket] | None] = queue.Queue()
        self._num_running = self._prompt_tokens = self._new_tokens = self._num_steps = 0
        self.tickets: list[Ticket] = []
        self.finished: list[Ticket] = []
        """Those that the engine is done with, cancelled or not."""
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    @property
    def max_length(self) -> int:
        return self._max_length

    def submit(self, request: Request) -> Ticket:
        if self._line.qsize() >= self._max_waiting:
            raise EngineBusy(2.0)
        ticket = Ticket()
        self.tickets.append(ticket)
        self._line.put((request, ticket))
        return ticket

    def stats(self) -> EngineStats:
        return EngineStats(
            num_running=self._num_running,
            num_waiting=self._line.qsize(),
            prompt_tokens=self._prompt_tokens,
            cached_tokens=0,
            new_tokens=self._new_tokens,
            num_steps=self._num_steps,
            adapter_bytes=0,
            prefix_bytes=0,
        )

    def close(self) -> None:
        self._line.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (item := self._line.get()) is not None:
            request, ticket = item
            self._num_running = 1
            try:
                self._answer(request, ticket)
            except Exception as error:
                ticket.put(error)
            self._num_running = 0
            self.finished.append(ticket)

    @torch.no_grad()
    def _answer(self, request: Request, ticket: Ticket) -> None:
        model = self._model_of(request.adapter)
        self._prompt_tokens += len(request.prompt_ids)
        if isinstance(request, LabelRequest):
            scores_L = score_labels(model, [request.prompt_ids], request.label_ids, 1)[0]
            best = int(scores_L.argmax())
            ticket.put(LabelAnswer(best, min(1.0, math.exp(float(scores_L[best])))))
            return
        for piece in self.pieces(model, request):
            if ticket.is_cancelled:
                return
            ticket.put(piece)

    def _model_of(self, adapter: AdapterRef | None) -> Any:
        """A copy of the base for each adapter: nothing to be switched, so nothing to be forgotten."""
        if adapter is None:
            return self._model
        if adapter not in self._adapted:
            from peft import PeftModel

            wrapped = PeftModel.from_pretrained(copy.deepcopy(self._model), str(adapter.folder))
            self._adapted[adapter] = wrapped.eval()
        return self._adapted[adapter]

    @torch.no_grad()
    def pieces(self, model: Any, request: GenerationRequest) -> Iterator[Piece]:
        """The answer of `model`, token by token."""
        answer = _Answer(request, self._renderer)
        echoed = self._echo(model, request) if request.echoes_prompt else ()
        if not request.max_new_tokens:
            yield Piece("", 0, echoed, FinishReason.LENGTH)
            return
        chooser, log_probability = _Chooser(request, self._renderer), 0.0
        while answer.finish is None:
            logits_V = self._logits(model, (*request.prompt_ids, *answer.ids))[-1]
            token = chooser.choose(logits_V.clone())
            chance = _chance(token, logits_V, request.num_top)
            piece, log_probability = answer.add(token, chance), log_probability + chance.log_probability
            if piece.finish is not None and request.tells_probability:
                piece = replace(piece, probability=math.exp(log_probability))
            self._new_tokens += 1
            if echoed:
                piece = replace(piece, tokens=(*echoed, *piece.tokens))
                echoed = ()
            yield piece

    def _logits(self, model: Any, ids: tuple[int, ...]) -> Tensor:
        """What follows each of the tokens, [T, V]."""
        self._num_steps += 1
        logits_TV: Tensor = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0]
        return logits_TV

    def _echo(self, model: Any, request: GenerationRequest) -> tuple[TokenChance, ...]:
        logits_TV = self._logits(model, request.prompt_ids)
        before_TV = [self._logits(model, [self._renderer.start_id])[0], *logits_TV[:-1]]
        tokens = zip(request.prompt_ids, before_TV, strict=True)
        return tuple(_chance(token, logits_V, request.num_top) for token, logits_V in tokens)


def _chance(token: int, logits_V: Tensor, num_top: int | None) -> TokenChance:
    """Before temperature, penalties and bias."""
    values_V = logits_V.double().log_softmax(-1)
    top = values_V.topk(num_top or 0)
    pairs = tuple(zip(top.indices.tolist(), top.values.tolist(), strict=True))
    return TokenChance(token, float(values_V[token]), pairs)


class _Chooser:
    """Draws one token after another: penalties and bias, grammar, temperature, nucleus, noise."""

    def __init__(self, request: GenerationRequest, renderer: Renderer) -> None:
        self._sampling = request.sampling
        self._drawn: Counter[int] = Counter()
        seed = random.getrandbits(32) if request.sampling.seed is None else request.sampling.seed
        self._chance = torch.Generator().manual_seed(seed)
        self._matcher = None
        if request.grammar is not None:
            self._matcher = LLMatcher(spelling(renderer), request.grammar, log_level=0)
            assert not self._matcher.is_error(), self._matcher.get_error()

    def choose(self, logits_V: Tensor) -> int:
        """The next token."""
        for token, count in self._drawn.items():
            logits_V[token] -= self._sampling.presence_penalty + count * self._sampling.frequency_penalty
        for token, bias in self._sampling.logit_bias.items():
            logits_V[token] += bias
        if self._matcher is not None:
            forbid(logits_V[None], [self._matcher])
        if self._sampling.temperature > 0:
            logits_V = self._nucleus(logits_V / self._sampling.temperature)
            add_chance(logits_V[None], self._chance)
        token = int(logits_V.argmax())
        self._drawn[token] += 1
        if self._matcher is not None:
            take(self._matcher, token)
        return token

    def _nucleus(self, logits_V: Tensor) -> Tensor:
        """The likeliest tokens that together have `top_p`, at least one; the others next to -inf."""
        if self._sampling.top_p >= 1:
            return logits_V
        sorted_V, order_V = logits_V.softmax(-1).sort(descending=True, stable=True)
        is_out_V = sorted_V.cumsum(-1) - sorted_V >= self._sampling.top_p
        is_out_V[0] = False
        return logits_V.masked_fill(torch.zeros_like(is_out_V).scatter(0, order_V, is_out_V), float("-inf"))


@dataclass
class _Answer:
    """The text so far, and how much of it is told: whole characters that no stop text can begin with."""

    request: GenerationRequest
    renderer: Renderer
    ids: list[int] = field(default_factory=list)
    finish: FinishReason | None = None
    _told: int = 0
    _chances: list[tuple[int, TokenChance]] = field(default_factory=list)
    """Untold, each with the length of the text before its token."""

    def add(self, token: int, chance: TokenChance) -> Piece:
        """The piece that the token completes; it may be empty."""
        if self.request.ends_turn and token in self.renderer.end_of_turn_ids:
            self.finish = FinishReason.STOP
            return self._piece(self._text())
        before = len(self._text().rstrip(HALF))
        self.ids.append(token)
        self._chances.append((before, chance))
        text = self._text()
        stops = [place for stop in self.request.stop if (place := text.find(stop)) >= 0]
        if stops:
            self.finish = FinishReason.STOP
            return self._piece(text[: min(stops)])
        if len(self.ids) == self.request.max_new_tokens:
            self.finish = FinishReason.LENGTH
            return self._piece(text)
        text = text.rstrip(HALF)
        return self._piece(text[: len(text) - self._num_held(text)])

    def _piece(self, text: str) -> Piece:
        """All of `text` that is not told yet, and the tokens that lie in it."""
        new, self._told = text[self._told :], max(self._told, len(text))
        is_last = self.finish is not None
        ready = [chance for start, chance in self._chances if start < len(text)]
        self._chances = [] if is_last else [pair for pair in self._chances if pair[0] >= len(text)]
        tokens = tuple(ready) if self.request.num_top is not None else ()
        return Piece(new, 1, tokens, self.finish)

    def _num_held(self, text: str) -> int:
        """The longest end of `text` that may begin a stop text."""
        return max((n for stop in self.request.stop for n in range(1, len(stop)) if text.endswith(stop[:n])), default=0)

    def _text(self) -> str:
        return self.renderer.decode(self.ids)
