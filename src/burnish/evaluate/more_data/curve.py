"""The score after training on more and more of the rows, always on rows that were held out.

N rows, F folds, P points, D dimensions of an embedding.
"""

import warnings
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from burnish.evaluate.statistics import IntArray, RowScores, score_interval

SHARES = (1 / 8, 1 / 4, 1 / 2, 1.0)
NUM_FOLDS = 5
INVERSE_PENALTY = 30.0
MAX_ITERATIONS = 100

ScoreRows = Callable[[IntArray, IntArray], RowScores]
"""Trains on the rows with the first numbers and scores those with the second, in their order."""


@dataclass(frozen=True)
class CurvePoint:
    """The scores of held-out rows after training on `num_rows` others."""

    num_rows: int
    scores: RowScores


@dataclass(frozen=True)
class Curve:
    """Points with the same held-out rows in each; `groups`, one integer a row, tells which of these belong together.

    Several points may have one size: runs on other rows, or with other seeds.

    Raises:
        ValueError: unequal numbers of held-out rows, or a score above 1.
    """

    points: tuple[CurvePoint, ...]
    groups: IntArray | None = None

    def __post_init__(self) -> None:
        counts = {len(point.scores) for point in self.points}
        if self.points and self.groups is not None:
            counts.add(len(self.groups))
        if len(counts) > 1:
            raise ValueError(f"the points have {sorted(counts)} held-out rows. Score the same rows in each.")
        if any(point.scores.value > 1 for point in self.points):
            raise ValueError("a score is above 1. Give a share, such as accuracy or F1.")

    def to_dict(self) -> list[dict[str, Any]]:
        """A row for each point: its size, and its score with the 90 % interval."""
        intervals = [score_interval(point.scores, confidence=0.9, groups=self.groups) for point in self.points]
        return [
            {"num_rows": point.num_rows, "score": interval.to_dict()}
            for point, interval in zip(self.points, intervals, strict=True)
        ]


def measure_curve(
    score_rows: ScoreRows, labels: Sequence[Hashable], *, groups: Sequence[Hashable] | None = None, seed: int = 0
) -> Curve:
    """Each row scored out of fold, after training on 1/8, 1/4, 1/2 and all rows of the other four folds.

    The smaller sets lie in the larger ones and differ from fold to fold. Each holds about the labels' shares of the
    whole (tasks without labels: give all rows the same). Rows of one group are never on both sides; where all are of
    one group, there is no point.
    """
    groups_N = _numbers(groups if groups is not None else range(len(labels)))
    if len(set(groups_N.tolist())) < 2:
        return Curve(())
    order_N = _stratified_order(labels, groups_N, seed)
    starts_F = _fold_starts(groups_N[order_N])
    parts = [(np.empty(len(labels)), np.empty(len(labels))) for _ in SHARES]
    sizes_PF: list[list[int]] = [[] for _ in SHARES]
    for start, end in zip(starts_F, [*starts_F[1:], len(labels)], strict=True):
        held, others = order_N[start:end], np.concatenate((order_N[end:], order_N[:start]))
        for train, sizes, (numerators_N, denominators_N) in zip(_nested(others), sizes_PF, parts, strict=True):
            scores = score_rows(train, held)
            numerators_N[held], denominators_N[held] = scores.numerators, scores.denominators
            sizes.append(len(train))
    means = [round(sum(sizes) / len(sizes)) for sizes in sizes_PF]
    points = [CurvePoint(size, RowScores(*part)) for size, part in zip(means, parts, strict=True)]
    return Curve(tuple(points), None if groups is None else groups_N)


def nested_subsets(
    labels: Sequence[Hashable], *, groups: Sequence[Hashable] | None = None, seed: int = 0
) -> list[IntArray]:
    """The rows of 1/8, 1/4, 1/2 and all of the data, each in the next: for runs that are scored on validation rows."""
    return _nested(_stratified_order(labels, _numbers(groups if groups is not None else range(len(labels))), seed))


def score_embeddings(embeddings_ND: npt.NDArray[np.float32], labels_N: IntArray) -> ScoreRows:
    """The cheap stand-in for a classifier: logistic regression on embeddings, scored by accuracy."""
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    def score_rows(train: IntArray, held: IntArray) -> RowScores:
        is_single = len(np.unique(labels_N[train])) < 2
        predicted = labels_N[train[:1]]
        if not is_single:
            model = LogisticRegression(C=INVERSE_PENALTY, max_iter=MAX_ITERATIONS)
            # One thread: on two busy cores the threads of these small products wait for each other, ten times as long.
            with warnings.catch_warnings(), threadpool_limits(1):
                warnings.simplefilter("ignore")  # the last iterations move no answer
                predicted = model.fit(embeddings_ND[train], labels_N[train]).predict(embeddings_ND[held])
        return RowScores((predicted == labels_N[held]).astype(np.float64), np.ones(len(held)))

    return score_rows


def _numbers(groups: Sequence[Hashable]) -> IntArray:
    number: dict[Hashable, int] = {}
    return np.array([number.setdefault(group, len(number)) for group in groups], dtype=np.int64)


def _nested(order_N: IntArray) -> list[IntArray]:
    return [order_N[: max(1, round(share * len(order_N)))] for share in SHARES]


def _stratified_order(labels: Sequence[Hashable], groups_N: IntArray, seed: int) -> IntArray:
    """The rows in a random order in which every stretch has about the labels' shares, and groups stay whole.

    A label's groups are spread evenly over the line from 0 to 1; a group has the label of its first row.
    """
    members: dict[int, list[int]] = defaultdict(list)
    for row, group in enumerate(groups_N.tolist()):
        members[group].append(row)
    strata: dict[Hashable, list[list[int]]] = defaultdict(list)
    for rows in members.values():
        strata[labels[rows[0]]].append(rows)
    chance = np.random.default_rng(seed)
    placed: list[tuple[float, list[int]]] = []
    for stratum in strata.values():
        num_before, num_rows = 0, sum(map(len, stratum))
        for i in chance.permutation(len(stratum)).tolist():
            placed.append(((num_before + chance.random() * len(stratum[i])) / num_rows, stratum[i]))
            num_before += len(stratum[i])
    return np.array([row for _, rows in sorted(placed) for row in rows], dtype=np.int64)


def _fold_starts(ordered_groups_N: IntArray) -> list[int]:
    """Where each fold begins, moved on to where a group does; a fold that a large group fills up is left out."""
    num_rows = len(ordered_groups_N)
    begins = np.flatnonzero(np.diff(ordered_groups_N, prepend=-1))
    wanted = [fold * num_rows // NUM_FOLDS for fold in range(NUM_FOLDS)]
    return sorted({int(begins[np.searchsorted(begins, n)]) for n in wanted if n <= begins[-1]})
