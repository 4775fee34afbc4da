"""The screen of a job's run: what is told becomes events, what is asked of the process reaches the training."""

import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from burnish.screen import Advance
from burnish.serve.jobs.events import Level, tell
from burnish.serve.jobs.job import Lost, change
from burnish.serve.jobs.store import Store
from burnish.serve.jobs.worker.order import EXIT_STOPPED, Order
from burnish.serve.jobs.worker.progress import find_run
from burnish.serve.jobs.worker.steps import StepTeller

_MEASURED = re.compile(r"[\d.,]+ (?=(?:GB|MB|ms|s|min)\b)")
"""What the machine has free, and how long something takes: never twice the same."""


class JobScreen:
    """Tells a job's events, each once, however often the run is begun anew."""

    def __init__(self, store: Store, order: Order, training_file: str) -> None:
        self._store, self._order, self._training_file = store, order, training_file
        self._steps: StepTeller | None = None
        self._is_gentle = self._is_stopping = False
        told = store.all("SELECT message FROM event WHERE job_id = ?", (order.job_id,))
        self._told = {_without_measured(row["message"]) for row in told}

    def listen(self) -> None:
        """From now on SIGTERM stops the run: behind the present step while it trains, else at once.

        Whatever is on the disk at that moment is whole, and a resumed run goes on from it.
        """

        def stop(number: int, frame: FrameType | None) -> None:
            if not self._is_gentle:
                os._exit(EXIT_STOPPED)
            self._is_stopping = True

        signal.signal(signal.SIGTERM, stop)

    def say(self, text: str) -> None:
        """One line of news."""
        for mark, level in _LEVELS.items():
            if text.startswith(mark):
                self._tell(text.removeprefix(mark).strip(), level)
                return
        self._tell(text, "info")

    @contextmanager
    def bar(self, title: str, total: int) -> Iterator[Advance]:
        """The title is told; units are not, but the steps of the training are, with their losses."""
        self._tell(title, "info")

        def advance(units: int, note: str = "") -> None:
            self._look()

        yield advance
        self._look()

    @contextmanager
    def gentle_stop(self) -> Iterator[Callable[[], bool]]:
        """The training: in the block a stop waits for the end of the step."""
        run_dir = find_run(self._order, self._training_file)
        assert run_dir is not None, "what is trained has a run folder"
        self._steps = StepTeller(self._store, self._order, run_dir)
        self._steps.begin()
        self._is_gentle = True
        try:
            yield lambda: self._is_stopping
        finally:
            self._is_gentle, self._steps = False, None

    def _look(self) -> None:
        if self._steps is None:
            return
        try:
            self._steps.look()
        except Lost:  # paused: the step's end, with a checkpoint, comes first
            self._is_stopping = True

    def _tell(self, text: str, level: Level) -> None:
        try:
            with self._store.transaction() as connection:
                change(connection, self._order.job_id, self._order.token)
                if (said := _without_measured(text)) not in self._told:
                    tell(connection, self._order.job_id, text, level=level, once=True)
                    self._told.add(said)
        except Lost:
            if not self._is_gentle:
                raise
            self._is_stopping = True


def _without_measured(text: str) -> str:
    return _MEASURED.sub("", text)


_LEVELS: dict[str, Level] = {"error:": "error", "warning:": "warn", "note:": "info"}
