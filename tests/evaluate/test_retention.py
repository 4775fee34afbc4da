"""Forgetting is zero, exactly, for an adapter that does nothing, and grows with one that does."""

from pathlib import Path
from typing import Any

import torch

from burnish.data import Renderer
from burnish.evaluate.retention import (
    RetentionResult,
    base_answers,
    general_prompts,
    general_text,
    measure_retention,
    text_examples,
)
from burnish.model.adapter import attach_adapter
from tests.tiny import build_model, build_tokenizer, randomize_adapter

RENDERER = Renderer(build_tokenizer(), frozenset({256}))


def measure(model: Any, cache: Path) -> RetentionResult:
    answers = base_answers(
        model, RENDERER, general_prompts(6), answer_tokens=8, batch_size=4, cache=cache, fingerprint="tiny"
    )
    texts = text_examples(RENDERER, general_text()[:4])
    return measure_retention(model, answers, texts, micro_batch_tokens=2048, confidence=0.95, num_resamples=200)


def new_model() -> Any:
    model = build_model(dtype=torch.float32)
    return attach_adapter(model, rank=4, alpha=8, dropout=0, target_modules="all-linear", seed=0)


def test_a_new_adapter_has_forgotten_nothing_exactly(tmp_path: Path) -> None:
    result = measure(new_model(), tmp_path)
    for interval in (result.kl, result.nll_change, result.general_text_nll_change):
        assert (interval.value, interval.low, interval.high) == (0.0, 0.0, 0.0)
    assert result.top1_agreement.value == 1.0
    assert result.num_prompts == 6


def test_a_planted_drift_is_seen_and_grows(tmp_path: Path) -> None:
    measure(new_model(), tmp_path)  # keeps the base's own answers
    results = []
    for std in (0.02, 0.1, 0.3):
        model = new_model()
        randomize_adapter(model, torch.float32, std=std)
        results.append(measure(model, tmp_path))
    kls = [result.kl.value for result in results]
    assert 0 < kls[0] < kls[1] < kls[2]
    assert results[2].kl.low > 0
    agreement = [result.top1_agreement.value for result in results]
    assert agreement[0] > agreement[2]


def test_the_bundled_sets_are_large_and_their_halves_apart() -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer

    prompts, texts = general_prompts(10_000), general_text()
    assert len(prompts) >= 120
    assert len({row["domain"] for row in prompts}) >= 12
    assert len({row["id"] for row in [*prompts, *texts]}) == len(prompts) + len(texts)
    rows = [row.get("prompt") or row["text"] for row in [*prompts, *texts]]
    halves = [row["half"] for row in [*prompts, *texts]]
    vectors = TfidfVectorizer(analyzer="char", ngram_range=(5, 5), use_idf=False).fit_transform(rows)
    cosine = (vectors @ vectors.T).toarray()
    for i, half in enumerate(halves):
        for j in range(i):
            assert half == halves[j] or cosine[i, j] < 0.5, (rows[i], rows[j])


def test_the_first_prompts_are_of_the_measurement_half() -> None:
    assert {row["half"] for row in general_prompts(80)} == {"measurement"}
