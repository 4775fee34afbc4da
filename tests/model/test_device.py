"""The probe for bf16: what disturbs a product now and then changes nothing, and a hopeless one is short."""

from collections.abc import Callable

import pytest
import torch

from burnish.model import device
from burnish.model.device import measure_bf16_speedup

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("fp32", "bf16", "speedup", "rounds"),
    [
        ([20, 20, 20, 20, 20], [4, 4, 4, 4, 4], 5.0, 5),
        ([20, 20, 20, 20, 20], [90, 70, 4, 4, 4], 5.0, 5),  # the first are slow: kernels are made, others work
        ([60, 60, 20, 60, 60], [4, 4, 60, 60, 60], 5.0, 5),
        ([20, 20, 20, 20, 20], [900, 900, 900, 900, 900], 20 / 900, 2),
    ],
)
def test_the_fastest_product_of_each_kind_counts(
    monkeypatch: pytest.MonkeyPatch, fp32: list[float], bf16: list[float], speedup: float, rounds: int
) -> None:
    seconds = {torch.float32: iter(fp32), torch.bfloat16: iter(bf16)}

    def product(_: torch.device, dtype: torch.dtype, tokens: int, width: int) -> Callable[[], float]:
        return lambda: next(seconds[dtype])

    monkeypatch.setattr(device, "_product", product)
    found = measure_bf16_speedup(CPU, 576)
    assert found == pytest.approx(speedup)
    assert len(list(seconds[torch.bfloat16])) == 5 - rounds


def test_a_real_probe_tells_a_ratio() -> None:
    assert measure_bf16_speedup(CPU, 64) > 0
