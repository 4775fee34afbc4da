"""The terminal: news, bars, and Ctrl-C that waits for a safe moment. Plain lines where output is piped."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from burnish.screen import Advance

PLAIN_INTERVAL_S = 15.0


class _LastingConsole(Console):
    """Falls silent when nobody reads it any longer, as behind `| head`; the work goes on."""

    def on_broken_pipe(self) -> None:
        self.quiet = True


class TerminalScreen:
    """News on stderr, so that stdout holds results only."""

    def __init__(self, *, is_quiet: bool = False) -> None:
        self.console = _LastingConsole(stderr=True, highlight=False, quiet=is_quiet)

    def say(self, text: str) -> None:
        """Print a line, above the bar if there is one."""
        try:
            self.console.print(text, markup=False, soft_wrap=True)
        except OSError:  # a terminal that is gone, a full disk behind a redirection
            self.console.quiet = True

    @contextmanager
    def bar(self, title: str, total: int) -> Iterator[Advance]:
        """A bar with count, time left and a note; a line every 15 s where there is no terminal."""
        with self._rich_bar(title, total) if self.console.is_terminal else self._plain_bar(title, total) as advance:
            yield advance

    @contextmanager
    def gentle_stop(self) -> Iterator[Callable[[], bool]]:
        """The first Ctrl-C (or SIGTERM) sets a flag; the second one stops at once."""
        pressed = False

        def press(number: int, frame: FrameType | None) -> None:
            nonlocal pressed
            if pressed:
                raise KeyboardInterrupt
            pressed = True
            self.say("Stopping after this step; the checkpoint will be kept. Press Ctrl-C again to stop at once.")

        before: dict[int, Any] = {number: signal.signal(number, press) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield lambda: pressed
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def _rich_bar(self, title: str, total: int) -> Iterator[Advance]:
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        with Progress(
            *columns, TimeRemainingColumn(), TextColumn("{task.fields[note]}"), console=self.console
        ) as progress:
            task = progress.add_task(title, total=total, note="")

            def advance(units: int, note: str = "") -> None:
                progress.update(task, advance=units, note=note)

            yield advance

    @contextmanager
    def _plain_bar(self, title: str, total: int) -> Iterator[Advance]:
        start = told = time.monotonic()
        done = 0

        def advance(units: int, note: str = "") -> None:
            nonlocal done, told
            done += units
            now = time.monotonic()
            if now - told >= PLAIN_INTERVAL_S and 0 < done < total:
                left = (now - start) / done * (total - done)
                self.say(f"  {done}/{total}  {left:.0f} s left  {note}".rstrip())
                told = now

        self.say(f"{title} ...")
        yield advance
        if done:
            self.say(f"  {done} done in {time.monotonic() - start:.1f} s")
