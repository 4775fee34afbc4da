"""Forgetting is zero, exactly, for an adapter that does nothing, and grows with one that does."""

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from burnish.data import Renderer
from burnish.evaluate.bundled import Half, general_prompts, general_text, openings
from burnish.evaluate.retention import RetentionResult, base_answers, measure_retention, text_examples
from burnish.evaluate.statistics import ConfidenceInterval, RowScores, interval_over_kinds
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
    rows = general_text(Half.MEASUREMENT)[:4]
    texts = text_examples(RENDERER, rows)
    task = text_examples(RENDERER, general_text(Half.TRAINING)[:3])
    return measure_retention(
        model,
        answers,
        texts,
        task,
        text_kinds=[f"{n % 2}" for n in range(len(rows))],
        micro_batch_tokens=2048,
        confidence=0.95,
        num_resamples=200,
    )


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
    assert (len(prompts), len(texts)) == (160, 316)
    assert all(len(load(half)) >= 60 for half in Half for load in (general_prompts, general_text))
    assert len({row["domain"] for row in prompts}) >= 12
    assert all(row["source"] for row in texts)
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


def test_both_halves_and_the_openings_have_all_kinds_of_text() -> None:
    training, measurement = (Counter(row["kind"] for row in general_text(half)) for half in Half)
    assert training == measurement and len(training) >= 70 and min(training.values()) >= 2
    assert {row["kind"] for row in openings()} == set(training)


def test_no_replayed_opening_begins_a_text_that_measures() -> None:
    measuring = [row["text"].lower() for row in general_text(Half.MEASUREMENT)]
    begun = [row["text"] for row in openings() if any(t.startswith(row["text"].lower()) for t in measuring)]
    assert not begun


def test_the_interval_is_over_the_kinds_and_not_over_the_texts() -> None:
    """Twenty texts of each of three kinds that differ: many texts say little of a fourth kind."""
    rises = np.repeat([0.01, 0.02, 0.06], 20)
    kinds = ["letter"] * 20 + ["code"] * 20 + ["poem"] * 20
    found = interval_over_kinds(RowScores(rises * 50, np.full(60, 50.0)), kinds)
    assert found.value == pytest.approx(0.03)
    half_width = 4.302653 * np.std([0.01, 0.02, 0.06], ddof=1) / 3**0.5  # t of 2 degrees of freedom
    assert (found.low, found.high) == (pytest.approx(0.03 - half_width), pytest.approx(0.03 + half_width))
    new = interval_over_kinds(RowScores(rises * 50, np.full(60, 50.0)), kinds, of_new_kinds=True)
    assert new.high - new.value == pytest.approx(2**0.5 * half_width)
    longer = interval_over_kinds(RowScores(np.array([1.0, 0.0]), np.array([10.0, 90.0])), ["a", "b"])
    assert longer.value == pytest.approx(0.01), "a kind counts by its tokens"
    one_kind = interval_over_kinds(RowScores(rises, np.ones(60)), ["letter"] * 60)
    assert math.isnan(one_kind.value) and math.isnan(one_kind.high)


def test_the_interval_holds_the_mean_of_new_kinds_as_often_as_it_says() -> None:
    rng, hits, draws = np.random.default_rng(0), 0, 2000

    def measured() -> ConfidenceInterval:
        of_kinds = rng.normal(0.01, 0.02, size=12).repeat(4)
        lengths = rng.integers(20, 100, size=48).astype(float)
        scores = RowScores((of_kinds + rng.normal(0, 0.02, size=48)) * lengths, lengths)
        return interval_over_kinds(scores, [f"{n // 4}" for n in range(48)], of_new_kinds=True)

    for _ in range(draws):
        found, new = measured(), measured()
        hits += found.low <= new.value <= found.high
    assert 0.935 <= hits / draws <= 0.965
