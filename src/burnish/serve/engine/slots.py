"""Keys and values of the sequences at work, a slot each, and the attention of one pass over all of them.

A pass feeds tokens of several sequences at once, in one row without padding: the next token of some, a part of the
prompt of others, nodes of a label's tree of a third. It enters through transformers' AttentionInterface.

Shapes: N tokens of a pass; of one segment: S tokens, L places of its slot that are filled after the pass; B segments of
one token, T the most places that one of them fills; M slots, C capacity of each; H query heads, K key/value heads,
R = H / K, D head width.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from burnish.model.attention import attending_by

ATTENTION_NAME = "burnish_slots"
MIN_CAPACITY = 256


@dataclass(frozen=True, kw_only=True)
class Segment:
    """Tokens that one sequence is fed in a pass."""

    slot: int
    start: int
    """The place in the slot of the first of them."""
    input_ids: Sequence[int]
    position_ids: Sequence[int]
    ancestors: Tensor | None = None
    """[S, L], bool: the places that each token sees; None: its own and all before it."""
    is_wanted: Sequence[bool]
    """Whose logits are asked for."""
    is_trial: bool = False
    """Whether it is read for its logits alone: what comes next takes its places."""

    @property
    def end(self) -> int:
        """The places that are filled afterwards."""
        return self.start + len(self.input_ids)


def read_on(ids: Sequence[int], slot: int, num_read: int, limit: int, *, wants_all: bool = False) -> Segment:
    """At most `limit` of the ids that are not read yet; the logits of the last of all are wanted."""
    end = min(len(ids), num_read + limit)
    return Segment(
        slot=slot,
        start=num_read,
        input_ids=ids[num_read:end],
        position_ids=range(num_read, end),
        is_wanted=[wants_all or place == len(ids) - 1 for place in range(num_read, end)],
    )


class Slots:
    """The keys and values of all sequences, by layer: [M, K, C, D] each; M and C grow with what is asked for."""

    def __init__(self) -> None:
        self._num_slots = self._capacity = 0
        self._keys: dict[int, Tensor] = {}
        self._values: dict[int, Tensor] = {}

    @property
    def num_bytes(self) -> int:
        """What all of them take."""
        return sum(tensor.nbytes for store in (self._keys, self._values) for tensor in store.values())

    def reserve(self, num_slots: int, length: int) -> None:
        """Make room for so many sequences of so many tokens."""
        if num_slots <= self._num_slots and length <= self._capacity:
            return
        self._num_slots = max(self._num_slots, num_slots)
        if length > self._capacity:
            self._capacity = max(MIN_CAPACITY, 1 << (length - 1).bit_length())
        for store in (self._keys, self._values):
            for layer, old in store.items():
                store[layer] = self._new(old)
                store[layer][: old.shape[0], :, : old.shape[2]] = old

    def forget(self) -> None:
        """Give the memory back: no sequence is at work."""
        self._num_slots = self._capacity = 0
        for store in (self._keys, self._values):
            for layer, old in store.items():
                store[layer] = self._new(old)

    def layer(self, layer: int, key_KND: Tensor, value_KND: Tensor) -> tuple[Tensor, Tensor]:
        """A layer's keys and values; made like the given ones the first time."""
        if layer not in self._keys:
            self._keys[layer] = self._new(key_KND[None])
            self._values[layer] = self._new(value_KND[None])
        return self._keys[layer], self._values[layer]

    def copy(self, slot: int, start: int, end: int) -> list[Tensor]:
        """What lies in some places of a slot: keys and values in turn, by layer, [K, end - start, D] each."""
        return [
            store[layer][slot, :, start:end].clone() for layer in self._keys for store in (self._keys, self._values)
        ]

    def paste(self, slot: int, start: int, parts: Sequence[Tensor]) -> None:
        """Put back what `copy` gave, also into another slot."""
        places = [store[layer] for layer in self._keys for store in (self._keys, self._values)]
        for place, part in zip(places, parts, strict=True):
            place[slot, :, start : start + part.shape[1]] = part

    def _new(self, like: Tensor) -> Tensor:
        # Zeros, as a place that is masked must not hold a NaN: it is multiplied with a weight of 0.
        return like.new_zeros(self._num_slots, like.shape[1], self._capacity, like.shape[3])


@dataclass(frozen=True)
class PassLayout:
    """Where the tokens of a pass come from and belong."""

    slots: Slots
    segments: tuple[Segment, ...]
    device: torch.device

    @cached_property
    def singles(self) -> "_Singles | None":
        """The segments of one token that see all before it: they attend together."""
        offset, found = 0, list[tuple[int, Segment]]()
        for segment in self.segments:
            if _is_single(segment):
                found.append((offset, segment))
            offset += len(segment.input_ids)
        return _Singles.of(found, self.device) if found else None

    @cached_property
    def longer(self) -> list[tuple[int, Segment]]:
        """The other segments, each with the place of its first token in the pass."""
        offset, found = 0, []
        for segment in self.segments:
            if not _is_single(segment):
                found.append((offset, segment))
            offset += len(segment.input_ids)
        return found


def _is_single(segment: Segment) -> bool:
    return len(segment.input_ids) == 1 and segment.ancestors is None


@dataclass(frozen=True)
class _Singles:
    tokens_B: Tensor
    slots_B: Tensor
    places_B: Tensor
    num_slots: int
    """The slots from 0 that hold all of them, and perhaps others: attended too, for nothing, but never copied."""
    longest: int

    @classmethod
    def of(cls, found: Sequence[tuple[int, Segment]], device: torch.device) -> "_Singles":
        slots = [segment.slot for _, segment in found]
        places = [segment.start for _, segment in found]
        columns = ([offset for offset, _ in found], slots, places)
        tokens_B, slots_B, places_B = (torch.tensor(column, device=device) for column in columns)
        return cls(tokens_B, slots_B, places_B, max(slots) + 1, max(places) + 1)


def slot_attention(model: Any) -> AbstractContextManager[None]:
    """Within the block the model attends by the `pass_layout` that its forward is given."""
    return attending_by(model, ATTENTION_NAME, attend_slots)


def attend_slots(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    pass_layout: PassLayout,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attention of one pass: query [1, H, N, D], key and value [1, K, N, D] -> ([1, N, H, D], None)."""
    if attention_mask is not None or dropout or s_aux is not None:
        raise NotImplementedError("slot attention takes no mask, dropout or attention sinks")
    options = _Options(query.shape[-1] ** -0.5 if scaling is None else scaling, sliding_window, softcap)
    keys_MKCD, values_MKCD = pass_layout.slots.layer(module.layer_idx, key[0], value[0])
    out_NHD = query.new_empty(query.shape[2], query.shape[1], value.shape[-1])
    if singles := pass_layout.singles:
        keys_MKCD[singles.slots_B, :, singles.places_B] = key[0, :, singles.tokens_B].transpose(0, 1)
        values_MKCD[singles.slots_B, :, singles.places_B] = value[0, :, singles.tokens_B].transpose(0, 1)
        out_NHD[singles.tokens_B] = _attend_singles(
            query[0, :, singles.tokens_B].transpose(0, 1), keys_MKCD, values_MKCD, singles, options
        )
    for offset, segment in pass_layout.longer:
        tokens = slice(offset, offset + len(segment.input_ids))
        keys_MKCD[segment.slot, :, segment.start : segment.end] = key[0, :, tokens]
        values_MKCD[segment.slot, :, segment.start : segment.end] = value[0, :, tokens]
        filled = segment.slot, slice(None), slice(0, segment.end)
        part_HSD = _attend_segment(query[0, :, tokens], keys_MKCD[filled], values_MKCD[filled], segment, options)
        out_NHD[tokens] = part_HSD.transpose(0, 1)
    return out_NHD[None], None


@dataclass(frozen=True)
class _Options:
    scale: float
    window: int | None
    softcap: float | None

    def weights(self, scores: Tensor, visible: Tensor) -> Tensor:
        """Softmax over the visible keys, in fp32 at least, in the scores' own format."""
        if self.softcap is not None:
            scores = torch.tanh(scores / self.softcap) * self.softcap
        scores = scores.masked_fill_(~visible, float("-inf"))
        return scores.softmax(-1, dtype=torch.promote_types(scores.dtype, torch.float32)).to(scores.dtype)

    def visible(self, queries: Tensor, num_keys: int, *, is_tree: bool = False) -> Tensor:
        """[..., num_keys]: which places each query at a place of `queries` sees; a window counts the query itself."""
        distance = queries[..., None] - torch.arange(num_keys, device=queries.device)
        is_near = torch.ones_like(distance, dtype=torch.bool) if self.window is None else distance < self.window
        return is_near if is_tree else is_near & (distance >= 0)


def _attend_singles(
    query_BHD: Tensor, keys_MKCD: Tensor, values_MKCD: Tensor, singles: _Singles, options: _Options
) -> Tensor:
    num, longest, kv_heads = singles.num_slots, singles.longest, keys_MKCD.shape[1]
    query_MHD = query_BHD.new_zeros(num, *query_BHD.shape[1:])
    query_MHD[singles.slots_B] = query_BHD * options.scale
    places_M = torch.zeros(num, dtype=torch.long, device=query_BHD.device)
    places_M[singles.slots_B] = singles.places_B
    query_MKRD = query_MHD.view(num, kv_heads, -1, query_BHD.shape[-1])
    scores_MKRT = query_MKRD @ keys_MKCD[:num, :, :longest].mT
    weights_MKRT = options.weights(scores_MKRT, options.visible(places_M, longest)[:, None, None])
    out_MKRD = weights_MKRT @ values_MKCD[:num, :, :longest]
    return out_MKRD.flatten(1, 2)[singles.slots_B]


def _attend_segment(
    query_HSD: Tensor, key_KLD: Tensor, value_KLD: Tensor, segment: Segment, options: _Options
) -> Tensor:
    heads, length, width = query_HSD.shape
    kv_heads = key_KLD.shape[0]
    positions_S = torch.tensor(segment.position_ids, device=query_HSD.device)
    # Behind the prompt a node of a tree lies at or beyond its position, so that no window hides its ancestors.
    visible_SL = options.visible(positions_S, segment.end, is_tree=segment.ancestors is not None)
    if segment.ancestors is not None:
        visible_SL &= segment.ancestors.to(query_HSD.device)
    query_KRSD = (query_HSD * options.scale).reshape(kv_heads, -1, length, width)
    weights = options.weights(query_KRSD.flatten(1, 2) @ key_KLD.mT, visible_SL.repeat(heads // kv_heads, 1))
    return (weights @ value_KLD).view(heads, length, -1)
