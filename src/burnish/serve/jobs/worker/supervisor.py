"""The server's side of the work: takes jobs from the queue, starts a process for each, leaves none stuck."""

import logging
import sqlite3
import subprocess
import threading
import time

from burnish.errors import BurnishError, StorageError
from burnish.files import lock
from burnish.serve.jobs.job import Status, claim, holds, note_crash, put_back
from burnish.serve.jobs.store import Store
from burnish.serve.jobs.worker.order import Order, Phase, job_folder
from burnish.serve.jobs.worker.process import (
    ask_to_stop,
    end_left_over,
    end_process,
    last_words,
    start_process,
)
from burnish.serve.jobs.worker.progress import progress_of
from burnish.serve.settings import ServeSettings

POLL_S = 0.2
STOP_PATIENCE_S = 300.0
"""What a step may take until a process that was asked to stop is ended; its last checkpoint counts then."""
_log = logging.getLogger(__name__)
_WAITING = {Phase.VALIDATE: Status.VALIDATING, Phase.TRAIN: Status.QUEUED}


class Supervisor:
    """Works on the jobs of a folder, one training and one validation at a time.

    Of several servers of one folder only one works; another takes over when it is gone.
    """

    def __init__(self, store: Store, settings: ServeSettings) -> None:
        self._store, self._settings = store, settings
        self._is_ending = threading.Event()
        self._patience_s = STOP_PATIENCE_S
        self._thread = threading.Thread(target=self._run, name="burnish-jobs", daemon=True)

    def start(self) -> None:
        """Begin to work, in threads of its own."""
        self._thread.start()

    def stop(self, patience_s: float = 60.0) -> None:
        """Stop behind the present step; the job waits in the queue and goes on when a server is started again."""
        self._patience_s = patience_s
        self._is_ending.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._is_ending.is_set():
            try:
                with lock(self._store.folder / "worker.lock", timeout_s=1.0):
                    self._work()
            except StorageError:
                continue  # another server works
            except (sqlite3.Error, OSError):
                _log.exception("jobs cannot be worked on; trying again")
                self._is_ending.wait(5.0)

    def _work(self) -> None:
        self._recover()
        validation = threading.Thread(target=self._loop, args=(Phase.VALIDATE,), name="burnish-validation")
        validation.start()
        self._loop(Phase.TRAIN)
        validation.join()

    def _recover(self) -> None:
        """Jobs that a server which is gone was working on."""
        for row in self._store.all("SELECT id, token FROM job WHERE token IS NOT NULL ORDER BY seq"):
            end_left_over(job_folder(self._store.folder, row["id"]))
            put_back(self._store, row["id"], row["token"], "The server was restarted; the job goes on where it was")

    def _loop(self, phase: Phase) -> None:
        while not self._is_ending.is_set():
            try:
                claimed = claim(self._store, _WAITING[phase])
                if claimed:
                    self._do(phase, *claimed)
                else:
                    self._is_ending.wait(POLL_S)
            except (sqlite3.Error, OSError, BurnishError):
                _log.exception("a job could not be worked on; trying again")
                self._is_ending.wait(5.0)

    def _do(self, phase: Phase, job_id: str, token: str) -> None:
        order = Order(str(self._settings.runs.resolve()), job_id, token, phase, self._settings.min_examples)
        try:
            process = start_process(order)
        except OSError as error:
            note_crash(self._store, job_id, token, progress=0, why=f"It cannot be started: {error}.")
            return
        try:
            self._watch(process, job_id, token)
        finally:
            end_process(process)
        if self._is_ending.is_set():
            put_back(self._store, job_id, token, "The server ends; the job goes on when it is started again")
        elif holds(self._store, job_id, token):  # it ended without having settled the job
            why = f"It ended with code {process.returncode}. {last_words(order.folder)}".strip()
            note_crash(self._store, job_id, token, progress=progress_of(order), why=why)

    def _watch(self, process: "subprocess.Popen[bytes]", job_id: str, token: str) -> None:
        """Wait for the process; where its job is taken from it, ask it to stop, and end it when it does not."""
        asked_at: float | None = None
        while process.poll() is None:
            if self._status(job_id) is Status.CANCELLED:
                return
            if asked_at is None:
                if self._is_ending.is_set() or not holds(self._store, job_id, token):
                    ask_to_stop(process)
                    asked_at = time.monotonic()
            elif time.monotonic() - asked_at > self._patience_s:
                return
            time.sleep(POLL_S)

    def _status(self, job_id: str) -> Status | None:
        row = self._store.one("SELECT status FROM job WHERE id = ?", (job_id,))
        return Status(row["status"]) if row else None
