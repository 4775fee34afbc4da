"""Random packs: each supervised token is learned once, nothing needless is fed, and all is as one by one."""

from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.data import RenderedExample
from burnish.model import prefix
from burnish.train import pack
from burnish.train.pack import pack_examples, pad_examples
from burnish.train.savings import Savings
from tests.tiny import EXACT_KINDS, adapt, build_exact_model
from tests.train.equivalence import (
    WAYS,
    assert_each_learned_token_once,
    assert_nothing_needless,
    assert_same,
    attend_by,
    one_by_one,
    packed,
)

CPU = torch.device("cpu")
SAVINGS = st.builds(Savings, *[st.booleans()] * 6)


@st.composite
def example_lists(draw: st.DrawFn) -> list[RenderedExample]:
    """Up to 3 common beginnings of up to 14 tokens, some of them alike, each with up to 4 examples."""
    tokens = st.integers(0, draw(st.sampled_from([1, 257])))  # of two tokens many sequences are alike
    tails = st.lists(st.lists(tokens, min_size=2, max_size=12), min_size=1, max_size=4)
    examples = list[RenderedExample]()
    for start, ends in draw(st.lists(st.tuples(st.lists(tokens, max_size=14), tails), min_size=1, max_size=3)):
        for end in ends:
            ids = (*start, *end)
            learned = draw(st.sets(st.integers(1, len(ids) - 1), min_size=1))
            mask = tuple(i in learned for i in range(len(ids)))
            examples.append(RenderedExample(str(len(examples)), ids, mask, max(learned)))
    return examples


@settings(max_examples=150, deadline=None)
@given(example_lists(), st.integers(1, 80), st.integers(1, 12), st.integers(1, 12))
def test_each_supervised_token_is_learned_once_and_nothing_needless_is_fed(
    examples: list[RenderedExample], max_tokens: int, min_prefix: int, min_kept: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prefix, "MIN_PREFIX", min_prefix)
        patch.setattr(pack, "MIN_KEPT", min_kept)
        batches = list(pack_examples(examples, max_tokens=max_tokens, device=CPU))
        assert_each_learned_token_once(examples, batches)
        assert_nothing_needless(examples, batches, max_tokens)


@settings(max_examples=100, deadline=None)
@given(example_lists(), st.integers(1, 80), SAVINGS)
def test_each_supervised_token_is_learned_once_whatever_is_saved(
    examples: list[RenderedExample], max_tokens: int, savings: Savings
) -> None:
    make = pack_examples if savings.packing else pad_examples
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prefix, "MIN_PREFIX", 2)
        patch.setattr(pack, "MIN_KEPT", 2)
        batches = list(make(examples, max_tokens=max_tokens, device=CPU, savings=savings))
        assert_each_learned_token_once(examples, batches)


@cache
def adapted(kind: str, sliding_window: int | None) -> Any:
    return adapt(build_exact_model(kind, sliding_window=sliding_window))


@settings(max_examples=40, deadline=None)
@given(
    example_lists(),
    st.sampled_from(EXACT_KINDS),
    st.sampled_from([None, 1, 2, 7, 30]),
    st.integers(1, 80),
    SAVINGS,
    st.sampled_from(WAYS),
)
def test_random_packs_are_one_by_one(
    examples: list[RenderedExample],
    kind: str,
    sliding_window: int | None,
    max_tokens: int,
    savings: Savings,
    way: str,
) -> None:
    model = adapted(kind, sliding_window)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prefix, "MIN_PREFIX", 1)
        patch.setattr(pack, "MIN_KEPT", 4)
        attend_by(way, patch)
        assert_same(packed(model, examples, max_tokens, savings), one_by_one(model, examples))
