"""What a base model writes by itself, kept between runs: answers to prompts, and texts that it goes on with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from burnish.cache import read_cached_json, write_cached_json
from burnish.conversation import Conversation
from burnish.data import RenderedExample, Renderer
from burnish.files import sha256_of_json
from burnish.generate.decode import decode

Ids = Sequence[int]


@dataclass(frozen=True)
class Writing:
    """Beginnings, and how the base goes on with them."""

    starts: Sequence[tuple[str, Ids]] = field(repr=False)
    """The id and the tokens of each."""
    limit: int
    """Tokens that are written behind each, at most."""
    seed: int | None = None
    """Of the draws; None for greedily."""
    is_text: bool = False
    """Whether all tokens but the first are scored; else those that the base wrote."""

    def path(self, cache: Path, fingerprint: str) -> Path:
        """Where it is kept."""
        ids = [list(start) for _, start in self.starts]
        parts = [fingerprint, ids, self.limit]
        return cache / "base_answers" / f"{sha256_of_json(parts if self.seed is None else [*parts, self.seed])}.json"

    def examples(self, written: Sequence[Ids]) -> list[RenderedExample]:
        """With what was written behind each start."""
        if self.is_text:
            return [as_text(name, (*start, *own)) for (name, start), own in zip(self.starts, written, strict=True)]
        return [
            RenderedExample(name, (*start, *own), (False,) * len(start) + (True,) * len(own), len(start))
            for (name, start), own in zip(self.starts, written, strict=True)
        ]


def answers_to(prompts: Sequence[tuple[str, Conversation]], renderer: Renderer, limit: int) -> Writing:
    """Greedy answers to conversations, all of whose tokens are scored."""
    return Writing([(name, renderer.prompt_ids(prompt)) for name, prompt in prompts], limit)


def texts_behind(openings: Sequence[dict[str, str]], renderer: Renderer, limit: int) -> Writing:
    """Texts behind openings, drawn by the base's probabilities."""
    return Writing([(row["id"], renderer.ids(row["text"])) for row in openings], limit, seed=0, is_text=True)


def write(
    model: Any,
    renderer: Renderer,
    writing: Writing,
    *,
    batch_size: int,
    cache: Path,
    fingerprint: str,
    on_done: Callable[[int], None] = lambda count: None,
) -> list[RenderedExample]:
    """What the model writes, an answer with its end-of-turn token; kept in `cache`."""
    path = writing.path(cache, fingerprint)
    if known := read_cached_json(path):
        return writing.examples(known["answers"])
    generations = decode(
        model,
        [list(start) for _, start in writing.starts],
        max_new_tokens=writing.limit,
        end_ids=renderer.end_of_turn_ids,
        batch_size=batch_size,
        chance=None if writing.seed is None else torch.Generator().manual_seed(writing.seed),
        on_done=on_done,
    )
    end = renderer.end_of_turn_id
    written = [[*g.token_ids, *([end] if g.has_ended else [])] for g in generations]
    write_cached_json(path, {"answers": written})
    return writing.examples(written)


def expect(writing: Writing, *, cache: Path, fingerprint: str) -> tuple[list[RenderedExample], bool]:
    """The same without a model, and whether it is known: if nothing is kept, as if each were written to its limit."""
    path = writing.path(cache, fingerprint)
    if known := read_cached_json(path):
        return writing.examples(known["answers"]), True
    return writing.examples([[0] * writing.limit for _ in writing.starts]), False


def as_text(name: str, ids: Ids) -> RenderedExample:
    """A text without a prompt, all of whose tokens but the first are scored."""
    return RenderedExample(name, tuple(ids), (False, *(True,) * (len(ids) - 1)), 1)
