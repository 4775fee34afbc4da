"""One base model, many requests: a thread that feeds all of them together, pass after pass.

A pass feeds the next token of each answer, the next part of prompts that are still read, and nodes of labels' trees;
each token with its own adapter. Requests come and go between passes.
"""

import heapq
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from burnish.data import Renderer
from burnish.errors import BaseModelError
from burnish.model.attention import can_pack
from burnish.serve.engine.choice import Choice
from burnish.serve.engine.generation import Generation
from burnish.serve.engine.grammar import Follower
from burnish.serve.engine.mixed import MixedAdapters
from burnish.serve.engine.pool import AdapterPool
from burnish.serve.engine.prefixes import BLOCK, PrefixCache
from burnish.serve.engine.request import (
    EngineBusy,
    EngineClosed,
    EngineStats,
    GenerationRequest,
    LabelRequest,
    Piece,
    Ticket,
)
from burnish.serve.engine.saying import Saying
from burnish.serve.engine.slots import PassLayout, Segment, Slots, slot_attention

PROMPT_TOKENS_PER_PASS = 256
"""Of all prompts together: more would let those who wait for their next token wait longer."""
RETRY_AFTER_S = 2.0
IDLE_BYTES = 2**28
"""Of keys and values that are kept for the next requests where none is at work."""


@dataclass(eq=False)
class _AtWork:
    """A request that has a slot."""

    request: GenerationRequest | LabelRequest
    ticket: Ticket
    work: Generation | Choice
    slot: int
    num_read: int = 0
    num_cached: int = 0

    @property
    def adapter(self) -> str | None:
        return self.request.adapter.name if self.request.adapter else None

    @property
    def num_unread(self) -> int:
        """Tokens that are known but not read: more than one while it is a prompt that is read."""
        return len(self.work.ids) - self.num_read

    @property
    def wants_all(self) -> bool:
        """Whether every token of the prompt has to be read, for its logits."""
        return isinstance(self.request, GenerationRequest) and self.request.echoes_prompt


class Engine:
    """Answers requests about one base model, with any of its adapters."""

    def __init__(
        self,
        model: Any,
        renderer: Renderer,
        *,
        max_length: int,
        max_batch: int,
        max_waiting: int,
        adapter_bytes: int,
        prefix_bytes: int,
    ) -> None:
        if not can_pack(model):
            raise BaseModelError("this base model does not attend through transformers' interface; it is not served.")
        self.max_length = max_length
        self._model, self._renderer, self._max_waiting = model, renderer, max_waiting
        self._slots = Slots()
        self._free = list(range(max_batch))
        self._pool = AdapterPool(adapter_bytes, dtype=model.dtype, device=model.device)
        self._mixed = MixedAdapters(model)
        self._prefixes = PrefixCache(prefix_bytes)
        self._at_work: list[_AtWork] = []
        self._waiting: deque[tuple[GenerationRequest | LabelRequest, Ticket]] = deque()
        self._changed = threading.Condition()
        self._is_closing = False
        self._prompt_tokens = self._cached_tokens = self._new_tokens = self._num_passes = 0
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    def submit(self, request: GenerationRequest | LabelRequest) -> Ticket:
        """Put a request in line; from a running event loop.

        Raises:
            EngineBusy: too many wait already.
            EngineClosed: the server stops.
        """
        ticket = Ticket()
        with self._changed:
            if self._is_closing:
                raise EngineClosed("the server is stopping")
            if len(self._waiting) >= self._max_waiting:
                raise EngineBusy(RETRY_AFTER_S)
            self._waiting.append((request, ticket))
            self._changed.notify()
        return ticket

    def stats(self) -> EngineStats:
        """A look at the counters."""
        return EngineStats(
            num_running=len(self._at_work),
            num_waiting=len(self._waiting),
            prompt_tokens=self._prompt_tokens,
            cached_tokens=self._cached_tokens,
            new_tokens=self._new_tokens,
            num_steps=self._num_passes,
            adapter_bytes=self._pool.num_bytes,
            prefix_bytes=self._prefixes.num_bytes,
        )

    def close(self) -> None:
        """Finish what runs, refuse what waits."""
        with self._changed:
            self._is_closing = True
            for _, ticket in self._waiting:
                ticket.put(EngineClosed("the server is stopping"))
            self._waiting.clear()
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        with torch.inference_mode(), slot_attention(self._model):
            while self._wait():
                self._admit()
                if self._at_work:
                    self._step()

    def _wait(self) -> bool:
        """Until there is something to do; False once there never will be."""
        with self._changed:
            while not (self._at_work or self._waiting):
                if self._is_closing:
                    return False
                self._changed.wait()
            return True

    def _admit(self) -> None:
        """Give free slots to those who wait, first come, first served."""
        while self._free:
            with self._changed:
                if not self._waiting:
                    return
                request, ticket = self._waiting.popleft()
            if ticket.is_cancelled:
                continue
            try:
                self._begin(request, ticket)
            except Exception as error:  # of this request alone: an adapter that cannot be read, a bad grammar
                ticket.put(error)

    def _begin(self, request: GenerationRequest | LabelRequest, ticket: Ticket) -> None:
        begun = _AtWork(request, ticket, self._work_of(request), self._free[0])
        if request.adapter is not None:
            adapter = self._pool.get(request.adapter)
            self._mixed.place(request.adapter.name, adapter, [other.adapter for other in self._at_work])
        heapq.heappop(self._free)  # the lowest, so that few slots take little memory
        self._at_work.append(begun)
        ids = begun.work.ids
        self._slots.reserve(begun.slot + 1, len(ids))
        self._prompt_tokens += len(ids)

    def _work_of(self, request: GenerationRequest | LabelRequest) -> Generation | Choice:
        if isinstance(request, LabelRequest):
            return Choice(request)
        follower = Follower(self._renderer, request.grammar) if request.grammar is not None else None
        saying = Saying(request, self._renderer.decode, self._renderer.end_of_turn_ids)
        return Generation(request, saying, start_id=self._renderer.start_id, follower=follower)

    def _step(self) -> None:
        for gone in [each for each in self._at_work if each.ticket.is_cancelled]:
            self._leave(gone)
        if not self._at_work:
            return
        fed = self._segments()
        try:
            logits = self._forward([(each.adapter, segment) for each, segment in fed])
        except Exception as error:  # nobody may wait for ever: each is told, and the next ones are served
            for each in list(self._at_work):
                self._fail(each, error)
            return
        for (each, segment), logits_WV in zip(fed, logits, strict=True):
            try:
                self._take(each, segment, logits_WV)
            except Exception as error:  # of this request alone: a grammar that can no longer be followed
                self._fail(each, error)

    def _segments(self) -> list[tuple[_AtWork, Segment]]:
        """Of each request what it is fed in this pass."""
        readers = self._readers()
        left, share = PROMPT_TOKENS_PER_PASS, max(BLOCK, PROMPT_TOKENS_PER_PASS // max(1, len(readers)))
        fed = list[tuple[_AtWork, Segment]]()
        for each in self._at_work:
            is_reading = each.num_unread > 1
            if is_reading and (left <= 0 or each not in readers):
                continue
            segment = each.work.next_segment(each.slot, each.num_read, min(left, share) if is_reading else 1)
            left -= len(segment.input_ids) if is_reading else 0
            fed.append((each, segment))
        return fed

    def _readers(self) -> list[_AtWork]:
        """Who reads a prompt in this pass; not who will find the next of it read by another."""
        readers = list[_AtWork]()
        for each in self._at_work:
            if each.num_unread > 1:
                self._catch_up(each)
                if each.num_unread > 1 and not any(_reads_the_same(each, other) for other in readers):
                    readers.append(each)
        return readers

    def _catch_up(self, each: _AtWork) -> None:
        """Take over what others have read of the same prompt."""
        if each.wants_all:
            return
        before, ids = each.num_read, each.work.ids
        each.num_read = self._prefixes.fill(self._slots, each.slot, each.adapter, ids, before)
        each.num_cached += each.num_read - before
        self._cached_tokens += each.num_read - before

    def _forward(self, fed: Sequence[tuple[str | None, Segment]]) -> list[Tensor]:
        """For each segment the logits that are wanted of it, [W, V] in fp32."""
        segments, device = tuple(segment for _, segment in fed), self._model.device
        self._slots.reserve(0, max(segment.end for segment in segments))
        ids = torch.tensor([[token for segment in segments for token in segment.input_ids]], device=device)
        positions = torch.tensor([[place for segment in segments for place in segment.position_ids]], device=device)
        wanted = [is_wanted for segment in segments for is_wanted in segment.is_wanted]
        with ExitStack() as stack:
            stack.enter_context(self._mixed.at_work([(name, len(segment.input_ids)) for name, segment in fed]))
            logits_1WV: Tensor = self._model(
                input_ids=ids,
                position_ids=positions,
                use_cache=False,
                logits_to_keep=torch.tensor(wanted, device=device).nonzero().flatten(),
                pass_layout=PassLayout(self._slots, segments, device),
            ).logits
        self._num_passes += 1
        return list(torch.split(logits_1WV[0].float(), [sum(segment.is_wanted) for segment in segments]))

    def _take(self, each: _AtWork, segment: Segment, logits_WV: Tensor) -> None:
        was_reading = each.num_unread > 1
        if not segment.is_trial:
            each.num_read = segment.end
        if was_reading:
            self._prefixes.keep(self._slots, each.slot, each.adapter, each.work.ids[: each.num_read])
        said = each.work.take(segment, logits_WV)
        if isinstance(said, Piece):
            self._new_tokens += said.num_tokens
            if each.num_cached:
                said, each.num_cached = replace(said, num_cached=each.num_cached), 0
        if said is not None:
            each.ticket.put(said)
        if isinstance(said, Piece) and said.finish is None:
            return
        if said is not None:
            self._leave(each)

    def _fail(self, each: _AtWork, error: Exception) -> None:
        each.ticket.put(error)
        each.num_read = 0  # what its slot holds is not kept
        self._leave(each)

    def _leave(self, each: _AtWork) -> None:
        self._prefixes.keep(self._slots, each.slot, each.adapter, each.work.ids[: each.num_read])
        self._at_work.remove(each)
        heapq.heappush(self._free, each.slot)
        if not self._at_work and self._slots.num_bytes > IDLE_BYTES:
            self._slots.forget()


def _reads_the_same(each: _AtWork, other: _AtWork) -> bool:
    """Whether the next block of `each` is about to be read by another, so that it will be there to be taken over."""
    end = each.num_read + BLOCK
    same = each.adapter == other.adapter and each.work.ids[:end] == other.work.ids[:end]
    return same and end < len(each.work.ids) and not each.wants_all
