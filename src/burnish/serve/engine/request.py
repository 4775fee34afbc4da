"""What the engine is asked, and what it says: the words between the wire and the weights."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol


class FinishReason(StrEnum):
    """Why an answer ended."""

    STOP = "stop"
    LENGTH = "length"


@dataclass(frozen=True)
class AdapterRef:
    """An adapter by name and place; the name changes whenever the weights do."""

    name: str
    folder: Path


@dataclass(frozen=True, kw_only=True)
class SamplingParams:
    """How the next token is drawn; the defaults take the most likely one."""

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    """Only the likeliest so many tokens are drawn; 0: all."""
    min_p: float = 0.0
    """Only tokens at least so likely as this share of the likeliest one's probability."""
    seed: int | None = None
    """Of the draws; equal requests with equal seeds get equal answers. None: another one each time."""
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class GenerationRequest:
    """A prompt to be continued."""

    prompt_ids: tuple[int, ...]
    max_new_tokens: int
    adapter: AdapterRef | None = None
    sampling: SamplingParams = SamplingParams()
    stop: tuple[str, ...] = ()
    """Texts that end the answer; not part of it."""
    grammar: str | None = None
    """What the answer must fit, for llguidance; see `engine.grammar`."""
    num_top: int | None = None
    """How many likely tokens are told beside each chosen one; None: no probabilities at all."""
    tells_probability: bool = False
    """Whether the last piece tells the model's probability of the whole answer."""
    echoes_prompt: bool = False
    """Whether the first piece tells the prompt's own tokens with their probabilities (needs `num_top`)."""
    ends_turn: bool = True
    """Whether the end-of-turn token ends the answer."""


@dataclass(frozen=True)
class TokenChance:
    """A token, and how likely the model found it, in nats, before temperature and bias."""

    token_id: int
    log_probability: float
    """Of the first token of a prompt, which nothing comes before: that it begins a text."""
    top: tuple[tuple[int, float], ...] = ()
    """The likeliest tokens at its place, the likeliest first."""


@dataclass(frozen=True)
class Piece:
    """The next part of an answer: whole characters, never a part of a stop text."""

    text: str
    num_tokens: int
    """Generated since the last piece, the end-of-turn token included."""
    tokens: tuple[TokenChance, ...] = ()
    """Where probabilities were asked for: the tokens whose text this piece completes."""
    finish: FinishReason | None = None
    """In the last piece, and only there."""
    num_cached: int = 0
    """In the first piece: tokens of the prompt that were read from an earlier one."""
    probability: float | None = None
    """In the last piece, where it was asked for: of exactly this answer, before temperature and grammar."""


@dataclass(frozen=True, kw_only=True)
class LabelRequest:
    """A prompt to be answered by the most likely of some labels."""

    prompt_ids: tuple[int, ...]
    label_ids: tuple[tuple[int, ...], ...]
    """Each with its end-of-turn token."""
    adapter: AdapterRef | None = None


@dataclass(frozen=True)
class LabelAnswer:
    """The most likely label, and the model's probability of exactly it."""

    index: int
    probability: float


class EngineBusy(Exception):  # noqa: N818  (an event, not an error)
    """Too many requests wait already."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"too many requests wait; come back in {retry_after_s:.0f} s")
        self.retry_after_s = retry_after_s


class EngineClosed(Exception):  # noqa: N818  (an event, not an error)
    """The server stops; the request was not begun."""


class Ticket:
    """A request on its way: what the engine's thread says is read in the event loop that made it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[Piece | LabelAnswer | Exception] = asyncio.Queue()
        self.is_cancelled = False

    def put(self, what: Piece | LabelAnswer | Exception) -> None:
        """From the engine's thread: the next thing to say."""
        try:
            self._loop.call_soon_threadsafe(self._queue.put_nowait, what)
        except RuntimeError:  # the loop is closed: nobody listens any more
            self.cancel()

    def cancel(self) -> None:
        """Nobody waits any more; the engine drops the request at its next step."""
        self.is_cancelled = True

    async def pieces(self) -> AsyncIterator[Piece]:
        """The answer, part by part; what went wrong in the engine is raised. Leaving early cancels the request."""
        try:
            while True:
                piece = await self._queue.get()
                if isinstance(piece, Exception):
                    raise piece
                assert isinstance(piece, Piece)
                yield piece
                if piece.finish is not None:
                    return
        finally:
            self.cancel()

    async def label(self) -> LabelAnswer:
        """The answer to a `LabelRequest`."""
        try:
            answer = await self._queue.get()
            if isinstance(answer, Exception):
                raise answer
            assert isinstance(answer, LabelAnswer)
            return answer
        finally:
            self.cancel()


@dataclass(frozen=True)
class EngineStats:
    """What an engine has done and does, for the metrics page."""

    num_running: int
    num_waiting: int
    prompt_tokens: int
    cached_tokens: int
    new_tokens: int
    num_steps: int | None = None
    """None, here and below, where the engine does not tell."""
    adapter_bytes: int | None = None
    prefix_bytes: int | None = None


class AnswersRequests(Protocol):
    """What the wire needs of an engine."""

    @property
    def max_length(self) -> int:
        """The longest prompt with its answer, in tokens."""

    def submit(self, request: GenerationRequest | LabelRequest) -> Ticket:
        """Put a request in line; from a running event loop.

        Raises:
            EngineBusy: too many wait already.
            EngineClosed: the server stops.
        """

    def stats(self) -> EngineStats:
        """A look at the counters."""

    def close(self) -> None:
        """Finish what runs, refuse what waits."""
