"""For scripts: a fine-tuning job on a live server of its own, watched from outside, and all that it has made."""

import json
import random
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import openai
import psutil
from scripts.live_server import LiveServer, make_jobs_quick

from burnish.files import read_json, sha256_of_file
from burnish.run_dir import RunDir, list_run_dirs
from burnish.serve.jobs.store import Store, open_store
from burnish.serve.jobs.worker.order import job_folder, pid_of

END_S = 120.0
"""What the processes of a server that was killed may take to end."""
EPOCHS = 8
TOTAL_STEPS = 4 * EPOCHS
"""Of sixty rows a quarter is learned from, four a step."""
DISTURBED = ("The training process ended unexpectedly", "The server was restarted")
"""How the events begin that an undisturbed job has not."""


class Phase(StrEnum):
    """How far a job has come, by what lies in its run folder."""

    VALIDATION = "validation"
    BASELINES = "baselines"
    TRAINING = "training"
    RETENTION = "retention"
    EVALUATION = "evaluation"
    ENDED = "ended"


@dataclass(frozen=True)
class Moment:
    """A phase, and how many steps the run has told."""

    phase: Phase
    step: int


class Watch(threading.Thread):
    """Looks all the time whether two processes work on a job.

    A process has begun when its number is in `child.pid`, which it writes behind the job's lock; before that it waits,
    or is just being started, and touches nothing. It has ended when it has no memory any more: Linux takes that from a
    process before its files, and so before the lock. Two that work are one that is named there, and another that was
    named before and, looked at later, still lives.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self.begun = list[int]()
        self.faults = set[str]()
        self._folder, self._is_over = folder, threading.Event()

    def run(self) -> None:
        while not self._is_over.wait(0.005):
            try:
                pid = int(pid_of(self._folder).read_text())
            except (OSError, ValueError):
                continue
            others = [other for other in self.begun if other != pid and works_on(other, self._folder.name)]
            self.faults |= {f"process {other} still lives while {pid} works on the same job" for other in others}
            if pid not in self.begun:
                self.begun.append(pid)

    def end(self) -> None:
        self._is_over.set()
        self.join()


class Job:
    """A job on a server of its own, in a folder of its own."""

    def __init__(self, folder: Path, base: Path) -> None:
        self.runs = folder / "runs"
        make_jobs_quick(self.runs)
        self.store: Store = open_store(self.runs / "serve")
        own = {"BURNISH_CACHE": str(folder / "cache")}
        self.server = LiveServer(folder, arguments=["--base", str(base)], environment=own)
        self.server.wait_until_ready()
        self.client = openai.OpenAI(base_url=self.server.base_url, api_key="none", max_retries=0)
        file = self.client.files.create(file=("rows.jsonl", rows()), purpose="fine-tune")
        job = self.client.fine_tuning.jobs.create(
            model=str(base),
            training_file=file.id,
            seed=0,
            hyperparameters={"n_epochs": EPOCHS, "batch_size": 4, "learning_rate_multiplier": 10},
        )
        self.id = job.id
        self.watch = Watch(job_folder(self.runs / "serve", self.id))
        self.watch.start()

    @property
    def run_dir(self) -> RunDir | None:
        return next(iter(list_run_dirs(self.runs)), None)

    def status(self) -> str:
        """From the database, which can be asked while the server is dead."""
        row = self.store.one("SELECT status FROM job WHERE id = ?", (self.id,))
        return str(row["status"]) if row else "lost"

    def moment(self) -> Moment:
        status, run = self.status(), self.run_dir
        step = run.metrics.read_bytes().count(b"\n") if run and run.metrics.is_file() else 0
        if status in ("succeeded", "failed", "cancelled", "lost"):
            return Moment(Phase.ENDED, step)
        if status == "validating_files":
            return Moment(Phase.VALIDATION, step)
        kept = [int(path.name.removeprefix("step-")) for path in run.checkpoints.glob("step-*")] if run else []
        if not run or not kept:
            return Moment(Phase.BASELINES, step)
        if max(kept) < TOTAL_STEPS:
            return Moment(Phase.TRAINING, step)
        return Moment(Phase.EVALUATION if run.adapter.is_dir() else Phase.RETENTION, step)

    def worker(self) -> int | None:
        """The process that the server has for the job."""
        try:
            children = psutil.Process(self.server.pid).children()
        except psutil.Error:
            return None
        return next((child.pid for child in children if works_on(child.pid, self.id)), None)

    def close(self) -> None:
        self.watch.end()
        self.server.kill()
        wait_for(lambda: not any(works_on(pid, self.id) for pid in self.watch.begun), END_S)
        self.store.close()


def rows() -> bytes:
    """Sixty short conversations, as a file of them."""
    chance = random.Random(0)
    words = ["red", "green", "blue", "tin", "box", "lamp", "road", "cold", "warm", "small"]
    texts = [" ".join(chance.choices(words, k=3)) + f" {number}" for number in range(60)]
    conversations = [
        {"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": text.split()[1]}]}
        for text in texts
    ]
    return "".join(json.dumps(conversation) + "\n" for conversation in conversations).encode()


def works_on(pid: int, job_id: str) -> bool:
    """Whether a process is one of the job's and still has its memory."""
    try:
        return any(job_id in part for part in psutil.Process(pid).cmdline())
    except psutil.Error:
        return False


def wait_for(is_so: Callable[[], Any], limit_s: float) -> bool:
    """Whether it came to be so within the limit."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if is_so():
            return True
        time.sleep(0.005)
    return False


def products(job: Job) -> dict[str, Any]:
    """All that a job has made, without the names that are new each time."""
    client, run = job.client, job.run_dir
    assert run is not None, "a job that has succeeded has a run"
    told = client.fine_tuning.jobs.retrieve(job.id)
    checkpoints = client.fine_tuning.jobs.checkpoints.list(job.id).data
    results = [file.id for file in client.files.list(purpose="fine-tune-results").data]
    stored = {row["id"] for row in job.store.all("SELECT id FROM file WHERE deleted = 0")}
    evaluation = read_json(run.evaluation)
    return {
        "adapter": sha256_of_file(run.adapter / "adapter_model.safetensors"),
        "events": story(job),
        "verdict": untimed(json.dumps(evaluation["verdict"])),
        "smallest gain": evaluation["minimum_detectable_difference"],
        "arms": {arm["name"]: (arm["score"], arm["num_rows"]) for arm in evaluation["arms"]},
        "comparisons": evaluation["comparisons"],
        "openings of the test rows": evaluation["num_test_openings"],
        "trained tokens": told.trained_tokens,
        "is the result file the job's": told.result_files == results,
        "result files": [client.files.content(file_id).content for file_id in results],
        "files without a row": sorted({path.name for path in (job.runs / "serve" / "files").iterdir()} - stored),
        "checkpoints": [(each.step_number, each.metrics.to_dict()) for each in checkpoints],
        "adapters of checkpoints": [
            sha256_of_file(folder / "adapter_model.safetensors")
            for folder in sorted((job_folder(job.runs / "serve", job.id) / "checkpoints").glob("step-*"))
        ],
        "models": len(client.models.list().data),
        "number of runs": len(list_run_dirs(job.runs)),
        "tokens": len(job.store.all("SELECT 1 FROM job WHERE token IS NOT NULL")),
    }


def messages(job: Job) -> list[str]:
    query = "SELECT message FROM event WHERE job_id = ? ORDER BY created_at, seq"
    return [row["message"] for row in job.store.all(query, (job.id,))]


def story(job: Job) -> list[str]:
    """The events in order as any undisturbed job tells them."""
    own = "|".join((re.escape(str(job.runs)), r"ftjob-\w+", r"file-\w+", r"ft:[\w:-]+", r"\d{8}-\d{6}-[0-9a-f]{6}"))
    return [re.sub(own, "*", untimed(message)) for message in messages(job) if not message.startswith(DISTURBED)]


def untimed(text: str) -> str:
    """The text without what is measured of the machine, which is never twice the same."""
    return re.sub(r"[\d.,]+ (ms|s|min|GB)\b", "*", text)
