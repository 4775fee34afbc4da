"""Attention over a pack: prefixes that are computed once, each followed by the suffixes that continue it.

One row holds groups one after the other; a group is P prefix tokens and then G suffixes without padding. A prefix
token sees the prefix before it; a suffix token sees its group's whole prefix and its own suffix before it, never
another suffix or group. A group with P = 0 is plain packing. No [T, T] mask is ever built. It enters through
transformers' AttentionInterface.

Shapes: T tokens of the pack or of a group; of one group: P prefix tokens, N suffix tokens; H query heads, K key/value
heads, D head width.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from burnish.model.blocks import Block, Heads, Scoring, attend, cut_rows, cut_suffixes

ATTENTION_NAME = "burnish_pack"
MAX_CELLS = 128
"""Suffixes up to this length are padded and computed at once."""
SLOW_FUSED = {("cpu", torch.bfloat16)}
"""Where SDPA's kernel is slower than plain products by blocks (docs/LOG.md)."""


class PrefixStore:
    """Keys and values of a prefix, by layer: computed in a pack of its own and used in later ones.

    The later packs take them as they are; what their backward leaves there goes back through the prefix once, by
    `backward`.
    """

    def __init__(self) -> None:
        self._computed: dict[int, tuple[Tensor, Tensor]] = {}
        self._used: dict[int, tuple[Tensor, Tensor]] = {}

    def keep(self, layer: int, key: Tensor, value: Tensor) -> None:
        """Remember a layer's keys and values, [P, K, D] each."""
        self._computed[layer] = key, value

    def use(self, layer: int) -> tuple[Tensor, Tensor]:
        """A layer's keys and values, cut off from how they were computed."""
        if layer not in self._used:
            key, value = self._computed[layer]
            needs_gradient = torch.is_grad_enabled()
            self._used[layer] = (
                key.detach().requires_grad_(needs_gradient and key.requires_grad),
                value.detach().requires_grad_(needs_gradient and value.requires_grad),
            )
        return self._used[layer]

    def backward(self, loss: Tensor) -> None:
        """The backward of the prefix's pack: of its own loss (a scalar) and of all that used its keys and values."""
        tensors, gradients = [loss], [torch.ones_like(loss)]
        for layer, used in self._used.items():
            for computed, leaf in zip(self._computed[layer], used, strict=True):
                if leaf.grad is not None:
                    tensors.append(computed)
                    gradients.append(leaf.grad)
        torch.autograd.backward(tensors, gradients)


@dataclass(frozen=True)
class GroupLayout:
    """Where the tokens of one group lie."""

    prefix_length: int
    suffix_lengths: tuple[int, ...]
    device: torch.device
    store: PrefixStore | None = None
    """If there is one, the pack holds either the prefix, which fills it, or suffixes, which use it."""
    _blocks: dict[tuple[Heads, bool], Sequence[Block]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def num_prefix_tokens(self) -> int:
        """In this pack."""
        return 0 if self.store is not None and self.suffix_lengths else self.prefix_length

    @property
    def num_suffix_tokens(self) -> int:
        return sum(self.suffix_lengths)

    @property
    def num_tokens(self) -> int:
        return self.num_prefix_tokens + self.num_suffix_tokens

    def blocks(self, heads: Heads, *, of_prefix: bool) -> Sequence[Block]:
        """How the prefix or the suffixes are cut for attention; the layers of a kind share them."""
        if (heads, of_prefix) not in self._blocks:
            if of_prefix:
                cut: Iterable[Block] = cut_rows(0, [self.prefix_length], heads)
            elif max(self.suffix_lengths) > MAX_CELLS:
                cut = cut_rows(self.prefix_length, self.suffix_lengths, heads)
            else:
                cut = cut_suffixes(self.prefix_length, self.suffix_lengths, heads)
            self._blocks[heads, of_prefix] = list(cut)
        return self._blocks[heads, of_prefix]


@dataclass(frozen=True)
class PackLayout:
    """The groups of a pack, in order."""

    groups: tuple[GroupLayout, ...]


def build_layout(
    groups: Sequence[tuple[int, Sequence[int]]], device: torch.device, store: PrefixStore | None = None
) -> PackLayout:
    """The layout of a pack from (prefix length, suffix lengths) of each group; a suffix has at least one token."""
    return PackLayout(tuple(GroupLayout(prefix, tuple(lengths), device, store) for prefix, lengths in groups))


def position_ids(layout: PackLayout) -> Tensor:
    """[1, T]: each prefix counts from 0, and each of its suffixes goes on from there."""
    counts = []
    for group in layout.groups:
        prefix = group.prefix_length
        counts += [
            torch.arange(group.num_prefix_tokens),
            *(torch.arange(prefix, prefix + n) for n in group.suffix_lengths),
        ]
    return torch.cat(counts)[None].to(layout.groups[0].device)


def can_pack(model: Any) -> bool:
    """Whether the model attends through transformers' attention interface; nearly all do."""
    return bool(getattr(model, "_supports_attention_backend", False))


@contextmanager
def attending_by(model: Any, name: str, attend: Callable[..., tuple[Tensor, None]]) -> Iterator[None]:
    """Within the block the model attends by a function of our own, which transformers knows by that name."""
    from transformers import AttentionInterface

    AttentionInterface.register(name, attend)
    before = model.config._attn_implementation
    model.set_attn_implementation(name)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def packed_attention(model: Any) -> AbstractContextManager[None]:
    """Within the block the model attends by the `pack_layout` that its forward is given."""
    return attending_by(model, ATTENTION_NAME, pack_attention)


def pack_attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    pack_layout: PackLayout,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attention of one pack: query [1, H, T, D], key and value [1, K, T, D] -> ([1, T, H, D], None)."""
    if attention_mask is not None or dropout or s_aux is not None:
        raise NotImplementedError("pack attention takes no mask, dropout or attention sinks")
    heads = Heads(query.shape[1], key.shape[1], query.shape[-1], sliding_window, query.dtype, query.device)
    scoring = Scoring(heads.width**-0.5 if scaling is None else scaling, softcap)
    sizes = [group.num_tokens for group in pack_layout.groups]
    # Split, here and below, and not sliced: the backward is one copy, not a zero-filled one for each part and a sum.
    queries, keys, values = (torch.split(tensor[0].transpose(0, 1), sizes) for tensor in (query, key, value))
    outputs = list[Tensor]()
    for group, query_THD, key_TKD, value_TKD in zip(pack_layout.groups, queries, keys, values, strict=True):
        outputs += _attend(query_THD, key_TKD, value_TKD, group, layer=module.layer_idx, heads=heads, scoring=scoring)
    return torch.cat(outputs)[None], None


def _attend(
    query_THD: Tensor,
    key_TKD: Tensor,
    value_TKD: Tensor,
    group: GroupLayout,
    *,
    layer: int,
    heads: Heads,
    scoring: Scoring,
) -> Iterator[Tensor]:
    """Attention of one group: of its prefix [P, H, D] and of its suffixes [N, H, D], as far as they are here."""
    sizes = [group.num_prefix_tokens, group.num_suffix_tokens]
    query_PHD, query_NHD = torch.split(query_THD, sizes)
    (key_PKD, key_NKD), (value_PKD, value_NKD) = torch.split(key_TKD, sizes), torch.split(value_TKD, sizes)
    if group.num_prefix_tokens:
        if group.store is not None:
            group.store.keep(layer, key_PKD, value_PKD)
        if _is_fused(group.prefix_length, heads, scoring):
            yield _fused(query_PHD, key_PKD, value_PKD, heads, scoring)
        else:
            yield attend(query_PHD, key_PKD, value_PKD, group.blocks(heads, of_prefix=True), scoring)
    if group.suffix_lengths:
        if group.store is not None:
            key_PKD, value_PKD = group.store.use(layer)
            key_TKD, value_TKD = torch.cat([key_PKD, key_NKD]), torch.cat([value_PKD, value_NKD])
        if _is_fused(max(group.suffix_lengths), heads, scoring):
            parts = (torch.split(tensor, list(group.suffix_lengths)) for tensor in (query_NHD, key_NKD, value_NKD))
            for query, key, value in zip(*parts, strict=True):
                seen = torch.cat([key_PKD, key]), torch.cat([value_PKD, value])
                yield _fused(query, *seen, heads, scoring)
        else:
            yield attend(query_NHD, key_TKD, value_TKD, group.blocks(heads, of_prefix=False), scoring)


def _is_fused(longest: int, heads: Heads, scoring: Scoring) -> bool:
    """Whether sequences of so many queries attend through SDPA, which has no soft cap."""
    return longest > MAX_CELLS and scoring.softcap is None and (heads.device.type, heads.dtype) not in SLOW_FUSED


def _fused(query_SHD: Tensor, key_LKD: Tensor, value_LKD: Tensor, heads: Heads, scoring: Scoring) -> Tensor:
    """The last S of L positions, one behind the other, through SDPA: [S, H, D]."""
    num, total = len(query_SHD), len(key_LKD)
    is_plain = num == total and (heads.window is None or heads.window >= total)
    query_HSD, key_KLD, value_KLD = (tensor.transpose(0, 1) for tensor in (query_SHD, key_LKD, value_LKD))
    out_HSD = scaled_dot_product_attention(
        query_HSD[None],
        key_KLD[None],
        value_KLD[None],
        attn_mask=None if is_plain else heads.visible(total - num, num, 0, total),
        is_causal=is_plain,
        scale=scoring.scale,
        enable_gqa=True,
    )[0]
    return out_HSD.transpose(0, 1)
