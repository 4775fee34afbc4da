"""A job's process: started, asked to stop, ended; and one of a server that is gone, found by the lock that it holds."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from burnish.errors import StorageError
from burnish.files import lock
from burnish.serve.jobs.worker.order import Order, lock_of, log_of, pid_of

GRACE_S = 2.0
"""What a process is given to notice that its server is gone."""
KILL_WAIT_S = 30.0


def start_process(order: Order) -> "subprocess.Popen[bytes]":
    """A process of its own group, which ends when the pipe to it is closed, and so when the server dies."""
    order.folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "burnish.serve.jobs.worker.child", order.to_json()]
    with open(log_of(order.folder), "ab") as log:
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True)


def ask_to_stop(process: "subprocess.Popen[bytes]") -> None:
    """The process ends behind its present step, with a checkpoint."""
    process.terminate()


def end_process(process: "subprocess.Popen[bytes]") -> None:
    """The process and all that it has started are gone."""
    _kill_group(process.pid)
    process.wait()
    if process.stdin:
        with contextlib.suppress(OSError):
            process.stdin.close()


def last_words(folder: Path) -> str:
    """The last line of the log, which says best why a process has ended."""
    try:
        lines = log_of(folder).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.strip()[:500] for line in reversed(lines) if line.strip()), "")


def end_left_over(folder: Path) -> None:
    """Make sure that no process of an earlier server works on the job any more.

    Raises:
        StorageError: one does, and cannot be ended.
    """
    deadline = time.monotonic() + GRACE_S + KILL_WAIT_S
    kill_at = time.monotonic() + GRACE_S
    while _is_held(lock_of(folder)):
        if time.monotonic() > deadline:
            raise StorageError(f"{folder}: an earlier process works on this job and cannot be ended.")
        if time.monotonic() > kill_at:
            _kill_named(folder)


def _is_held(path: Path) -> bool:
    if not path.exists():
        return False
    try:
        with lock(path, timeout_s=0.0):
            return False
    except StorageError:
        return True


def _kill_named(folder: Path) -> None:
    """End the process that the folder names, if it still is what it was: numbers are given again."""
    import psutil

    try:
        pid = int(pid_of(folder).read_text(encoding="utf-8"))
        if folder.name in " ".join(psutil.Process(pid).cmdline()):
            _kill_group(pid)
    except (OSError, ValueError, psutil.Error):
        return


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(pid, signal.SIGKILL)
        else:  # Windows has no groups
            os.kill(pid, signal.SIGTERM)
