"""The common beginnings of token sequences, which need be computed only once."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

# A shorter one (often only the opening of the template) is not worth a part of its own.
MIN_PREFIX = 8


@dataclass(frozen=True)
class PrefixGroup:
    """Sequences that begin alike."""

    length: int
    """Of the common beginning; 0 for those that share none."""
    members: tuple[int, ...]


def common_prefix_length(sequences: Sequence[Sequence[int]]) -> int:
    """Length of the longest common beginning that leaves each sequence a token of its own; 0 if it is too short."""
    if len(sequences) < 2:
        return 0
    limit = min(map(len, sequences)) - 1
    for sequence in sequences[1:]:
        limit = _common(sequences[0], sequence, limit)
    return limit if limit >= MIN_PREFIX else 0


def group_by_prefix(sequences: Sequence[Sequence[int]]) -> list[PrefixGroup]:
    """Cut the sorted sequences into groups so that the common beginnings, each computed once, save the most tokens.

    One level of grouping: a sequence is in one group. Those that share too little form one group of length 0.
    """
    order = sorted(range(len(sequences)), key=lambda i: tuple(sequences[i]))
    ordered = [sequences[i] for i in order]
    common = [_common(a, b, min(len(a), len(b)) - 1) for a, b in pairwise(ordered)]
    saved = [0] * (len(ordered) + 1)  # by the best cut of the first so many
    cuts = [(0, 0)] * (len(ordered) + 1)  # where the last group of that cut begins, and its length
    for end in range(1, len(ordered) + 1):
        saved[end], cuts[end] = saved[end - 1], (end - 1, 0)
        length = len(ordered[end - 1])
        for begin in range(end - 2, -1, -1):
            length = min(length, common[begin])
            if length < MIN_PREFIX:
                break
            if (gain := saved[begin] + (end - begin - 1) * length) > saved[end]:
                saved[end], cuts[end] = gain, (begin, length)
    groups, alone = list[PrefixGroup](), list[int]()
    end = len(ordered)
    while end:
        begin, length = cuts[end]
        if length:
            groups.append(PrefixGroup(length, tuple(order[begin:end])))
        else:
            alone += order[begin:end]
        end = begin
    groups.reverse()
    return [*groups, PrefixGroup(0, tuple(sorted(alone)))] if alone else groups


def _common(first: Sequence[int], second: Sequence[int], limit: int) -> int:
    """How many of the first `limit` tokens agree before one does not."""
    return next((i for i in range(limit) if first[i] != second[i]), limit)
