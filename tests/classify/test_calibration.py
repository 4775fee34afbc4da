"""The pool of opinions: scales that are the likeliest, and probabilities that keep their word."""

import numpy as np
from scipy.special import log_softmax, softmax

from burnish.classify.calibration import (
    PRIOR_ROWS,
    expected_calibration_error,
    fit_scales,
    measure_held_out,
    pool_opinions,
)


def drawn(num_rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and labels that are drawn as the logits say."""
    chance = np.random.default_rng(seed)
    logits_NL = chance.normal(size=(num_rows, 4)) * 2
    return logits_NL, np.array([chance.choice(4, p=row) for row in softmax(logits_NL, axis=1)])


def test_the_temperature_is_found_again() -> None:
    logits_NL, labels_N = drawn(20_000)
    for temperature in (0.25, 1.0, 4.0):
        opinions_KNL = log_softmax(logits_NL * temperature, axis=1)[None]
        scales_K = fit_scales(opinions_KNL, labels_N)
        np.testing.assert_allclose(scales_K, 1 / temperature, rtol=0.05)
        found = measure_held_out(opinions_KNL, labels_N, scales_K)
        assert found.calibration_error < 0.015
        assert temperature == 1.0 or found.raw_calibration_error > 0.1


def test_no_other_scales_are_likelier() -> None:
    logits_NL, labels_N = drawn(300)
    opinions_KNL = np.stack([log_softmax(logits_NL * 3, axis=1), log_softmax(drawn(300, seed=1)[0], axis=1)])

    def objective(scales_K: np.ndarray) -> float:
        own_N = pool_opinions(opinions_KNL, scales_K)[np.arange(300), labels_N]
        return float(-np.log(own_N).sum() + PRIOR_ROWS * ((scales_K - 0.5) ** 2).sum())

    scales_K = fit_scales(opinions_KNL, labels_N)
    assert scales_K[1] < 0.1 < scales_K[0]
    least = objective(scales_K)
    for change_K in np.random.default_rng(0).normal(size=(50, 2)) * 0.05:
        assert objective(np.maximum(scales_K + change_K, 0)) >= least - 1e-6


def test_few_rows_do_not_make_it_sure() -> None:
    opinions_KNL = log_softmax(np.eye(2), axis=1)[None]
    assert fit_scales(opinions_KNL, np.array([0, 1]))[0] < 1.5


def test_calibration_error_by_hand() -> None:
    probabilities_NL = np.array([[0.9, 0.1], [0.9, 0.1], [0.3, 0.7], [1.0, 0.0]])
    # Two at 0.9, one of them right: a gap of 0.4. One at 0.7, right: 0.3. One at 1.0, right: 0.
    assert np.isclose(expected_calibration_error(probabilities_NL, np.array([0, 1, 1, 0])), (2 * 0.4 + 0.3) / 4)
