"""Models without transformers' attention interface train, answer and choose labels all the same."""

from typing import Any

import pytest
import torch

from burnish.generate.decode import decode
from burnish.generate.labels import choose_labels
from burnish.generate.plain import score_labels
from burnish.model.attention import can_pack
from burnish.train.pack import batches_for
from tests.generate.test_generate import END, LABELS, plain_greedy, prompts
from tests.tiny import adapt, build_exact_model, build_model_without_interface, random_examples
from tests.train.equivalence import assert_same, one_by_one, packed


@pytest.fixture(params=["bloom", "qwen3_next"])
def model(request: pytest.FixtureRequest) -> Any:
    return build_model_without_interface(request.param)


def label_scores(model: Any, prompt: list[int]) -> list[float]:
    scores = []
    for label in LABELS:
        logp = model(input_ids=torch.tensor([prompt + label])).logits[0].log_softmax(-1)
        scores.append(sum(logp[len(prompt) - 1 + i, token].item() for i, token in enumerate(label)))
    return scores


@pytest.mark.parametrize("max_tokens", [10_000, 60, 1])
def test_padded_training_is_one_by_one(model: Any, max_tokens: int) -> None:
    assert not can_pack(model)
    model = adapt(model)
    examples = random_examples(7, 13)
    losses, gradients = one_by_one(model, examples)
    got = packed(model, examples, max_tokens)
    assert got[0] == pytest.approx(losses, rel=1e-5)  # these models compute parts in fp32
    for name, gradient in gradients.items():
        torch.testing.assert_close(got[1][name], gradient, rtol=1e-3, atol=1e-5)
    with batches_for(model, examples, max_tokens=max_tokens) as batches:
        assert all(batch.layout is None for batch in batches)


@torch.no_grad()
@pytest.mark.parametrize("batch_size", [1, 4, 32])
def test_answers_are_those_of_one_at_a_time(model: Any, batch_size: int) -> None:
    asked, counts = prompts(20), list[int]()
    ends = frozenset({END, 7})
    got = decode(model, asked, max_new_tokens=9, end_ids=ends, batch_size=batch_size, on_done=counts.append)
    for prompt, generation in zip(asked, got, strict=True):
        free, has_ended = plain_greedy(model, prompt, 9)
        cut = free[: free.index(7)] if 7 in free else free
        assert (list(generation.token_ids), generation.has_ended) == (cut, has_ended or 7 in free)
    assert sum(counts) == len(asked)


@torch.no_grad()
def test_the_best_label_is_that_of_scoring_each(model: Any) -> None:
    asked = prompts(20)
    got = choose_labels(model, asked, LABELS, pad_id=END, batch_size=3)
    for prompt, choice in zip(asked, got, strict=True):
        scores = label_scores(model, prompt)
        assert choice.label_index == max(range(len(LABELS)), key=lambda i: scores[i])
        assert choice.log_probability == pytest.approx(max(scores), abs=1e-4)


@torch.no_grad()
def test_every_label_has_its_log_probability() -> None:
    model, asked = build_exact_model(), prompts(0, count=4)
    wanted = torch.tensor([label_scores(model, prompt) for prompt in asked], dtype=torch.float64)
    torch.testing.assert_close(score_labels(model, asked, LABELS, 5), wanted, rtol=1e-9, atol=1e-9)


def test_padding_is_exact_in_float64() -> None:
    model = adapt(build_exact_model())
    model._supports_attention_backend = False
    examples = random_examples(7, 13)
    assert_same(packed(model, examples, 60), one_by_one(model, examples))
