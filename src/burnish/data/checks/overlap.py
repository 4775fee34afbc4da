"""Texts that say what other texts say, among which they must not be."""

from collections.abc import Iterator, Sequence

from burnish.data.checks.folding import Words, fold, names_in
from burnish.data.checks.near import find_near_texts

RUN = 13
"""So many words in a row that are the same are no chance; GPT-3's check for test rows in its data took 13, too."""


def find_overlaps(texts: Sequence[str], known: Sequence[str]) -> list[bool]:
    """For each text whether it is one of the known ones but for a word or two, or shares a run of words with one."""
    own, others = [fold(text) for text in texts], {fold(text) for text in known}
    together = tuple(dict.fromkeys([*own, *others]))
    near = set(others)
    for i, j in find_near_texts(together, names_in([*texts, *known])):
        for one, other in ((i, j), (j, i)):
            if together[other] in others:
                near.add(together[one])
    runs = {run for words in others for run in _runs(words)}
    return [words in near or any(run in runs for run in _runs(words)) for words in own]


def _runs(words: Words) -> Iterator[Words]:
    return (words[n : n + RUN] for n in range(len(words) - RUN + 1))
