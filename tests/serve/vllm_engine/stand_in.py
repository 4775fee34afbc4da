"""The tiny model asked as vLLM is: what its documentation says of each word, greedily, without vLLM."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from burnish.serve.engine.request import AdapterRef
from burnish.serve.vllm_engine.engine import VllmEngine
from burnish.serve.vllm_engine.words import Asked, Told
from tests.serve.engine.engines import RENDERER, with_adapter


class TinyClient:
    """One token a time, each with the whole sequence through the model."""

    max_length = 2048

    def __init__(self) -> None:
        self._models: dict[AdapterRef | None, Any] = {}
        self.num_open = self.num_tokens = 0
        self._loop, self._may_go_on = asyncio.get_running_loop(), asyncio.Event()
        self._may_go_on.set()
        self.is_closed = False

    def hold(self) -> None:
        """From another thread: let no token come until `go_on`."""
        self._loop.call_soon_threadsafe(self._may_go_on.clear)

    def go_on(self) -> None:
        self._loop.call_soon_threadsafe(self._may_go_on.set)

    async def generate(
        self, prompt_ids: tuple[int, ...], asked: Asked, adapter: AdapterRef | None
    ) -> AsyncGenerator[Told, None]:
        assert asked.temperature == 0 and asked.grammar is None
        if adapter not in self._models:
            self._models[adapter] = with_adapter(adapter)
        ids, self.num_open = list(prompt_ids), self.num_open + 1
        try:
            for i in range(asked.max_tokens):
                await self._may_go_on.wait()
                await asyncio.sleep(0)
                told = self._next(self._models[adapter], ids, asked, is_first=i == 0, is_last=i + 1 == asked.max_tokens)
                ids += told.token_ids
                yield told
                if told.is_last:
                    return
        finally:
            self.num_open -= 1

    @torch.no_grad()
    def _next(self, model: Any, ids: list[int], asked: Asked, *, is_first: bool, is_last: bool) -> Told:
        self.num_tokens += 1
        chances_TV = model(input_ids=torch.tensor([ids])).logits[0].float().log_softmax(-1)
        allowed_V = chances_TV[-1].clone()
        if asked.allowed_token_ids:
            allowed_V[[token for token in range(len(allowed_V)) if token not in asked.allowed_token_ids]] = -torch.inf
        for token, bias in asked.logit_bias.items():
            allowed_V[token] += bias
        token = int(allowed_V.argmax())
        rows = zip(ids[1:], chances_TV, strict=False)
        return Told(
            (token,),
            () if asked.num_top is None else (_likely(chances_TV[-1], token, asked.num_top),),
            tuple(_likely(row_V, own, asked.num_top or 0) for own, row_V in rows)
            if asked.tells_prompt and is_first
            else (),
            is_last=is_last or token in asked.stop_token_ids,
        )

    def close(self) -> None:
        self.is_closed = True


@contextmanager
def vllm_engine(**changes: Any) -> Iterator[tuple[VllmEngine, TinyClient]]:
    clients = list[TinyClient]()

    async def start() -> TinyClient:
        clients.append(TinyClient())
        return clients[0]

    made = VllmEngine(start, RENDERER, **{"max_batch": 16, "max_waiting": 64, **changes})
    try:
        yield made, clients[0]
    finally:
        if not clients[0].is_closed:
            made.close()


def _likely(chances_V: Tensor, own: int, num_top: int) -> Mapping[int, float]:
    values, ids = chances_V.topk(num_top)
    return {**dict(zip(ids.tolist(), values.tolist(), strict=True)), own: float(chances_V[own])}
