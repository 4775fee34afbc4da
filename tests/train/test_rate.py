"""The pace of a machine: what a batch costs however small, and a rate of operations."""

from pathlib import Path
from typing import Any

import pytest
import torch

from burnish.train import rate
from burnish.train.forecast import Rehearsal
from burnish.train.rate import LARGE, SMALL, Pace, fit_pace, known_pace, training_pace
from tests.tiny import adapt, build_model


def test_two_steps_tell_both_parts() -> None:
    pace = fit_pace([2e9, 16e9], [0.2 + 0.02, 0.2 + 0.16])
    assert (pace.batch_s, pace.operations_per_s) == pytest.approx((0.2, 1e11))
    assert pace.seconds(32e9, 3) == pytest.approx(3 * 0.2 + 0.32)


@pytest.mark.parametrize("small_s", [0.01, 0.16, 0.3])
def test_no_part_is_below_zero_where_noise_has_it_so(small_s: float) -> None:
    assert fit_pace([2e9, 16e9], [small_s, 0.16]) == Pace(0.0, 1e11)


def test_measured_once_and_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BURNISH_CACHE", str(tmp_path))
    model = build_model(dtype=torch.float32)
    rehearsal = Rehearsal(model.config, adapt, torch.float32)
    sizes: list[int] = []
    timed = rate._seconds_of_step

    def note(model: Any, examples: Any, settings: Any) -> float:
        sizes.append(len(examples))
        return timed(model, examples, settings)

    monkeypatch.setattr(rate, "_seconds_of_step", note)
    assert known_pace("base", rehearsal) is None
    pace = training_pace("base", rehearsal, lambda: adapt(model))
    assert sizes == [SMALL, LARGE] * (1 + rate.REPETITIONS) and pace.operations_per_s > 0
    assert training_pace("base", rehearsal, lambda: pytest.fail("measured again")) == pace
    assert known_pace("base", rehearsal) == pace and known_pace("another", rehearsal) is None
