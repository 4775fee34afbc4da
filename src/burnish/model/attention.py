"""Attention over a pack: prefixes that are computed once, each followed by the suffixes that continue it.

One row holds groups one after the other; a group is P prefix tokens and then G suffixes without padding. A prefix
token sees the prefix before it; a suffix token sees its group's whole prefix and its own suffix before it, never
another suffix or group. A group with P = 0 is plain packing. No [T, T] mask is ever built. It enters through
transformers' AttentionInterface.

Shapes: T tokens of the pack; of one group: P prefix tokens, N suffix tokens, G suffixes, S longest suffix; H query
heads, K key/value heads, R = H / K query heads per key/value head, D head width.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

ATTENTION_NAME = "burnish_pack"
# Above this many keys the softmax weights would fill memory, and SDPA's fused kernel is the better way; so it is for
# queries that are many themselves, as their own keys then are.
MAX_PLAIN_KEYS = 640
MAX_PLAIN_QUERIES = 128
# On a CPU the fused kernel is slow in bf16: up to so many keys fp32 with a cast before and behind it is faster.
MAX_KEYS_IN_FP32 = 512


class PrefixStore:
    """Keys and values of a prefix, by layer: computed in a pack of its own and used in later ones.

    The later packs take them as they are; what their backward leaves there goes back through the prefix once, by
    `backward`.
    """

    def __init__(self) -> None:
        self._computed: dict[int, tuple[Tensor, Tensor]] = {}
        self._used: dict[int, tuple[Tensor, Tensor]] = {}

    def keep(self, layer: int, key: Tensor, value: Tensor) -> None:
        """Remember a layer's keys and values, [K, P, D] each."""
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
    padded_GS: Tensor
    """For each cell of [G, S] the suffix token that stands there (0 where none does)."""
    packed_N: Tensor
    """For each suffix token its cell in the flattened [G, S]."""
    store: PrefixStore | None = None
    """If there is one, the pack holds either the prefix, which fills it, or suffixes, which use it."""

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


@dataclass(frozen=True)
class PackLayout:
    """The groups of a pack, in order."""

    groups: tuple[GroupLayout, ...]


def build_layout(
    groups: Sequence[tuple[int, Sequence[int]]], device: torch.device, store: PrefixStore | None = None
) -> PackLayout:
    """The layout of a pack from (prefix length, suffix lengths) of each group; a suffix has at least one token."""
    return PackLayout(tuple(_build_group(prefix, lengths, device, store) for prefix, lengths in groups))


def _build_group(
    prefix_length: int, suffix_lengths: Sequence[int], device: torch.device, store: PrefixStore | None
) -> GroupLayout:
    longest = max(suffix_lengths, default=0)
    lengths_G = torch.tensor(suffix_lengths, dtype=torch.long)
    starts_G = lengths_G.cumsum(0) - lengths_G
    cells_S = torch.arange(longest)
    is_token_GS = cells_S[None] < lengths_G[:, None]
    padded_GS = torch.where(is_token_GS, starts_G[:, None] + cells_S[None], 0)
    packed_N = is_token_GS.flatten().nonzero().flatten()
    return GroupLayout(prefix_length, tuple(suffix_lengths), padded_GS.to(device), packed_N.to(device), store)


def position_ids(layout: PackLayout) -> Tensor:
    """[1, T]: each prefix counts from 0, and each of its suffixes goes on from there."""
    counts = []
    for group in layout.groups:
        prefix = group.prefix_length
        counts += [
            torch.arange(group.num_prefix_tokens),
            *(torch.arange(prefix, prefix + n) for n in group.suffix_lengths),
        ]
    return torch.cat(counts)[None].to(layout.groups[0].packed_N.device)


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
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    options = _Options(scale, sliding_window, softcap)
    sizes = [group.num_tokens for group in pack_layout.groups]
    # Split, here and below, and not sliced: the backward is one copy, not a zero-filled one for each part and a sum.
    queries, keys, values = (torch.split(tensor[0], sizes, dim=1) for tensor in (query, key, value))
    parts = zip(queries, keys, values, pack_layout.groups, strict=True)
    outputs = [_attend(*part, layer=module.layer_idx, options=options) for part in parts]
    return torch.cat(outputs, dim=1).transpose(0, 1)[None], None


def _attend(
    query_HTD: Tensor, key_KTD: Tensor, value_KTD: Tensor, group: GroupLayout, *, layer: int, options: "_Options"
) -> Tensor:
    """Attention of one group: [H, T, D]."""
    sizes = [group.num_prefix_tokens, group.num_suffix_tokens]
    query_P, query_N = torch.split(query_HTD, sizes, dim=1)
    key_P, key_N = torch.split(key_KTD, sizes, dim=1)
    value_P, value_N = torch.split(value_KTD, sizes, dim=1)
    if group.store is not None and group.suffix_lengths:
        key_P, value_P = group.store.use(layer)
    elif group.store is not None:
        group.store.keep(layer, key_P, value_P)
    longest = max(group.suffix_lengths, default=0)
    outputs = []
    if group.num_prefix_tokens:
        prefix_part = _fused if _is_long(group.prefix_length, 0, options) else _prefix_part
        outputs.append(prefix_part(query_P, key_P, value_P, options))
    if group.suffix_lengths:
        suffix_part = _fused_suffixes if _is_long(longest, group.prefix_length, options) else _suffix_part
        outputs.append(suffix_part(query_N, key_N, value_N, (key_P, value_P), group, options))
    return torch.cat(outputs, dim=1)


def _is_long(num_queries: int, num_keys_before: int, options: "_Options") -> bool:
    """Whether attention goes through SDPA, which has no soft cap."""
    is_large = num_queries > MAX_PLAIN_QUERIES or num_keys_before + num_queries > MAX_PLAIN_KEYS
    return is_large and options.softcap is None


@dataclass(frozen=True)
class _Options:
    scale: float
    window: int | None
    softcap: float | None

    def weights(self, scores: Tensor, hidden: Tensor) -> Tensor:
        """Softmax over the keys that are not hidden (-inf, else 0), in fp32 at least, in the scores' own format.

        Overwrites the scores. A mask that is added needs no backward, where masked_fill copies the whole gradient.
        """
        if self.softcap is not None:
            scores = torch.tanh(scores / self.softcap) * self.softcap
        scores = scores.add_(hidden)
        return scores.softmax(-1, dtype=torch.promote_types(scores.dtype, torch.float32)).to(scores.dtype)


def _prefix_part(query_HPD: Tensor, key_KPD: Tensor, value_KPD: Tensor, options: _Options) -> Tensor:
    heads, length, width = query_HPD.shape
    kv_heads = key_KPD.shape[0]
    grouped = query_HPD.reshape(kv_heads, -1, width) * options.scale  # the R heads of a key head, folded into rows
    hidden = _hidden(_visible(0, length, 0, length, options.window, query_HPD.device), heads // kv_heads, query_HPD)
    return (options.weights(grouped @ key_KPD.mT, hidden) @ value_KPD).view(heads, length, width)


def _suffix_part(
    query_HND: Tensor,
    key_KND: Tensor,
    value_KND: Tensor,
    prefix: tuple[Tensor, Tensor],
    group: GroupLayout,
    options: _Options,
) -> Tensor:
    """The suffixes over the keys and values of the prefix ([K, P, D] each) and over their own."""
    heads, _, width = query_HND.shape
    kv_heads, length = key_KND.shape[0], group.prefix_length
    num, longest = group.padded_GS.shape
    repeats = heads // kv_heads
    folded = (kv_heads, num, repeats * longest, width)
    query_KGRSD = _pad(query_HND, group).view(kv_heads, -1, num, longest, width).transpose(1, 2).reshape(folded)
    query_KGRSD = query_KGRSD * options.scale
    own_key = _pad(key_KND, group).view(kv_heads, num, longest, width)
    own_value = _pad(value_KND, group).view(kv_heads, num, longest, width)
    scores = query_KGRSD @ own_key.mT
    if length:
        shared = query_KGRSD.reshape(kv_heads, -1, width) @ prefix[0].mT
        scores = torch.cat([shared.view(*folded[:3], length), scores], dim=-1)
    visible = _visible(length, longest, 0, length + longest, options.window, query_HND.device)
    weights = options.weights(scores, _hidden(visible, repeats, scores))
    shared_weights, own_weights = torch.split(weights, [length, longest], dim=-1)
    out = own_weights @ own_value
    if length:
        out = out + (shared_weights.reshape(kv_heads, -1, length) @ prefix[1]).view(folded)
    out_HGSD = out.view(kv_heads, num, -1, longest, width).transpose(1, 2).reshape(heads, num * longest, width)
    packed: Tensor = _Take.apply(out_HGSD, group.packed_N, None)  # type: ignore[no-untyped-call]
    return packed


def _pad(tensor_HND: Tensor, group: GroupLayout) -> Tensor:
    """[H, G * S, D]: the suffixes, each as long as the longest."""
    padded: Tensor = _Take.apply(  # type: ignore[no-untyped-call]
        tensor_HND, group.padded_GS.flatten(), group.packed_N
    )
    return padded


class _Take(torch.autograd.Function):
    """Columns of [H, N, D] by index. Indexing itself would add up gradients, cell by cell, where none ever meet.

    `back` are the columns of the result in the order of the input's, for a result that repeats columns: what lies in
    the other cells is padding, which no token attends to and whose output is not used, so that its gradient is zero.
    Without it every column is taken at most once.
    """

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, index: Tensor, back: Tensor | None) -> Tensor:
        ctx.index, ctx.back, ctx.shape = index, back, tensor.shape
        return tensor.index_select(1, index)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None, None]:
        if ctx.back is not None:
            return upstream[0].index_select(1, ctx.back), None, None
        return upstream[0].new_zeros(ctx.shape).index_copy_(1, ctx.index, upstream[0]), None, None


def _hidden(visible: Tensor, repeats: int, like: Tensor) -> Tensor:
    """What is added to the scores, for query rows that repeat for each of the R heads of a key head."""
    hidden = torch.zeros(visible.shape, dtype=like.dtype, device=like.device).masked_fill_(~visible, float("-inf"))
    return hidden.repeat(repeats, 1)


def _fused_suffixes(
    query_HND: Tensor,
    key_KND: Tensor,
    value_KND: Tensor,
    prefix: tuple[Tensor, Tensor],
    group: GroupLayout,
    options: _Options,
) -> Tensor:
    """The same, one suffix after the other, through SDPA, whose memory grows with the length, not its square."""
    outputs = []
    lengths = list(group.suffix_lengths)
    parts = (torch.split(tensor, lengths, dim=1) for tensor in (query_HND, key_KND, value_KND))
    for query, key, value in zip(*parts, strict=True):
        seen = torch.cat([prefix[0], key], dim=1), torch.cat([prefix[1], value], dim=1)
        outputs.append(_fused(query, *seen, options))
    return torch.cat(outputs, dim=1)


def _fused(query_HSD: Tensor, key_KLD: Tensor, value_KLD: Tensor, options: _Options) -> Tensor:
    """The last S of L positions, through SDPA: [H, S, D]."""
    num, total = query_HSD.shape[1], key_KLD.shape[1]
    is_plain = num == total and (options.window is None or options.window >= total)
    mask = None if is_plain else _visible(total - num, num, 0, total, options.window, key_KLD.device)
    dtype = query_HSD.dtype
    if query_HSD.device.type == "cpu" and total <= MAX_KEYS_IN_FP32:
        dtype = torch.promote_types(dtype, torch.float32)
    out_HSD = scaled_dot_product_attention(
        query_HSD.to(dtype)[None],
        key_KLD.to(dtype)[None],
        value_KLD.to(dtype)[None],
        attn_mask=mask,
        is_causal=is_plain,
        scale=options.scale,
        enable_gqa=True,
    )[0]
    return out_HSD.to(query_HSD.dtype)


def _visible(
    first_query: int, num_queries: int, first_key: int, num_keys: int, window: int | None, device: torch.device
) -> Tensor:
    """[queries, keys]: which key positions a query position may see; a window counts the query itself."""
    distance = torch.arange(first_query, first_query + num_queries, device=device)[:, None] - torch.arange(
        first_key, first_key + num_keys, device=device
    )
    visible = distance >= 0
    return visible if window is None else visible & (distance < window)
