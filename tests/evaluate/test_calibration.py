"""From the model's own probability to how often such answers are right: planted, found again, never overdone."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit

from burnish.errors import AdapterError
from burnish.evaluate.calibration import (
    CALIBRATION_NAME,
    MIN_ROWS,
    SHIFT_SD,
    SLOPE_SD,
    Calibration,
    confidence_of,
    fit_calibration,
    load_calibration,
)

probabilities = st.floats(0, 1)


def planted(num_rows: int, slope: float, shift: float, seed: int = 0) -> tuple[list[float], list[bool]]:
    """Own probabilities, and answers that are right as often as `slope` and `shift` make of them."""
    chance = np.random.default_rng(seed)
    own = expit(chance.normal(1.5, 2.5, num_rows))
    is_right = chance.random(num_rows) < expit(slope * logit(own) + shift)
    return own.tolist(), is_right.tolist()


@pytest.mark.parametrize(("slope", "shift"), [(1.0, 0.0), (0.4, -0.5), (0.6, 2.0), (1.8, 0.3)])
def test_a_planted_miscalibration_is_found_again(slope: float, shift: float) -> None:
    found = fit_calibration(*planted(20_000, slope, shift))
    assert found is not None and found.num_rows == 20_000
    assert (found.slope, found.shift) == (pytest.approx(slope, rel=0.06), pytest.approx(shift, abs=0.06))


def error(slope: float, shift: float, calibration: Calibration | None) -> float:
    """The mean distance from how often answers are right, over answers that nothing was fitted to."""
    own, _ = planted(1000, slope, shift, seed=99)
    wanted_N = expit(slope * logit(np.array(own)) + shift)
    return float(np.abs(np.array([confidence_of(p, calibration).value for p in own]) - wanted_N).mean())


@pytest.mark.parametrize("num_rows", [20, 60, 200])
def test_few_rows_are_better_than_none(num_rows: int) -> None:
    errors = [error(0.4, -0.5, fit_calibration(*planted(num_rows, 0.4, -0.5, seed))) for seed in range(20)]
    own = error(0.4, -0.5, None)
    assert own > 0.15 and np.mean(errors) < own / 2
    assert sum(each < own for each in errors) >= 19


@pytest.mark.parametrize(("num_rows", "most"), [(20, 0.08), (200, 0.03)])
def test_what_keeps_its_word_already_is_hardly_spoilt(num_rows: int, most: float) -> None:
    errors = [error(1.0, 0.0, fit_calibration(*planted(num_rows, 1.0, 0.0, seed))) for seed in range(20)]
    assert np.mean(errors) < most


@pytest.mark.parametrize("outcome", [True, False])
def test_rows_that_are_all_alike_do_not_say_always(outcome: bool) -> None:
    own = [0.999] * 30 + [0.99999] * 30 if outcome else [0.01] * 60
    found = fit_calibration(own, [outcome] * 60)
    assert found is not None
    told = found.confidence(own[0])
    assert 0.9 < told < 0.99 if outcome else 0.01 < told < 0.1


def test_no_other_calibration_is_likelier() -> None:
    own, is_right = planted(50, 0.5, 1.0)
    own_N, middle = logit(np.array(own)), np.median(logit(np.array(own)))
    signs_N = np.array([1 if right else -1 for right in is_right])

    def objective(slope: float, shift: float) -> float:
        likelihood = -np.logaddexp(0, -signs_N * (slope * own_N + shift)).sum()
        more = np.logaddexp(0, slope * middle + shift) + np.logaddexp(0, -slope * middle - shift)
        return float(-likelihood + more + ((slope - 1) / SLOPE_SD) ** 2 / 2 + (shift / SHIFT_SD) ** 2 / 2)

    found = fit_calibration(own, is_right)
    assert found is not None
    least = objective(found.slope, found.shift)
    for change in np.random.default_rng(0).normal(size=(50, 2)) * 0.05:
        assert objective(found.slope + change[0], found.shift + change[1]) >= least - 1e-6


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(probabilities, st.booleans()), min_size=MIN_ROWS, max_size=60), probabilities, probabilities)
def test_order_is_kept_and_nothing_is_certain(rows: list[tuple[float, bool]], one: float, other: float) -> None:
    found = fit_calibration([p for p, _ in rows], [right for _, right in rows])
    assert found is not None and found.slope > 0 and math.isfinite(found.shift)
    low, high = sorted((one, other))
    assert 0 < found.confidence(low) <= found.confidence(high) < 1


def test_surer_answers_stay_surer_down_to_the_longest() -> None:
    found = fit_calibration(*planted(40, 0.4, 0.0))
    assert found is not None
    told = [found.confidence(p) for p in (1e-300, 1e-30, 1e-3, 0.5, 0.9, 0.9999)]
    assert told == sorted(set(told))


def test_too_few_rows_change_nothing() -> None:
    own, is_right = planted(MIN_ROWS - 1, 0.4, 0.0)
    assert fit_calibration(own, is_right) is None
    assert confidence_of(0.83, None).value == 0.83 and not confidence_of(0.83, None).is_calibrated


def test_it_lies_beside_its_adapter(tmp_path: Path) -> None:
    assert load_calibration(tmp_path) is None
    Calibration(0.5, 0.25, 40).save(tmp_path)
    assert load_calibration(tmp_path) == Calibration(0.5, 0.25, 40)
    (tmp_path / CALIBRATION_NAME).write_text('{"slope": 1}')
    with pytest.raises(AdapterError, match=r"calibration\.json is damaged\. Remove it, or run the recipe again\."):
        load_calibration(tmp_path)
