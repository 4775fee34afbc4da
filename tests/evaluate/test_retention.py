"""Forgetting is zero, exactly, for an adapter that does nothing, and grows with one that does."""

from pathlib import Path
from typing import Any

import torch

from burnish.data import Renderer
from burnish.evaluate.bundled import Half, general_prompts, general_text
from burnish.evaluate.retention import RetentionResult, base_answers, measure_retention, text_examples
from burnish.model.adapter import attach_adapter
from tests.tiny import build_model, build_tokenizer, randomize_adapter

RENDERER = Renderer(build_tokenizer(), frozenset({256}))


def measure(model: Any, cache: Path) -> RetentionResult:
    answers = base_answers(
        model,
        RENDERER,
        general_prompts(Half.MEASUREMENT, 6),
        answer_tokens=8,
        batch_size=4,
        cache=cache,
        fingerprint="tiny",
    )
    texts = text_examples(RENDERER, general_text(Half.MEASUREMENT)[:4])
    task = text_examples(RENDERER, general_text(Half.TRAINING)[:3])
    return measure_retention(model, answers, texts, task, micro_batch_tokens=2048, confidence=0.95, num_resamples=200)


def new_model() -> Any:
    model = build_model(dtype=torch.float32)
    return attach_adapter(model, rank=4, alpha=8, dropout=0, target_modules="all-linear", seed=0)


def test_a_new_adapter_has_forgotten_nothing_exactly(tmp_path: Path) -> None:
    result = measure(new_model(), tmp_path)
    for drift in (result.answers, result.text, result.task):
        for interval in (drift.kl, drift.nll_change):
            assert (interval.value, interval.low, interval.high) == (0.0, 0.0, 0.0)
        assert drift.top1_agreement.value == 1.0
    assert [drift.num_texts for drift in (result.answers, result.text, result.task)] == [6, 4, 3]


def test_a_planted_drift_is_seen_and_grows(tmp_path: Path) -> None:
    measure(new_model(), tmp_path)  # keeps the base's own answers
    results = []
    for std in (0.02, 0.1, 0.3):
        model = new_model()
        randomize_adapter(model, torch.float32, std=std)
        results.append(measure(model, tmp_path))
    for texts in ("answers", "text", "task"):
        drifts = [getattr(result, texts) for result in results]
        assert 0 < drifts[0].kl.value < drifts[1].kl.value < drifts[2].kl.value
        assert drifts[2].kl.low > 0
        assert drifts[0].top1_agreement.value > drifts[2].top1_agreement.value


def test_the_bundled_sets_are_large_and_their_halves_apart() -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer

    prompts, texts = ([row for half in Half for row in load(half)] for load in (general_prompts, general_text))
    assert (len(prompts), len(texts)) == (160, 120)
    assert all(len(load(half)) >= 60 for half in Half for load in (general_prompts, general_text))
    assert len({row["domain"] for row in prompts}) >= 12
    assert len({row["id"] for row in [*prompts, *texts]}) == len(prompts) + len(texts)
    rows = [row.get("prompt") or row["text"] for row in [*prompts, *texts]]
    halves = [row["half"] for row in [*prompts, *texts]]
    vectors = TfidfVectorizer(analyzer="char", ngram_range=(5, 5), use_idf=False).fit_transform(rows)
    cosine = (vectors @ vectors.T).toarray()
    for i, half in enumerate(halves):
        for j in range(i):
            assert half == halves[j] or cosine[i, j] < 0.5, (rows[i], rows[j])


def test_the_first_prompts_are_of_every_domain() -> None:
    first = general_prompts(Half.MEASUREMENT, 16)
    assert len({row["domain"] for row in first}) >= 12
