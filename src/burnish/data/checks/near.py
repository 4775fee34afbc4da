"""Pairs of texts that say the same but for case, punctuation, spacing or a word or two.

A changed word may be a slip or another question: "which types of card" and "which kinds of card" are one question, "is
cystinuria inherited" and "is albinism inherited" are two. A pair is near only where what differs is no number, no
negation and no name, and where the words around it are not a template that the texts fill in again and again.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence, Set
from itertools import accumulate, combinations, pairwise

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view
from rapidfuzz.distance import Levenshtein

from burnish.data.checks.folding import Words, are_opposites, is_telling

WORDS_PER_EDIT = 12
"""A text may differ in one word for each so many words of its own; in one word in any case."""
MIN_WORDS_KEPT = 5
"""Where a word is changed, so many others are the same; where one is added, one fewer."""
MAX_FILLERS = 3
"""A frame, which is a text but for one word, that holds more words than this is a template."""
MAX_FRAME_WORDS = 64
_NUM_BANDS, _ROWS_PER_BAND, _GRAM_BYTES = 16, 4, 5
_MAX_BUCKET = 64


def find_near_texts(texts: Sequence[Words], names: Set[str]) -> list[tuple[int, int]]:
    """The pairs of positions (lower first, sorted) of different texts that are near; `names` are folded words.

    The candidates are all pairs that differ by one word, exactly, and of longer texts those that share a band of
    MinHash values of their characters (Broder 1997). The order of the texts has no influence.
    """
    common = _common_words(texts)
    candidates = {*_one_word_apart(texts), *_alike_in_characters(texts, common)}
    return sorted(pair for pair in candidates if _is_near(texts[pair[0]], texts[pair[1]], names, common))


def _common_words(texts: Sequence[Words]) -> frozenset[str]:
    """Words of more than half of the texts: they say nothing about any one of them, as in a repeated instruction."""
    if len(texts) < 20:
        return frozenset()
    counts = Counter(word for text in texts for word in set(text))
    return frozenset(word for word, count in counts.items() if 2 * count > len(texts))


def _one_word_apart(texts: Sequence[Words]) -> Iterator[tuple[int, int]]:
    """The pairs that share a frame, a text but for one word or one gap, which is no template."""
    frames: dict[tuple[int, int], list[int]] = defaultdict(list)
    for i, words in enumerate(texts):
        if len(words) <= MAX_FRAME_WORDS:
            for frame in _frames(words):
                frames[frame].append(i)
    for holders in frames.values():
        if len(holders) <= MAX_FILLERS:
            yield from combinations(sorted(set(holders)), 2)


def _frames(words: Words) -> Iterator[tuple[int, int]]:
    """For each word and each gap, the hashes of what stands before and of what stands after it."""
    before = list(accumulate(words, lambda value, word: hash((value, word)), initial=0))
    after = list(accumulate(reversed(words), lambda value, word: hash((value, word)), initial=0))[::-1]
    yield from zip(before, after[1:], strict=False)
    yield from zip(before, after, strict=True)


def _alike_in_characters(texts: Sequence[Words], common: Set[str]) -> Iterator[tuple[int, int]]:
    """The pairs of longer texts that share a band of MinHash values of the characters of their own words."""
    buckets: dict[tuple[int, bytes], list[int]] = defaultdict(list)
    constants = np.random.default_rng(0).integers(1, 2**63, (_NUM_BANDS * _ROWS_PER_BAND, 1), dtype=np.uint64) * 2 + 1
    # In an order of their own, so that the order of the texts has no influence where a bucket overflows.
    for i in sorted(range(len(texts)), key=texts.__getitem__):
        own = [word for word in texts[i] if word not in common]
        if len(own) >= 2 * WORDS_PER_EDIT or len(texts[i]) > MAX_FRAME_WORDS:
            values = _min_hashes(" ".join(own).encode(), constants).reshape(_NUM_BANDS, _ROWS_PER_BAND)
            for band, value in enumerate(values):
                buckets[band, value.tobytes()].append(i)
    for holders in buckets.values():
        pairs = combinations(holders, 2) if len(holders) <= _MAX_BUCKET else pairwise(holders)
        yield from ((min(pair), max(pair)) for pair in pairs)


def _min_hashes(text: bytes, constants: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The least value of each hash function over the runs of five bytes."""
    letters = np.frombuffer(text.ljust(_GRAM_BYTES), dtype=np.uint8).astype(np.uint64)
    runs = sliding_window_view(letters, _GRAM_BYTES) @ (np.uint64(256) ** np.arange(_GRAM_BYTES, dtype=np.uint64))
    values: npt.NDArray[np.uint64] = (constants * np.unique(runs)).min(axis=1)
    return values


def _is_near(one: Words, other: Words, names: Set[str], common: Set[str]) -> bool:
    own = min(sum(word not in common for word in text) for text in (one, other))
    limit = max(1, own // WORDS_PER_EDIT)
    if Levenshtein.distance(one, other, score_cutoff=limit) > limit:
        return False
    spans = [span for span in Levenshtein.opcodes(one, other) if span.tag != "equal"]
    edits = [(one[s.src_start : s.src_end], other[s.dest_start : s.dest_end]) for s in spans]
    if any(_changes_meaning(before, after, names) for before, after in edits):
        return False
    num_changed = sum(len(before) for before, after in edits if after)
    min_kept = MIN_WORDS_KEPT if num_changed else MIN_WORDS_KEPT - 1
    return min(len(one), len(other)) - num_changed >= min_kept and own > len(edits)


def _changes_meaning(before: Words, after: Words, names: Set[str]) -> bool:
    if any(is_telling(word) or word in names for word in (*before, *after)):
        return True
    return any(are_opposites(*pair) for pair in zip(before, after, strict=False))
