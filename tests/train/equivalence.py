"""Two ways to the same losses and gradients, the examples that tell them apart, and what must hold between them."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any

import pytest
import torch

from burnish.data import RenderedExample
from burnish.model import attention, blocks
from burnish.model.adapter import adapter_parameters
from burnish.model.attention import PrefixStore
from burnish.model.loss import Batch, token_losses
from burnish.model.prefix import PrefixGroup, group_by_prefix
from burnish.train import pack
from burnish.train.pack import batches_for
from burnish.train.savings import ALL_SAVINGS, Savings
from burnish.train.step import StepMetrics, mean_loss, train_step
from tests.tiny import random_examples

Result = tuple[list[float], dict[str, torch.Tensor]]

WAYS = ("suffixes at once", "one suffix at once", "rows", "both", "fused")


def attend_by(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let packs attend by one of `WAYS`, whatever their lengths, which on tiny examples would be the first."""
    if way == "one suffix at once":  # whose weights are computed again
        monkeypatch.setattr(blocks, "NUMBERS_AT_ONCE", 1)
        monkeypatch.setattr(blocks, "MAX_KEPT_KEYS", 0)
    if way in ("rows", "both", "fused"):
        monkeypatch.setattr(attention, "MAX_CELLS", 12 if way == "both" else 0)
    if way in ("rows", "both"):
        monkeypatch.setattr(attention, "SLOW_FUSED", {("cpu", torch.float64)})
        monkeypatch.setattr(blocks, "QUERIES_AT_ONCE", 5)
        monkeypatch.setattr(blocks, "MAX_KEPT_ROWS", 7)


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
    return losses, _take_gradients(model)


def packed(
    model: Any, examples: Sequence[RenderedExample], max_tokens: int = 10_000, savings: Savings = ALL_SAVINGS
) -> Result:
    """The way of a training step, with the loss of each example."""
    losses, prefixes = [0.0] * len(examples), []
    with batches_for(model, examples, max_tokens=max_tokens, savings=savings) as batches:
        for batch in batches:
            per_token = token_losses(
                model, batch, supervised_logits_only=savings.supervised_logits, chunked=savings.chunked_loss
            )
            for owner, loss in zip(batch.owners_S.tolist(), per_token.tolist(), strict=True):
                losses[owner] += loss
            if batch.fills is None:
                per_token.sum().backward()
            else:
                prefixes.append((batch.fills, per_token.sum()))
    for store, loss in prefixes:
        store.backward(loss)
    return losses, _take_gradients(model)


def _take_gradients(model: Any) -> dict[str, torch.Tensor]:
    gradients = {name: p.grad.clone() for name, p in adapter_parameters(model).items() if p.grad is not None}
    model.zero_grad()
    return gradients


def stepped(
    model: Any,
    examples: Sequence[RenderedExample],
    num_batches: int,
    max_tokens: int = 10_000,
    savings: Savings = ALL_SAVINGS,
    optimizer: type[torch.optim.Optimizer] = torch.optim.SGD,
) -> tuple[StepMetrics, dict[str, torch.Tensor]]:
    """One training step in so many micro-batches: its metrics and the parameters after it."""
    parameters = adapter_parameters(model)
    with batches_for(model, examples, max_tokens=max_tokens, savings=savings) as batches:
        cut = list(batches)
        assert len(cut) == num_batches
        num_supervised = sum(example.num_supervised for example in examples)
        metrics = train_step(
            model,
            list(parameters.values()),
            optimizer(list(parameters.values()), lr=0.1, weight_decay=0.01),
            cut,
            objective=mean_loss(num_supervised, savings),
            num_supervised=num_supervised,
            max_grad_norm=0.5,
            step=1,
            epoch=1.0,
        )
    return metrics, {name: parameter.detach() for name, parameter in parameters.items()}


def assert_same(got: Result, wanted: Result, *, loosened: float = 1) -> None:
    assert got[0] == pytest.approx(wanted[0], rel=1e-12 * loosened)
    assert_same_tensors(got[1], wanted[1], loosened=loosened)


def assert_same_tensors(got: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor], *, loosened: float = 1) -> None:
    assert got.keys() == wanted.keys()
    for name, tensor in wanted.items():
        torch.testing.assert_close(got[name], tensor, rtol=1e-10 * loosened, atol=1e-11 * loosened)


def assert_same_step(
    got: tuple[StepMetrics, dict[str, torch.Tensor]], wanted: tuple[StepMetrics, dict[str, torch.Tensor]]
) -> None:
    assert got[0].loss_per_token == pytest.approx(wanted[0].loss_per_token, rel=1e-12)
    assert got[0].grad_norm == pytest.approx(wanted[0].grad_norm, rel=1e-10)
    assert got[0].supervised_tokens == wanted[0].supervised_tokens
    assert_same_tensors(got[1], wanted[1])


def assert_neighbours_are_not_seen(model: Any) -> None:
    """A changed ending of one example changes no other's loss."""
    examples = random_examples(4, 13)
    first = packed(model, examples)[0]
    other = examples[1]
    changed = RenderedExample(other.id, (*other.input_ids[:-2], 1, 2), other.loss_mask, other.prompt_length)
    second = packed(model, [examples[0], changed, *examples[2:]])[0]
    assert [first[i] for i in (0, 2, 3)] == pytest.approx([second[i] for i in (0, 2, 3)], rel=1e-12)
    assert first[1] != pytest.approx(second[1], rel=1e-6)


def assert_each_learned_token_once(examples: Sequence[RenderedExample], batches: Sequence[Batch]) -> None:
    """Every supervised token is predicted once, from what stands before it in its own example."""
    found = Counter[tuple[int, tuple[int, ...], int]]()
    for batch, contexts, _ in _read(batches):
        for row, target, owner in zip(
            *(t.tolist() for t in (batch.rows_S, batch.targets_S, batch.owners_S)), strict=True
        ):
            found[owner, contexts[row], target] += 1
    assert found == Counter(
        (owner, example.input_ids[:t], example.input_ids[t])
        for owner, example in enumerate(examples)
        for t in range(1, len(example.input_ids))
        if example.loss_mask[t]
    )


def assert_nothing_needless(examples: Sequence[RenderedExample], batches: Sequence[Batch], max_tokens: int) -> None:
    """Each example is fed once, through the token that predicts its last supervised one; a common beginning is fed
    once a pack, and once a step if it is worth keeping; and no pack is larger than it may be."""
    needed, found = [example.input_ids[: example.length] for example in examples], list[tuple[int, ...]]()
    for batch, contexts, ends in _read(batches):
        assert batch.layout is not None
        found += [contexts[row] for row in ends]
        assert set(ends) <= set(batch.rows_S.tolist())
        groups = batch.layout.groups
        assert all(len(g.suffix_lengths) > 1 for g in groups if g.prefix_length and g.store is None)
        last_rows = accumulate((group.num_tokens for group in groups), initial=-1)
        next(last_rows)
        begun = [contexts[row][: g.prefix_length] for g, row in zip(groups, last_rows, strict=True) if g.prefix_length]
        assert len(set(begun)) == len(begun)
        assert batch.num_tokens <= max_tokens or batch.fills is not None or len(ends) == 1
    assert sorted(found) == sorted(needed)
    best, plain = group_by_prefix(needed), sum(map(len, needed))
    total, at_once = sum(batch.num_tokens for batch in batches), plain - _saved(best)
    assert total >= at_once
    assert total == at_once or at_once > max_tokens
    assert total <= plain - _saved(group for group in best if group.length >= pack.MIN_KEPT)


def _saved(groups: Iterable[PrefixGroup]) -> int:
    return sum(group.length * (len(group.members) - 1) for group in groups)


def _read(batches: Sequence[Batch]) -> Iterator[tuple[Batch, list[tuple[int, ...]], list[int]]]:
    """Each pack, for each of its rows the tokens that lead through it, and the rows where an example ends."""
    kept = dict[PrefixStore, tuple[int, ...]]()
    for batch in batches:
        if batch.layout is None:
            padded = [tuple(row) for row in batch.input_ids.tolist()]
            yield batch, [row[: i + 1] for row in padded for i in range(len(row))], []
            continue
        ids, contexts, ends = tuple(batch.input_ids[0].tolist()), list[tuple[int, ...]](), list[int]()
        for group in batch.layout.groups:
            if group.num_prefix_tokens:
                prefix = ids[len(contexts) :][: group.prefix_length]
                contexts += [prefix[: i + 1] for i in range(len(prefix))]
                if group.store is not None:
                    kept[group.store] = prefix
            else:
                prefix = () if group.store is None else kept[group.store]
            for length in group.suffix_lengths:
                suffix = ids[len(contexts) :][:length]
                contexts += [prefix + suffix[: i + 1] for i in range(length)]
                ends.append(len(contexts) - 1)
        assert len(contexts) == len(ids)
        yield batch, contexts, ends


def learned_in_the_prefix() -> list[RenderedExample]:
    """Three examples of one prompt of 22 tokens, of which two are learned."""
    base = random_examples(1, 20)[0]
    mask = tuple(i in (12, 22) for i in range(len(base.input_ids)))
    tails = [(5, 6, 7), (8, 9), (10, 11, 12, 13)]
    return [
        RenderedExample(str(n), base.input_ids[:22] + tail, mask[:22] + (True,) * len(tail), 22)
        for n, tail in enumerate(tails)
    ]


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
