"""Groups of common beginnings: every sequence once, and no cut of the sorted sequences saves more."""

import random
from collections.abc import Sequence

import pytest

from burnish.model import prefix
from burnish.model.prefix import PrefixGroup, common_prefix_length, group_by_prefix


def saved(groups: Sequence[PrefixGroup]) -> int:
    return sum(group.length * (len(group.members) - 1) for group in groups if group.length)


def best_by_trying(ordered: Sequence[Sequence[int]]) -> int:
    """The most that any cut into runs saves."""
    best = [0]
    for end in range(1, len(ordered) + 1):
        best.append(
            max(best[begin] + (end - begin - 1) * common_prefix_length(ordered[begin:end]) for begin in range(end))
        )
    return best[-1]


@pytest.mark.parametrize("seed", range(200))
def test_no_cut_saves_more(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    monkeypatch.setattr(prefix, "MIN_PREFIX", 2)
    dice = random.Random(seed)
    sequences = [tuple(dice.choices(range(2), k=dice.randint(1, 8))) for _ in range(dice.randint(0, 9))]
    groups = group_by_prefix(sequences)
    assert sorted(i for group in groups for i in group.members) == list(range(len(sequences)))
    for group in groups:
        assert group.length == 0 or group.length >= 2
        members = [sequences[i] for i in group.members]
        assert len({member[: group.length] for member in members}) == 1
        assert group.length == 0 or all(len(member) > group.length for member in members)
    assert saved(groups) == best_by_trying(sorted(sequences))


def test_a_short_prefix_is_not_worth_a_group() -> None:
    near = [(*range(7), 50, i) for i in range(2)], [(*range(7), 60 + i) for i in range(2)]
    assert group_by_prefix(near[1]) == [PrefixGroup(0, (0, 1))]
    assert group_by_prefix(near[0]) == [PrefixGroup(8, (0, 1))]


def test_equal_sequences_keep_a_token_of_their_own() -> None:
    assert group_by_prefix([tuple(range(12))] * 3) == [PrefixGroup(11, (0, 1, 2))]


def test_order_does_not_matter() -> None:
    sequences = [(*range(10), 1), (*range(20, 35), 2), (*range(10), 3), (*range(20, 35), 4)]
    assert [(g.length, g.members) for g in group_by_prefix(sequences)] == [(10, (0, 2)), (15, (1, 3))]
    assert [(g.length, g.members) for g in group_by_prefix(sequences[::-1])] == [(10, (3, 1)), (15, (2, 0))]
