"""How alike two texts are, from 0 to 1."""

import re
from collections import Counter
from collections.abc import Sequence

from burnish.serve.errors import ApiError

GLEU_ORDER = 4


def similarity(metric: str, text: str, reference: str) -> float:
    """The metric of a text against its reference.

    Raises:
        ApiError: burnish does not compute this one.
    """
    if metric == "fuzzy_match":
        from rapidfuzz import fuzz

        return float(fuzz.ratio(text, reference)) / 100
    if metric == "bleu":
        from sacrebleu import sentence_bleu

        return float(sentence_bleu(text, [reference]).score) / 100
    if metric == "gleu":
        return gleu(_words(text), _words(reference))
    if metric == "rouge_l":
        return rouge_l(_words(text), _words(reference))
    if metric.startswith("rouge_"):
        return rouge_n(_words(text), _words(reference), int(metric.removeprefix("rouge_")))
    raise ApiError(
        f"burnish does not compute {metric}. Use fuzzy_match, bleu, gleu or rouge_1 to rouge_l.",
        param="grader.evaluation_metric",
    )


def rouge_n(words: Sequence[str], reference: Sequence[str], n: int) -> float:
    """F1 of the n-grams that both have (Lin 2004); where neither is long enough for one, whether they are equal."""
    own, wanted = _grams(words, n), _grams(reference, n)
    if not own and not wanted:
        return float(list(words) == list(reference))
    return _f1((own & wanted).total(), own.total(), wanted.total())


def rouge_l(words: Sequence[str], reference: Sequence[str]) -> float:
    """F1 of the longest common subsequence (Lin 2004)."""
    if not words and not reference:
        return 1.0
    from rapidfuzz.distance import LCSseq

    return _f1(LCSseq.similarity(words, reference), len(words), len(reference))


def gleu(words: Sequence[str], reference: Sequence[str]) -> float:
    """The smaller of precision and recall over the 1- to 4-grams together (Wu et al. 2016)."""
    own, wanted = Counter[tuple[str, ...]](), Counter[tuple[str, ...]]()
    for n in range(1, GLEU_ORDER + 1):
        own += _grams(words, n)
        wanted += _grams(reference, n)
    longest = max(own.total(), wanted.total())
    return (own & wanted).total() / longest if longest else 1.0


def _words(text: str) -> list[str]:
    """Letters and digits, without case."""
    return re.findall(r"\w+", text.lower())


def _grams(words: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))


def _f1(num_common: int, num_own: int, num_wanted: int) -> float:
    return 2 * num_common / (num_own + num_wanted) if num_own + num_wanted else 0.0
