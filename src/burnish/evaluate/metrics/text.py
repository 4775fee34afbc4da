"""Free text: how near an answer is to the target, and whether length and repetition have drifted."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from rapidfuzz.distance import LCSseq

from burnish.data.checks.folding import fold
from burnish.evaluate.statistics import RowScores, score_interval

GRAM_WORDS = 4


def measure_text(
    rows: Sequence[dict[str, Any]], *, confidence: float = 0.95, num_resamples: int = 10_000
) -> dict[str, dict[str, Any]]:
    """An arm's prediction rows as free text; each value has its interval, None where nothing could be measured.

    `exact_match` is equality, `normalised_match` equality of the words; `chrf` and `rouge_l` are means over the rows.
    `length_ratio`: characters of the predictions over those of the targets. `repetition` and `target_repetition`: the
    mean of `repetition`, over the texts that are long enough to repeat themselves.
    """
    pairs = [(row["prediction"], row["target"]) for row in rows]
    ones = np.ones(len(rows))

    def mean(score: Callable[[str, str], float]) -> RowScores:
        return RowScores(np.array([score(*pair) for pair in pairs]), ones)

    parts = {
        "exact_match": mean(lambda prediction, target: prediction == target),
        "normalised_match": mean(lambda prediction, target: fold(prediction) == fold(target)),
        "chrf": mean(chrf),
        "rouge_l": mean(rouge_l),
        "length_ratio": RowScores(*np.array([[len(text) for text in pair] for pair in pairs], dtype=np.float64).T),
        "repetition": _mean_repetition([prediction for prediction, _ in pairs]),
        "target_repetition": _mean_repetition([target for _, target in pairs]),
    }
    return {
        name: score_interval(scores, confidence=confidence, num_resamples=num_resamples).to_dict()
        for name, scores in parts.items()
    }


def chrf(prediction: str, target: str) -> float:
    """The F-score of shared character n-grams up to 6, beta 2 (Popovic 2015, WMT), between 0 and 1."""
    from sacrebleu import sentence_chrf

    return float(sentence_chrf(prediction, [target]).score) / 100.0


def rouge_l(prediction: str, target: str) -> float:
    """The F-measure, beta 1, of the longest common subsequence of the words (Lin 2004, section 3.1), 0 to 1.

    Words are folded: without case and punctuation; each character of Chinese and Japanese is one.
    """
    predicted, wanted = fold(prediction), fold(target)
    return 2 * LCSseq.similarity(predicted, wanted) / (len(predicted) + len(wanted))


def repetition(text: str) -> float | None:
    """The share of 4-grams of words that were there before: 1 - different / all; None below 4 words.

    seq-rep-4 of Welleck et al. 2020 (arXiv 1908.04319).
    """
    words = fold(text)
    grams = [words[start : start + GRAM_WORDS] for start in range(len(words) - GRAM_WORDS + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else None


def _mean_repetition(texts: Sequence[str]) -> RowScores:
    shares = [repetition(text) for text in texts]
    return RowScores(np.array([share or 0.0 for share in shares]), np.array([share is not None for share in shares]))
