"""How a process of burnish looks for garbage."""

import atexit
import gc

YOUNG = 200_000
"""New objects between two searches; Python's own figure is some thousands."""


def collect_garbage_seldom() -> None:
    """Importing torch and transformers makes a million objects that stay: no use in searching them for garbage.

    It took a fifth of the start and a second at the exit.
    """
    gc.set_threshold(YOUNG, 20, 100)
    atexit.register(gc.freeze)
