"""Prompts -> labels: the most likely label under the model, found without scoring every one.

The labels' tokens, each closed by the end-of-turn token, form a trie. A label's log-probability is the sum over its
path, and no sum grows along the way, so a best-first search may stop at the first leaf that it reaches: the answer
is the one that scoring each label separately would give.
"""

import heapq
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from burnish.generate.prompts import FilledCache, extend, read_prompts

Path = tuple[int, ...]


@dataclass(frozen=True)
class LabelChoice:
    """The most likely label of one prompt."""

    label_index: int
    log_probability: float
    """Of the label with its end-of-turn token, nats."""
    latency_s: float
    """From the start of its batch to the choice."""


@torch.no_grad()
def choose_labels(
    model: Any,
    prompts: Sequence[Sequence[int]],
    labels: Sequence[Sequence[int]],
    *,
    pad_id: int,
    batch_size: int,
    on_done: Callable[[int], None] = lambda count: None,
) -> list[LabelChoice]:
    """The most likely of `labels` (token ids with the end-of-turn token) after each prompt, in order."""
    trie = _build_trie(labels)
    choices: dict[int, LabelChoice] = {}
    start = time.perf_counter()
    for chosen, filled in read_prompts(model, prompts, batch_size=batch_size, pad_id=pad_id):
        searches = {row: _Search(trie) for row in range(len(chosen))}
        for row, search in searches.items():
            search.expand((), filled.logits_BV[row])
        while searches:
            wanted: dict[int, Path] = {}
            for row, search in list(searches.items()):
                log_probability, path = search.best()
                if path in trie.leaves:
                    elapsed = time.perf_counter() - start
                    choices[chosen[row]] = LabelChoice(trie.leaves[path], log_probability, elapsed)
                    del searches[row]
                else:
                    wanted[row] = path
            if wanted:
                logits = _logits_after(model, filled, wanted, pad_id)
                for row, path in wanted.items():
                    searches[row].expand(path, logits[row])
        on_done(len(chosen))
        start = time.perf_counter()
    return [choices[i] for i in range(len(prompts))]


@dataclass(frozen=True)
class _Trie:
    children: dict[Path, list[int]]
    leaves: dict[Path, int]


def _build_trie(labels: Sequence[Sequence[int]]) -> _Trie:
    children: dict[Path, list[int]] = {}
    leaves: dict[Path, int] = {}
    for index, label in enumerate(labels):
        path = tuple(label)
        leaves[path] = index
        for end in range(len(path)):
            siblings = children.setdefault(path[:end], [])
            if path[end] not in siblings:
                siblings.append(path[end])
    return _Trie(children, leaves)


class _Search:
    """The open paths of one prompt, the most likely first."""

    def __init__(self, trie: _Trie) -> None:
        self._trie = trie
        self._open: list[tuple[float, Path]] = []
        self._score: dict[Path, float] = {(): 0.0}

    def expand(self, path: Path, logits_V: Tensor) -> None:
        """Open the children of `path`, given the logits after it."""
        tokens = self._trie.children[path]
        total = torch.logsumexp(logits_V, -1)
        for token, logit in zip(tokens, (logits_V[tokens] - total).tolist(), strict=True):
            child = (*path, token)
            self._score[child] = self._score[path] + logit
            heapq.heappush(self._open, (-self._score[child], child))

    def best(self) -> tuple[float, Path]:
        """Take the most likely open path; nothing that is still open can beat it."""
        negative, path = heapq.heappop(self._open)
        return -negative, path


def _logits_after(model: Any, filled: FilledCache, wanted: dict[int, Path], pad_id: int) -> dict[int, Tensor]:
    """The logits after prompt + path for some rows; the cache is left as it was."""
    mask, longest = filled.mask_BT, max(map(len, wanted.values()))
    ids_BN = torch.full((mask.shape[0], longest), pad_id, device=mask.device)
    mask_BN = torch.zeros_like(ids_BN)
    for row, path in wanted.items():
        ids_BN[row, : len(path)] = torch.tensor(path, device=mask.device)
        mask_BN[row, : len(path)] = 1
    logits_BNV = extend(model, filled, ids_BN, mask_BN)
    filled.cache.crop(-longest)
    filled.mask_BT = mask
    return {row: logits_BNV[row, len(path) - 1] for row, path in wanted.items()}
