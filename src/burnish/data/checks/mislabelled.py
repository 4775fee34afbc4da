"""Rows whose label is likely wrong, and rows whose answer the base finds strange for its length.

N rows, D dimensions of an embedding, L labels.
"""

import hashlib
import json
import warnings
from collections import Counter, defaultdict
from collections.abc import Sequence
from importlib.metadata import version

import numpy as np
import numpy.typing as npt

from burnish.array_cache import kept_array
from burnish.data.checks.duplicates import cluster_copies
from burnish.data.checks.labels import are_labels
from burnish.data.checks.lengths import robust_z
from burnish.data.example import Example
from burnish.data.finding import Check, Finding, Severity

NUM_FOLDS = 5
INVERSE_PENALTY = 3.0
MAX_ITERATIONS = 15
"""Fewer than it takes to converge: what is fitted last are the wrong labels."""
MIN_ROWS_TO_JUDGE = 5
"""Of a label with fewer rows it can't be told what is like it."""
MAX_ODDS = 0.1
"""A label is doubted where another one is ten times as likely."""
MIN_ROWS = 100
"""With fewer rows in all there is too little to learn what a label means."""
STRANGE_Z = 5.0
MAX_KEPT = 8
"""Sets of probabilities that stay in the cache."""
_ROWS_PER_BIN = 50
_LOSS_FLOOR = 0.05

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

LIKELY_WRONG_LABEL = Check(
    "likely_wrong_label",
    Severity.WARNING,
    "a label that does not fit the question, judged by the other rows",
    "Look at these rows, which are in order of suspicion, and correct those that are wrong.",
)
STRANGE_ANSWER = Check(
    "strange_answer",
    Severity.NOTE,
    "an answer that the base finds far less likely than others of its length",
    "Look at these rows: wrong answers, other languages and damaged text come out here, and so do hard cases.",
)


def can_judge_labels(examples: Sequence[Example]) -> bool:
    """Whether the answers are labels, with rows enough to tell what each means."""
    counts = Counter(example.target for example in examples).values()
    is_told = sum(count >= MIN_ROWS_TO_JUDGE for count in counts) >= 2
    return len(examples) >= MIN_ROWS and is_told and are_labels(examples)


def check_labels(
    examples: Sequence[Example], embeddings_ND: npt.NDArray[np.float32], *, seed: int = 0
) -> list[Finding]:
    """The rows whose label is likely wrong, the likeliest first, by embeddings of what is asked.

    The self-confidence of confident learning (Northcutt et al. 2021, JAIR 70:1373): a row is doubted if a classifier
    that never saw it, or a copy of it, finds another label ten times as likely.
    """
    counts = Counter(example.target for example in examples)
    names = sorted(counts)
    if sum(count >= MIN_ROWS_TO_JUDGE for count in counts.values()) < 2:
        return []
    number = {name: n for n, name in enumerate(names)}
    labels_N = np.array([number[example.target] for example in examples])
    probabilities_NL = out_of_fold_probabilities(embeddings_ND, labels_N, cluster_copies(examples), seed=seed)
    findings = []
    for i, likelier in _doubted(probabilities_NL, labels_N):
        example = examples[i]
        if counts[example.target] >= MIN_ROWS_TO_JUDGE:
            said = f"labelled {example.target!r}, but rows like it are labelled {names[likelier]!r}"
            chances = f"{probabilities_NL[i, labels_N[i]]:.0%} against {probabilities_NL[i, likelier]:.0%}"
            findings.append(LIKELY_WRONG_LABEL.found(f"{said} ({chances}).", example.id))
    return findings


def check_losses(rows: Sequence[str], losses: Sequence[float], lengths: Sequence[int]) -> list[Finding]:
    """The rows whose answer's loss stands out among answers of about its length, the strangest first.

    `rows` are ids, `losses` the base's nats per token of each answer, `lengths` the answers' tokens.
    """
    z_N = strangeness(np.asarray(losses), np.asarray(lengths))
    return [
        STRANGE_ANSWER.found(
            f"a loss of {losses[i]:.2f} nats per token, {z_N[i]:.0f} deviations over the usual.", rows[i]
        )
        for i in np.argsort(-z_N, kind="stable").tolist()
        if z_N[i] > STRANGE_Z
    ]


def out_of_fold_probabilities(
    embeddings_ND: npt.NDArray[np.float32], labels_N: IntArray, clusters: Sequence[int], *, seed: int = 0
) -> FloatArray:
    """Each row's probability of each label, (N, L), from a logistic regression that was fitted without its cluster.

    Kept between runs by the hash of all that it depends on.
    """
    folds_N = _folds(labels_N, clusters, seed)
    settings = [version("scikit-learn"), NUM_FOLDS, INVERSE_PENALTY, MAX_ITERATIONS, embeddings_ND.shape]
    digest = hashlib.sha256(json.dumps(settings).encode())
    for array in (embeddings_ND, labels_N, folds_N):
        digest.update(np.ascontiguousarray(array).tobytes())
    return kept_array(
        "label_probabilities",
        digest.hexdigest(),
        lambda: _fit_folds(embeddings_ND, labels_N, folds_N),
        shape=(len(labels_N), int(labels_N.max()) + 1),
        max_kept=MAX_KEPT,
    )


def strangeness(losses_N: FloatArray, lengths_N: IntArray) -> FloatArray:
    """The robust z-score of each loss among those of some fifty rows or more of about the same length."""
    order_N = np.argsort(lengths_N, kind="stable")
    z_N = np.zeros(len(losses_N))
    for chosen in np.array_split(order_N, max(1, len(order_N) // _ROWS_PER_BIN)):
        z_N[chosen] = robust_z(losses_N[chosen], floor=_LOSS_FLOOR)
    return z_N


def _fit_folds(embeddings_ND: npt.NDArray[np.float32], labels_N: IntArray, folds_N: IntArray) -> FloatArray:
    """Each fold's rows by what the other folds teach; zeros where these hold one label only."""
    from sklearn.linear_model import LogisticRegression

    probabilities_NL = np.zeros((len(labels_N), int(labels_N.max()) + 1))
    for fold in range(NUM_FOLDS):
        held_N = folds_N == fold
        if len(np.unique(labels_N[~held_N])) < 2 or not held_N.any():
            continue
        model = LogisticRegression(C=INVERSE_PENALTY, max_iter=MAX_ITERATIONS)
        with warnings.catch_warnings():  # stopping early is meant
            warnings.simplefilter("ignore")
            model.fit(embeddings_ND[~held_N], labels_N[~held_N])
        probabilities_NL[np.ix_(held_N, model.classes_)] = model.predict_proba(embeddings_ND[held_N])
    return probabilities_NL


def _folds(labels_N: IntArray, clusters: Sequence[int], seed: int) -> IntArray:
    """The fold of each row: clusters are dealt whole, label by label, in a seeded order."""
    by_label: dict[int, list[int]] = defaultdict(list)
    for root in dict.fromkeys(clusters):
        by_label[int(labels_N[root])].append(root)
    chance = np.random.default_rng(seed)
    dealt = [root for label in sorted(by_label) for root in chance.permutation(by_label[label]).tolist()]
    fold_of = {root: n % NUM_FOLDS for n, root in enumerate(dealt)}
    return np.array([fold_of[root] for root in clusters])


def _doubted(probabilities_NL: FloatArray, labels_N: IntArray) -> list[tuple[int, int]]:
    """The rows with a far likelier label, and that label; the most suspicious first."""
    rows_N = np.arange(len(labels_N))
    likeliest_N = probabilities_NL.argmax(axis=1)
    # A row that was never held out has no probabilities, and no odds.
    odds_N = (probabilities_NL[rows_N, labels_N] + 1e-12) / (probabilities_NL[rows_N, likeliest_N] + 1e-12)
    ranked = np.argsort(odds_N, kind="stable")
    return [(int(i), int(likeliest_N[i])) for i in ranked if odds_N[i] < MAX_ODDS]
