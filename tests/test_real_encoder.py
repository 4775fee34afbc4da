"""The real encoder on BANKING77: planted wrong labels are found, and paraphrases are nearer than strangers."""

import random

import numpy as np
import pytest

from burnish.data import Example, check_labels
from burnish.errors import BaseModelError
from burnish.model.encoder import Encoder, load_encoder
from tests.data.datasets import dataset, needs_datasets, question

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    try:
        return load_encoder()
    except BaseModelError as error:
        pytest.skip(str(error))


def test_paraphrases_are_near(encoder: Encoder) -> None:
    vectors_ND = encoder.embed(["Is there life on Mars?", "does life exist on mars", "I lost my card"])
    assert vectors_ND.shape == (3, 384)
    np.testing.assert_allclose(
        vectors_ND @ vectors_ND.T, [[1, 0.9326, -0.0631], [0.9326, 1, -0.0902], [-0.0631, -0.0902, 1]], atol=1e-3
    )


@needs_datasets
@pytest.mark.parametrize("seed", range(1))
def test_swapped_labels_are_found(encoder: Encoder, seed: int) -> None:
    """A quarter of the rows; a tenth of their labels swapped."""
    sound = dataset("banking77/train.jsonl")[::4]
    examples, swapped = swap_labels(sound, share=0.1, seed=seed)
    findings = check_labels(examples, encoder.embed([example.asked for example in examples]))
    first = [str(finding.row) for finding in findings][: len(examples) // 10]
    hits = len(swapped & set(first))
    print(f"seed {seed}: {len(findings)} doubted, {hits} of {len(swapped)} found in the first {len(first)}")
    assert hits >= 0.7 * len(swapped)
    assert hits >= 0.8 * len(first)


def swap_labels(examples: list[Example], *, share: float, seed: int) -> tuple[list[Example], set[str]]:
    """The examples with the labels of a share of them replaced by others, and the ids of these."""
    rng = random.Random(seed)
    labels = sorted({example.target for example in examples})
    chosen = {example.id for example in rng.sample(examples, round(share * len(examples)))}
    return [
        question(e.asked, rng.choice([label for label in labels if label != e.target]), row=e.id)
        if e.id in chosen
        else e
        for e in examples
    ], chosen
