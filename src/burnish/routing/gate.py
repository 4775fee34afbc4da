"""The on-task gate: which prompts are of the task, by what they are nearest to.

A prompt's nearness is the mean cosine to its nearest training inputs less that to its nearest general texts. Nearest
neighbours know tasks whose inputs are of many kinds; and by the difference an input that is far from all others is of
the task as long as it is farther from general texts. Under a threshold the prompt is for the untouched base.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from burnish.errors import AdapterError
from burnish.files import read_json, write_json
from burnish.model.encoder import Encoder, load_encoder
from burnish.model.fetch import Say

CARD_NAME, TENSORS_NAME = "gate.json", "gate.safetensors"
SHARE_SENT = 0.01
"""Of the prompts of the task, what may be sent to the base."""
NORMAL_QUANTILE = -2.326
"""Of the standard normal distribution, where SHARE_SENT lies below."""
NEAREST = 10
"""Of each kind. With 5 to 20 the errors were alike on two tasks, with 1 and 3 larger (docs/retention.md)."""
MAX_ROWS = 2000
"""Training inputs that are kept, at equal distances: 3 MB, and a millisecond a prompt."""
Vectors = npt.NDArray[np.float32]
Values = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class OnTaskGate:
    """Tells prompts of the task from others, by training inputs and general texts as vectors of unit length."""

    encoder_name: str
    encoder_fingerprint: str
    train_ND: Vectors = field(repr=False)
    general_ND: Vectors = field(repr=False)
    threshold: float
    """The least nearness of a prompt of the task."""

    def is_on_task(self, texts: Sequence[str]) -> list[bool]:
        """For each prompt whether it is one of the task; of long ones the beginning counts.

        Raises:
            BaseModelError, AdapterError: the encoder cannot be had, or has changed.
        """
        vectors_TD = self._encoder.embed_with(self._encoder.model, texts)
        return [bool(near >= self.threshold) for near in nearness(vectors_TD, self.train_ND, self.general_ND)]

    @cached_property
    def _encoder(self) -> Encoder:
        encoder = load_encoder(self.encoder_name)
        if encoder.fingerprint != self.encoder_fingerprint:
            raise AdapterError(
                f"{self.encoder_name}: not the encoder that the gate was made with. Switch the gate off."
            )
        return encoder

    def save(self, folder: Path) -> None:
        """Beside the adapter's files."""
        from safetensors.numpy import save_file

        vectors = {"train": self.train_ND, "general": self.general_ND}
        save_file({name: np.ascontiguousarray(array) for name, array in vectors.items()}, folder / TENSORS_NAME)
        write_json(
            folder / CARD_NAME,
            {
                "encoder": self.encoder_name,
                "encoder_fingerprint": self.encoder_fingerprint,
                "threshold": self.threshold,
            },
        )


def load_gate(folder: Path) -> OnTaskGate | None:
    """The gate beside an adapter; None where it has none.

    Raises:
        AdapterError: it is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    if not (folder / CARD_NAME).is_file():
        return None
    try:
        card: dict[str, Any] = read_json(folder / CARD_NAME)
        vectors, threshold = load_file(folder / TENSORS_NAME), float(card["threshold"])
        return OnTaskGate(card["encoder"], card["encoder_fingerprint"], vectors["train"], vectors["general"], threshold)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError):
        raise AdapterError(
            f"{folder}: the on-task gate is damaged. Restore {TENSORS_NAME} and {CARD_NAME}, or remove both."
        ) from None


def fit_gate(
    train: Sequence[str], validation: Sequence[str], general: Sequence[str], say: Say = lambda _: None
) -> OnTaskGate:
    """A gate that sends about one of a hundred prompts like `validation` away; `general` texts are not of the task.

    Raises:
        BaseModelError: the encoder cannot be had.
    """
    encoder = load_encoder(say=say)
    count = min(MAX_ROWS, len(train))
    inputs = [train[n * len(train) // count] for n in range(count)]
    train_ND, on_VD, general_ND = (encoder.embed(texts) for texts in (inputs, validation, general))
    threshold = find_threshold(nearness(on_VD, train_ND, general_ND))
    return OnTaskGate(encoder.name, encoder.fingerprint, train_ND, general_ND, threshold)


def nearness(texts_TD: Vectors, train_ND: Vectors, general_ND: Vectors) -> Values:
    """[T]: how much nearer each text is to the task than to general texts, from -2 to 2."""
    return _to_nearest(texts_TD, train_ND) - _to_nearest(texts_TD, general_ND)


def _to_nearest(texts_TD: Vectors, others_ND: Vectors) -> Values:
    """[T]: the mean cosine of each text to its nearest others."""
    count = min(NEAREST, len(others_ND))
    cosine_TN = texts_TD @ others_ND.T
    found: Values = np.partition(cosine_TN, -count, axis=1)[:, -count:].mean(axis=1, dtype=np.float64)
    return found


def find_threshold(near: Values) -> float:
    """The nearness under which a hundredth lies: of the values found, or of a normal distribution, whichever is lower.

    Of less than a hundred values the first is about the least one, under which more than a hundredth of all others lie.
    """
    normal = near.mean() + NORMAL_QUANTILE * near.std(ddof=1) if len(near) > 1 else near.mean()
    return float(min(np.quantile(near, SHARE_SENT, method="lower"), normal))
