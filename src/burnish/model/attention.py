"""Attention over a pack: a prefix that is computed once, then the suffixes that each continue it.

One row holds P prefix tokens and then G suffixes without padding. A prefix token sees the prefix before it; a
suffix token sees the whole prefix and its own suffix before it, never another suffix. With P = 0 this is plain
packing. No [T, T] mask is ever built. It enters through transformers' AttentionInterface.

Shapes: T tokens of the pack, P prefix, N = T - P suffix tokens, G suffixes, S longest suffix, H query heads,
K key/value heads, R = H / K query heads per key/value head, D head width.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

ATTENTION_NAME = "burnish_pack"
# Above this many keys the softmax weights would fill memory, and SDPA's fused kernel is the better way.
MAX_PLAIN_KEYS = 640


@dataclass(frozen=True)
class PackLayout:
    """Where the suffixes of a pack lie."""

    prefix_length: int
    suffix_lengths: tuple[int, ...]
    padded_GS: Tensor
    """For each cell of [G, S] the suffix token that stands there (0 where none does)."""
    packed_N: Tensor
    """For each suffix token its cell in the flattened [G, S]."""


def build_layout(prefix_length: int, suffix_lengths: Sequence[int], device: torch.device) -> PackLayout:
    """The layout of a pack; suffixes have at least one token."""
    longest = max(suffix_lengths, default=0)
    lengths_G = torch.tensor(suffix_lengths, dtype=torch.long)
    starts_G = lengths_G.cumsum(0) - lengths_G
    cells_S = torch.arange(longest)
    is_token_GS = cells_S[None] < lengths_G[:, None]
    padded_GS = torch.where(is_token_GS, starts_G[:, None] + cells_S[None], 0)
    packed_N = is_token_GS.flatten().nonzero().flatten()
    return PackLayout(prefix_length, tuple(suffix_lengths), padded_GS.to(device), packed_N.to(device))


def position_ids(layout: PackLayout) -> Tensor:
    """[1, T]: the prefix counts from 0, and each suffix goes on from there."""
    counts = [torch.arange(layout.prefix_length)]
    counts += [torch.arange(layout.prefix_length, layout.prefix_length + n) for n in layout.suffix_lengths]
    return torch.cat(counts)[None].to(layout.packed_N.device)


@contextmanager
def packed_attention(model: Any) -> Iterator[None]:
    """Within the block the model attends by the `pack_layout` that its forward is given."""
    from transformers import AttentionInterface

    AttentionInterface.register(ATTENTION_NAME, pack_attention)
    before = model.config._attn_implementation
    model.set_attn_implementation(ATTENTION_NAME)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


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
    prefix = pack_layout.prefix_length
    queries, keys, values = query[0], key[0], value[0]
    longest = max(pack_layout.suffix_lengths, default=0)
    if prefix + longest > MAX_PLAIN_KEYS and softcap is None:
        out_HTD = _fused_parts(queries, keys, values, pack_layout, scale, sliding_window)
    else:
        options = _Options(scale, sliding_window, softcap)
        parts = [_prefix_part(queries[:, :prefix], keys[:, :prefix], values[:, :prefix], options)] if prefix else []
        if longest:
            parts.append(_suffix_part(queries, keys, values, pack_layout, options))
        out_HTD = torch.cat(parts, dim=1)
    return out_HTD.transpose(0, 1)[None], None


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
    query_HTD: Tensor, key_KTD: Tensor, value_KTD: Tensor, layout: PackLayout, options: _Options
) -> Tensor:
    heads, _, width = query_HTD.shape
    kv_heads, prefix = key_KTD.shape[0], layout.prefix_length
    num, longest = layout.padded_GS.shape
    repeats = heads // kv_heads
    cells = layout.padded_GS.flatten() + prefix
    folded = (kv_heads, num, repeats * longest, width)
    query_KGRSD = query_HTD[:, cells].view(kv_heads, -1, num, longest, width).transpose(1, 2).reshape(folded)
    query_KGRSD = query_KGRSD * options.scale
    own_key = key_KTD[:, cells].view(kv_heads, num, longest, width)
    own_value = value_KTD[:, cells].view(kv_heads, num, longest, width)
    scores = query_KGRSD @ own_key.mT
    if prefix:
        shared = query_KGRSD.reshape(kv_heads, -1, width) @ key_KTD[:, :prefix].mT
        scores = torch.cat([shared.view(*folded[:3], prefix), scores], dim=-1)
    visible = _visible(prefix, longest, 0, prefix + longest, options.window, query_HTD.device)
    weights = options.weights(scores, _hidden(visible, repeats, scores))
    # Split, not sliced: the backward is one copy, not two and a sum.
    shared_weights, own_weights = torch.split(weights, [prefix, longest], dim=-1)
    out = own_weights @ own_value
    if prefix:
        out = out + (shared_weights.reshape(kv_heads, -1, prefix) @ value_KTD[:, :prefix]).view(folded)
    out_HGSD = out.view(kv_heads, num, -1, longest, width).transpose(1, 2).reshape(heads, num * longest, width)
    return out_HGSD[:, layout.packed_N]


def _hidden(visible: Tensor, repeats: int, like: Tensor) -> Tensor:
    """What is added to the scores, for query rows that repeat for each of the R heads of a key head."""
    hidden = torch.zeros(visible.shape, dtype=like.dtype, device=like.device).masked_fill_(~visible, float("-inf"))
    return hidden.repeat(repeats, 1)


def _fused_parts(
    query_HTD: Tensor, key_KTD: Tensor, value_KTD: Tensor, layout: PackLayout, scale: float, window: int | None
) -> Tensor:
    """The same, one sequence after the other, through SDPA, whose memory grows with the length, not its square."""
    prefix, outputs, start = layout.prefix_length, [], layout.prefix_length
    spans = [(0, prefix)] if prefix else []
    for length in layout.suffix_lengths:
        spans.append((start, start + length))
        start += length
    for begin, end in spans:
        own = slice(begin, end)
        is_suffix = begin >= prefix and prefix > 0
        key, value = key_KTD[:, own], value_KTD[:, own]
        if is_suffix:
            key, value = torch.cat([key_KTD[:, :prefix], key], 1), torch.cat([value_KTD[:, :prefix], value], 1)
        offset = prefix if is_suffix else 0
        needs_mask = is_suffix or (window is not None and window < end - begin)
        mask = _visible(offset, end - begin, 0, offset + end - begin, window, key.device) if needs_mask else None
        repeats = query_HTD.shape[0] // key.shape[0]
        out = scaled_dot_product_attention(
            query_HTD[None, :, own],
            key.repeat_interleave(repeats, 0)[None],
            value.repeat_interleave(repeats, 0)[None],
            attn_mask=mask,
            is_causal=mask is None,
            scale=scale,
        )
        outputs.append(out[0])
    return torch.cat(outputs, dim=1)


def _visible(
    first_query: int, num_queries: int, first_key: int, num_keys: int, window: int | None, device: torch.device
) -> Tensor:
    """[queries, keys]: which key positions a query position may see; a window counts the query itself."""
    distance = torch.arange(first_query, first_query + num_queries, device=device)[:, None] - torch.arange(
        first_key, first_key + num_keys, device=device
    )
    visible = distance >= 0
    return visible if window is None else visible & (distance < window)
