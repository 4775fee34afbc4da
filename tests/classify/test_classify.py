"""The two classifiers that write no text: what they learn, keep, and say when something is amiss."""

import json
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from burnish.classify import (
    PROGRESS_UNITS,
    ClassifierKind,
    TextClassifier,
    finetune,
    fit_embedding_classifier,
    fit_encoder_classifier,
    load_classifier,
)
from burnish.errors import ClassifierError, DataError
from burnish.model.encoder import Encoder, load_encoder
from tests.data.datasets import dataset, needs_datasets
from tests.tiny import save_encoder

LABELS = {"lost_box": ["lost", "box"], "red-lamp": ["red", "lamp"], "BlueTie": ["blue", "tie"]}
WORDS = ["lost", "box", "red", "lamp", "blue", "tie", "is", "my", "the", "bluetie"]
Fit = Callable[..., TextClassifier]
FITS = [fit_embedding_classifier, fit_encoder_classifier]


@pytest.fixture(autouse=True)
def small_and_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BURNISH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(finetune, "MIN_STEPS", 8)
    monkeypatch.setattr(finetune, "STEPS_PER_ROOT", 0.0)


@pytest.fixture
def encoder(tmp_path: Path) -> Encoder:
    return Encoder(save_encoder(tmp_path / "encoder", WORDS))


def rows(num_rows: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """A row holds the words of its label, one of them twice, among others, in any order."""
    chance = random.Random(seed)
    labels = [chance.choice(list(LABELS)) for _ in range(num_rows)]
    others = ["is", "my", "the"]
    texts = [[*LABELS[label], chance.choice(LABELS[label]), chance.choice(others)] for label in labels]
    return [" ".join(chance.sample(words, 4)) for words in texts], labels


def accuracy(classifier: TextClassifier, texts: list[str], labels: list[str]) -> float:
    likeliest_N = classifier.probabilities(texts).argmax(axis=1)
    return float(np.mean([classifier.card.labels[n] == label for n, label in zip(likeliest_N, labels, strict=True)]))


@pytest.mark.parametrize("fit", FITS)
def test_learns_saves_and_loads(fit: Fit, encoder: Encoder, tmp_path: Path) -> None:
    texts, labels = rows(60)
    classifier = fit(texts, labels, encoder=encoder, seed=1)
    new_texts, new_labels = rows(40, seed=9)
    assert accuracy(classifier, new_texts, new_labels) > 0.8
    probabilities_NL = classifier.probabilities(new_texts)
    assert probabilities_NL.shape == (40, 3) and probabilities_NL.dtype == np.float64
    np.testing.assert_allclose(probabilities_NL.sum(axis=1), 1.0, atol=1e-12)
    assert classifier.card.labels == ("BlueTie", "lost_box", "red-lamp")
    assert classifier.card.held_out.num_rows == 60 and classifier.card.held_out.accuracy > 0.8

    classifier.save(tmp_path / "kept")
    assert sorted(path.suffix for path in (tmp_path / "kept").iterdir()) == [".json", ".safetensors"]
    loaded = load_classifier(tmp_path / "kept")
    assert loaded.card == classifier.card
    assert (loaded.probabilities(new_texts) == probabilities_NL).all()
    assert loaded.probabilities([]).shape == (0, 3)


@pytest.mark.parametrize("fit", FITS)
def test_a_seed_decides_all(fit: Fit, encoder: Encoder) -> None:
    texts, labels = rows(40)
    first, again, other = (fit(texts, labels, encoder=encoder, seed=seed) for seed in (1, 1, 2))
    assert (first.probabilities(texts) == again.probabilities(texts)).all() and first.card == again.card
    assert (first.probabilities(texts) != other.probabilities(texts)).any()


def test_fine_tuning_leaves_the_encoder_alone_and_learns_what_it_did_not_see(encoder: Encoder) -> None:
    before = {name: tensor.clone() for name, tensor in encoder.model.state_dict().items()}
    classifier = fit_encoder_classifier(*rows(60), encoder=encoder)
    assert all(tensor.equal(before[name]) for name, tensor in encoder.model.state_dict().items())
    changed = classifier.tuned.changes(encoder)
    assert "encoder.layer.1.output.dense.weight" in changed and "embeddings.word_embeddings.weight" not in changed
    assert all(tensor.requires_grad for tensor in encoder.model.parameters())


def test_ends_within_its_budget_and_tells_of_every_unit(encoder: Encoder) -> None:
    texts, labels = rows(60)
    told: list[int] = []
    start = time.monotonic()
    classifier = fit_encoder_classifier(
        texts, labels, encoder=encoder, budget_s=0.0, advance=lambda units, note="": told.append(units)
    )
    short_s = time.monotonic() - start
    # No step fits: the prototypes are the mean of each label's rows, and the regression is whole.
    assert classifier.tuned.changes(encoder) == {} and sum(told) == PROGRESS_UNITS
    assert accuracy(classifier, texts, labels) > 0.8

    told.clear()
    start = time.monotonic()
    fit_encoder_classifier(
        texts, labels, encoder=encoder, budget_s=short_s + 0.5, advance=lambda units, note="": told.append(units)
    )
    assert time.monotonic() - start < 2 * short_s + 1.0
    assert sum(told) == PROGRESS_UNITS and len(told) > 2


@pytest.mark.parametrize(("epochs", "num_steps"), [(None, 8), (16, 30), (1, 8)])
def test_passes_over_the_rows_may_be_given(epochs: int | None, num_steps: int, encoder: Encoder) -> None:
    """60 rows in batches of 32, and never fewer than 8 steps here."""
    texts, labels = rows(60)
    labels_N = np.array([list(LABELS).index(label) for label in labels])
    shares: list[float] = []
    prototypes_LD = encoder.embed([" ".join(words) for words in LABELS.values()])
    finetune.fine_tune(encoder, texts, labels_N, prototypes_LD, seed=0, epochs=epochs, tell=shares.append)
    assert len(shares) == num_steps + 1 and shares[-1] == 1.0


@pytest.mark.parametrize("fit", FITS)
def test_rare_labels_and_few_rows(fit: Fit, encoder: Encoder) -> None:
    texts, labels = rows(18)
    classifier = fit([*texts, "the tie is lost", ""], [*labels, "one_row", "???"], encoder=encoder)
    assert classifier.card.labels == ("???", "BlueTie", "lost_box", "one_row", "red-lamp")
    assert np.isfinite(classifier.probabilities(["the box", "", "strange"])).all()


@pytest.mark.parametrize("fit", FITS)
def test_rows_that_are_all_the_same_teach_nothing(fit: Fit, encoder: Encoder) -> None:
    classifier = fit(["the box"] * 6, ["lost", "box"] * 3, encoder=encoder)
    np.testing.assert_allclose(classifier.probabilities(["the box"]).sum(), 1.0)
    assert classifier.card.held_out.accuracy == 0.5


@pytest.mark.parametrize("fit", FITS)
def test_two_labels(fit: Fit, encoder: Encoder) -> None:
    texts, labels = rows(60)
    chosen = [n for n, label in enumerate(labels) if label != "BlueTie"]
    texts, labels = [texts[n] for n in chosen], [labels[n] for n in chosen]
    assert accuracy(fit(texts, labels, encoder=encoder), texts, labels) > 0.9


@pytest.mark.parametrize("fit", FITS)
def test_one_label_is_refused(fit: Fit, encoder: Encoder) -> None:
    with pytest.raises(DataError, match=r"2 rows have 1 label; a classifier needs 2\. Add rows of another label\."):
        fit(["a", "b"], ["x", "x"], encoder=encoder)


def test_a_group_is_held_out_together(encoder: Encoder) -> None:
    """Labels by chance, but each group's rows are alike: only a fit that has seen the group could be right."""
    chance = random.Random(0)
    groups = [f"{n}" for n in range(20) for _ in range(4)]
    of_group = {group: (" ".join(chance.choices(WORDS, k=6)), chance.choice("ab")) for group in groups}
    texts = [f"{of_group[group][0]} {chance.choice(WORDS)}" for group in groups]
    labels = [of_group[group][1] for group in groups]
    apart = fit_embedding_classifier(texts, labels, encoder=encoder)
    together = fit_embedding_classifier(texts, labels, encoder=encoder, groups=groups)
    assert apart.card.held_out.accuracy > together.card.held_out.accuracy + 0.15


def test_another_encoder_is_refused(encoder: Encoder, tmp_path: Path) -> None:
    fit_embedding_classifier(*rows(20), encoder=encoder).save(tmp_path / "kept")
    shutil.rmtree(tmp_path / "encoder")
    save_encoder(tmp_path / "encoder", WORDS, seed=5)
    with pytest.raises(ClassifierError, match=r"was fitted on another .*encoder \(fingerprint \w{12}, found \w{12}\)"):
        load_classifier(tmp_path / "kept")


@pytest.mark.parametrize("fit", FITS)
def test_a_damaged_folder_is_refused(fit: Fit, encoder: Encoder, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    fit(*rows(20), encoder=encoder, seed=0).save(kept)
    card = json.loads((kept / "classifier.json").read_text())
    (kept / "classifier.json").write_text(json.dumps({**card, "labels": ["a", "b"]}))
    with pytest.raises(ClassifierError, match="the tensors do not fit the card and the encoder"):
        load_classifier(kept)
    (kept / "classifier.json").write_text(json.dumps({**card, "kind": ClassifierKind.ENCODER, "scales": [1.0, 1.0]}))
    (kept / "classifier.safetensors").write_bytes((kept / "classifier.safetensors").read_bytes()[:100])
    with pytest.raises(ClassifierError, match=r"no classifier made by burnish, or a damaged one\. Fit it again\."):
        load_classifier(kept)
    with pytest.raises(ClassifierError, match="no classifier made by burnish"):
        load_classifier(tmp_path)


@pytest.mark.real
@needs_datasets
def test_four_intents_of_banking77(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    chosen = ("card_arrival", "lost_or_stolen_card", "exchange_rate", "pin_blocked")
    train, test = (
        [(row.asked, row.target) for row in dataset(f"banking77/{part}.jsonl") if row.target in chosen]
        for part in ("train_10_per_label", "test")
    )
    texts, labels = [text for text, _ in train], [label for _, label in train]
    encoder = load_encoder()
    plain = fit_embedding_classifier(texts, labels, encoder=encoder)
    tuned = fit_encoder_classifier(texts, labels, encoder=encoder, budget_s=4.0)
    asked, wanted = [text for text, _ in test], [label for _, label in test]
    assert accuracy(plain, asked, wanted) > 0.9 and accuracy(tuned, asked, wanted) > 0.9
