"""One base model in vLLM's hands, many requests: a thread with an event loop of its own, a task for each of them.

At most `max_batch` requests are in vLLM at once, so that it is known here which ones run and which ones wait: those
are told to come back when the server stops, and leave without a trace when their client hangs up.
"""

import asyncio
import math
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from burnish.data import Renderer
from burnish.serve.engine.request import (
    EngineBusy,
    EngineClosed,
    EngineStats,
    FinishReason,
    GenerationRequest,
    LabelRequest,
    Piece,
    Ticket,
)
from burnish.serve.engine.saying import Saying
from burnish.serve.vllm_engine.labels import Opinion, most_likely
from burnish.serve.vllm_engine.words import MAX_TOP, Client, Told, chance, continuation, next_among

RETRY_AFTER_S = 2.0
LOOK_EVERY_S = 0.05
"""After clients who have hung up."""


class VllmEngine:
    """Answers requests about one base model, with any of its adapters."""

    def __init__(
        self, start: Callable[[], Awaitable[Client]], renderer: Renderer, *, max_batch: int, max_waiting: int
    ) -> None:
        self._renderer, self._max_batch, self._max_waiting = renderer, max_batch, max_waiting
        self._open: dict[asyncio.Task[None], Ticket] = {}
        self._running = set[asyncio.Task[None]]()
        self._room = asyncio.Semaphore(max_batch)
        self._watcher: asyncio.Task[None] | None = None
        self._lock = threading.Lock()
        self._num_open = 0
        self._is_closing = False
        self._prompt_tokens = self._cached_tokens = self._new_tokens = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="vllm", daemon=True)
        self._thread.start()
        try:
            self._client = self._run(_awaited(start))
        except BaseException:
            self._end_loop()
            raise
        self.max_length = self._client.max_length

    def submit(self, request: GenerationRequest | LabelRequest) -> Ticket:
        """Put a request in line; from a running event loop.

        Raises:
            EngineBusy: too many wait already.
            EngineClosed: the server stops.
        """
        ticket = Ticket()
        with self._lock:
            if self._is_closing:
                raise EngineClosed("the server is stopping")
            if self._num_open >= self._max_batch + self._max_waiting:
                raise EngineBusy(RETRY_AFTER_S)
            self._num_open += 1
            self._loop.call_soon_threadsafe(self._begin, request, ticket)
        return ticket

    def stats(self) -> EngineStats:
        """A look at the counters."""
        num_running = len(self._running)
        return EngineStats(
            num_running=num_running,
            num_waiting=max(0, self._num_open - num_running),
            prompt_tokens=self._prompt_tokens,
            cached_tokens=self._cached_tokens,
            new_tokens=self._new_tokens,
        )

    def close(self) -> None:
        """Finish what runs, refuse what waits."""
        with self._lock:
            self._is_closing = True
        self._run(self._finish())
        self._end_loop()

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _finish(self) -> None:
        for task, ticket in self._open.items():
            if task not in self._running:
                ticket.put(EngineClosed("the server is stopping"))
                task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        if self._watcher is not None:
            await self._watcher
        self._client.close()

    def _begin(self, request: GenerationRequest | LabelRequest, ticket: Ticket) -> None:
        task = self._loop.create_task(self._serve(request, ticket))
        self._open[task] = ticket
        task.add_done_callback(self._leave)
        if self._watcher is None or self._watcher.done():
            self._watcher = self._loop.create_task(self._watch())

    def _leave(self, task: asyncio.Task[None]) -> None:
        del self._open[task]
        with self._lock:
            self._num_open -= 1

    async def _watch(self) -> None:
        while self._open:
            for task, ticket in self._open.items():
                if ticket.is_cancelled:
                    task.cancel()
            await asyncio.sleep(LOOK_EVERY_S)

    async def _serve(self, request: GenerationRequest | LabelRequest, ticket: Ticket) -> None:
        task = asyncio.current_task()
        assert task is not None
        async with self._room:
            self._running.add(task)
            try:
                self._prompt_tokens += len(request.prompt_ids)
                if isinstance(request, LabelRequest):
                    await self._choose(request, ticket)
                else:
                    await self._generate(request, ticket)
            except Exception as error:  # told to whoever asked; the others go on
                ticket.put(error)
            finally:
                self._running.discard(task)

    async def _choose(self, request: LabelRequest, ticket: Ticket) -> None:
        async def read(path: tuple[int, ...], token_ids: frozenset[int]) -> Opinion:
            told = await self._first(request, (*request.prompt_ids, *path), token_ids, MAX_TOP)
            return Opinion(told.likely[0], min(told.likely[0].values()))

        ticket.put(await most_likely(request.label_ids, read))

    async def _generate(self, request: GenerationRequest, ticket: Ticket) -> None:
        if request.grammar is not None:  # vLLM tells probabilities among what the grammar allows, which are too high
            request = replace(request, tells_probability=False)
        saying = Saying(request, self._renderer.decode, self._renderer.end_of_turn_ids)
        if request.echoes_prompt:
            await self._echo_first(request, saying)
        if request.max_new_tokens == 0:
            await self._echo_rest(request, saying)
            ticket.put(saying.end(FinishReason.LENGTH))
            return
        num_cached = 0
        asked = continuation(request, self._renderer.end_of_turn_ids)
        async with aclosing(self._client.generate(request.prompt_ids, asked, request.adapter)) as parts:
            async for told in parts:
                if told.prompt_likely:
                    _echo(request, told, saying)
                self._cached_tokens += told.num_cached
                num_cached += told.num_cached
                for piece in _pieces(request, told, saying):
                    self._new_tokens += piece.num_tokens
                    ticket.put(replace(piece, num_cached=num_cached))
                    num_cached = 0
                    if piece.finish is not None:
                        return

    async def _echo_first(self, request: GenerationRequest, saying: Saying) -> None:
        """How likely the prompt's first token begins a text."""
        first, num_top = request.prompt_ids[0], request.num_top or 0
        told = await self._first(request, (self._renderer.start_id,), {first}, num_top)
        saying.echo([chance(first, told.likely[0], num_top)])

    async def _echo_rest(self, request: GenerationRequest, saying: Saying) -> None:
        """The others, where no answer is wanted: the last one is then the one that may come."""
        *before, last = request.prompt_ids
        if not request.echoes_prompt or not before:
            return
        num_top = request.num_top or 0
        told = await self._first(request, tuple(before), {last}, num_top, tells_prompt=True)
        _echo(request, told, saying)
        saying.echo([chance(last, told.likely[0], num_top)])

    async def _first(
        self,
        request: GenerationRequest | LabelRequest,
        prompt_ids: tuple[int, ...],
        token_ids: frozenset[int] | set[int],
        num_top: int,
        *,
        tells_prompt: bool = False,
    ) -> Told:
        """The likeliest of `token_ids` behind a prompt."""
        asked = next_among(token_ids, num_top=num_top, tells_prompt=tells_prompt)
        async with aclosing(self._client.generate(prompt_ids, asked, request.adapter)) as parts:
            return await anext(parts)


async def _awaited(start: Callable[[], Awaitable[Client]]) -> Client:
    return await start()


def _echo(request: GenerationRequest, told: Told, saying: Saying) -> None:
    tokens = request.prompt_ids[1 : 1 + len(told.prompt_likely)]
    pairs = zip(tokens, told.prompt_likely, strict=True)
    saying.echo([chance(token, likely, request.num_top or 0) for token, likely in pairs])


def _pieces(request: GenerationRequest, told: Told, saying: Saying) -> list[Piece]:
    """What these tokens let be said, up to the end of the answer."""
    pieces = list[Piece]()
    for i, token in enumerate(told.token_ids):
        chances = [] if request.num_top is None else [chance(token, told.likely[i], request.num_top)]
        sure = told.likely[i].get(token, -math.inf) if request.tells_probability else 0.0
        if (piece := saying.take(token, chances, sure)) is not None:
            pieces.append(piece)
            if piece.finish is not None:
                return pieces
    if told.is_last:
        pieces.append(saying.end(FinishReason.STOP))
    return pieces
