"""Packing and prefix sharing change what is computed, not what comes out: losses and gradients in float64."""

from typing import Any

import pytest
import torch

from burnish.model.attention import packed_attention
from burnish.train import pack
from burnish.train.loop import example_losses
from burnish.train.pack import pack_examples
from burnish.train.savings import Savings
from tests.tiny import EXACT_KINDS, adapt, build_exact_model, random_examples
from tests.train.equivalence import (
    WAYS,
    assert_neighbours_are_not_seen,
    assert_same,
    attend_by,
    grouped_examples,
    learned_in_the_prefix,
    one_by_one,
    packed,
)

SWITCHED = {
    Savings(): "all",
    Savings(shared_prefix=False): "no prefix",
    Savings(drop_tail=False): "with tail",
    Savings(packing=False): "padded",
}


def adapted(sliding_window: int | None = None, kind: str = "starcoder2") -> Any:
    return adapt(build_exact_model(kind, sliding_window=sliding_window))


@pytest.mark.parametrize("sliding_window", [None, 7])
@pytest.mark.parametrize("shared", [0, 3, 13])
@pytest.mark.parametrize("max_tokens", [10_000, 60, 1])
@pytest.mark.parametrize("savings", SWITCHED, ids=SWITCHED.values())
def test_packed_is_one_by_one(sliding_window: int | None, shared: int, max_tokens: int, savings: Savings) -> None:
    model, examples = adapted(sliding_window), random_examples(7, shared)
    assert_same(packed(model, examples, max_tokens, savings), one_by_one(model, examples))


@pytest.mark.parametrize("max_tokens", [10_000, 60])
@pytest.mark.parametrize("savings", SWITCHED, ids=SWITCHED.values())
@pytest.mark.parametrize("kind", [kind for kind in EXACT_KINDS if kind != "starcoder2"])
def test_so_it_is_for_other_kinds_of_models(kind: str, max_tokens: int, savings: Savings) -> None:
    """Layers with and without a window in one model (Qwen3, Gemma3); norms of queries and keys; scaled embeddings."""
    model, examples = adapted(7, kind), random_examples(7, 13)
    assert_same(packed(model, examples, max_tokens, savings), one_by_one(model, examples))


@pytest.fixture
def keep_short_prefixes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack, "MIN_KEPT", 8)


@pytest.mark.usefixtures("keep_short_prefixes")
@pytest.mark.parametrize("sliding_window", [None, 7])
@pytest.mark.parametrize("max_tokens", [60, 1])
@pytest.mark.parametrize("way", ["suffixes at once", "rows", "fused"])
def test_a_prefix_that_is_computed_once_a_step_is_one_by_one(
    monkeypatch: pytest.MonkeyPatch, sliding_window: int | None, max_tokens: int, way: str
) -> None:
    attend_by(way, monkeypatch)
    for examples in (random_examples(7, 13), grouped_examples(), learned_in_the_prefix()):
        model = adapted(sliding_window)
        assert_same(packed(model, examples, max_tokens), one_by_one(model, examples))


@pytest.mark.usefixtures("keep_short_prefixes")
def test_a_prefix_is_fed_once_a_step() -> None:
    examples, cpu = random_examples(7, 13), torch.device("cpu")
    batches = list(pack_examples(examples, max_tokens=60, device=cpu))
    again = list(pack_examples(examples, max_tokens=60, device=cpu, savings=Savings(prefix_once=False)))
    assert [batch.fills is not None for batch in batches] == [True] + [False] * (len(batches) - 1)
    assert sum(b.num_tokens for b in batches) == 13 + sum(example.length - 13 for example in examples)
    assert sum(b.num_tokens for b in again) > sum(b.num_tokens for b in batches)


@torch.no_grad()
@pytest.mark.usefixtures("keep_short_prefixes")
def test_losses_without_gradients_use_the_kept_prefix_too() -> None:
    model, examples = adapted().eval(), random_examples(7, 13)
    sums = example_losses(model, examples, micro_batch_tokens=60)
    wanted = example_losses(model, examples, micro_batch_tokens=10_000)
    torch.testing.assert_close(sums, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("sliding_window", [None, 7])
@pytest.mark.parametrize("shared", [0, 13])
@pytest.mark.parametrize("kind", ["starcoder2", "gemma3"])
def test_every_way_to_attend_is_the_same(
    monkeypatch: pytest.MonkeyPatch, way: str, sliding_window: int | None, shared: int, kind: str
) -> None:
    attend_by(way, monkeypatch)
    model, examples = adapted(sliding_window, kind), random_examples(5, shared)
    assert_same(packed(model, examples), one_by_one(model, examples))


def test_a_prefix_that_holds_a_learned_token_counts_for_each_example() -> None:
    model, examples = adapted(), learned_in_the_prefix()
    assert_same(packed(model, examples), one_by_one(model, examples))


@pytest.mark.parametrize("sliding_window", [None, 7])
@pytest.mark.parametrize("max_tokens", [10_000, 130, 1])
@pytest.mark.parametrize("way", ["suffixes at once", "both", "fused"])
def test_several_groups_of_prefixes_are_one_by_one(
    monkeypatch: pytest.MonkeyPatch, sliding_window: int | None, max_tokens: int, way: str
) -> None:
    attend_by(way, monkeypatch)
    model, examples = adapted(sliding_window), grouped_examples()
    assert_same(packed(model, examples, max_tokens), one_by_one(model, examples))


def test_two_groups_share_their_own_prefixes() -> None:
    (batch,) = pack_examples(grouped_examples(), max_tokens=10_000, device=torch.device("cpu"))
    assert batch.layout is not None
    assert [(g.prefix_length, len(g.suffix_lengths)) for g in batch.layout.groups] == [(25, 3), (33, 3), (0, 2)]


@pytest.mark.usefixtures("keep_short_prefixes")
def test_a_group_that_fits_in_a_pack_is_not_cut() -> None:
    examples = grouped_examples()
    sizes = [25 + sum(e.length - 25 for e in examples[0:6:2]), 33 + sum(e.length - 33 for e in examples[1:6:2])]
    for max_tokens in (max(sizes), sum(sizes) - 1):  # the second group fits in a pack, but not behind the first
        batches = list(pack_examples(examples[:6], max_tokens=max_tokens, device=torch.device("cpu")))
        assert [batch.num_tokens for batch in batches] == sizes


def test_sharing_feeds_fewer_tokens() -> None:
    examples = random_examples(6, 30)
    count = {
        shared: sum(
            batch.num_tokens
            for batch in pack_examples(
                examples, max_tokens=10_000, device=torch.device("cpu"), savings=Savings(shared_prefix=shared)
            )
        )
        for shared in (True, False)
    }
    assert count[False] - count[True] == 30 * 5


def test_a_changed_neighbour_leaves_a_row_alone() -> None:
    assert_neighbours_are_not_seen(adapted())


def test_the_attention_of_the_model_is_put_back() -> None:
    model = build_exact_model()
    before = model.config._attn_implementation
    with pytest.raises(RuntimeError, match="inside"), packed_attention(model):
        raise RuntimeError("inside")
    assert model.config._attn_implementation == before
