"""The encoder arm: the fine-tuned encoder and a logistic regression on the frozen one, pooled.

N rows, K experts (the regression, the fine-tuned encoder), H held-out rows, L labels.
"""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from burnish.classify.calibration import FloatArray, pool_opinions
from burnish.classify.classifier import ClassifierCard, ClassifierKind, Tensors, weigh_opinions, write_classifier
from burnish.classify.embedding import Linear, search_linear
from burnish.classify.finetune import Tell, TunedEncoder, fine_tune, tuned_encoder_of
from burnish.classify.rows import LabelledTexts, collect_rows
from burnish.model.encoder import Encoder
from burnish.screen import Advance

PROGRESS_UNITS = 100
MIN_HELD_ROWS = 150

PREFIX = "model."
"""Of the names of the encoder's tensors in the file."""

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class EncoderClassifier:
    """A fine-tuned encoder beside the encoder as it was with a linear layer on its vectors."""

    card: ClassifierCard
    encoder: Encoder
    linear: Linear
    tuned: TunedEncoder

    def probabilities(self, texts: Sequence[str]) -> FloatArray:
        """(N, L), each row summing to 1."""
        plain_NL = self.linear.log_probabilities(self.encoder.embed_with(self.encoder.model, texts))
        tuned_NL = self.tuned.log_probabilities(self.encoder, texts)
        return pool_opinions(np.stack([plain_NL, tuned_NL]), np.array(self.card.scales))

    def save(self, folder: Path) -> None:
        """Write the folder that `load_classifier` reads; of the encoder only what learning has changed."""
        changes = {f"{PREFIX}{name}": tensor for name, tensor in self.tuned.changes(self.encoder).items()}
        own = {"weight": self.linear.weight_LD, "bias": self.linear.bias_L, "prototypes": self.tuned.prototypes_LD}
        write_classifier(folder, self.card, {**own, **changes})


def encoder_classifier_of(card: ClassifierCard, encoder: Encoder, tensors: Tensors) -> EncoderClassifier:
    """The classifier of a card and the tensors that `save` wrote."""
    changes = {name.removeprefix(PREFIX): tensor for name, tensor in tensors.items() if name.startswith(PREFIX)}
    tuned = tuned_encoder_of(encoder, changes, tensors["prototypes"])
    return EncoderClassifier(card, encoder, Linear(tensors["weight"], tensors["bias"]), tuned)


def fit_encoder_classifier(
    texts: Sequence[str],
    labels: Sequence[str],
    *,
    encoder: Encoder,
    seed: int = 0,
    groups: Sequence[str | None] | None = None,
    epochs: int | None = None,
    budget_s: float = math.inf,
    advance: Advance = lambda units, note: None,
) -> EncoderClassifier:
    """Fine-tune the encoder on some folds to weigh it by the others, then on all rows.

    Held-out rows decide what it counts beside the logistic regression, and the temperature. The fit ends within
    `budget_s`; it depends on `seed` alone where the budget is not used up. `advance` hears of PROGRESS_UNITS in all.

    Raises:
        DataError: fewer than two labels.
    """
    end = time.monotonic() + budget_s
    rows = collect_rows(texts, labels, seed=seed, groups=groups)
    search = search_linear(rows, encoder)
    held_folds = rows.held_folds(MIN_HELD_ROWS)
    parts = [*(~held_N for held_N in held_folds), np.ones(len(texts), dtype=np.bool_)]
    fits = _fine_tune_parts(rows, parts, encoder, seed=seed, epochs=epochs, end=end, advance=advance)
    opinions_KNL = np.stack([search.opinions_NL, np.zeros_like(search.opinions_NL)])
    for held_N, tuned in zip(held_folds, fits, strict=False):  # the last fit is of all rows
        opinions_KNL[1, held_N] = tuned.log_probabilities(encoder, rows.texts_of(held_N))
    card = weigh_opinions(
        opinions_KNL,
        np.logical_or.reduce(held_folds),
        kind=ClassifierKind.ENCODER,
        rows=rows,
        encoder=encoder,
        summary=f"{encoder.name} fine-tuned, pooled with logistic regression (C = {search.inverse_penalty:g})",
    )
    return EncoderClassifier(card, encoder, search.linear, next(fits))


def _fine_tune_parts(
    rows: LabelledTexts,
    parts: Sequence[BoolArray],
    encoder: Encoder,
    *,
    seed: int,
    epochs: int | None,
    end: float,
    advance: Advance,
) -> Iterator[TunedEncoder]:
    """Yield the encoder fine-tuned on each part; the time until `end` is shared out by their rows."""
    embeddings_ND, names_LD = encoder.embed(rows.texts), encoder.embed(rows.label_texts)
    sizes = [int(part_N.sum()) for part_N in parts]
    for n, part_N in enumerate(parts):
        prototypes_LD = names_LD.copy()
        np.add.at(prototypes_LD, rows.labels_N[part_N], embeddings_ND[part_N])
        before, after, total = sum(sizes[:n]), sum(sizes[: n + 1]), sum(sizes)
        yield fine_tune(
            encoder,
            rows.texts_of(part_N),
            rows.labels_N[part_N],
            prototypes_LD,
            seed=seed,
            epochs=epochs,
            budget_s=max(0.0, end - time.monotonic()) * sizes[n] / (total - before),
            tell=_in_units(advance, before / total, after / total),
        )


def _in_units(advance: Advance, start: float, end: float) -> Tell:
    """A listener to the share of a part that is done, who passes on what is new of it in units of the whole."""
    told = int(start * PROGRESS_UNITS)

    def tell(share: float) -> None:
        nonlocal told
        units = int((start + (end - start) * share) * PROGRESS_UNITS) - told
        advance(units, "")
        told += units

    return tell
