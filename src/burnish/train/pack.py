"""Rendered examples -> packs: no padding, the common beginning computed once, nothing fed that is not needed."""

from collections.abc import Iterator, Sequence

import torch

from burnish.data.render import RenderedExample
from burnish.model.attention import build_layout, position_ids
from burnish.model.loss import Batch
from burnish.model.prefix import common_prefix_length


def pack_examples(
    examples: Sequence[RenderedExample], *, max_tokens: int, device: torch.device, shared_prefix: bool = True
) -> Iterator[Batch]:
    """Packs of at most `max_tokens` tokens (more only for a single longer example) that cover `examples` once.

    The longest example comes first, so that a pack holds examples of like length. Results of a pack are matched to
    examples by `owners_S`; the order of packs and rows depends on the lengths alone.
    """
    order = sorted(range(len(examples)), key=lambda i: (-examples[i].length, i))
    prefix = common_prefix_length([example.input_ids[: example.length] for example in examples]) if shared_prefix else 0
    chosen: list[int] = []
    total = prefix
    for i in order:
        added = examples[i].length - prefix
        if chosen and total + added > max_tokens:
            yield _pack(examples, chosen, prefix, device)
            chosen, total = [], prefix
        chosen.append(i)
        total += added
    if chosen:
        yield _pack(examples, chosen, prefix, device)


def _pack(examples: Sequence[RenderedExample], chosen: Sequence[int], prefix: int, device: torch.device) -> Batch:
    if len(chosen) == 1:
        prefix = 0
    ids = list(examples[chosen[0]].input_ids[:prefix])
    rows, targets, owners = list[int](), list[int](), list[int]()
    for owner in chosen:
        example = examples[owner]
        shift = len(ids) - prefix  # own position -> row of the pack, for positions behind the prefix
        for position in range(1, len(example.input_ids)):
            if example.loss_mask[position]:
                before = position - 1
                rows.append(before if before < prefix else before + shift)
                targets.append(example.input_ids[position])
                owners.append(owner)
        ids += example.input_ids[prefix : example.length]
    layout = build_layout(prefix, [examples[i].length - prefix for i in chosen], device)
    return Batch(
        input_ids=torch.tensor([ids], device=device),
        position_ids=position_ids(layout),
        layout=layout,
        rows_S=torch.tensor(rows, device=device),
        targets_S=torch.tensor(targets, device=device),
        owners_S=torch.tensor(owners, device=device),
    )
