"""The split: a partition without leaks, the same for the same rows in any order, and frozen."""

import json
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.conversation import Message, Role
from burnish.data import Example, Split, freeze_split, split_examples, thaw_split
from burnish.errors import DataError, RunError

PARTS = ("train", "validation", "test")


def example(n: int, asked: str | None = None, group: str | None = None, target: str = "x", file: str = "f") -> Example:
    asked = f"question {n}" if asked is None else asked
    return Example(f"{file}:{n}", (Message(Role.USER, asked), Message(Role.ASSISTANT, target)), group)


def parts_of(split: Split) -> dict[str, list[Example]]:
    return {part: getattr(split, part) for part in PARTS}


def ids(rows: list[Example]) -> set[str]:
    return {row.id for row in rows}


def divide(rows: list[Example], *, seed: int = 0, stratify: bool = False, share: float = 0.2) -> Split:
    return split_examples(rows, validation_share=share / 2, test_share=share, seed=seed, stratify=stratify)


def assert_no_leak(split: Split) -> None:
    parts = list(parts_of(split).values())
    for i, one in enumerate(parts):
        for other in parts[i + 1 :]:
            assert not {row.duplicate_key for row in one} & {row.duplicate_key for row in other}
            assert not ({row.group for row in one} & {row.group for row in other}) - {None}


# Rows with many duplicates, groups and conflicting answers, behind enough plain rows that no part runs short.
tangles = st.lists(
    st.tuples(st.integers(0, 30), st.none() | st.integers(0, 30), st.sampled_from("abc")), max_size=60
).map(
    lambda triples: [
        *(example(1000 + n) for n in range(80)),
        *(
            example(n, f"Tangle {asked}", None if group is None else f"g{group}", target)
            for n, (asked, group, target) in enumerate(triples)
        ),
    ]
)


class TestDealing:
    @settings(max_examples=60, deadline=None)
    @given(tangles, st.integers(0, 5), st.booleans(), st.randoms(use_true_random=False))
    def test_a_partition_without_leaks_in_any_order(
        self, rows: list[Example], seed: int, stratify: bool, rng: random.Random
    ) -> None:
        split = divide(rows, seed=seed, stratify=stratify)
        assert Counter(row.id for part in parts_of(split).values() for row in part) == Counter(row.id for row in rows)
        assert split.removed == []
        assert_no_leak(split)
        for part in parts_of(split).values():
            assert part == [row for row in rows if row in part], "in the order of the file"
        again = divide(rng.sample(rows, len(rows)), seed=seed, stratify=stratify)
        assert {name: ids(part) for name, part in parts_of(again).items()} == {
            name: ids(part) for name, part in parts_of(split).items()
        }

    @settings(max_examples=40, deadline=None)
    @given(st.integers(60, 400), st.floats(0.1, 0.45), st.floats(0.1, 0.3))
    def test_shares(self, num_rows: int, test_share: float, validation_share: float) -> None:
        rows = [example(n) for n in range(num_rows)]
        split = split_examples(rows, test_share=test_share, validation_share=validation_share)
        assert abs(len(split.test) - test_share * num_rows) <= 1
        assert abs(len(split.validation) - validation_share * num_rows) <= 1

    def test_another_seed_is_another_split(self) -> None:
        rows = [example(n) for n in range(200)]
        tests = [frozenset(ids(divide(rows, seed=seed).test)) for seed in range(5)]
        assert len(set(tests)) == 5
        common = len(tests[0] & tests[1])
        assert 1 <= common <= 18, f"{common} of 40 in common; 8 are expected"

    def test_new_rows_hardly_move_the_old_ones_rank(self) -> None:
        """Rows are ranked by their own hash, so that the first of them stay first."""
        rows = [example(n) for n in range(300)]
        before = ids(split_examples(rows, test_share=0.3, validation_share=0.1).test)
        assert before == ids(split_examples(rows[::-1], test_share=0.3, validation_share=0.1).test)
        assert before != {row.id for row in rows[:90]}
        assert before != {row.id for row in rows[-90:]}

    def test_stratified(self) -> None:
        rows = [example(n, target="common" if n % 10 else "rare") for n in range(300)]
        split = divide(rows, stratify=True)
        for part, count in (("test", 6), ("validation", 3)):
            assert abs(Counter(row.target for row in getattr(split, part))["rare"] - count) <= 1
        labels = [example(n, target=f"label {n % 60}") for n in range(300)]
        split = divide(labels, stratify=True)
        assert abs(len(split.test) - 60) <= 3, "small classes add up"
        assert len({row.target for row in split.test}) >= 55

    def test_a_group_stays_together_through_a_chain_of_duplicates(self) -> None:
        chain = [example(n, f"link {n // 2}", f"g{(n + 1) // 2}") for n in range(20)]
        split = divide([*chain, *(example(100 + n) for n in range(100))])
        held = [name for name, part in parts_of(split).items() if ids(part) & ids(chain)]
        assert len(held) == 1

    def test_too_few_rows(self) -> None:
        with pytest.raises(DataError) as caught:
            divide([example(n) for n in range(20)])
        assert str(caught.value) == (
            "2 rows are left for validation; at least 5 are needed. Add rows, or name files for data.test and "
            "data.validation."
        )

    def test_near_copies_stay_together(self) -> None:
        near = [example(n, f"could you tell me {word} where it is") for n, word in enumerate(["", "please", "now"])]
        for seed in range(8):
            split = divide([*near, *(example(100 + n) for n in range(100))], seed=seed)
            assert len([name for name, part in parts_of(split).items() if ids(part) & ids(near)]) == 1


def timed(n: int, time: str | None, group: str | None = None) -> Example:
    return replace(example(n, group=group), time=time)


class TestByTime:
    def test_the_newest_rows_are_the_test_and_the_next_ones_validation(self) -> None:
        rows = [timed(n, f"2024-{n % 12 + 1:02}-{n % 28 + 1:02}") for n in range(100)]
        split = split_examples(rows, validation_share=0.1, test_share=0.2, by_time=True)
        assert [len(part) for part in parts_of(split).values()] == [70, 10, 20]
        times = {name: sorted(row.time or "" for row in part) for name, part in parts_of(split).items()}
        assert times["train"][-1] <= times["validation"][0] <= times["validation"][-1] <= times["test"][0]

    def test_a_group_is_as_new_as_its_newest_row(self) -> None:
        rows = [timed(n, f"{1000 + n}", "g" if n in (0, 99) else None) for n in range(100)]
        split = split_examples(rows, validation_share=0.1, test_share=0.2, by_time=True)
        assert {"f:0", "f:99"} <= ids(split.test)
        assert_no_leak(split)

    @settings(max_examples=40, deadline=None)
    @given(
        st.lists(st.tuples(st.integers(0, 9), st.none() | st.integers(0, 9)), min_size=40, max_size=90), st.randoms()
    )
    def test_the_same_in_any_order(self, pairs: list[tuple[int, int | None]], rng: random.Random) -> None:
        rows = [timed(n, str(time), None if group is None else f"g{group}") for n, (time, group) in enumerate(pairs)]
        rows += [timed(1000 + n, str(n % 10)) for n in range(100)]
        splits = [
            split_examples(some, validation_share=0.2, test_share=0.2, by_time=True)
            for some in (rows, rng.sample(rows, len(rows)))
        ]
        one, other = ({name: ids(part) for name, part in parts_of(split).items()} for split in splits)
        assert one == other
        assert_no_leak(splits[0])

    def test_a_row_without_a_time_is_refused(self) -> None:
        rows = [timed(n, str(n) if n else None) for n in range(50)]
        with pytest.raises(DataError) as caught:
            split_examples(rows, validation_share=0.2, test_share=0.2, by_time=True)
        assert str(caught.value) == "f:0: no time to split by. Fill the column in or remove the rows."


class TestGivenParts:
    def test_a_near_copy_of_the_test_is_taken_out_of_train(self) -> None:
        test = [example(n, file="test") for n in range(9)] + [example(9, "may I ask you where it is", file="test")]
        train = [*(example(100 + n) for n in range(60)), example(1, "might I ask you where it is")]
        assert split_examples(train, test=test, validation_share=0.2).removed == ["f:1"]

    def test_what_test_asks_is_taken_out_of_the_rest_and_listed(self) -> None:
        test = [example(n, file="test") for n in range(10)] + [example(10, group="g", file="test")]
        train = [
            *(example(100 + n) for n in range(60)),
            example(1, " QUESTION  3"),
            example(2, "mate of a leak", "h"),
            example(3, "question 4", "h"),
            example(4, "of a held group", "g"),
        ]
        split = split_examples(train, test=test, validation_share=0.2)
        assert split.test == test
        assert sorted(split.removed) == ["f:1", "f:2", "f:3", "f:4"]
        assert len(split.train) + len(split.validation) == 60
        assert_no_leak(split)

    def test_a_share_for_a_part_that_is_given_loses_no_row(self) -> None:
        train, test = [example(n) for n in range(50)], [example(100 + n) for n in range(10)]
        split = split_examples(train, test=test, test_share=0.3, validation_share=0.2)
        assert ids(split.train) | ids(split.validation) == ids(train)

    def test_a_row_that_both_given_parts_ask_is_kept_for_the_test(self) -> None:
        """Validation chooses the epoch, so that it must not know the test."""
        test = [example(n, file="test") for n in range(10)]
        validation = [example(9 + n, file="validation") for n in range(10)]
        split = split_examples([example(100 + n) for n in range(10)], validation=validation, test=test)
        assert split.test == test
        assert split.removed == ["validation:9"]
        assert_no_leak(split)


class TestFrozen:
    @pytest.fixture
    def split(self) -> Split:
        rows = [example(n, f"ü\u2028 {n}", f"g{n % 30}") for n in range(60)] + [example(99)]
        return split_examples(
            rows, test=[example(99, file="t"), *(example(n, file="t") for n in range(4))], validation_share=0.2
        )

    def test_roundtrip(self, split: Split, tmp_path: Path) -> None:
        manifest = freeze_split(split, tmp_path, {"train_file": "f.jsonl"})
        assert thaw_split(tmp_path) == (split, manifest)
        assert split.removed == ["f:99"]
        assert manifest["removed_from_train"] == ["f:99"]
        assert manifest["rows"] == {name: len(part) for name, part in parts_of(split).items()}
        assert manifest["train_file"] == "f.jsonl"

    @pytest.mark.parametrize("part", PARTS)
    def test_a_changed_part_is_refused(self, split: Split, tmp_path: Path, part: str) -> None:
        freeze_split(split, tmp_path, {})
        path = tmp_path / f"{part}.jsonl"
        rows = [json.loads(line) for line in path.read_text().split("\n") if line]
        rows[0]["messages"][-1]["content"] = "y"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        with pytest.raises(RunError, match=rf"{part}\.jsonl: not the rows that were frozen\. Start a new run"):
            thaw_split(tmp_path)

    def test_a_missing_part_is_refused(self, split: Split, tmp_path: Path) -> None:
        freeze_split(split, tmp_path, {})
        (tmp_path / "test.jsonl").unlink()
        with pytest.raises(RunError, match="not the rows that were frozen"):
            thaw_split(tmp_path)
