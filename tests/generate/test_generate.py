"""Batched decoding and label search against the plain way, one prompt at a time."""

import random
from typing import Any
from weakref import WeakSet

import pytest
import torch
from scipy.stats import chi2 as scipy_chi2

from burnish.generate import labels as labels_room
from burnish.generate.decode import decode
from burnish.generate.labels import choose_labels
from tests.tiny import build_exact_model, build_model_without_interface

END = 256


def prompts(shared: int, count: int = 11, seed: int = 1) -> list[list[int]]:
    chance = random.Random(seed)
    prefix = [chance.randrange(256) for _ in range(shared)]
    return [prefix + [chance.randrange(256) for _ in range(chance.randrange(1, 30))] for _ in range(count)]


def plain_greedy(model: Any, prompt: list[int], limit: int) -> tuple[list[int], bool]:
    """No cache, no batch."""
    ids = list(prompt)
    for _ in range(limit):
        token = int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax())
        if token == END:
            return ids[len(prompt) :], True
        ids.append(token)
    return ids[len(prompt) :], False


@torch.no_grad()
@pytest.mark.parametrize("sliding_window", [None, 9])
@pytest.mark.parametrize("shared", [0, 20])
@pytest.mark.parametrize("batch_size", [1, 4, 32])
def test_batched_decoding_is_one_at_a_time(sliding_window: int | None, shared: int, batch_size: int) -> None:
    model = build_exact_model(sliding_window=sliding_window)
    asked = prompts(shared)
    got = decode(model, asked, max_new_tokens=14, end_ids=frozenset({END}), batch_size=batch_size)
    assert [(list(g.token_ids), g.has_ended) for g in got] == [plain_greedy(model, p, 14) for p in asked]


def test_a_batch_is_given_up_before_the_next_is_read() -> None:
    model, known, alive = build_exact_model(), WeakSet[Any](), []

    def count(_: Any, __: Any, given: dict[str, Any]) -> None:
        known.add(given["past_key_values"])
        alive.append(len(known))

    model.register_forward_pre_hook(count, with_kwargs=True)
    decode(model, prompts(0), max_new_tokens=5, end_ids=frozenset({END}), batch_size=4)
    assert len(alive) >= 15 and set(alive) == {1}


@torch.no_grad()
def test_rows_end_at_different_times_and_stop_at_the_end_token() -> None:
    """Let a frequent token play the end, so that some answers end early and the batch shrinks."""
    model = build_exact_model()
    asked = prompts(0, count=24)
    free = decode(model, asked, max_new_tokens=14, end_ids=frozenset({END}), batch_size=24)
    tokens = [token for g in free for token in g.token_ids]
    end = max(set(tokens), key=tokens.count)
    got = decode(model, asked, max_new_tokens=14, end_ids=frozenset({end}), batch_size=24)
    cut = [g.token_ids[: g.token_ids.index(end)] if end in g.token_ids else g.token_ids for g in free]
    assert [g.token_ids for g in got] == cut
    assert sum(g.has_ended for g in got) > 0
    assert len({len(g.token_ids) for g in got}) > 1


@torch.no_grad()
@pytest.mark.parametrize("kind", ["packed", "plain"])
@pytest.mark.parametrize("draws", [False, True])
def test_an_answer_tells_the_log_probability_of_its_tokens(kind: str, draws: bool) -> None:
    """Through the end-of-turn token, before chance; rows that end early leave the batch."""
    model = build_exact_model("llama") if kind == "packed" else build_model_without_interface("bloom")
    asked, ends = prompts(20), frozenset({END, *range(0, 256, 12)})
    chance = torch.Generator().manual_seed(0) if draws else None
    got = decode(model, asked, max_new_tokens=14, end_ids=ends, batch_size=4, chance=chance)
    assert len({len(g.token_ids) for g in got}) > 1
    for prompt, generation in zip(asked, got, strict=True):
        own = list(generation.token_ids)
        logp = model(input_ids=torch.tensor([prompt + own])).logits[0, len(prompt) - 1 :].log_softmax(-1)
        wanted = sum(logp[place, token].item() for place, token in enumerate(own))
        endings = [wanted + logp[len(own), end].item() for end in ends] if generation.has_ended else [wanted]
        assert min(abs(generation.log_probability - ending) for ending in endings) < 1e-3
    assert any(g.has_ended for g in got)


LABELS = [[1, 2, END], [1, END], [3, 4, 5, END], [7, END], [1, 2, 9, END], [3, END], [3, 4, 5, 6, 8, END]]


@torch.no_grad()
@pytest.mark.parametrize(("nodes_per_pass", "margin"), [(1, 3.0), (4, 0.0), (4, 1.0), (1000, 3.0), (1000, 1e9)])
@pytest.mark.parametrize("shared", [0, 20])
@pytest.mark.parametrize("sliding_window", [None, 80, 9])
def test_the_best_label_is_that_of_scoring_each(
    monkeypatch: pytest.MonkeyPatch, nodes_per_pass: int, margin: float, shared: int, sliding_window: int | None
) -> None:
    monkeypatch.setattr(labels_room, "NODES_PER_PASS", nodes_per_pass)
    monkeypatch.setattr(labels_room, "MARGIN", margin)
    model = build_exact_model(sliding_window=sliding_window)
    asked = prompts(shared)
    got = choose_labels(model, asked, LABELS, pad_id=END, batch_size=4)
    for prompt, choice in zip(asked, got, strict=True):
        scores = []
        for label in LABELS:
            logp = model(input_ids=torch.tensor([prompt + label])).logits[0].log_softmax(-1)
            scores.append(sum(logp[len(prompt) - 1 + i, token].item() for i, token in enumerate(label)))
        assert choice.label_index == max(range(len(LABELS)), key=lambda i: scores[i])
        assert choice.log_probability == pytest.approx(max(scores), abs=1e-4)
    assert len({choice.label_index for choice in got}) > 1


@pytest.mark.parametrize("kind", ["packed", "plain"])
def test_draws_follow_the_probabilities(kind: str) -> None:
    """Of 3,000 first tokens; each seed gives its own."""
    model = build_exact_model("llama") if kind == "packed" else build_model_without_interface("bloom")
    prompt = [5, 9, 200]
    expected = model(input_ids=torch.tensor([prompt])).logits[0, -1].softmax(-1)

    def drawn(seed: int) -> list[int]:
        chance = torch.Generator().manual_seed(seed)
        options: dict[str, Any] = {"max_new_tokens": 1, "end_ids": frozenset({END}), "batch_size": 500}
        found = decode(model, [prompt] * 3000, chance=chance, **options)
        return [END if g.has_ended else g.token_ids[0] for g in found]

    first = drawn(0)
    counts = torch.bincount(torch.tensor(first), minlength=len(expected))
    likely = expected > 5 / 3000
    chi_square = ((counts - 3000 * expected) ** 2 / (3000 * expected))[likely].sum().item()
    assert chi_square < scipy_chi2.ppf(0.9999, int(likely.sum()))
    assert first == drawn(0) != drawn(1)
