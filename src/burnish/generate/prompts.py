"""Prompts -> a key/value cache of them, with their common beginning computed once.

Shapes: B prompts of a batch, P common prefix, S longest rest. Rests are padded on the left, behind the prefix.
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from burnish.generate.cache import growing_cache
from burnish.model.prefix import common_prefix_length


@dataclass
class FilledCache:
    """The state after a batch of prompts has been read."""

    cache: Any
    mask_BT: Tensor
    """1 where the cache holds a token, 0 where it holds padding."""
    lengths_B: Tensor
    """Tokens of each prompt."""
    logits_BV: Tensor
    """For the token that follows each prompt, fp32."""

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with some rows of the batch only."""
        kept = torch.tensor(rows, device=self.mask_BT.device)
        self.cache.batch_select_indices(kept)
        self.mask_BT, self.lengths_B = self.mask_BT[kept], self.lengths_B[kept]
        self.logits_BV = self.logits_BV[kept]


def read_prompts(
    model: Any, prompts: Sequence[Sequence[int]], *, batch_size: int, pad_id: int, room: int
) -> Iterator[tuple[list[int], FilledCache]]:
    """Read the prompts in batches of like length; yields the indices of the prompts and their cache.

    `room` is how many tokens the caller will add. Where that goes beyond a sliding window of the model, nothing is
    shared: padding behind the prefix would count as distance.
    """
    shared = common_prefix_length(prompts) if fits_window(model, prompts, room) else 0
    prefix = _read_prefix(model, prompts[0][:shared]) if shared else None
    order = sorted(range(len(prompts)), key=lambda i: (len(prompts[i]), i))
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        rests = [prompts[i][shared:] for i in chosen]
        filled = _read_batch(model, rests, prefix, shared, pad_id)
        yield chosen, filled
        filled.cache = None  # the caller holds it on, and reading the next ones beside it would take twice the memory


def fits_window(model: Any, prompts: Sequence[Sequence[int]], room: int) -> bool:
    """Whether every token sees all tokens before it: there is no sliding window, or it is never reached."""
    window = getattr(model.config, "sliding_window", None)
    is_used = getattr(model.config, "use_sliding_window", True)
    return window is None or not is_used or max(map(len, prompts)) + room <= window


def extend(model: Any, filled: FilledCache, next_B: Tensor) -> None:
    """Read one more token a row."""
    filled.mask_BT = torch.cat([filled.mask_BT, torch.ones_like(next_B)[:, None]], dim=1)
    logits_B1V: Tensor = model(
        input_ids=next_B[:, None],
        attention_mask=filled.mask_BT,
        position_ids=filled.lengths_B[:, None],
        past_key_values=filled.cache,
        use_cache=True,
    ).logits
    filled.logits_BV = logits_B1V[:, -1].float()
    filled.lengths_B = filled.lengths_B + 1


def _read_prefix(model: Any, ids: Sequence[int]) -> Any:
    cache = growing_cache()
    model(
        input_ids=torch.tensor([list(ids)], device=model.device),
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    return cache


def _read_batch(
    model: Any, rests: Sequence[Sequence[int]], prefix: Any, prefix_length: int, pad_id: int
) -> FilledCache:
    num, longest, device = len(rests), max(map(len, rests)), model.device
    ids_BS = torch.full((num, longest), pad_id)
    mask_BS = torch.zeros(num, longest, dtype=torch.long)
    for row, rest in enumerate(rests):
        ids_BS[row, longest - len(rest) :] = torch.tensor(list(rest))
        mask_BS[row, longest - len(rest) :] = 1
    positions_BS = (prefix_length + mask_BS.cumsum(1) - 1).clamp(min=0)
    mask_BT = torch.cat([torch.ones(num, prefix_length, dtype=torch.long), mask_BS], dim=1).to(device)
    cache = growing_cache() if prefix is None else copy.deepcopy(prefix)
    if prefix is not None:
        cache.batch_repeat_interleave(num)
    logits_B1V = model(
        input_ids=ids_BS.to(device),
        attention_mask=mask_BT,
        position_ids=positions_BS.to(device),
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    ).logits
    return FilledCache(cache, mask_BT, mask_BT.sum(1), logits_B1V[:, -1].float())
