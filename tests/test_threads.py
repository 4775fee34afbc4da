"""Threads that wait sleep soon, unless the environment says otherwise or torch came first."""

import os
import subprocess
import sys

import pytest

from burnish.threads import OWN_CHOICES, SPINS

LOAD = "import burnish; burnish.load('no such run')"


def run_python(code: str, **environment: str) -> str:
    """What a fresh process prints on stderr."""
    plain = {name: value for name, value in os.environ.items() if name not in OWN_CHOICES}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=plain | environment, capture_output=True, text=True, timeout=120, check=False)
    return done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="libgomp is what torch for Linux uses")
def test_the_threads_of_torch_sleep_after_few_spins() -> None:
    told = run_python("import burnish, torch", OMP_DISPLAY_ENV="verbose")
    assert f"GOMP_SPINCOUNT = '{SPINS}'" in told


@pytest.mark.skipif(sys.platform != "linux", reason="libgomp is what torch for Linux uses")
def test_the_choice_of_the_environment_stays() -> None:
    told = run_python("import burnish, torch", OMP_DISPLAY_ENV="verbose", GOMP_SPINCOUNT="77")
    assert "GOMP_SPINCOUNT = '77'" in told
    told = run_python("import burnish, os; assert 'GOMP_SPINCOUNT' not in os.environ", OMP_WAIT_POLICY="active")
    assert told == ""


def test_a_program_that_imported_torch_first_is_warned() -> None:
    assert "Import burnish first, or set OMP_WAIT_POLICY=passive." in run_python(f"import torch; {LOAD}")
    assert "Import burnish first" not in run_python(LOAD)
    assert "Import burnish first" not in run_python(f"import torch; {LOAD}", OMP_WAIT_POLICY="passive")
