"""The probe for bf16: what disturbs a product now and then changes nothing, and a hopeless one is short."""

import os
import subprocess
import sys
from collections.abc import Callable

import pytest
import torch

from burnish.model import device
from burnish.model.device import KERNEL_LIMITS, measure_bf16_speedup

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


MANY_SHAPES = """
from pathlib import Path
import os
import burnish.model.device
import torch
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
weight_OI = torch.ones(192, 64, dtype=torch.bfloat16)
torch.ones(7, 64, dtype=torch.bfloat16) @ weight_OI.T
before = resident()
for num_rows in range(100, 500):
    torch.ones(num_rows, 64, dtype=torch.bfloat16) @ weight_OI.T
print(resident() - before)
"""


def test_kernels_of_shapes_that_do_not_come_again_are_let_go() -> None:
    """400 shapes of a product; whoever sets the limits keeps what was set, here those of the libraries themselves."""
    plain = {name: value for name, value in os.environ.items() if name not in KERNEL_LIMITS} | {"OMP_NUM_THREADS": "1"}
    ours, theirs = (
        float(subprocess.run([sys.executable, "-c", MANY_SHAPES], env=env, check=True, capture_output=True).stdout)
        for env in (plain, plain | dict.fromkeys(KERNEL_LIMITS, "1024"))
    )
    if theirs < 50:
        pytest.skip("products on this machine keep no kernels")
    assert ours < theirs / 2
