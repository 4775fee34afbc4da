"""A `burnish serve` of its own process on the tiny base, for what talks to it from outside."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.tiny import save_base

START_S = 180
QUICK_JOBS = """
[adapter]
rank = 2
[train]
precision = "fp32"
patience = 99
checkpoint_minutes = 60
[retention]
num_prompts = 4
answer_tokens = 4
[evaluate]
arms = ["zero_shot"]
max_new_tokens = 6
num_resamples = 200
"""
"""Below every job, so that one takes seconds."""


@dataclass(frozen=True)
class LiveServer:
    """Where it listens, what it keeps, what it wrote to its log."""

    process: "subprocess.Popen[bytes]"
    port: int
    runs: Path
    log: Path

    @property
    def base_url(self) -> str:
        """As OpenAI's clients take it."""
        return f"http://127.0.0.1:{self.port}/v1"

    def is_alive(self) -> bool:
        return self.process.poll() is None


@contextmanager
def live_server(
    folder: Path,
    *,
    max_length: int = 4096,
    arguments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Iterator[LiveServer]:
    """A server whose base is called `tiny`, in `folder`: its runs in `runs`, its working folder `cwd`."""
    runs, cwd, log = folder / "runs", folder / "cwd", folder / "server.log"
    (runs / "serve").mkdir(parents=True)
    (runs / "serve" / "jobs.toml").write_text(QUICK_JOBS)
    cwd.mkdir()
    base = save_base(folder / "tiny", max_position_embeddings=max_length)
    port = _free_port()
    command = [sys.executable, "-m", "burnish", "serve", "--runs", str(runs), "--port", str(port), "--base", str(base)]
    with open(log, "wb") as stream:
        process = _start([*command, *arguments], cwd, environment or {}, stream)
        server = LiveServer(process, port, runs, log)
        try:
            _wait_until_ready(server)
            yield server
        finally:
            _stop(process)


def _start(
    command: Sequence[str], cwd: Path, environment: Mapping[str, str], log: IO[bytes]
) -> "subprocess.Popen[bytes]":
    own = {**os.environ, "BURNISH_API_KEY": "", **environment}
    return subprocess.Popen(command, cwd=cwd, env=own, stdout=log, stderr=log)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _wait_until_ready(server: LiveServer) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        if not server.is_alive():
            sys.exit(f"The server ended before it was ready. Its log:\n{server.log.read_text()}")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/readyz", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    sys.exit(f"The server was not ready within {START_S} s.")


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
