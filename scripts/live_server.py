"""A `burnish serve` of its own process, for what talks to it from outside, and a fine-tuned model to ask it for."""

import atexit
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from burnish.model.base import BaseFiles

START_S, STOP_S = 180, 60
LOG_SHOWN = 3000
"""Characters of the log's end."""
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


class LiveServer:
    """A server in `folder`, which is its working folder too: started, ended, and started again at the same address.

    It asks for no key unless `environment` has one, whatever this process has.
    """

    def __init__(
        self, folder: Path, *, arguments: Sequence[str] = (), environment: Mapping[str, str] | None = None
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._arguments = folder, arguments
        self._environment = {**os.environ, "BURNISH_API_KEY": "", **(environment or {})}
        self.runs, self.log, self.port = folder / "runs", folder / "server.log", _free_port()
        atexit.register(self.kill)  # however the script ends
        self.start()

    @property
    def base_url(self) -> str:
        """As OpenAI's clients take it."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def log_end(self) -> str:
        return self.log.read_text(errors="replace")[-LOG_SHOWN:]

    @property
    def pid(self) -> int:
        return self._process.pid

    def start(self) -> None:
        """Begin; `wait_until_ready` tells when it answers."""
        command = [sys.executable, "-m", "burnish", "serve", "--runs", str(self.runs), "--port", str(self.port)]
        with open(self.log, "ab") as log:
            self._process = subprocess.Popen(
                [*command, *self._arguments], cwd=self._folder, env=self._environment, stdout=log, stderr=log
            )

    def wait_until_ready(self) -> None:
        """Until it answers; ends the script, with the server's log, where it never does."""
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=5):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        code = self._process.poll()
        why = f"was not ready within {START_S} s" if code is None else f"ended with code {code} before it was ready"
        sys.exit(f"The server {why}. Its log:\n{self.log_end}")

    def stop(self) -> None:
        """As an operator would; killed where that takes too long."""
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def wait(self, seconds: float) -> int:
        """Until it has ended by itself; its exit code."""
        return self._process.wait(seconds)

    def kill(self) -> None:
        """SIGKILL, to the server alone."""
        self._process.kill()
        self._process.wait()


@contextmanager
def live_server(
    folder: Path, *, arguments: Sequence[str] = (), environment: Mapping[str, str] | None = None
) -> Iterator[LiveServer]:
    """A server that answers, until the end of the block; a crash in it is shown."""
    server = LiveServer(folder, arguments=arguments, environment=environment)
    try:
        server.wait_until_ready()
        yield server
    finally:
        server.stop()
        if "Traceback" in server.log.read_text(errors="replace"):
            print(f"\nThe server's log:\n{server.log_end}", file=sys.stderr)


def make_jobs_quick(runs: Path) -> None:
    """Have a server of these runs take seconds for a job on a tiny base."""
    (runs / "serve").mkdir(parents=True, exist_ok=True)
    (runs / "serve" / "jobs.toml").write_text(QUICK_JOBS)


def add_adapter(runs: Path, name: str, model: Any, *, base: BaseFiles, base_id: str, precision: str) -> None:
    """Have a server of these runs serve the adapter of `model` as `name`, as if a job had made it.

    `base_id`: as clients name the base.
    """
    from burnish.model.adapter import AdapterCard, save_adapter  # with torch, which not every script needs
    from burnish.serve.jobs.models import add_model
    from burnish.serve.jobs.store import open_store

    folder = runs / "serve" / "adapters" / name.replace(":", "-")
    folder.mkdir(parents=True)
    card = AdapterCard(
        run_id="none",
        base_model=base.name,
        base_fingerprint=base.fingerprint,
        template_sha256=base.template_sha256,
        train_sha256="",
        scale=1.0,
        task="chat",
        system="",
        labels=(),
        fields=(),
        max_new_tokens=64,
        precision=precision,
    )
    save_adapter(model, folder, card)
    with open_store(runs / "serve") as store, store.transaction() as connection:
        add_model(connection, name, base=base.name, base_id=base_id, adapter=folder)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
