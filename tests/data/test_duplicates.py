"""Copies, near copies, contradictions and leaks: exactly those of the messy files, and planted ones."""

import json
import random
from collections import Counter

import numpy as np
import pytest

from burnish.data import Example, Finding, check_leaks, check_similar, cluster_copies
from burnish.data.checks.duplicates import check_conflicts, check_duplicates
from burnish.data.checks.folding import fold, is_telling, names_in
from tests.data.datasets import DATASETS, dataset, needs_datasets, question, questions

IDS = ("duplicate_row", "near_duplicate", "conflicting_label", "in_train", "near_in_train", "in_train_other_label")
MESSY = DATASETS / "messy" / "expectations.json"
EXPECTED = json.loads(MESSY.read_text()) if MESSY.is_file() else {}


def told(findings: list[Finding]) -> list[tuple[str, str | None, tuple[str, ...]]]:
    return [(finding.check, finding.row, finding.related) for finding in findings]


@needs_datasets
@pytest.mark.parametrize("name", [name for name in EXPECTED if name.endswith(".jsonl") and "utf16" not in name])
def test_messy_files_give_what_is_listed(name: str) -> None:
    examples = dataset(f"messy/{name}")
    findings = check_duplicates(examples) + check_conflicts(examples)
    if name == "leak_test.jsonl":
        findings += check_leaks(examples, dataset("messy/leak_train.jsonl"))
    found = {(f.check, int(str(f.row).split(":")[1]), tuple(int(r.split(":")[1]) for r in f.related)) for f in findings}
    assert found == {
        (row["problem"], row["line"], tuple(row.get("conflicts_with", [row.get("same_as")])))
        for row in EXPECTED[name]
        if row["problem"] in IDS
    }


class TestWithinAFile:
    def test_a_row_is_told_once_with_the_first_that_it_copies(self) -> None:
        rows = questions(("where is my new card", "a"), ("Where is my new card?", "a"), ("where is my new card", "a"))
        findings = check_duplicates(rows)
        assert told(findings) == [("near_duplicate", "f:2", ("f:1",)), ("duplicate_row", "f:3", ("f:1",))]
        assert findings[0].message == "nearly the same as f:1."

    def test_another_answer_is_no_copy(self) -> None:
        rows = questions(
            ("where is my new card now", "a"), ("where is my new card now", "b"), ("where is my lost card now", "b")
        )
        assert told(check_duplicates(rows)) == [("near_duplicate", "f:3", ("f:2",))]

    def test_long_answers_may_differ_a_little(self) -> None:
        words = [f"word{n}" for n in range(30)]
        pairs = [
            ("how do I brew a good tea", " ".join(words)),
            ("how do I brew good tea", " ".join([*words, "indeed"])),
        ]
        assert told(check_duplicates(questions(*pairs))) == [("near_duplicate", "f:2", ("f:1",))]
        other = ("how do I brew good tea", " ".join(words[15:] * 2))
        assert check_duplicates(questions(pairs[0], other)) == []

    def test_a_conflict_names_all_the_others(self) -> None:
        rows = questions(("Where is it?", "a"), ("where is it", "b"), ("where is it", "A."))
        findings = check_conflicts(rows)
        assert told(findings) == [
            ("conflicting_label", "f:1", ("f:2",)),
            ("conflicting_label", "f:2", ("f:1", "f:3")),
            ("conflicting_label", "f:3", ("f:2",)),
        ]
        assert findings[1].message == "answered by 'b', but f:1 answers 'a' (and 1 more)."

    def test_another_instruction_calls_for_another_answer(self) -> None:
        rows = [question("Hello", "Good day!", system="Be formal."), question("Hello", "Hey!", system="Be casual.")]
        assert check_conflicts(rows) == []

    def test_texts_that_differ_are_only_noted(self) -> None:
        answers = [" ".join(f"{word}{n}" for n in range(20)) for word in "ab"]
        findings = check_conflicts(questions(*(("Write a poem", answer) for answer in answers)))
        assert [finding.check for finding in findings] == ["several_answers"] * 2

    def test_braces_in_an_answer_are_only_text(self) -> None:
        findings = check_conflicts(questions(("q", '{"a": 1}'), ("q", "{}")))
        assert "answered by '{\"a\": 1}', but f:2 answers '{}'" in findings[0].message


class TestSimilar:
    ROWS = questions(
        ("how can my card be tracked on its way", "a"),
        ("is there any means to follow the delivery", "a"),
        ("is there a way to follow 2 deliveries", "a"),
        ("follow the delivery by any means", "b"),
    )

    def test_same_meaning_and_same_answer(self) -> None:
        embeddings_ND = np.ones((4, 4), dtype=np.float32) / 2
        assert told(check_similar(self.ROWS, embeddings_ND)) == [("similar_question", "f:2", ("f:1",))]

    def test_under_the_threshold(self) -> None:
        assert check_similar(self.ROWS, np.eye(4, dtype=np.float32)) == []

    def test_copies_are_left_to_their_own_check(self) -> None:
        rows = questions(("where is it", "a"), ("Where is it?", "a"))
        assert check_similar(rows, np.ones((2, 1), dtype=np.float32)) == []


class TestLeaks:
    def test_the_gravest_kind(self) -> None:
        train = [
            *questions(("is my card on its way", "a"), ("is it lost", "b")),
            question("x y z", "c", row="f:3", group="g"),
        ]
        held = [
            *questions(
                ("is my card on its way", "a"), ("Is my new card on its way?", "a"), ("is it lost", "c"), file="t"
            ),
            question("unlike all", "c", row="t:4", group="g"),
            question("unlike all others", "c", row="t:5"),
        ]
        findings = check_leaks(held, train)
        assert told(findings) == [
            ("in_train", "t:1", ("f:1",)),
            ("near_in_train", "t:2", ("f:1",)),
            ("in_train_other_label", "t:3", ("f:2",)),
            ("group_in_train", "t:4", ("f:3",)),
        ]
        assert findings[2].message == "answered by 'c', but f:2, in train, answers 'b'."

    def test_clusters(self) -> None:
        rows = [
            question("is my card on its way", "a"),
            question("is my new card on its way", "a", group="g"),
            question("of one group", "b", group="g"),
            question("Of one group!", "c"),
            question("is my old card on its way", "b"),
        ]
        assert cluster_copies(rows) == [0, 0, 0, 0, 4]


KINDS = ("copy", "case", "punctuation", "spacing", "deleted", "inserted", "replaced")


@needs_datasets
class TestPlantedLeaks:
    """Rows of restaurant8k's train, changed by a seeded script and put among its test."""

    @pytest.fixture(scope="class")
    def train(self) -> list[Example]:
        return dataset("restaurant8k/train.jsonl")

    @pytest.fixture(scope="class")
    def test(self) -> list[Example]:
        return dataset("restaurant8k/test.jsonl")

    def test_the_overlap_of_the_published_splits(self, train: list[Example], test: list[Example]) -> None:
        """140 texts; 112 records with the column `requested`, which is no part of an example, and 119 without it."""
        asked = {example.id: example.asked for example in (*train, *test)}
        findings = check_leaks(test, train)
        counts = Counter(finding.check for finding in findings)
        assert counts["in_train"] == 119
        exact = [f for f in findings if asked[str(f.row)] == asked[f.related[0]] and f.check != "near_in_train"]
        assert len(exact) == 140

    def test_leaks_are_found_and_other_questions_are_not(self, train: list[Example], test: list[Example]) -> None:
        names = names_in(example.asked for example in train)
        plain = sorted({word for e in train for word in fold(e.asked) if not is_telling(word) and word not in names})
        before = {finding.row for finding in check_leaks(test, train)}
        rng = random.Random(0)
        pool = [e for e in train if len(fold(e.asked)) >= 6 and sum(word in plain for word in fold(e.asked)) >= 3]
        chosen = rng.sample(pool, 700)
        leaks = [
            question(change(KINDS[n % 7], e.asked, plain, rng), e.target, row=f"{KINDS[n % 7]}:{n}")
            for n, e in enumerate(chosen)
        ]
        others = [question(another(e.asked), e.target, row=f"other:{n}") for n, e in enumerate(chosen)]
        found = {finding.row for finding in check_leaks([*test, *leaks, *others], train)}
        recall = Counter(str(row).split(":")[0] for row in found if row not in before)
        print(
            dict(recall), f"{len(before)} rows of the test itself, {len(found & {e.id for e in test})} with the plants"
        )
        assert recall["copy"] == 100
        assert sum(recall[kind] for kind in KINDS[1:]) >= 0.95 * 600
        assert min(recall[kind] for kind in KINDS[1:]) >= 95
        assert recall["other"] < 0.01 * len(others), "a question about another number is no leak"
        assert len((found ^ before) & {e.id for e in test}) < 0.01 * len(test)


def change(kind: str, text: str, plain: list[str], rng: random.Random) -> str:
    """The text in another spelling, or with one word that is no number, negation or name changed."""
    words = text.split()
    at = rng.choice([n for n, word in enumerate(words) if len(fold(word)) == 1 and fold(word)[0] in set(plain)])
    return {
        "copy": text,
        "case": text.swapcase(),
        "punctuation": text.rstrip(".?!") + ("!!" if text[-1] in ".?" else "?"),
        "spacing": f"  {text.replace(' ', '  ')}\n",
        "deleted": " ".join(words[:at] + words[at + 1 :]),
        "inserted": " ".join([*words[:at], rng.choice(["please", "just", "really", "also"]), *words[at:]]),
        "replaced": " ".join([*words[:at], rng.choice(plain), *words[at + 1 :]]),
    }[kind]


def another(text: str) -> str:
    """Another question in nearly the same words."""
    digits = [n for n, character in enumerate(text) if character.isdigit()]
    if digits:
        return text[: digits[0]] + "8642" + text[digits[-1] + 1 :]
    return f"{text.rstrip('.?!')} for 8642"
