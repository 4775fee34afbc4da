"""What every classifier that writes no text can do, and the folder in which it is kept: tensors and a card.

N rows, K experts, H held-out rows, L labels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from burnish.classify.calibration import FloatArray, HeldOut, fit_scales, measure_held_out
from burnish.classify.rows import LabelledTexts
from burnish.errors import ClassifierError
from burnish.files import new_folder, read_json, write_json
from burnish.model.encoder import Encoder

CARD_NAME = "classifier.json"
TENSORS_NAME = "classifier.safetensors"
Tensors = Mapping[str, npt.NDArray[np.float32]]


class ClassifierKind(StrEnum):
    """What learns: a logistic regression on embeddings, or the encoder itself too."""

    EMBEDDING = "embedding"
    ENCODER = "encoder"


@dataclass(frozen=True)
class ClassifierCard:
    """What a classifier remembers beside its tensors; `scales` are those of `pool_opinions`."""

    kind: ClassifierKind
    labels: tuple[str, ...]
    encoder: str
    encoder_fingerprint: str
    num_rows: int
    seed: int
    scales: tuple[float, ...]
    held_out: HeldOut
    summary: str
    """What was fitted, in some words."""

    def describe(self) -> str:
        """What was fitted, and what it is worth, in a line."""
        held = self.held_out
        fitted = f"{self.summary}, {self.num_rows} rows, {len(self.labels)} labels"
        calibrated = f"calibration error {held.calibration_error:.3f}"
        return f"{fitted}: {held.accuracy:.1%} of {held.num_rows} held-out rows right, {calibrated}"


def weigh_opinions(
    log_probabilities_KNL: FloatArray,
    is_held_N: npt.NDArray[np.bool_],
    *,
    kind: ClassifierKind,
    rows: LabelledTexts,
    encoder: Encoder,
    summary: str,
) -> ClassifierCard:
    """The card of a classifier whose experts said this of the rows that were held out from them."""
    opinions_KHL, labels_H = log_probabilities_KNL[:, is_held_N], rows.labels_N[is_held_N]
    scales_K = fit_scales(opinions_KHL, labels_H)
    return ClassifierCard(
        kind=kind,
        labels=rows.labels,
        encoder=encoder.name,
        encoder_fingerprint=encoder.fingerprint,
        num_rows=len(rows.texts),
        seed=rows.seed,
        scales=tuple(scales_K.tolist()),
        held_out=measure_held_out(opinions_KHL, labels_H, scales_K),
        summary=summary,
    )


class TextClassifier(Protocol):
    """A classifier as its users see it."""

    @property
    def card(self) -> ClassifierCard:
        """Its labels among other things, in the order of the columns of `probabilities`."""

    @property
    def encoder(self) -> Encoder:
        """Whose vectors it reads."""

    def probabilities(self, texts: Sequence[str]) -> FloatArray:
        """(N, L), each row summing to 1."""

    def save(self, folder: Path) -> None:
        """Write the folder that `load_classifier` reads."""


def write_classifier(folder: Path, card: ClassifierCard, tensors: Tensors) -> None:
    """Write the folder in one step."""
    from safetensors.numpy import save_file

    with new_folder(folder) as draft:
        # safetensors writes an array's memory as it lies, whatever its order.
        save_file({name: np.ascontiguousarray(array) for name, array in tensors.items()}, draft / TENSORS_NAME)
        write_json(draft / CARD_NAME, asdict(card))


def read_classifier(folder: Path) -> tuple[ClassifierCard, Tensors]:
    """The inverse of `write_classifier`.

    Raises:
        ClassifierError: a file is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return read_classifier_card(folder), load_file(folder / TENSORS_NAME)
    except (OSError, SafetensorError):
        raise _damaged(folder) from None


def read_classifier_card(folder: Path) -> ClassifierCard:
    """The card alone.

    Raises:
        ClassifierError: it is missing or damaged.
    """
    try:
        values = read_json(folder / CARD_NAME)
        values["kind"] = ClassifierKind(values["kind"])
        values["labels"], values["scales"] = tuple(values["labels"]), tuple(values["scales"])
        held = values["held_out"]
        lists = {name: tuple(held[name]) for name in ("confidences", "is_right")}
        return ClassifierCard(**{**values, "held_out": HeldOut(**{**held, **lists})})
    except (OSError, ValueError, TypeError, KeyError):
        raise _damaged(folder) from None


def _damaged(folder: Path) -> ClassifierError:
    return ClassifierError(f"{folder}: no classifier made by burnish, or a damaged one. Fit it again.")
