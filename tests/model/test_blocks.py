"""Attention by blocks: dense attention with a mask, values and gradients, however it is cut."""

import pytest
import torch
from torch import Tensor

from burnish.model import blocks
from burnish.model.blocks import Block, Heads, Scoring, attend, cut_rows, cut_suffixes

CUTS = {"suffixes": cut_suffixes, "rows": cut_rows}
PREFIX, SUFFIXES = 6, (5, 1, 9, 3)


def heads_of(window: int | None = None, dtype: torch.dtype = torch.float64) -> Heads:
    return Heads(queries=6, keys=2, width=8, window=window, dtype=dtype, device=torch.device("cpu"))


def tensors(heads: Heads, num_queries: int, num_keys: int) -> list[Tensor]:
    torch.manual_seed(0)
    wide = heads.width + 2  # values may be of another width
    shapes = (
        (num_queries, heads.queries, heads.width),
        (num_keys, heads.keys, heads.width),
        (num_keys, heads.keys, wide),
    )
    return [torch.randn(shape, dtype=torch.float64).to(heads.dtype).requires_grad_() for shape in shapes]


def dense(query: Tensor, key: Tensor, value: Tensor, heads: Heads, scoring: Scoring, prefix: int) -> Tensor:
    """Each suffix on its own, over the prefix and itself, by a whole matrix of scores."""
    outputs, first = [], 0
    for length in SUFFIXES:
        own = slice(prefix + first, prefix + first + length)
        seen_key, seen_value = torch.cat([key[:prefix], key[own]]), torch.cat([value[:prefix], value[own]])
        keys, values = (seen.repeat_interleave(heads.repeats, dim=1) for seen in (seen_key, seen_value))
        scores = torch.einsum("shd,lhd->hsl", query[first : first + length], keys) * scoring.scale
        if scoring.softcap is not None:
            scores = torch.tanh(scores / scoring.softcap) * scoring.softcap
        distance = torch.arange(prefix, prefix + length)[:, None] - torch.arange(prefix + length)
        seen = (distance >= 0) & (distance < (heads.window or 1000))
        weights = scores.masked_fill(~seen, -torch.inf).softmax(-1)
        outputs.append(torch.einsum("hsl,lhd->shd", weights, values))
        first += length
    return torch.cat(outputs)


def results(out: Tensor, leaves: list[Tensor]) -> list[Tensor]:
    weights = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
    return [out.detach(), *torch.autograd.grad((out * weights).sum(), leaves)]


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("prefix", [0, PREFIX])
@pytest.mark.parametrize("window", [None, 1, 4])
@pytest.mark.parametrize("softcap", [None, 0.7])
@pytest.mark.parametrize("kept", [0, 1000])
@pytest.mark.parametrize("at_once", [1, 4, 1000])
def test_blocks_are_dense_attention(
    monkeypatch: pytest.MonkeyPatch,
    cut: str,
    prefix: int,
    window: int | None,
    softcap: float | None,
    kept: int,
    at_once: int,
) -> None:
    for name, figure in {
        "MAX_KEPT_KEYS": kept,
        "MAX_KEPT_ROWS": kept,
        "QUERIES_AT_ONCE": at_once,
        "NUMBERS_AT_ONCE": 250 * at_once,
    }.items():
        monkeypatch.setattr(blocks, name, figure)
    heads, scoring = heads_of(window), Scoring(0.3, softcap)
    leaves = tensors(heads, sum(SUFFIXES), prefix + sum(SUFFIXES))
    cuts: list[Block] = list(CUTS[cut](prefix, SUFFIXES, heads))
    if at_once < 1000:
        assert len(cuts) > 1
    ours = results(attend(*leaves, cuts, scoring), leaves)
    theirs = results(dense(*leaves, heads, scoring, prefix), leaves)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("cut", CUTS)
def test_bf16_is_near(cut: str) -> None:
    exact, rounded = heads_of(), heads_of(dtype=torch.bfloat16)
    leaves, scoring = tensors(rounded, sum(SUFFIXES), PREFIX + sum(SUFFIXES)), Scoring(rounded.width**-0.5)
    wide = [leaf.detach().double().requires_grad_() for leaf in leaves]
    ours = results(attend(*leaves, list(CUTS[cut](PREFIX, SUFFIXES, rounded)), scoring), leaves)
    theirs = results(attend(*wide, list(CUTS[cut](PREFIX, SUFFIXES, exact)), scoring), wide)
    for our, their in zip(ours, theirs, strict=True):
        assert our.dtype == torch.bfloat16
        assert (our - their).norm() < 0.01 * their.norm()


def test_weights_of_long_sequences_are_not_kept() -> None:
    heads = heads_of()
    (short, *_), *_, last = [list(cut_rows(0, [length], heads)) for length in (100, 1000)]
    assert short.keeps_weights
    assert not last[-1].keeps_weights
    assert all(cells.keeps_weights for cells in cut_suffixes(500, [20, 30], heads))
    assert not any(cells.keeps_weights for cells in cut_suffixes(640, [20, 30], heads))
