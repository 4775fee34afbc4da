"""Where a run tells what it does."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

Advance = Callable[[int, str], None]


class Screen(Protocol):
    """Where a run tells what it does; the command line draws it, a library user may ignore it."""

    def say(self, text: str) -> None:
        """One line of news."""

    def bar(self, title: str, total: int) -> AbstractContextManager[Advance]:
        """A bar of `total` units; the block gets `advance(units, note)`."""

    def gentle_stop(self) -> AbstractContextManager[Callable[[], bool]]:
        """In the block Ctrl-C waits for a safe moment; the block gets a function that tells whether it was pressed."""


class SilentScreen:
    """Tells nothing."""

    def say(self, text: str) -> None: ...

    def bar(self, title: str, total: int) -> AbstractContextManager[Advance]:
        return nullcontext(lambda units, note="": None)

    def gentle_stop(self) -> AbstractContextManager[Callable[[], bool]]:
        return nullcontext(lambda: False)
