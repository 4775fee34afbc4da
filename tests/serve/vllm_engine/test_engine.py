"""Through vLLM's words the tiny model answers as it does in burnish's own engine."""

import asyncio
import threading
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from burnish.errors import AdapterError, BaseModelError
from burnish.serve.engine.request import (
    AnswersRequests,
    EngineBusy,
    EngineClosed,
    FinishReason,
    GenerationRequest,
    LabelRequest,
    Piece,
    SamplingParams,
)
from burnish.serve.vllm_engine.engine import VllmEngine
from tests.serve.engine.engines import END, RENDERER, engine, prompt, run, save_adapter
from tests.serve.vllm_engine.stand_in import TinyClient, vllm_engine


def asked(text: str, tokens: int = 12, **changes: Any) -> GenerationRequest:
    return GenerationRequest(prompt_ids=prompt(text), max_new_tokens=tokens, **changes)


async def answer(made: AnswersRequests, request: GenerationRequest | LabelRequest) -> Any:
    """A label, or the whole answer as one piece."""
    ticket = made.submit(request)
    if isinstance(request, LabelRequest):
        found = await ticket.label()
        return found.index, pytest.approx(found.probability, rel=1e-4)
    pieces = [piece async for piece in ticket.pieces()]
    assert all(piece.finish is None for piece in pieces[:-1])
    return _whole(pieces)


def _whole(pieces: list[Piece]) -> Any:
    tokens = [
        (told.token_id, pytest.approx(told.log_probability, abs=1e-4), [token for token, _ in told.top])
        for piece in pieces
        for told in piece.tokens
    ]
    sure = pieces[-1].probability
    told = None if sure is None else pytest.approx(sure, rel=1e-3)
    return "".join(piece.text for piece in pieces), sum(p.num_tokens for p in pieces), told, tokens, pieces[-1].finish


def answers(made: AnswersRequests, requests: list[GenerationRequest | LabelRequest]) -> list[Any]:
    async def all_at_once() -> list[Any]:
        return list(await asyncio.gather(*(answer(made, request) for request in requests)))

    return list(run(all_at_once()))


def test_it_answers_as_burnishs_own_engine_does(tmp_path: Path) -> None:
    adapters = (None, save_adapter(tmp_path, 1), save_adapter(tmp_path, 2, rank=2, target_modules=["q_proj"]))
    labels = tuple((*prompt(text), END) for text in ("ab", "abc", "b", "ba", "bad", "zebra", "zero"))
    requests: list[GenerationRequest | LabelRequest] = []
    for adapter in adapters:
        requests += [
            asked("one", adapter=adapter),
            asked("two, with chances", adapter=adapter, num_top=3),
            asked("three, told and gone on with", tokens=5, adapter=adapter, num_top=2, echoes_prompt=True),
            asked("four, told alone", tokens=0, adapter=adapter, num_top=2, echoes_prompt=True),
            asked("5", tokens=0, adapter=adapter, num_top=0, echoes_prompt=True),
            asked("five, and how sure", adapter=adapter, tells_probability=True),
            asked("six, nothing at all", tokens=0, adapter=adapter),
            asked("seven, past the end", tokens=20, adapter=adapter, ends_turn=False),
            asked("eight", adapter=adapter, sampling=SamplingParams(logit_bias={prompt("a")[0]: 100.0})),
            LabelRequest(prompt_ids=prompt("eight"), label_ids=labels, adapter=adapter),
        ]
    with engine() as own:
        expected = answers(own, requests)
        text = expected[0][0]
        stopped = replace(requests[0], stop=(text[5:7],))
        expected += answers(own, [stopped])
    assert [told for _, _, told, *_ in (e for e in expected if len(e) > 2) if told is not None]
    with vllm_engine() as (made, client):
        assert answers(made, [*requests, stopped]) == expected
        assert made.max_length == 2048
    told = made.stats()
    assert expected[-1][0] == text[: text.index(text[5:7])] and expected[-1][-1] is FinishReason.STOP
    assert (told.num_running, told.num_waiting, client.num_open) == (0, 0, 0)
    assert told.prompt_tokens == sum(len(request.prompt_ids) for request in [*requests, stopped])
    assert told.num_steps is None  # vLLM does not tell


def test_who_leaves_early_makes_room_and_a_full_line_sends_away() -> None:
    async def leave(made: VllmEngine, client: TinyClient) -> Any:
        endless = asked("on and on", tokens=2000, ends_turn=False)
        first, second = made.submit(endless), made.submit(endless)
        assert await anext(first.pieces())
        third = made.submit(asked("next"))
        with pytest.raises(EngineBusy):
            made.submit(asked("one too many"))
        first.cancel()
        second.cancel()  # it waits, and never begins
        pieces = [piece async for piece in third.pieces()]
        return pieces, client.num_tokens

    with vllm_engine(max_batch=1, max_waiting=2) as (made, client):
        pieces, num_tokens = run(leave(made, client))
    assert pieces[-1].finish is not None and num_tokens < 2000
    assert client.num_open == 0


def test_closing_finishes_what_runs_and_refuses_what_waits() -> None:
    async def close(made: VllmEngine, client: TinyClient) -> list[Piece]:
        client.hold()
        running, waiting = made.submit(asked("runs", ends_turn=False)), made.submit(asked("waits"))
        while made.stats().num_running == 0:
            await asyncio.sleep(0.01)
        closing = threading.Thread(target=made.close)
        closing.start()
        with pytest.raises(EngineClosed):
            await anext(waiting.pieces())
        client.go_on()
        pieces = [piece async for piece in running.pieces()]
        await asyncio.to_thread(closing.join)
        with pytest.raises(EngineClosed):
            made.submit(asked("too late"))
        return pieces

    with vllm_engine(max_batch=1) as (made, client):
        pieces = run(close(made, client))
        assert client.is_closed
    assert sum(piece.num_tokens for piece in pieces) == 12


def test_a_fault_is_told_to_its_own_request_alone() -> None:
    class Picky(TinyClient):
        def generate(self, prompt_ids: tuple[int, ...], *rest: Any) -> AsyncGenerator[Any, None]:
            if prompt_ids == prompt("bad"):
                raise AdapterError("it cannot be read")
            return super().generate(prompt_ids, *rest)

    async def start() -> TinyClient:
        return Picky()

    async def ask(made: VllmEngine) -> Any:
        bad, good = made.submit(asked("bad")), made.submit(asked("good"))
        with pytest.raises(AdapterError, match="cannot be read"):
            await anext(bad.pieces())
        return [piece async for piece in good.pieces()]

    made = VllmEngine(start, RENDERER, max_batch=2, max_waiting=2)
    assert run(ask(made))[-1].finish is not None
    made.close()


def test_a_base_that_does_not_start_is_told_and_leaves_no_thread() -> None:
    async def start() -> TinyClient:
        raise BaseModelError("no room")

    with pytest.raises(BaseModelError, match="no room"):
        VllmEngine(start, RENDERER, max_batch=1, max_waiting=1)
    assert "vllm" not in {thread.name for thread in threading.enumerate()}
