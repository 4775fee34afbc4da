"""Rendered examples -> batches: no padding, common beginnings computed once, nothing fed that is not needed."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from burnish.data.render import RenderedExample
from burnish.model.attention import PackLayout, build_layout, can_pack, packed_attention
from burnish.model.loss import Batch
from burnish.model.prefix import PrefixGroup, group_by_prefix
from burnish.train.savings import ALL_SAVINGS, Savings


@contextmanager
def batches_for(
    model: Any, examples: Sequence[RenderedExample], *, max_tokens: int, savings: Savings = ALL_SAVINGS
) -> Iterator[Iterator[Batch]]:
    """The batches that cover `examples` once, and within the block the attention that they need.

    A model that does not attend through transformers' interface is given padded examples.
    """
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    if not (savings.packing and can_pack(base)):
        yield pad_examples(examples, max_tokens=max_tokens, device=model.device, savings=savings)
        return
    with packed_attention(base):
        yield pack_examples(examples, max_tokens=max_tokens, device=model.device, savings=savings)


def pack_examples(
    examples: Sequence[RenderedExample], *, max_tokens: int, device: torch.device, savings: Savings = ALL_SAVINGS
) -> Iterator[Batch]:
    """Packs of at most `max_tokens` tokens (more only for a single longer example).

    Within a group of common beginning the longest example comes first, so that a pack holds examples of like length.
    Results of a pack are matched to examples by `owners_S`.
    """
    fed = _fed(examples, savings)
    groups = group_by_prefix(fed) if savings.shared_prefix else [PrefixGroup(0, tuple(range(len(examples))))]
    for part in _fill([len(ids) for ids in fed], groups, max_tokens):
        yield _pack(examples, fed, part, device)


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
        rows, targets, owners = list[int](), list[int](), list[int]()
        for start, owner in zip(range(0, count * longest, longest), chosen, strict=False):
            for position in _learned(examples[owner]):
                rows.append(start + position - 1)
                targets.append(examples[owner].input_ids[position])
                owners.append(owner)
        padded = [[*fed[i], *[0] * (longest - len(fed[i]))] for i in chosen]
        yield _batch(padded, None, rows, targets, owners, device)


def _fed(examples: Sequence[RenderedExample], savings: Savings) -> list[Sequence[int]]:
    return [example.input_ids[: example.length] if savings.drop_tail else example.input_ids for example in examples]


def _learned(example: RenderedExample) -> Iterator[int]:
    return (position for position in range(1, len(example.input_ids)) if example.loss_mask[position])


def _batch(
    ids: Sequence[Sequence[int]],
    layout: PackLayout | None,
    rows: Sequence[int],
    targets: Sequence[int],
    owners: Sequence[int],
    device: torch.device,
) -> Batch:
    return Batch(
        input_ids=torch.tensor(ids, device=device),
        layout=layout,
        rows_S=torch.tensor(rows, device=device),
        targets_S=torch.tensor(targets, device=device),
        owners_S=torch.tensor(owners, device=device),
    )


def _fill(lengths: Sequence[int], groups: Iterable[PrefixGroup], max_tokens: int) -> Iterator[list[PrefixGroup]]:
    """The groups of each pack; a group that is cut has its prefix in each of its packs."""
    pack, total = list[PrefixGroup](), 0
    for group in groups:
        chosen = list[int]()
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
) -> Batch:
    ids, rows, targets, owners = list[int](), list[int](), list[int](), list[int]()
    shapes = list[tuple[int, list[int]]]()
    for group in _with_the_lonely_together(groups):
        prefix, start = group.length, len(ids)
        ids += fed[group.members[0]][:prefix]
        for owner in group.members:
            shift = len(ids) - prefix  # own position -> row of the pack, for positions behind the prefix
            for position in _learned(examples[owner]):
                before = position - 1
                rows.append(before + (start if before < prefix else shift))
                targets.append(examples[owner].input_ids[position])
                owners.append(owner)
            ids += fed[owner][prefix:]
        shapes.append((prefix, [len(fed[i]) - prefix for i in group.members]))
    return _batch([ids], build_layout(shapes, device), rows, targets, owners, device)


def _with_the_lonely_together(groups: Sequence[PrefixGroup]) -> list[PrefixGroup]:
    """A prefix with one example is no prefix; all that share nothing are one group."""
    shared = [group for group in groups if group.length and len(group.members) > 1]
    alone = tuple(i for group in groups if group not in shared for i in group.members)
    return [*shared, PrefixGroup(0, alone)] if alone else shared
