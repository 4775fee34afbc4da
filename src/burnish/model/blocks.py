"""Causal attention by plain products, one block of queries after the other, with a backward of its own.

A block is some queries and all keys that they see: all suffixes of a prefix at once (`Cells`), or a stretch of one long
sequence (`Rows`). What a block needs beside its products is to be taken from the rows of the pack and put back there,
which here is one gathering or copy each; left to autograd, padding, folding, joining and their backwards took as long
as the products. Weights of long sequences are not kept but computed again, so that memory grows with the length.

Shapes: N queries and X keys; H query heads over K key/value heads, R = H / K, D head width (that of the values may be
another). Of a block: B products at once, M rows and L keys of each. Of `Cells`: G suffixes behind P tokens of prefix,
S the longest. Of `Rows`: C queries.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

QUERIES_AT_ONCE = 128
"""Of a long sequence: enough for fast products, few enough for scores to stay in a CPU's cache."""
NUMBERS_AT_ONCE = 2**21
"""Scores or gathered keys of a block of suffixes; 4 MB in bf16."""
NUMBERS_AT_ONCE_ON_GPU = 2**26
MAX_KEPT_KEYS = 640
"""Weights over more keys would fill memory: they are computed again in the backward."""
MAX_KEPT_ROWS = 128
"""The same of long sequences, which have many queries, too."""


@dataclass(frozen=True)
class Scoring:
    """How a score comes from a query and a key."""

    scale: float
    softcap: float | None = None

    def weights(self, query_BMD: Tensor, key_BLD: Tensor, block: "Block") -> Tensor:
        """[B, M, L]: softmax over the keys that each query sees, summed in fp32 at least; the queries are scaled."""
        scores_BML = torch.bmm(query_BMD, key_BLD.mT)
        if self.softcap is not None:
            scores_BML = torch.tanh(scores_BML / self.softcap) * self.softcap
        block.hide(scores_BML)
        return scores_BML.softmax(-1)

    def slope(self, query_BMD: Tensor, key_BLD: Tensor) -> Tensor | float:
        """What capping makes of a change of a score."""
        if self.softcap is None:
            return 1.0
        return 1 - torch.tanh(torch.bmm(query_BMD, key_BLD.mT) / self.softcap) ** 2


@dataclass(frozen=True)
class Heads:
    """What attention is computed with; the same in each layer of a kind."""

    queries: int
    keys: int
    width: int
    window: int | None
    """How many positions a query sees, its own counted; None for all before it."""
    dtype: torch.dtype
    device: torch.device

    @property
    def repeats(self) -> int:
        """Query heads of a key head."""
        return self.queries // self.keys

    def visible(self, first_query: int, num_queries: int, first_key: int, num_keys: int) -> Tensor:
        """[queries, keys]: which key positions a query position may see."""
        queries = torch.arange(first_query, first_query + num_queries, device=self.device)
        distance = queries[:, None] - torch.arange(first_key, first_key + num_keys, device=self.device)
        visible = distance >= 0
        return visible if self.window is None else visible & (distance < self.window)

    def hidden(self, first_query: int, num_queries: int, first_key: int, num_keys: int) -> Tensor:
        """The same to be added to scores: 0 where a query sees a key, else -inf."""
        visible = self.visible(first_query, num_queries, first_key, num_keys)
        return torch.zeros(visible.shape, dtype=self.dtype, device=self.device).masked_fill_(~visible, -torch.inf)


class Block(Protocol):
    """Queries that are computed at once."""

    @property
    def keeps_weights(self) -> bool:
        """From the forward for the backward."""

    def take_queries(self, tensor_NHD: Tensor) -> Tensor:
        """[B, M, D]; cells without a token hold any number."""

    def take_upstream(self, tensor_NHD: Tensor) -> Tensor:
        """[B, M, D]; cells without a token are 0."""

    def put_queries(self, block_BMD: Tensor, tensor_NHD: Tensor) -> None:
        """Overwrite the block's queries in `tensor_NHD`."""

    def take_keys(self, tensor_KXD: Tensor) -> Tensor:
        """[B, L, D]"""

    def add_keys(self, block_BLD: Tensor, sum_KXD: Tensor) -> None:
        """Add to the block's keys in `sum_KXD`."""

    def hide(self, scores_BML: Tensor) -> None:
        """Add -inf where a query does not see a key."""


def attend(query_NHD: Tensor, key_XKD: Tensor, value_XKD: Tensor, blocks: Sequence[Block], scoring: Scoring) -> Tensor:
    """[N, H, D]: every query is in one of the blocks."""
    out: Tensor = BlockAttention.apply(query_NHD, key_XKD, value_XKD, blocks, scoring)  # type: ignore[no-untyped-call]
    return out


class BlockAttention(torch.autograd.Function):
    """`attend`."""

    @staticmethod
    def forward(
        ctx: Any, query_NHD: Tensor, key_XKD: Tensor, value_XKD: Tensor, blocks: Sequence[Block], scoring: Scoring
    ) -> Tensor:
        query_NHD = (query_NHD * scoring.scale).contiguous()
        key_KXD, value_KXD = key_XKD.transpose(0, 1).contiguous(), value_XKD.transpose(0, 1).contiguous()
        out_NHD = query_NHD.new_empty(*query_NHD.shape[:2], value_KXD.shape[-1])
        kept = []
        for block in blocks:
            weights_BML = scoring.weights(block.take_queries(query_NHD), block.take_keys(key_KXD), block)
            block.put_queries(torch.bmm(weights_BML, block.take_keys(value_KXD)), out_NHD)
            if block.keeps_weights and any(ctx.needs_input_grad):
                kept.append(weights_BML)
        ctx.save_for_backward(query_NHD, key_KXD, value_KXD, *kept)
        ctx.blocks, ctx.scoring = blocks, scoring
        return out_NHD

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        query_NHD, key_KXD, value_KXD, *kept = ctx.saved_tensors
        scoring: Scoring = ctx.scoring
        upstream_NHD = upstream[0].contiguous()
        towards_query_NHD = torch.empty_like(query_NHD)
        exact = torch.promote_types(key_KXD.dtype, torch.float32)  # many blocks may add to the same keys
        towards_key_KXD, towards_value_KXD = (torch.zeros_like(t, dtype=exact) for t in (key_KXD, value_KXD))
        weights_left = iter(kept)
        for block in ctx.blocks:
            query_BMD, key_BLD = block.take_queries(query_NHD), block.take_keys(key_KXD)
            upstream_BMD, value_BLD = block.take_upstream(upstream_NHD), block.take_keys(value_KXD)
            weights_BML = next(weights_left) if block.keeps_weights else scoring.weights(query_BMD, key_BLD, block)
            block.add_keys(torch.bmm(weights_BML.mT, upstream_BMD), towards_value_KXD)
            towards_scores_BML = torch.ops.aten._softmax_backward_data(
                torch.bmm(upstream_BMD, value_BLD.mT), weights_BML, -1, weights_BML.dtype
            ).mul_(scoring.slope(query_BMD, key_BLD))
            block.put_queries(torch.bmm(towards_scores_BML, key_BLD), towards_query_NHD)
            block.add_keys(torch.bmm(towards_scores_BML.mT, query_BMD), towards_key_KXD)
        towards_key_XKD, towards_value_XKD = (
            tensor.to(key_KXD.dtype).transpose(0, 1) for tensor in (towards_key_KXD, towards_value_KXD)
        )
        return towards_query_NHD.mul_(scoring.scale), towards_key_XKD, towards_value_XKD, None, None


@dataclass(frozen=True)
class Cells:
    """Suffixes of one prefix, each padded to the longest, over the prefix and their own tokens.

    The keys are those of the prefix, then those of all suffixes; the queries are the suffixes'.
    """

    prefix_length: int
    tokens: slice
    """Of the queries."""
    num_kv: int
    query_rows: Tensor
    """For each of [K, G, R, S] its row in [N * H, D]."""
    query_cells: Tensor
    """For each query of `tokens` and head its cell of [K, G, R, S]."""
    padding: Tensor
    """The cells of [K, G, R, S] without a token."""
    key_rows: Tensor
    """For each of [K, G, L] its row in [K * X, D]."""
    own_cells: Tensor
    """For each of [K, `tokens`] its cell of [K, G, L]."""
    hidden_ML: Tensor

    @property
    def keeps_weights(self) -> bool:
        return self.hidden_ML.shape[1] <= MAX_KEPT_KEYS

    def take_queries(self, tensor_NHD: Tensor) -> Tensor:
        taken = tensor_NHD.view(-1, tensor_NHD.shape[-1]).index_select(0, self.query_rows)
        return taken.view(-1, len(self.hidden_ML), tensor_NHD.shape[-1])

    def take_upstream(self, tensor_NHD: Tensor) -> Tensor:
        block_BMD = self.take_queries(tensor_NHD)
        block_BMD.view(-1, block_BMD.shape[-1]).index_fill_(0, self.padding, 0)
        return block_BMD

    def put_queries(self, block_BMD: Tensor, tensor_NHD: Tensor) -> None:
        rows, cells = (tensor.view(-1, tensor.shape[-1]) for tensor in (tensor_NHD[self.tokens], block_BMD))
        torch.index_select(cells, 0, self.query_cells, out=rows)

    def take_keys(self, tensor_KXD: Tensor) -> Tensor:
        taken = tensor_KXD.view(-1, tensor_KXD.shape[-1]).index_select(0, self.key_rows)
        return taken.view(-1, self.hidden_ML.shape[1], tensor_KXD.shape[-1])

    def add_keys(self, block_BLD: Tensor, sum_KXD: Tensor) -> None:
        shared_KXD, own_KXD = sum_KXD[:, : self.prefix_length], sum_KXD[:, self.prefix_length :]
        cells = block_BLD.view(-1, block_BLD.shape[-1]).index_select(0, self.own_cells)
        own_KXD[:, self.tokens] += cells.view(self.num_kv, -1, block_BLD.shape[-1])
        if self.prefix_length:
            block_KGLD = block_BLD.view(self.num_kv, -1, *block_BLD.shape[1:])
            shared_KXD += block_KGLD[:, :, : self.prefix_length].sum(1, dtype=sum_KXD.dtype)

    def hide(self, scores_BML: Tensor) -> None:
        scores_BML.add_(self.hidden_ML)


def cut_suffixes(prefix_length: int, suffix_lengths: Sequence[int], heads: Heads) -> Iterator[Cells]:
    """Blocks of short suffixes of a prefix, each of a size that a CPU's cache holds."""
    longest = max(suffix_lengths)
    each = heads.keys * (prefix_length + longest) * max(heads.repeats * longest, heads.width)
    at_once = max(1, (NUMBERS_AT_ONCE if heads.device.type == "cpu" else NUMBERS_AT_ONCE_ON_GPU) // each)
    for first in range(0, len(suffix_lengths), at_once):
        yield _build_cells(prefix_length, suffix_lengths, slice(first, first + at_once), heads)


def _build_cells(prefix_length: int, suffix_lengths: Sequence[int], chosen: slice, heads: Heads) -> Cells:
    lengths_G = torch.tensor(suffix_lengths[chosen])
    first, num, longest = sum(suffix_lengths[: chosen.start]), len(lengths_G), int(lengths_G.max())
    num_keys = prefix_length + sum(suffix_lengths)
    is_token_GS = torch.arange(longest) < lengths_G[:, None]
    starts_G = first + lengths_G.cumsum(0) - lengths_G
    token_GS = starts_G[:, None] + torch.arange(longest) * is_token_GS
    group_T, place_T = is_token_GS.nonzero(as_tuple=True)  # of each token of the suffixes
    head_H, kv_K = torch.arange(heads.queries), torch.arange(heads.keys)
    head_KGRS = head_H.view(heads.keys, 1, heads.repeats, 1)
    seen_GL = torch.cat([torch.arange(prefix_length).expand(num, -1), prefix_length + token_GS], dim=1)
    cell_of_head_TH = ((head_H // heads.repeats) * num + group_T[:, None]) * heads.repeats + head_H % heads.repeats

    def flat(index: Tensor) -> Tensor:
        return index.flatten().to(heads.device)

    return Cells(
        prefix_length,
        tokens=slice(first, first + len(group_T)),
        num_kv=heads.keys,
        query_rows=flat(token_GS[:, None] * heads.queries + head_KGRS),
        query_cells=flat(cell_of_head_TH * longest + place_T[:, None]),
        padding=flat((~is_token_GS[:, None]).expand(heads.keys, num, heads.repeats, longest).flatten().nonzero()),
        key_rows=flat(kv_K[:, None, None] * num_keys + seen_GL),
        own_cells=flat((kv_K[:, None] * num + group_T) * (prefix_length + longest) + prefix_length + place_T),
        hidden_ML=heads.hidden(prefix_length, longest, 0, prefix_length + longest).repeat(heads.repeats, 1),
    )


@dataclass(frozen=True)
class Rows:
    """Queries one behind the other, over one or two stretches of keys."""

    num_kv: int
    tokens: slice
    """Of the queries."""
    keys: tuple[slice, ...]
    hidden_CE: Tensor
    """For the last E keys; those before them are seen by all queries."""
    keeps_weights: bool

    def take_queries(self, tensor_NHD: Tensor) -> Tensor:
        rows_KRCD = _by_head(tensor_NHD[self.tokens], self.num_kv)
        return rows_KRCD.reshape(self.num_kv, -1, tensor_NHD.shape[-1])

    take_upstream = take_queries

    def put_queries(self, block_BMD: Tensor, tensor_NHD: Tensor) -> None:
        rows_KRCD = _by_head(tensor_NHD[self.tokens], self.num_kv)
        rows_KRCD.copy_(block_BMD.view(rows_KRCD.shape))

    def take_keys(self, tensor_KXD: Tensor) -> Tensor:
        parts = [tensor_KXD[:, keys] for keys in self.keys]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)

    def add_keys(self, block_BLD: Tensor, sum_KXD: Tensor) -> None:
        lengths = [keys.stop - keys.start for keys in self.keys]
        for keys, part in zip(self.keys, torch.split(block_BLD, lengths, dim=1), strict=True):
            sum_KXD[:, keys] += part

    def hide(self, scores_BML: Tensor) -> None:
        num, edge = self.hidden_CE.shape
        scores_BML.view(self.num_kv, -1, num, scores_BML.shape[-1])[..., -edge:].add_(self.hidden_CE)


def _by_head(rows_CHD: Tensor, num_kv: int) -> Tensor:
    """[K, R, C, D]"""
    num, _, width = rows_CHD.shape
    return rows_CHD.view(num, num_kv, -1, width).permute(1, 2, 0, 3)


def cut_rows(prefix_length: int, suffix_lengths: Sequence[int], heads: Heads) -> Iterator[Rows]:
    """Blocks of long suffixes of a prefix (or of sequences without one), each over the keys that it sees alone."""
    first = 0
    for length in suffix_lengths:
        for begin in range(0, length, QUERIES_AT_ONCE):
            end = min(begin + QUERIES_AT_ONCE, length)
            position, stop = prefix_length + begin, prefix_length + end
            low = 0 if heads.window is None else max(0, position - heads.window + 1)
            is_seen_by_all = low == 0 and (heads.window is None or stop <= heads.window)
            first_hidden = position if is_seen_by_all else low
            yield Rows(
                heads.keys,
                slice(first + begin, first + end),
                _stretches(low, stop, prefix_length, first),
                heads.hidden(position, end - begin, first_hidden, stop - first_hidden),
                keeps_weights=stop <= MAX_KEPT_ROWS,
            )
        first += length


def _stretches(low: int, stop: int, prefix_length: int, first: int) -> tuple[slice, ...]:
    """Where the keys of positions `low` to `stop` lie, for a suffix that `first` tokens of others are before."""
    if first == 0:
        return (slice(low, stop),)
    own = slice(first + max(low, prefix_length), first + stop)
    return (own,) if low >= prefix_length else (slice(low, prefix_length), own)
