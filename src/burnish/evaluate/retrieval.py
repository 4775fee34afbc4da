"""The training rows that are most like a question, as its demonstrations: what a prompt with retrieval would hold."""

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import bm25s
import numpy as np
import numpy.typing as npt

from burnish.conversation import Conversation, Role
from burnish.data import Example
from burnish.data.checks.folding import fold
from burnish.evaluate.arms import is_single_turn, with_shots
from burnish.model.encoder import Encoder

RANK_OFFSET = 60
"""How little the first ranks stand out; the value of Cormack et al. (2009)."""
CANDIDATES_PER_SHOT = 4
"""Where rows are too long for the prompt, so many of the most similar are tried before there are fewer shots."""
_UNSPACED_RUN = re.compile(
    # Thai, Lao, Tibetan, Burmese; Khmer; kana; Han
    "[\u0e00-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]{2,}"
)


class Retriever:
    """Finds training rows by their words (BM25) and, where there is an encoder, by their meaning as well.

    Only rows of a single turn, since others cannot be told from the conversation that they are shown in.
    """

    def __init__(self, train: Sequence[Example], encoder: Encoder | None = None) -> None:
        self.rows = [example for example in train if is_single_turn(example)]
        questions = [_question(example.prompt) for example in self.rows]
        self._index = bm25s.BM25()
        if questions:
            self._index.index([_terms(text) for text in questions], create_empty_token=False, show_progress=False)
        self._encoder = encoder
        self._vectors_ND = encoder.embed(questions) if encoder else None

    def shots(
        self,
        prompts: Sequence[Conversation],
        *,
        num_shots: int,
        count_tokens: Callable[[Conversation], int],
        limit: int,
    ) -> list[list[Example]]:
        """For each prompt the most similar rows, the most similar last, where it stands next to the question.

        A row that would make the prompt longer than `limit` tokens, by `count_tokens`, is left out; the next takes
        its place.
        """
        return [
            _fitting([self.rows[i] for i in order], prompt, num_shots, count_tokens, limit)[::-1]
            for prompt, order in zip(prompts, self.ranked(prompts, CANDIDATES_PER_SHOT * num_shots), strict=True)
        ]

    def ranked(self, prompts: Sequence[Conversation], num_rows: int) -> Iterator[list[int]]:
        """For each prompt the positions in `rows` of the most similar ones, the most similar first.

        The rankings by words and by meaning are fused by reciprocal rank (Cormack, Clarke & Büttcher 2009). Equals
        stand in the order of the rows.
        """
        questions = [_question(prompt) for prompt in prompts]
        vectors_QD = self._encoder.embed(questions) if self._encoder else None
        for q, question in enumerate(questions):
            scores = [self._index.get_scores(_terms(question))] if self.rows else [np.zeros(0)]
            if self._vectors_ND is not None and vectors_QD is not None:
                cosines_N = self._vectors_ND @ vectors_QD[q]
                scores.append(cosines_N.round(5))  # so that equal texts are equal wherever they stand
            fused_N = np.sum([_reciprocal_ranks(values_N) for values_N in scores], axis=0)
            yield np.argsort(-fused_N, kind="stable")[:num_rows].tolist()


def _question(prompt: Conversation) -> str:
    return "\n".join(message.content for message in prompt if message.role is not Role.SYSTEM)


def _terms(text: str) -> list[str]:
    """The words of a text; of scripts that put no spaces between words, pairs of characters too."""
    runs = _UNSPACED_RUN.findall(unicodedata.normalize("NFKC", text))
    return [*fold(text), *(a + b for run in runs for a, b in pairwise(run))]


def _reciprocal_ranks(scores_N: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Equals share the last of their ranks, so that the many rows without a common word are worth next to nothing."""
    ranks_N = len(scores_N) - np.searchsorted(np.sort(scores_N), scores_N)
    reciprocal_N: npt.NDArray[np.float64] = 1 / (RANK_OFFSET + ranks_N)
    return reciprocal_N


def _fitting(
    ranked: Sequence[Example],
    prompt: Conversation,
    num_shots: int,
    count_tokens: Callable[[Conversation], int],
    limit: int,
) -> list[Example]:
    """The first `num_shots` rows that fit together, in order."""
    first = list(ranked[:num_shots])
    if count_tokens(with_shots(prompt, first[::-1])) <= limit:  # nearly always, and one count in place of many
        return first
    shots: list[Example] = []
    for row in ranked:
        if len(shots) < num_shots and count_tokens(with_shots(prompt, [row, *shots[::-1]])) <= limit:
            shots.append(row)
    return shots
