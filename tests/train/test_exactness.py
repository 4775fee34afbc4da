"""Packing and prefix sharing change what is computed, not what comes out: losses and gradients in float64."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from burnish.data import RenderedExample
from burnish.model import attention
from burnish.model.adapter import adapter_parameters
from burnish.model.attention import packed_attention
from burnish.model.loss import token_losses
from burnish.train import pack
from burnish.train.loop import example_losses
from burnish.train.pack import batches_for, pack_examples
from burnish.train.savings import ALL_SAVINGS, Savings
from tests.tiny import adapt, build_exact_model, random_examples

Result = tuple[list[float], dict[str, torch.Tensor]]
SWITCHED = {
    Savings(): "all",
    Savings(shared_prefix=False): "no prefix",
    Savings(drop_tail=False): "with tail",
    Savings(packing=False): "padded",
}


def adapted(sliding_window: int | None = None) -> Any:
    return adapt(build_exact_model(sliding_window=sliding_window))


def gradients(model: Any) -> dict[str, torch.Tensor]:
    grads = {name: p.grad.clone() for name, p in adapter_parameters(model).items() if p.grad is not None}
    model.zero_grad()
    return grads


def one_by_one(model: Any, examples: Sequence[RenderedExample]) -> Result:
    """The plain way: each example alone, all logits, transformers' own attention."""
    losses = []
    for example in examples:
        logits = model(input_ids=torch.tensor([example.input_ids])).logits[0].double()
        learned = [t for t in range(1, len(example.input_ids)) if example.loss_mask[t]]
        targets = torch.tensor([example.input_ids[t] for t in learned])
        rows = torch.tensor([t - 1 for t in learned])
        loss = torch.nn.functional.cross_entropy(logits[rows], targets, reduction="sum")
        loss.backward()
        losses.append(loss.item())
    return losses, gradients(model)


def packed(
    model: Any, examples: Sequence[RenderedExample], max_tokens: int = 10_000, savings: Savings = ALL_SAVINGS
) -> Result:
    losses, prefixes = [0.0] * len(examples), []
    with batches_for(model, examples, max_tokens=max_tokens, savings=savings) as batches:
        for batch in batches:
            per_token = token_losses(model, batch)
            for owner, loss in zip(batch.owners_S.tolist(), per_token.tolist(), strict=True):
                losses[owner] += loss
            if batch.fills is None:
                per_token.sum().backward()
            else:
                prefixes.append((batch.fills, per_token.sum()))
    for store, loss in prefixes:
        store.backward(loss)
    return losses, gradients(model)


def assert_same(got: Result, wanted: Result) -> None:
    assert got[0] == pytest.approx(wanted[0], rel=1e-12)
    assert got[1].keys() == wanted[1].keys()
    for name, gradient in wanted[1].items():
        torch.testing.assert_close(got[1][name], gradient, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("sliding_window", [None, 7])
@pytest.mark.parametrize("shared", [0, 3, 13])
@pytest.mark.parametrize("max_tokens", [10_000, 60, 1])
@pytest.mark.parametrize("savings", SWITCHED, ids=SWITCHED.values())
def test_packed_is_one_by_one(sliding_window: int | None, shared: int, max_tokens: int, savings: Savings) -> None:
    model, examples = adapted(sliding_window), random_examples(7, shared)
    assert_same(packed(model, examples, max_tokens, savings), one_by_one(model, examples))


@pytest.fixture
def keep_short_prefixes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack, "MIN_KEPT", 8)


@pytest.mark.usefixtures("keep_short_prefixes")
@pytest.mark.parametrize("sliding_window", [None, 7])
@pytest.mark.parametrize("max_tokens", [60, 1])
@pytest.mark.parametrize("plain_keys", [640, 0])
def test_a_prefix_that_is_computed_once_a_step_is_one_by_one(
    monkeypatch: pytest.MonkeyPatch, sliding_window: int | None, max_tokens: int, plain_keys: int
) -> None:
    monkeypatch.setattr(attention, "MAX_PLAIN_KEYS", plain_keys)
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


@pytest.mark.parametrize("sliding_window", [None, 7])
def test_the_fused_way_of_long_packs_is_the_same(monkeypatch: pytest.MonkeyPatch, sliding_window: int | None) -> None:
    monkeypatch.setattr(attention, "MAX_PLAIN_KEYS", 0)
    model, examples = adapted(sliding_window), random_examples(5, 13)
    assert_same(packed(model, examples), one_by_one(model, examples))


def learned_in_the_prefix() -> list[RenderedExample]:
    base = random_examples(1, 20)[0]
    mask = tuple(i in (12, 22) for i in range(len(base.input_ids)))
    tails = [(5, 6, 7), (8, 9), (10, 11, 12, 13)]
    return [
        RenderedExample(str(n), base.input_ids[:22] + tail, mask[:22] + (True,) * len(tail), 22)
        for n, tail in enumerate(tails)
    ]


def test_a_prefix_that_holds_a_learned_token_counts_for_each_example() -> None:
    model, examples = adapted(), learned_in_the_prefix()
    assert_same(packed(model, examples), one_by_one(model, examples))


def grouped_examples() -> list[RenderedExample]:
    """Two groups that share more among themselves than with each other, and two examples that share nothing."""
    start = tuple(range(100, 112))
    prefixes = [(*start, *range(20, 33)), (*start, *range(50, 71))]
    tails = random_examples(8, 0)
    return [
        RenderedExample(
            tail.id,
            (*prefix, *tail.input_ids),
            (*([False] * len(prefix)), *tail.loss_mask),
            tail.prompt_length + len(prefix),
        )
        for tail, prefix in zip(tails, [*prefixes, *prefixes, *prefixes, (), ()], strict=True)
    ]


@pytest.mark.parametrize("sliding_window", [None, 7])
@pytest.mark.parametrize("max_tokens", [10_000, 130, 1])
@pytest.mark.parametrize("plain_keys", [640, 30, 0])
def test_several_groups_of_prefixes_are_one_by_one(
    monkeypatch: pytest.MonkeyPatch, sliding_window: int | None, max_tokens: int, plain_keys: int
) -> None:
    monkeypatch.setattr(attention, "MAX_PLAIN_KEYS", plain_keys)
    model, examples = adapted(sliding_window), grouped_examples()
    assert_same(packed(model, examples, max_tokens), one_by_one(model, examples))


def test_two_groups_share_their_own_prefixes() -> None:
    (batch,) = pack_examples(grouped_examples(), max_tokens=10_000, device=torch.device("cpu"))
    assert batch.layout is not None
    assert [(g.prefix_length, len(g.suffix_lengths)) for g in batch.layout.groups] == [(25, 3), (33, 3), (0, 2)]


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
    model, examples = adapted(), random_examples(4, 13)
    first = packed(model, examples)[0]
    other = examples[1]
    changed = RenderedExample(other.id, (*other.input_ids[:-2], 1, 2), other.loss_mask, other.prompt_length)
    second = packed(model, [examples[0], changed, *examples[2:]])[0]
    assert [first[i] for i in (0, 2, 3)] == pytest.approx([second[i] for i in (0, 2, 3)], rel=1e-12)
    assert first[1] != pytest.approx(second[1], rel=1e-6)


def test_the_attention_of_the_model_is_put_back() -> None:
    model = build_exact_model()
    before = model.config._attn_implementation
    with pytest.raises(RuntimeError, match="inside"), packed_attention(model):
        raise RuntimeError("inside")
    assert model.config._attn_implementation == before
