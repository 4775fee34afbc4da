"""A judge of character n-grams tells two ways of writing, and is silent where it can't know."""

import random

import pytest

from burnish.evaluate.metrics import measure_style

THINGS = ["kettle", "toaster", "lamp", "chair", "fan", "oven", "clock", "radio", "mixer", "grill"]


def texts(words: list[str], num: int, seed: int) -> list[str]:
    chance = random.Random(seed)
    return [f"{' '.join(chance.choices(words, k=6))} {chance.choice(THINGS)} {chance.random()}" for _ in range(num)]


HOUSE = ["dear", "kindly", "regards", "gladly", "shall", "warmest"]
PLAIN = ["sure", "okay", "just", "thing", "stuff", "cool"]


def test_two_ways_of_writing_are_told_and_the_specialist_passes_as_what_it_learned() -> None:
    answers = {"learned": texts(HOUSE, 40, 2), "unchanged": texts(PLAIN, 40, 3), "half": texts(HOUSE + PLAIN, 40, 4)}
    found = measure_style(texts(HOUSE, 60, 0), texts(PLAIN, 50, 1), answers)
    assert found is not None
    assert (found["num_targets"], found["num_base_answers"]) == (60, 50)
    assert found["accuracy"] > 0.95 < found["auc"]
    assert found["base_pass_rate"] < 0.1
    rates = {name: rate["value"] for name, rate in found["pass_rate"].items()}
    assert rates["learned"] > 0.9 > rates["half"] > rates["unchanged"]
    assert rates["unchanged"] < 0.1


def test_one_way_of_writing_is_not_told_apart() -> None:
    found = measure_style(texts(HOUSE, 80, 0), texts(HOUSE, 80, 1), {"learned": texts(HOUSE, 40, 2)})
    assert found is not None
    assert found["accuracy"] == pytest.approx(0.5, abs=0.17)


@pytest.mark.parametrize(
    ("targets", "base"),
    [(texts(HOUSE, 29, 0), texts(PLAIN, 50, 1)), (texts(HOUSE, 50, 0), ["sure"] * 500), ([], [])],
)
def test_too_few_different_texts_are_not_judged(targets: list[str], base: list[str]) -> None:
    assert measure_style(targets, base, {"learned": targets}) is None
