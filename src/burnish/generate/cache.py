"""A key/value cache that grows in place: transformers' own copies the whole of it for every token."""

from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

SPARE_TOKENS = 64


def growing_cache() -> DynamicCache:
    """An empty cache of full layers; masks take care of sliding windows, so that it can be cropped anywhere."""
    cache = DynamicCache()
    cache.layer_class_to_replicate = GrowingLayer
    return cache


class GrowingLayer(DynamicLayer):  # type: ignore[misc]
    """`keys` and `values` [B, K, T, D] are views of stores with room for more tokens."""

    keys: Tensor
    values: Tensor

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._stores: list[Tensor] = []

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Append the new tokens' keys and values; returns all of them."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        old, new = self.get_seq_length(), key_states.shape[-2]
        if not self._has_room(old + new):
            self._stores = [
                _with_room(part, like, old + new + SPARE_TOKENS)
                for part, like in ((self.keys, key_states), (self.values, value_states))
            ]
        for store, states in zip(self._stores, (key_states, value_states), strict=True):
            store[..., old : old + new, :] = states
        self.keys, self.values = (store[..., : old + new, :] for store in self._stores)
        return self.keys, self.values

    def _has_room(self, length: int) -> bool:
        """Whether `keys` is still a view of its store (cropping keeps it one, choosing rows does not)."""
        if not self._stores:
            return False
        store = self._stores[0]
        is_view = self.keys.data_ptr() == store.data_ptr() and self.keys.shape[0] == store.shape[0]
        return bool(is_view and length <= store.shape[-2])


def _with_room(part: Tensor, like: Tensor, capacity: int) -> Tensor:
    batch, heads, _, width = like.shape
    store = torch.empty(batch, heads, capacity, width, dtype=like.dtype, device=like.device)
    if part.numel():
        store[..., : part.shape[-2], :] = part
    return store
