"""A shared beginning of any length, with anything learned in it, is computed as if it were not shared."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from burnish.data import RenderedExample
from burnish.model import prefix
from burnish.train import pack
from burnish.train.pack import pack_examples
from burnish.train.savings import Savings
from tests.tiny import EXACT_KINDS, adapt, build_exact_model, random_examples
from tests.train.equivalence import (
    assert_same,
    attend_by,
    grouped_examples,
    learned_in_the_prefix,
    one_by_one,
    packed,
)


def answers_to_one_prompt(*answers: Sequence[int]) -> list[RenderedExample]:
    prompt = tuple(range(40, 57))
    return [
        RenderedExample(str(n), (*prompt, *answer), (False,) * len(prompt) + (True,) * len(answer), len(prompt))
        for n, answer in enumerate(answers)
    ]


# The examples, and (length of the beginning, number of examples) of each group in their pack.
CASES: dict[str, tuple[list[RenderedExample], list[tuple[int, int]]]] = {
    "nothing shared": (random_examples(5, 0), [(0, 5)]),
    "one token": (random_examples(5, 1), [(1, 5)]),
    "the whole prompt": (answers_to_one_prompt((1, 2, 3), (4, 5), (6, 7, 8, 9)), [(17, 3)]),
    # The whole prompt is all that is fed, and each example keeps a token of its own.
    "the whole prompt, labels of one token": (answers_to_one_prompt((1,), (2,), (1,)), [(16, 3)]),
    "one example": (random_examples(1, 13), [(0, 1)]),
    "equal examples": (random_examples(1, 13) * 3, [(random_examples(1, 13)[0].length - 1, 3)]),
    "learned tokens in it": (learned_in_the_prefix(), [(22, 3)]),
    "two groups": (grouped_examples(), [(25, 3), (33, 3), (0, 2)]),
}


@pytest.fixture(autouse=True)
def share_a_single_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefix, "MIN_PREFIX", 1)


@pytest.mark.parametrize("case", CASES)
def test_what_the_cases_share(case: str) -> None:
    examples, groups = CASES[case]
    (batch,) = pack_examples(examples, max_tokens=10_000, device=torch.device("cpu"))
    assert batch.layout is not None
    assert [(group.prefix_length, len(group.suffix_lengths)) for group in batch.layout.groups] == groups


@pytest.fixture(scope="module", params=EXACT_KINDS)
def model(request: pytest.FixtureRequest) -> Any:
    return adapt(build_exact_model(request.param, sliding_window=7))


@pytest.mark.parametrize("case", CASES)
def test_shared_is_unshared(monkeypatch: pytest.MonkeyPatch, model: Any, case: str) -> None:
    examples = CASES[case][0]
    unshared = packed(model, examples, savings=Savings(shared_prefix=False))
    assert_same(unshared, one_by_one(model, examples))
    for max_tokens, min_kept in ((10_000, 64), (40, 64), (40, 1)):  # in one pack, in each of several, once for all
        monkeypatch.setattr(pack, "MIN_KEPT", min_kept)
        assert_same(packed(model, examples, max_tokens), unshared)


@pytest.mark.parametrize("model", ["gemma3"], indirect=True)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("way", ["both", "fused"])
def test_so_it_is_by_every_way_to_attend(monkeypatch: pytest.MonkeyPatch, model: Any, case: str, way: str) -> None:
    attend_by(way, monkeypatch)
    test_shared_is_unshared(monkeypatch, model, case)
