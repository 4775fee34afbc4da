"""Free text against the definitions, hand-computed values and sacrebleu; likelihood in bits per byte."""

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu import sentence_chrf

from burnish.evaluate.metrics import measure_likelihood, measure_text
from burnish.evaluate.metrics.text import repetition, rouge_l
from tests.evaluate.metrics.prediction_rows import rows_of

words = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=7)


def longest_common_by_definition(one: list[str], other: list[str]) -> int:
    def is_subsequence(part: tuple[str, ...]) -> bool:
        rest = iter(other)
        return all(word in rest for word in part)

    parts = (part for size in range(len(one) + 1) for part in itertools.combinations(one, size))
    return max(len(part) for part in parts if is_subsequence(part))


@pytest.mark.parametrize(
    ("prediction", "expected"),
    [("police kill the gunman", 3 / 4), ("the gunman kill police", 2 / 4), ("the gunman police killed", 2 / 4)],
)
def test_rouge_l_of_the_examples_of_lin_2004(prediction: str, expected: float) -> None:
    """Section 3.1; both texts have four words, so precision, recall and their F-measure are equal."""
    assert rouge_l(prediction, "Police killed the gunman.") == pytest.approx(expected)


@settings(max_examples=60, deadline=None)
@given(words, words)
def test_rouge_l_is_the_f_measure_of_the_longest_common_subsequence(one: list[str], other: list[str]) -> None:
    longest = longest_common_by_definition(one, other)
    precision, recall = longest / len(one), longest / len(other)
    expected = 2 * precision * recall / (precision + recall) if longest else 0.0
    assert rouge_l(" ".join(one), " ".join(other)) == pytest.approx(expected)


@pytest.mark.parametrize(("prediction", "target", "expected"), [("", "", 1.0), ("", "a", 0.0), ("東京", "京都", 0.5)])
def test_rouge_l_of_odd_texts(prediction: str, target: str, expected: float) -> None:
    assert rouge_l(prediction, target) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b c", None),
        ("a b c d", 0.0),
        ("a a a a a a", 2 / 3),
        ("no no, no. No NO", 0.5),
        ("a b c d e a b c d", 1 / 6),
    ],
)
def test_repetition(text: str, expected: float | None) -> None:
    assert repetition(text) == (None if expected is None else pytest.approx(expected))


def test_an_arm() -> None:
    pairs = [("The end.", "the end"), ("yes yes yes yes yes", "one two three four"), ("same", "same")]
    found = measure_text(rows_of(*pairs), num_resamples=200)
    values = {name: interval["value"] for name, interval in found.items()}
    assert values["exact_match"] == pytest.approx(1 / 3)
    assert values["normalised_match"] == pytest.approx(2 / 3)
    assert values["chrf"] == pytest.approx(sum(sentence_chrf(p, [t]).score / 100 for p, t in pairs) / 3)
    assert values["rouge_l"] == pytest.approx((1 + 0 + 1) / 3)
    assert values["length_ratio"] == pytest.approx((8 + 19 + 4) / (7 + 18 + 4))
    assert (values["repetition"], values["target_repetition"]) == (0.5, 0.0)
    assert found["exact_match"]["method"] == "Wilson"
    assert found["chrf"]["low"] < values["chrf"] < found["chrf"]["high"]


def test_short_answers_have_no_repetition() -> None:
    assert measure_text(rows_of(("yes", "no")), num_resamples=200)["repetition"]["value"] is None


class TestLikelihood:
    def test_by_hand(self) -> None:
        bit = math.log(2)
        found = measure_likelihood([8 * bit, 8 * bit, 4 * bit], [4 * bit, 9 * bit, 4 * bit], [4, 1, 2])
        assert found["base"]["value"] == pytest.approx(20 / 7)
        assert found["specialist"]["value"] == pytest.approx(17 / 7)
        assert found["gain"]["value"] == pytest.approx(3 / 7)
        assert (found["num_wins"], found["num_losses"], found["num_ties"]) == (1, 1, 1)
        assert (found["win_rate"]["value"], found["win_rate"]["method"]) == (0.5, "Wilson")
        assert found["rows"][0] == {"base": pytest.approx(2.0), "specialist": pytest.approx(1.0)}

    def test_the_base_against_itself_neither_wins_nor_gains(self) -> None:
        found = measure_likelihood([1.0, 2.0], [1.0, 2.0], [3, 4])
        assert found["gain"]["value"] == 0.0
        assert found["win_rate"]["value"] is None

    def test_an_empty_answer_has_no_bits_per_byte(self) -> None:
        found = measure_likelihood([1.0, 2.0, 1.0], [3.0, 1.0, 0.5], [0, 4, 5])
        assert found["rows"][0] is None
        assert found["base"]["value"] == pytest.approx(3 / math.log(2) / 9)
        assert found["num_losses"] == 1
