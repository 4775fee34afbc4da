"""Wrong labels are found among rows like them; sound ones are left alone."""

from pathlib import Path

import numpy as np
import pytest

from burnish.data import Example, check_labels, check_losses
from burnish.data.checks import mislabelled
from burnish.data.checks.mislabelled import NUM_FOLDS, out_of_fold_probabilities, strangeness
from tests.data.datasets import questions


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BURNISH_CACHE", str(tmp_path / "cache"))


def blobs(num_labels: int = 4, rows_per_label: int = 30) -> tuple[list[Example], np.ndarray]:
    """Rows whose embeddings lie around a centre for each label."""
    chance = np.random.default_rng(0)
    centres_LD = np.eye(8)[:num_labels]
    labels = [n % num_labels for n in range(num_labels * rows_per_label)]
    embeddings_ND = centres_LD[labels] + chance.normal(0, 0.1, (len(labels), 8))
    embeddings_ND /= np.linalg.norm(embeddings_ND, axis=1, keepdims=True)
    pairs = [(f"question {n}", f"label {label}") for n, label in enumerate(labels)]
    return questions(*pairs), embeddings_ND.astype(np.float32)


def test_sound_labels() -> None:
    assert check_labels(*blobs()) == []


def test_swapped_labels_are_told_with_the_likelier_one() -> None:
    examples, embeddings_ND = blobs()
    swapped = questions(*((e.asked, "label 0" if n in (1, 6, 11) else e.target) for n, e in enumerate(examples)))
    findings = check_labels(swapped, embeddings_ND)
    assert {finding.row for finding in findings} == {"f:2", "f:7", "f:12"}
    message = next(finding.message for finding in findings if finding.row == "f:7")
    assert message.startswith("labelled 'label 0', but rows like it are labelled 'label 2' (")


def test_a_label_of_few_rows_is_not_judged() -> None:
    examples, embeddings_ND = blobs()
    some = questions(*((e.asked, "rare" if n < 4 else e.target) for n, e in enumerate(examples)))
    assert not {finding.row for finding in check_labels(some, embeddings_ND)} & {"f:1", "f:2", "f:3", "f:4"}
    assert check_labels(examples[:4], embeddings_ND[:4]) == []


def test_a_copy_on_the_other_side_does_not_vouch_for_a_wrong_label() -> None:
    chance = np.random.default_rng(0)
    embeddings_ND = chance.normal(size=(60, 16)).astype(np.float32)
    labels_N = np.arange(60) % 2
    doubled_ND, doubled_N = np.concatenate([embeddings_ND] * 2), np.concatenate([labels_N] * 2)
    apart = out_of_fold_probabilities(doubled_ND, doubled_N, list(range(120)))
    together = out_of_fold_probabilities(doubled_ND, doubled_N, [*range(60), *range(60)])
    assert together[:60] == pytest.approx(together[60:]), "copies are judged by the same model"
    rows_N = np.arange(120)
    assert together[rows_N, doubled_N].mean() < apart[rows_N, doubled_N].mean() - 0.05


def test_probabilities_are_those_of_models_that_never_saw_the_row() -> None:
    examples, embeddings_ND = blobs(num_labels=2)
    labels_N = np.arange(60) % 2
    before = out_of_fold_probabilities(embeddings_ND, labels_N, list(range(60)), seed=3)
    assert before.sum(axis=1) == pytest.approx(np.ones(60))
    changed_ND = embeddings_ND.copy()
    changed_ND[7] = -changed_ND[7]
    after = out_of_fold_probabilities(changed_ND, labels_N, list(range(60)), seed=3)
    untouched = np.isclose(before, after, atol=1e-12).all(axis=1)
    assert 60 / NUM_FOLDS - 2 <= untouched.sum() <= 60 / NUM_FOLDS, "only its own fold is judged as before"
    assert len(examples) == 60


def test_losses_are_compared_within_length() -> None:
    chance = np.random.default_rng(0)
    lengths = [n // 2 for n in range(400)]
    losses = (4.0 - np.asarray(lengths) / 100 + chance.normal(0, 0.1, 400)).tolist()
    rows = [f"f:{n + 1}" for n in range(400)]
    assert check_losses(rows, losses, lengths) == []
    losses[300] = 3.9  # usual for a short answer, not for one of 150 tokens
    assert [finding.row for finding in check_losses(rows, losses, lengths)] == ["f:301"]


def test_strangeness_of_few_rows() -> None:
    assert strangeness(np.array([]), np.array([], dtype=int)).tolist() == []
    assert strangeness(np.array([1.0, 1.0, 2.0]), np.array([5, 5, 5]))[2] == pytest.approx(20.0)


def test_probabilities_are_kept_for_the_same_rows_labels_and_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    _, embeddings_ND = blobs(num_labels=2)
    labels_N, apart = np.arange(60) % 2, list(range(60))
    first = out_of_fold_probabilities(embeddings_ND, labels_N, apart)
    fits: list[int] = []
    fit_folds = mislabelled._fit_folds
    monkeypatch.setattr(mislabelled, "_fit_folds", lambda *given: (fits.append(1), fit_folds(*given))[1])
    assert (out_of_fold_probabilities(embeddings_ND, labels_N, apart) == first).all() and not fits
    out_of_fold_probabilities(-embeddings_ND, labels_N, apart)
    out_of_fold_probabilities(embeddings_ND, 1 - labels_N, apart)
    out_of_fold_probabilities(embeddings_ND, labels_N, apart, seed=1)
    monkeypatch.setattr(mislabelled, "INVERSE_PENALTY", 1.0)
    out_of_fold_probabilities(embeddings_ND, labels_N, apart)
    assert len(fits) == 4
