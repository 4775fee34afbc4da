"""Engines on the tiny model, and the same answers found without one."""

import asyncio
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from burnish.data import Renderer
from burnish.model.adapter import attach_adapter
from burnish.serve.engine.engine import Engine
from burnish.serve.engine.request import AdapterRef, GenerationRequest, LabelAnswer, LabelRequest, Piece
from tests.tiny import build_model, build_tokenizer, randomize_adapter

END = 256
RENDERER = Renderer(build_tokenizer(), frozenset({END}))


@contextmanager
def engine(model: Any | None = None, **changes: Any) -> Iterator[Engine]:
    sizes: dict[str, Any] = {
        "max_length": 2048,
        "max_batch": 16,
        "max_waiting": 64,
        "adapter_bytes": 2**20,
        "prefix_bytes": 2**24,
    }
    made = Engine(model if model is not None else build_model(), RENDERER, **{**sizes, **changes})
    try:
        yield made
    finally:
        made.close()


def save_adapter(folder: Path, seed: int, *, rank: int = 4, target_modules: Any = "all-linear") -> AdapterRef:
    """A random adapter of the tiny model."""
    model = attach_adapter(
        build_model(), rank=rank, alpha=8, dropout=0, target_modules=target_modules, seed=seed, in_place=False
    )
    randomize_adapter(model, torch.float64, seed)
    model.save_pretrained(folder / f"adapter-{seed}", safe_serialization=True)
    return AdapterRef(f"adapter-{seed}", folder / f"adapter-{seed}")


def with_adapter(ref: AdapterRef | None) -> Any:
    """The tiny model as peft itself adapts it."""
    from peft import PeftModel

    if ref is None:
        return build_model()
    return PeftModel.from_pretrained(build_model(), str(ref.folder), autocast_adapter_dtype=False).eval()


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


async def pieces_of(made: Engine, request: GenerationRequest) -> list[Piece]:
    return [piece async for piece in made.submit(request).pieces()]


async def answers_of(made: Engine, requests: Sequence[GenerationRequest | LabelRequest]) -> list[Any]:
    """All at once: texts, and choices of labels."""

    async def one(request: GenerationRequest | LabelRequest) -> str | LabelAnswer:
        if isinstance(request, LabelRequest):
            return await made.submit(request).label()
        return "".join(piece.text for piece in await pieces_of(made, request))

    return await asyncio.gather(*map(one, requests))


def prompt(text: str) -> tuple[int, ...]:
    return tuple(RENDERER.ids(text))
