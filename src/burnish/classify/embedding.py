"""The embedding arm: a logistic regression on the vectors of a frozen encoder.

N rows, D numbers of an embedding, L labels, H held-out rows.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from burnish.classify.calibration import (
    FloatArray,
    IntArray,
    fit_scales,
    log_softmax_rows,
    measure_held_out,
    pool_opinions,
)
from burnish.classify.classifier import ClassifierCard, ClassifierKind, Tensors, weigh_opinions, write_classifier
from burnish.classify.rows import LabelledTexts, label_texts
from burnish.model.encoder import Encoder

INVERSE_PENALTIES = (3.0, 10.0, 30.0, 100.0)
MIN_HELD_ROWS = 2000
MAX_ITERATIONS = 200

Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Linear:
    """Logits of unit vectors."""

    weight_LD: Float32Array
    bias_L: Float32Array

    def log_probabilities(self, embeddings_ND: Float32Array) -> FloatArray:
        """(N, L)."""
        return log_softmax_rows(embeddings_ND @ self.weight_LD.T + self.bias_L)


@dataclass(frozen=True, eq=False)
class EmbeddingClassifier:
    """An encoder as it was, and a linear layer on its vectors."""

    card: ClassifierCard
    encoder: Encoder
    linear: Linear

    def probabilities(self, texts: Sequence[str]) -> FloatArray:
        """(N, L), each row summing to 1."""
        embeddings_ND = self.encoder.embed_with(self.encoder.model, texts)
        return pool_opinions(self.linear.log_probabilities(embeddings_ND)[None], np.array(self.card.scales))

    def save(self, folder: Path) -> None:
        """Write the folder that `load_classifier` reads."""
        write_classifier(folder, self.card, {"weight": self.linear.weight_LD, "bias": self.linear.bias_L})


def embedding_classifier_of(card: ClassifierCard, encoder: Encoder, tensors: Tensors) -> EmbeddingClassifier:
    """The classifier of a card and the tensors that `save` wrote."""
    return EmbeddingClassifier(card, encoder, Linear(tensors["weight"], tensors["bias"]))


def fit_embedding_classifier(
    texts: Sequence[str],
    labels: Sequence[str],
    *,
    encoder: Encoder,
    seed: int = 0,
    groups: Sequence[str | None] | None = None,
) -> EmbeddingClassifier:
    """The logistic regression whose penalty, and the temperature, do best on rows that were held out.

    The labels' own words count as one more row of each label. Rows of one group are held out together.

    Raises:
        DataError: fewer than two labels.
    """
    rows = label_texts(texts, labels, seed=seed, groups=groups)
    found = search_linear(rows, encoder)
    card = weigh_opinions(
        found.opinions_NL[None],
        found.is_held_N,
        kind=ClassifierKind.EMBEDDING,
        rows=rows,
        encoder=encoder,
        summary=f"logistic regression (C = {found.inverse_penalty:g}) on embeddings of {encoder.name}",
    )
    return EmbeddingClassifier(card, encoder, found.linear)


@dataclass(frozen=True, eq=False)
class LinearSearch:
    """The regression on all rows, and what regressions with its penalty said of rows that they had not seen."""

    linear: Linear
    inverse_penalty: float
    opinions_NL: FloatArray
    """Log-probabilities; zeros where a row was not held out."""
    is_held_N: npt.NDArray[np.bool_]


def search_linear(rows: LabelledTexts, encoder: Encoder) -> LinearSearch:
    """The penalty by cross-validated log loss, after scaling, over the folds that are needed."""
    embeddings_ND, names_LD = encoder.embed(rows.texts), encoder.embed(rows.label_texts)
    held_folds = rows.held_folds(MIN_HELD_ROWS)
    is_held_N = np.logical_or.reduce(held_folds)
    tried: dict[float, tuple[float, FloatArray]] = {}
    for inverse_penalty in INVERSE_PENALTIES:
        opinions_NL = np.zeros((len(rows.texts), len(rows.labels)))
        for held_N in held_folds:
            linear = _fit_linear(embeddings_ND[~held_N], rows.labels_N[~held_N], names_LD, inverse_penalty)
            opinions_NL[held_N] = linear.log_probabilities(embeddings_ND[held_N])
        opinions_KHL, labels_H = opinions_NL[is_held_N][None], rows.labels_N[is_held_N]
        loss = measure_held_out(opinions_KHL, labels_H, fit_scales(opinions_KHL, labels_H)).log_loss
        tried[inverse_penalty] = loss, opinions_NL
    inverse_penalty = min(tried, key=lambda penalty: tried[penalty][0])
    linear = _fit_linear(embeddings_ND, rows.labels_N, names_LD, inverse_penalty)
    return LinearSearch(linear, inverse_penalty, tried[inverse_penalty][1], is_held_N)


def _fit_linear(
    embeddings_ND: Float32Array, labels_N: IntArray, names_LD: Float32Array, inverse_penalty: float
) -> Linear:
    """The labels' names are rows, so that no label is without one."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=inverse_penalty, max_iter=MAX_ITERATIONS)
    with warnings.catch_warnings():  # of the iterations: the last are about the fourth decimal
        warnings.simplefilter("ignore")
        model.fit(np.concatenate([embeddings_ND, names_LD]), np.concatenate([labels_N, np.arange(len(names_LD))]))
    weight_LD, bias_L = model.coef_.astype(np.float32), model.intercept_.astype(np.float32)
    if len(names_LD) == 2:  # scikit-learn gives the second label's logit against the first's
        weight_LD, bias_L = np.concatenate([-weight_LD, weight_LD]) / 2, np.concatenate([-bias_L, bias_L]) / 2
    return Linear(weight_LD, bias_L)
