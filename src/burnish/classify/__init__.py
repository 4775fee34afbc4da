"""Classifiers that write no text: cheap rivals of a fine-tuned language model, and often the better choice."""

from burnish.classify.calibration import HeldOut, expected_calibration_error
from burnish.classify.classifier import (
    TENSORS_NAME,
    ClassifierCard,
    ClassifierKind,
    TextClassifier,
    read_classifier_card,
)
from burnish.classify.embedding import EmbeddingClassifier, fit_embedding_classifier
from burnish.classify.encoder import PROGRESS_UNITS, EncoderClassifier, fit_encoder_classifier
from burnish.classify.load import load_classifier

__all__ = [
    "PROGRESS_UNITS",
    "TENSORS_NAME",
    "ClassifierCard",
    "ClassifierKind",
    "EmbeddingClassifier",
    "EncoderClassifier",
    "HeldOut",
    "TextClassifier",
    "expected_calibration_error",
    "fit_embedding_classifier",
    "fit_encoder_classifier",
    "load_classifier",
    "read_classifier_card",
]
