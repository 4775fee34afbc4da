"""Each comparison that guards the exactness of training fails when the fault that it guards against is planted."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from burnish.data import RenderedExample
from burnish.model import attention, blocks, loss
from burnish.model.attention import PackLayout, PrefixStore
from burnish.model.loss import token_losses
from burnish.model.prefix import PrefixGroup
from burnish.train import pack, step
from burnish.train.pack import pack_examples
from burnish.train.savings import Savings
from tests.tiny import adapt, build_exact_model, random_examples
from tests.train.equivalence import (
    assert_each_learned_token_once,
    assert_neighbours_are_not_seen,
    assert_nothing_needless,
    assert_same,
    assert_same_step,
    grouped_examples,
    one_by_one,
    packed,
    stepped,
)

Patch = pytest.MonkeyPatch
Fault = Callable[[Patch], None]
# A fault is no matter of rounding: it must be seen by a comparison that is so much looser than that of the exact way.
LOOSENED = 1e6


@pytest.fixture(autouse=True)
def keep_short_prefixes(monkeypatch: Patch) -> None:
    monkeypatch.setattr(pack, "MIN_KEPT", 8)


def new_model() -> Any:
    return adapt(build_exact_model("qwen3", sliding_window=7))  # one layer with the window, one without


def check_packed(max_tokens: int, loosened: float) -> None:
    model = new_model()
    for examples in (random_examples(5, 13), grouped_examples()):
        wanted = one_by_one(model, examples)
        assert_same(packed(model, examples, max_tokens), wanted, loosened=loosened)


def predict_from_a_row_too_early(monkeypatch: Patch) -> None:
    real = pack._batch

    def early(ids: Any, layout: Any, rows: Sequence[int], learned: Any, device: Any) -> Any:
        return real(ids, layout, [max(row - 1, 0) for row in rows], learned, device)

    monkeypatch.setattr(pack, "_batch", early)


def predict_the_token_that_is_read(monkeypatch: Patch) -> None:
    real = pack._batch

    def unshifted(ids: Any, layout: Any, rows: Sequence[int], learned: Any, device: Any) -> Any:
        read = [each._replace(target=ids[0][row]) for each, row in zip(learned, rows, strict=True)]
        return real(ids, layout, rows, read, device)

    monkeypatch.setattr(pack, "_batch", unshifted)


def let_suffixes_see_those_before(monkeypatch: Patch) -> None:
    """The suffixes of a group attend as if they were one; their positions stay right."""
    real = attention._attend

    def leaking(query: Any, key: Any, value: Any, group: Any, **options: Any) -> torch.Tensor:
        if group.suffix_lengths:
            group = replace(group, suffix_lengths=(group.num_suffix_tokens,), _blocks={})
        return real(query, key, value, group, **options)

    monkeypatch.setattr(attention, "_attend", leaking)


def let_groups_see_those_before(monkeypatch: Patch) -> None:
    real = attention.pack_attention

    def leaking(*tensors: Any, pack_layout: PackLayout, **options: Any) -> Any:
        total = sum(group.num_tokens for group in pack_layout.groups)
        one = attention.build_layout([(0, [total])], pack_layout.groups[0].device)
        return real(*tensors, pack_layout=one if len(pack_layout.groups) > 1 else pack_layout, **options)

    monkeypatch.setattr(attention, "pack_attention", leaking)


def count_positions(of_group: Callable[[int, tuple[int, ...]], list[torch.Tensor]]) -> Fault:
    def plant(monkeypatch: Patch) -> None:
        def counted(layout: PackLayout) -> torch.Tensor:
            parts = [
                part
                for group in layout.groups
                for part in [
                    torch.arange(group.num_prefix_tokens),
                    *of_group(group.prefix_length, group.suffix_lengths),
                ]
            ]
            return torch.cat(parts)[None]

        monkeypatch.setattr(loss, "position_ids", counted)

    return plant


def widen_the_window(by: int) -> Fault:
    def plant(monkeypatch: Patch) -> None:
        real = blocks.Heads.visible

        def visible(heads: blocks.Heads, *places: int) -> torch.Tensor:
            return real(heads if heads.window is None else replace(heads, window=heads.window + by), *places)

        monkeypatch.setattr(blocks.Heads, "visible", visible)

    return plant


FAULTS: dict[str, Fault] = {
    "labels: a row too early": predict_from_a_row_too_early,
    "labels: not shifted": predict_the_token_that_is_read,
    "attention: suffixes see those before": let_suffixes_see_those_before,
    "positions: suffixes restart at 0": count_positions(lambda _, lengths: [torch.arange(n) for n in lengths]),
    "positions: suffixes one too far": count_positions(
        lambda prefix, lengths: [torch.arange(n) + prefix + 1 for n in lengths]
    ),
    "positions: each suffix goes on from the one before": count_positions(
        lambda prefix, lengths: [torch.arange(sum(lengths)) + prefix]
    ),
    "window: one wider": widen_the_window(1),
    "window: one narrower": widen_the_window(-1),
}


def test_without_a_fault_the_checks_hold() -> None:
    for max_tokens in (10_000, 60):
        check_packed(max_tokens, loosened=1)


@pytest.mark.parametrize("max_tokens", [10_000, 60], ids=["prefix in the pack", "prefix once a step"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_packing_is_noticed(monkeypatch: Patch, fault: str, max_tokens: int) -> None:
    FAULTS[fault](monkeypatch)
    with pytest.raises(AssertionError):
        check_packed(max_tokens, LOOSENED)


def test_groups_that_see_each_other_are_noticed(monkeypatch: Patch) -> None:
    let_groups_see_those_before(monkeypatch)
    with pytest.raises(AssertionError):
        check_packed(10_000, LOOSENED)


def test_a_neighbour_that_is_seen_is_noticed(monkeypatch: Patch) -> None:
    assert_neighbours_are_not_seen(new_model())
    let_suffixes_see_those_before(monkeypatch)
    with pytest.raises(AssertionError):
        assert_neighbours_are_not_seen(new_model())


def forget_the_prefix(store: PrefixStore, loss: torch.Tensor) -> None:
    """No backward at all."""


def forget_those_who_used_it(store: PrefixStore, loss: torch.Tensor) -> None:
    loss.backward()


def forget_all_but_the_last_pack(store: PrefixStore, layer: int, real: Any = PrefixStore.use) -> Any:
    store._used.pop(layer, None)
    return real(store, layer)


@pytest.mark.parametrize(
    ("method", "fault"),
    [
        ("backward", forget_the_prefix),
        ("backward", forget_those_who_used_it),
        ("use", forget_all_but_the_last_pack),
    ],
)
def test_a_prefix_that_is_not_gone_back_through_is_noticed(
    monkeypatch: Patch, method: str, fault: Callable[..., Any]
) -> None:
    model, examples = new_model(), random_examples(5, 13)
    wanted = one_by_one(model, examples)
    monkeypatch.setattr(PrefixStore, method, fault)
    got = packed(model, examples, 60)
    assert got[0] == pytest.approx(wanted[0], rel=1e-12)  # only the gradient tells
    with pytest.raises(AssertionError):
        assert_same(got, wanted, loosened=LOOSENED)


def check_cut(examples: Sequence[RenderedExample]) -> None:
    each = stepped(new_model(), examples, 8, max_tokens=1, savings=Savings(shared_prefix=False))
    assert_same_step(each, stepped(new_model(), examples, 1))


def test_a_mean_of_means_is_noticed(monkeypatch: Patch) -> None:
    examples = random_examples(8, 13)
    num_supervised = sum(example.num_supervised for example in examples)

    def mean_of_means(model: Any, batch: Any, **switches: bool) -> torch.Tensor:
        share = len(batch.owners_S.unique()) / len(examples)
        return token_losses(model, batch, **switches) / len(batch.owners_S) * share * num_supervised

    check_cut(examples)
    monkeypatch.setattr(step, "token_losses", mean_of_means)
    with pytest.raises(AssertionError):
        check_cut(examples)
    check_cut([replace(e, loss_mask=(*[False] * e.prompt_length, True, True)) for e in equally_long()])


def equally_long() -> list[RenderedExample]:
    """Where all learn equally many tokens, the fault is none."""
    return [
        replace(example, input_ids=example.input_ids[: example.prompt_length + 2]) for example in random_examples(8, 13)
    ]


def check_cover() -> None:
    for examples in (random_examples(7, 13), grouped_examples()):
        for max_tokens in (10_000, 70):
            batches = list(pack_examples(examples, max_tokens=max_tokens, device=torch.device("cpu")))
            assert_each_learned_token_once(examples, batches)
            assert_nothing_needless(examples, batches, max_tokens)


def learn_what_is_not_supervised(monkeypatch: Patch) -> None:
    def everything(examples: Sequence[RenderedExample], owner: int) -> list[Any]:
        ids = examples[owner].input_ids[: examples[owner].length + 1]
        return [pack._Learned(ids[i], owner, i - 1, i) for i in range(1, len(ids))]

    monkeypatch.setattr(pack, "_learned", everything)


def learn_the_first_token_twice(monkeypatch: Patch) -> None:
    real = pack._learned

    def twice(examples: Sequence[RenderedExample], owner: int) -> list[Any]:
        return [next(real(examples, owner)), *real(examples, owner)]

    monkeypatch.setattr(pack, "_learned", twice)


def feed_the_tail(monkeypatch: Patch) -> None:
    monkeypatch.setattr(pack, "_fed", lambda examples, savings: [example.input_ids for example in examples])


def feed_the_prefix_in_each_pack(monkeypatch: Patch) -> None:
    monkeypatch.setattr(pack, "_is_worth_keeping", lambda *_: False)


def share_without_a_partner(monkeypatch: Patch) -> None:
    monkeypatch.setattr(pack, "group_by_prefix", lambda fed: [PrefixGroup(2, (i,)) for i in range(len(fed))])
    monkeypatch.setattr(pack, "_with_the_lonely_together", lambda groups: groups)


@pytest.mark.parametrize(
    "fault",
    [
        learn_what_is_not_supervised,
        learn_the_first_token_twice,
        feed_the_tail,
        feed_the_prefix_in_each_pack,
        share_without_a_partner,
    ],
)
def test_a_fault_in_what_packs_hold_is_noticed(monkeypatch: Patch, fault: Fault) -> None:
    check_cover()
    fault(monkeypatch)
    with pytest.raises(AssertionError):
        check_cover()
