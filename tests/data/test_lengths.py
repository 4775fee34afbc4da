"""Lengths that stand out, and their clean twins."""

import json

import numpy as np
import pytest

from burnish.data.checks.lengths import check_long_messages, check_short_answers, robust_z
from tests.data.datasets import DATASETS, dataset, needs_datasets, questions

ANSWERS = [("q", "word " * (60 + 7 * n)) for n in range(20)]


@needs_datasets
@pytest.mark.parametrize("name", ["long_message.jsonl", "mixed.jsonl", "clean.jsonl", "near_duplicates.jsonl"])
def test_messy_files(name: str) -> None:
    expected = json.loads((DATASETS / "messy" / "expectations.json").read_text())[name]
    found = [str(finding.row) for finding in check_long_messages(dataset(f"messy/{name}"))]
    assert found == [f"{name}:{row['line']}" for row in expected if row["problem"] == "long_message"]


def test_a_long_message_is_told_with_the_median() -> None:
    findings = check_long_messages(questions(*[("q" * 40, "a")] * 9, ("q" * 9_000, "a")))
    assert [str(finding) for finding in findings] == [
        "f:10: a message of 9,000 characters; the median is 40. Shorten or remove it: often a whole file or thread was "
        "pasted, and one such row costs as much as hundreds."
    ]
    assert check_long_messages(questions(*[("q" * 40, "a")] * 9, ("q" * 7_000, "a"))) == []


def test_short_answers() -> None:
    assert check_short_answers(questions(*ANSWERS)) == []
    findings = check_short_answers(questions(*ANSWERS, ("q", "TODO")))
    assert [finding.message for finding in findings] == ["an answer of 4 characters; the median is 615."]
    assert check_short_answers(questions(*[("q", "label")] * 20, ("q", "b"))) == [], "labels are short"


def test_robust_z() -> None:
    values_N = np.random.default_rng(0).normal(3.0, 2.0, 20_001)
    z_N = robust_z(values_N, floor=0.01)
    assert np.std(z_N) == pytest.approx(1.0, abs=0.03)
    assert robust_z([1.0, 1.0, 2.0], floor=0.5).tolist() == [0.0, 0.0, 2.0]
    assert robust_z([]).tolist() == []
