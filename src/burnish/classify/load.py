"""A classifier's folder -> the classifier."""

from pathlib import Path

from burnish.classify.classifier import ClassifierKind, TextClassifier, read_classifier
from burnish.classify.embedding import embedding_classifier_of
from burnish.classify.encoder import encoder_classifier_of
from burnish.errors import ClassifierError
from burnish.model.encoder import load_encoder
from burnish.model.fetch import Say


def load_classifier(folder: Path, say: Say = lambda _: None) -> TextClassifier:
    """The classifier that was saved in `folder`, on its own encoder, which is fetched if need be.

    Raises:
        ClassifierError: no classifier of burnish, damaged, or its encoder has changed.
        BaseModelError: the encoder cannot be had.
    """
    card, tensors = read_classifier(folder)
    encoder = load_encoder(card.encoder, say)
    if encoder.fingerprint != card.encoder_fingerprint:
        raise ClassifierError(
            f"{folder}: this classifier was fitted on another {card.encoder} (fingerprint "
            f"{card.encoder_fingerprint[:12]}, found {encoder.fingerprint[:12]}). Bring that one back, or fit again."
        )
    try:
        if tensors["weight"].shape != (len(card.labels), encoder.width):
            raise ValueError(f"{tensors['weight'].shape} weights")
        if card.kind is ClassifierKind.EMBEDDING:
            return embedding_classifier_of(card, encoder, tensors)
        return encoder_classifier_of(card, encoder, tensors)
    except (KeyError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ClassifierError(
            f"{folder}: the tensors do not fit the card and the encoder ({reason}). Fit it again."
        ) from None
