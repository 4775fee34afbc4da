"""Texts and labels as numbers, and the folds in which they are held out.

N rows, L labels.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from burnish.classify.calibration import IntArray
from burnish.errors import DataError

MIN_FOLDS = 5
ROWS_PER_FOLD = 1000
"""Of a thousand rows the scales are well known; more of them had better be learned from."""


@dataclass(frozen=True, eq=False)
class LabelledTexts:
    """Rows to learn from; `folds_N` keeps copies, and rows of one group, together."""

    texts: tuple[str, ...]
    labels: tuple[str, ...]
    """The different labels, sorted."""
    labels_N: IntArray
    folds_N: IntArray
    seed: int

    @property
    def label_texts(self) -> list[str]:
        """What the labels say: "card_not_working" as words, for an encoder."""
        return [" ".join(re.findall(r"[^\W_]+", label)) or label for label in self.labels]

    def texts_of(self, is_chosen_N: npt.NDArray[np.bool_]) -> list[str]:
        """The texts of the chosen rows."""
        return [self.texts[n] for n in np.flatnonzero(is_chosen_N)]

    def held_folds(self, num_rows: int) -> list[npt.NDArray[np.bool_]]:
        """Masks of the rows of as few folds as hold `num_rows` rows together, or of all folds."""
        masks, num_held = [], 0
        for fold in range(int(self.folds_N.max()) + 1):
            if num_held < num_rows:
                masks.append(self.folds_N == fold)
                num_held += int(masks[-1].sum())
        return masks


def label_texts(
    texts: Sequence[str], labels: Sequence[str], *, seed: int, groups: Sequence[str | None] | None = None
) -> LabelledTexts:
    """The rows, with a fold for each.

    `groups`: rows of one group share a fold; None stands for no group.

    Raises:
        DataError: fewer than two labels.
    """
    names = sorted(set(labels))
    if len(names) < 2:
        raise DataError(f"{len(labels)} rows have {len(names)} label; a classifier needs 2. Add rows of another label.")
    number = {name: n for n, name in enumerate(names)}
    labels_N = np.array([number[label] for label in labels])
    keys = [
        f"row:{' '.join(text.casefold().split())}" if group is None else f"group:{group}"
        for text, group in zip(texts, groups or [None] * len(texts), strict=True)
    ]
    return LabelledTexts(tuple(texts), tuple(names), labels_N, _deal_folds(labels_N, keys, seed), seed)


def _deal_folds(labels_N: IntArray, keys: Sequence[str], seed: int) -> IntArray:
    """Rows of one key go together; keys are dealt in turn, label by label, in a seeded order."""
    by_label: dict[int, list[str]] = defaultdict(list)
    for key, label in {key: int(label) for key, label in zip(keys, labels_N, strict=True)}.items():
        by_label[label].append(key)
    chance = np.random.default_rng(seed)
    dealt = [by_label[label][n] for label in sorted(by_label) for n in chance.permutation(len(by_label[label]))]
    num_folds = min(len(dealt), max(MIN_FOLDS, len(keys) // ROWS_PER_FOLD))
    fold_of = {key: n % num_folds for n, key in enumerate(dealt)}
    return np.array([fold_of[key] for key in keys])
