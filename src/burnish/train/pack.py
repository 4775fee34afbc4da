"""Rendered examples -> batches: no padding, common beginnings computed once, nothing fed that is not needed."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any, NamedTuple

import torch

from burnish.data.rendering.render import RenderedExample
from burnish.model.attention import PackLayout, PrefixStore, build_layout, can_pack, packed_attention
from burnish.model.loss import Batch
from burnish.model.prefix import PrefixGroup, group_by_prefix
from burnish.train.ranks import ALONE, Ranks
from burnish.train.savings import ALL_SAVINGS, Savings

# A shorter prefix is computed again in each pack of a step: a pack of its own would cost as much.
MIN_KEPT = 64


@contextmanager
def batches_for(
    model: Any,
    examples: Sequence[RenderedExample],
    *,
    max_tokens: int,
    savings: Savings = ALL_SAVINGS,
    ranks: Ranks = ALONE,
) -> Iterator[Iterator[Batch]]:
    """The batches that cover `examples` once, and within the block the attention that they need.

    A model that does not attend through transformers' interface is given padded examples. Ranks that share a base
    have equally many batches: a rank with fewer goes on with such that learn nothing.
    """
    is_packed = savings.packing and can_pack(model)
    if ranks.shards_base:  # a prefix's backward comes behind those of other packs, and not on every rank
        savings = replace(savings, prefix_once=False)
    cover = pack_examples if is_packed else pad_examples
    batches = cover(examples, max_tokens=max_tokens, device=model.device, savings=savings)
    if ranks.shards_base:
        batches = _as_many_as_others(batches, ranks, idle_batch(model.device, is_packed=is_packed))
    with packed_attention(model) if is_packed else nullcontext():
        yield batches


def pack_examples(
    examples: Sequence[RenderedExample], *, max_tokens: int, device: torch.device, savings: Savings = ALL_SAVINGS
) -> Iterator[Batch]:
    """Packs of at most `max_tokens` tokens (more only for a single longer example).

    Within a group of common beginning the longest example comes first, so that a pack holds examples of like length.
    Results of a pack are matched to examples by `owners_S`.
    """
    fed = _fed(examples, savings)
    lengths = [len(ids) for ids in fed]
    groups = group_by_prefix(fed) if savings.shared_prefix else [PrefixGroup(0, tuple(range(len(examples))))]
    kept = [group for group in groups if savings.prefix_once and _is_worth_keeping(group, lengths, max_tokens)]
    for group in kept:
        yield from _prefix_first(examples, fed, group, max_tokens, device)
    for part in _fill(lengths, [group for group in groups if group not in kept], max_tokens):
        yield _pack(examples, fed, _with_the_lonely_together(part), device)


def pad_examples(
    examples: Sequence[RenderedExample], *, max_tokens: int, device: torch.device, savings: Savings = ALL_SAVINGS
) -> Iterator[Batch]:
    """Batches of at most `max_tokens` tokens with their padding, the longest examples first."""
    fed = _fed(examples, savings)
    order = sorted(range(len(examples)), key=lambda i: (-len(fed[i]), i))
    while order:
        longest = len(fed[order[0]])
        count = max(1, max_tokens // longest)
        chosen, order = order[:count], order[count:]
        rows, learned = list[int](), list[_Learned]()
        for start, owner in zip(range(0, count * longest, longest), chosen, strict=False):
            for each in _learned(examples, owner):
                rows.append(start + each.position - 1)
                learned.append(each)
        padded = [[*fed[i], *[0] * (longest - len(fed[i]))] for i in chosen]
        yield _batch(padded, None, rows, learned, device)


def idle_batch(device: torch.device, *, is_packed: bool) -> Batch:
    """A token from which nothing is learned: a pass that is made only because other ranks make one."""
    return _batch([[0]], build_layout([(0, [1])], device) if is_packed else None, [], [], device)


def _as_many_as_others(batches: Iterable[Batch], ranks: Ranks, idle: Batch) -> Iterator[Batch]:
    own = list(batches)
    return iter([*own, *[idle] * (ranks.most(len(own)) - len(own))])


def _fed(examples: Sequence[RenderedExample], savings: Savings) -> list[Sequence[int]]:
    return [example.input_ids[: example.length] if savings.drop_tail else example.input_ids for example in examples]


class _Learned(NamedTuple):
    """A supervised token, its example, which of that one's supervised tokens it is, and where it stands."""

    target: int
    owner: int
    place: int
    position: int


def _learned(examples: Sequence[RenderedExample], owner: int) -> Iterator[_Learned]:
    example = examples[owner]
    positions = (position for position in range(1, len(example.input_ids)) if example.loss_mask[position])
    return (_Learned(example.input_ids[position], owner, place, position) for place, position in enumerate(positions))


def _batch(
    ids: Sequence[Sequence[int]],
    layout: PackLayout | None,
    rows: Sequence[int],
    learned: Sequence[_Learned],
    device: torch.device,
) -> Batch:
    numbers = torch.tensor([rows, *zip(*learned, strict=True)] if rows else [[]] * 4, dtype=torch.long, device=device)
    return Batch(torch.tensor(ids, device=device), layout, *numbers[:4].unbind())


def _fill(lengths: Sequence[int], groups: Iterable[PrefixGroup], max_tokens: int) -> Iterator[list[PrefixGroup]]:
    """The groups of each pack; a group that is cut has its prefix in each of its packs.

    One with a prefix worth keeping is not cut if it fits in a pack of its own.
    """
    pack, total = list[PrefixGroup](), 0
    for group in groups:
        chosen, whole = list[int](), _num_tokens(group, lengths)
        if total and group.length >= MIN_KEPT and whole <= max_tokens < total + whole:
            yield pack
            pack, total = [], 0
        for i in sorted(group.members, key=lambda i: (-lengths[i], i)):
            added = lengths[i] - (group.length if chosen else 0)
            if total and total + added > max_tokens:
                yield [*pack, PrefixGroup(group.length, tuple(chosen))]
                pack, chosen, total, added = [], [], 0, lengths[i]
            chosen.append(i)
            total += added
        pack.append(PrefixGroup(group.length, tuple(chosen)))
    if total:
        yield pack


def _pack(
    examples: Sequence[RenderedExample],
    fed: Sequence[Sequence[int]],
    groups: Sequence[PrefixGroup],
    device: torch.device,
    store: PrefixStore | None = None,
) -> Batch:
    """One pack of groups; with a store only of their suffixes, and of what is learned from suffix tokens."""
    ids, rows, learned = list[int](), list[int](), list[_Learned]()
    for group in groups:
        prefix, start = group.length, len(ids)
        ids += fed[group.members[0]][:prefix] if store is None else ()
        for owner in group.members:
            shift = len(ids) - prefix  # own position -> row of the pack, for positions behind the prefix
            for each in _learned(examples, owner):
                before = each.position - 1
                if before >= prefix or store is None:
                    rows.append(before + (start if before < prefix else shift))
                    learned.append(each)
            ids += fed[owner][prefix:]
    shapes = [(group.length, [len(fed[i]) - group.length for i in group.members]) for group in groups]
    return _batch([ids], build_layout(shapes, device, store), rows, learned, device)


def _is_worth_keeping(group: PrefixGroup, lengths: Sequence[int], max_tokens: int) -> bool:
    return group.length >= MIN_KEPT and _num_tokens(group, lengths) > max_tokens


def _num_tokens(group: PrefixGroup, lengths: Sequence[int]) -> int:
    """With the prefix once."""
    return group.length + sum(lengths[i] - group.length for i in group.members)


def _prefix_first(
    examples: Sequence[RenderedExample],
    fed: Sequence[Sequence[int]],
    group: PrefixGroup,
    max_tokens: int,
    device: torch.device,
) -> Iterator[Batch]:
    """A pack of the prefix alone, whose keys and values the packs of the suffixes use."""
    store, prefix = PrefixStore(), group.length
    learned = [each for owner in group.members for each in _learned(examples, owner) if each.position - 1 < prefix]
    rows = [each.position - 1 for each in learned]
    yield _batch([fed[group.members[0]][:prefix]], build_layout([(prefix, [])], device, store), rows, learned, device)
    own_lengths = [len(ids) - prefix for ids in fed]
    for (part,) in _fill(own_lengths, [PrefixGroup(0, group.members)], max_tokens):
        yield _pack(examples, fed, [PrefixGroup(prefix, part.members)], device, store)


def _with_the_lonely_together(groups: Sequence[PrefixGroup]) -> list[PrefixGroup]:
    """A prefix with one example is no prefix; all that share nothing are one group."""
    shared = [group for group in groups if group.length and len(group.members) > 1]
    alone = tuple(i for group in groups if group not in shared for i in group.members)
    return [*shared, PrefixGroup(0, alone)] if alone else shared
