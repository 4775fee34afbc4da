"""How the threads of a process wait for one another.

Threads that share a product wait for the slowest by spinning. Where another program has one of their cores, the thread
that spins keeps its core busy while the one that it waits for is not scheduled: a job beside one busy program then
takes several times as long. A thread that sleeps after a short spin gives its core away.
"""

import os
import sys
import warnings

SPINS = 1000
"""Turns of a waiting loop before a thread sleeps; libgomp's own figure is 300,000."""
SLEEPS_AFTER_MS = 1
"""The same for libomp and Intel's OpenMP, whose own figure is 200."""
SETTINGS = {"GOMP_SPINCOUNT": str(SPINS), "KMP_BLOCKTIME": str(SLEEPS_AFTER_MS)}
OWN_CHOICES = ("OMP_WAIT_POLICY", *SETTINGS)


def wait_politely() -> None:
    """Let threads that wait sleep soon; a choice in the environment stays.

    OpenMP reads its settings when torch is imported, so this comes before that.
    """
    if not _is_chosen() and "torch" not in sys.modules:
        os.environ.update(SETTINGS)


def warn_if_too_late() -> None:
    """Warn the program that imported torch before burnish, whose threads spin."""
    if not _is_chosen():
        warnings.warn(
            "torch was imported before burnish, so its threads spin while they wait: beside another busy program "
            "the work may take several times as long. Import burnish first, or set OMP_WAIT_POLICY=passive.",
            RuntimeWarning,
            stacklevel=3,
        )


def _is_chosen() -> bool:
    return any(name in os.environ for name in OWN_CHOICES)
