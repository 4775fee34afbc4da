"""Folding, and which texts are near: a slip is, another question is not."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.data.checks.clusters import cluster
from burnish.data.checks.folding import fold, is_telling, names_in
from burnish.data.checks.near import find_near_texts


def near(*texts: str, among: tuple[str, ...] = ()) -> list[tuple[int, int]]:
    names = names_in((*texts, *among))
    return [pair for pair in find_near_texts([fold(text) for text in (*texts, *among)], names) if pair[1] < len(texts)]


class TestFolding:
    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("HOW DO I  cancel a charge", "How do I cancel a charge?"),
            ("My card isn’t working!", "my card isn't working."),
            ("the top-up\nlimit", "The “top up” limit"),
            ("ｆｕｌｌ width", "full width"),
            ("zero\u200bwidth", "zerowidth"),
            ("covid-19", "Covid 19"),
        ],
    )
    def test_equal(self, one: str, other: str) -> None:
        assert fold(one) == fold(other)

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("12*4", "12/4"),
            ("12 - 4", "12 + 4"),
            ("is it -5 degrees", "is it 5 degrees"),
            ("$5", "£5"),
            ("7.30", "730"),
            ("की", "का"),
            ("?", "!"),
            ("C++", "C"),
        ],
    )
    def test_different(self, one: str, other: str) -> None:
        assert fold(one) != fold(other)

    def test_each_character_of_chinese_is_a_word(self) -> None:
        assert fold("我的卡在哪里？") == tuple("我的卡在哪里")

    @given(st.text())
    def test_folding_again_changes_nothing_but_signs(self, text: str) -> None:
        words = fold(text)
        assert words
        assert fold(f"  {text.upper().lower()}\n") == fold(text.upper().lower())

    def test_names(self) -> None:
        texts = [
            "Is Anna here?",
            "I saw Anna. The card is lost.",
            "ALL OF IT LARGE",
            "well, I think so",
            "the Card",
            "a card",
        ]
        assert names_in(texts) == {"anna"}

    def test_telling(self) -> None:
        assert all(map(is_telling, ("7", "3rd", "seven", "not", "wont", "€", "½", "×", "tomorrow")))
        assert not any(map(is_telling, ("card", "hi", "😀", "")))


class TestNear:
    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("What types of cards and money do you accept?", "What kinds of cards and money do you accept?"),
            ("I need to order a new card", "Hi, I need to order a new card"),
            ("Where is the code found", "where is the code"),
        ],
    )
    def test_a_word_apart(self, one: str, other: str) -> None:
        assert near(one, other) == [(0, 1)]

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("I want a table for 4 at the window", "I want a table for 5 at the window"),
            ("I want a table for four at the window", "I want a table for five at the window"),
            ("Why is my card working in the shop", "Why is my card not working in the shop"),
            ("the table that I want is inside the house", "the table that I want is outside the house"),
            ("I would like to write to Anna today", "I would like to write to Bert today"),
            ("Is cystinuria inherited?", "Is albinism inherited?"),
            ("lost my card", "found my card"),
            ("one two words changed in this short text", "one two terms altered in this short text"),
        ],
    )
    def test_another_question(self, one: str, other: str) -> None:
        assert near(one, other) == []

    def test_what_a_template_holds_is_another_question(self) -> None:
        texts = [f"how is the rate of the {coin} these days" for coin in ("crown", "mark", "lira", "peso", "rand")]
        assert near(*texts) == []
        assert near(*texts[:2]) == [(0, 1)], "two fillers are no template yet"

    def test_a_long_text_may_differ_in_a_word_of_twelve(self) -> None:
        rng = random.Random(0)
        words = ["".join(rng.choices("abcdefghij", k=6)) for _ in range(100)]
        some, many = list(words), list(words)
        for n in range(0, 40, 10):
            some[n] = "changed"
        for n in range(0, 45, 5):
            many[n] = "changed"
        assert near(" ".join(words), " ".join(some)) == [(0, 1)]
        assert near(" ".join(words), " ".join(many)) == []

    def test_a_repeated_instruction_does_not_make_near(self) -> None:
        instruction = "Read the text below and say in one word what it is about and answer with nothing else at all: "
        rng = random.Random(0)
        texts = [
            instruction + "".join(rng.choices("abcdefghij", k=8)) + f" {''.join(rng.choices('klmnop', k=8))}"
            for _ in range(30)
        ]
        assert near(*texts) == []

    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(
            st.lists(st.sampled_from(["red", "green", "blue", "cup", "7", "not"]), min_size=3, max_size=9), max_size=40
        ),
        st.randoms(use_true_random=False),
    )
    def test_the_order_of_the_texts_has_no_influence(self, lists: list[list[str]], rng: random.Random) -> None:
        texts = list(dict.fromkeys(map(tuple, lists)))
        mixed = rng.sample(texts, len(texts))

        def found(texts: list[tuple[str, ...]]) -> set[frozenset[tuple[str, ...]]]:
            return {frozenset((texts[i], texts[j])) for i, j in find_near_texts(texts, frozenset())}

        assert found(texts) == found(mixed)


@given(st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)), max_size=30))
def test_clusters_are_the_connected_components(pairs: list[tuple[int, int]]) -> None:
    reached = [{i} for i in range(20)]
    for _ in range(20):
        for one, other in pairs:
            joined = reached[one] | reached[other]
            for i in joined:
                reached[i] = joined
    assert cluster(20, pairs) == [min(group) for group in reached]
