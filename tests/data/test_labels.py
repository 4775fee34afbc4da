"""Labels: their spellings, and how many rows each has."""

import json

import pytest

from burnish.data import Finding
from burnish.data.checks.labels import check_label_balance, check_label_variants
from burnish.data.mending.mend import usual_spellings
from tests.data.datasets import DATASETS, dataset, needs_datasets, questions


def labelled(*labels: str) -> list[Finding]:
    return check_label_variants(questions(*((f"question {n}", label) for n, label in enumerate(labels))))


@needs_datasets
def test_the_messy_file() -> None:
    expected = json.loads((DATASETS / "messy" / "expectations.json").read_text())["label_variants.jsonl"]
    found = {str(f.row): f.message for f in check_label_variants(dataset("messy/label_variants.jsonl"))}
    assert set(found) == {f"label_variants.jsonl:{row['line']}" for row in expected}
    for row in expected:
        assert found[f"label_variants.jsonl:{row['line']}"].endswith(f"elsewhere {row['variant_of']!r}.")


@needs_datasets
@pytest.mark.parametrize("name", ["bank_chat/train", "banking77/train", "messy/clean", "messy/near_duplicates"])
def test_clean_twins(name: str) -> None:
    assert check_label_variants(dataset(f"{name}.jsonl")) == []


def test_the_frequent_spelling_is_the_one_that_is_meant() -> None:
    findings = labelled("Card_arrival", "card arrival", "card arrival", "other", "other")
    assert [finding.message for finding in findings] == ["the label is 'Card_arrival', elsewhere 'card arrival'."]


@pytest.mark.parametrize(
    ("one", "other"),
    [("atypical", "typical"), ("level one 1", "level one 2"), ("cat", "car"), ("north side", "south side")],
)
def test_two_labels(one: str, other: str) -> None:
    assert labelled(other, other, other, other, one) == []


def test_a_slip_that_repeats_is_a_label() -> None:
    assert labelled("exchange rate", "exchange rate", "exchange rate", "exhange rate", "exhange rate") == []
    assert len(labelled("exchange rate", "exchange rate", "exchange rate", "exhange rate")) == 1


def test_texts_are_no_labels() -> None:
    assert (
        labelled("Yes.", "yes", "no", "perhaps", "a text of more than sixty characters, which is what no label is")
        == []
    )


def balance(*labels: str) -> list[tuple[str, str]]:
    return [(f.check, f.message) for f in check_label_balance(questions(*(("q", label) for label in labels)))]


def test_balance() -> None:
    assert balance(*["a"] * 10, *["b"] * 10) == []
    assert balance(*["a"] * 10, *["b"] * 10, *["c"] * 4) == [("rare_labels", "1 label has fewer than 5 rows: c (4).")]
    assert balance(*["a"] * 41, *["b"] * 10) == [("dominant_label", "80% of the rows have the label 'a'.")]
    assert balance(*["a"] * 40, *["b"] * 10) == []
    assert balance(*["a"] * 10) == [], "one label is no classification, but no imbalance"


def test_a_variant_names_a_row_that_is_spelled_as_usual_so_that_it_can_be_mended() -> None:
    examples = questions(("a", "card arrival"), ("b", "Card_arrival"), ("c", "card arrival"), ("d", "card arrival"))
    (finding,) = check_label_variants(examples)
    assert (finding.row, finding.related) == ("f:2", ("f:1",))
    assert usual_spellings([finding], examples) == {"f:2": ("Card_arrival", "card arrival")}
