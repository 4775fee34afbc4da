"""Does a fine-tuning job survive SIGKILL? Server, worker or both are killed at random moments; the end is the same.

    python scripts/kill_check.py [--kills 20] [--seed N] [--base FOLDER]

One job is worked on undisturbed. Others with the same rows and seed are killed ten times each: twice while the files
are validated, while the baselines answer, while it trains, while the retention budget is kept, while it is evaluated.
Each must end `succeeded` with the same adapter, checkpoints, verdict, step table and events as the undisturbed job,
and no two processes may work on it at once. Ten minutes on two cores. Exit code 1 where anything else happens.

A job fails by design when its process dies three times without getting further. Two deaths in a phase are never three,
unless a server's death is counted as the job's, or a phase that was left behind is not counted as getting further.
"""

import argparse
import json
import os
import random
import re
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import psutil

from burnish.files import read_json, sha256_of_file
from burnish.run_dir import RunDir, list_run_dirs
from burnish.serve.jobs.store import Store, open_store
from burnish.serve.jobs.worker.order import job_folder, pid_of
from live_server import LiveServer, save_tiny_base

JOBS_TOML = """
[adapter]
rank = 2
[train]
precision = "fp32"
patience = 99
[retention]
num_prompts = 8
answer_tokens = 8
[evaluate]
arms = ["zero_shot"]
max_new_tokens = 6
num_resamples = 200
"""
KILLS_IN_PHASE = 2
EPOCHS = 8
TOTAL_STEPS = 4 * EPOCHS
"""Of sixty rows a quarter is learned from, four a step."""
STUCK_S, JOB_S = 120.0, 300.0
"""What a job may take to be worked on again, and to end."""
LONGEST_S = {"validation": 2.0, "baselines": 15.0, "retention": 0.5, "evaluation": 10.0}
"""That a kill is put off within a phase, so that it is not over before."""
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


class Victim(StrEnum):
    """Who gets SIGKILL. Of both the server dies first: else it might still note the worker's death."""

    SERVER = "server"
    WORKER = "worker"
    BOTH = "both"


@dataclass(frozen=True)
class Moment:
    """A phase, and how many steps the run has told."""

    phase: Phase
    step: int


@dataclass
class Kill:
    """A row of the table."""

    job: int
    victim: Victim
    moment: Moment
    goes_on: bool
    came_of_it: str


@dataclass
class Calm:
    """The undisturbed job."""

    began_at: dict[Phase, float] = field(default_factory=dict)
    end: dict[str, Any] = field(default_factory=dict)

    def lasts_s(self, phase: Phase) -> float:
        later = [at for other, at in self.began_at.items() if at > self.began_at[phase]]
        return min(later) - self.began_at[phase]


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

    def __init__(self, folder: Path, base: str) -> None:
        self.runs = folder / "runs"
        (self.runs / "serve").mkdir(parents=True)
        (self.runs / "serve" / "jobs.toml").write_text(JOBS_TOML)
        self.store: Store = open_store(self.runs / "serve")
        self.server = LiveServer(self.runs, base, folder / "server.log")
        self.server.wait_until_ready()
        body: dict[str, Any] = {"model": base, "training_file": self.server.upload(rows()), "seed": 0}
        body["hyperparameters"] = {"n_epochs": EPOCHS, "batch_size": 4, "learning_rate_multiplier": 10}
        self.id = str(self.server.post("/fine_tuning/jobs", body)["id"])
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
        wait_for(lambda: not any(works_on(pid, self.id) for pid in self.watch.begun), STUCK_S)
        self.store.close()


def main() -> int:
    arguments = parse()
    chance, kills, faults = random.Random(arguments.seed), list[Kill](), list[str]()
    with tempfile.TemporaryDirectory(prefix="kill-check-") as name:
        folder = Path(name)
        base = arguments.base or str(save_tiny_base(folder / "base"))
        calm = undisturbed(folder / "calm", base)
        told = ", ".join(f"{phase} {calm.lasts_s(phase):.2f} s" for phase in Phase if phase is not Phase.ENDED)
        print(f"Undisturbed: adapter {calm.end['adapter'][:12]}, {TOTAL_STEPS} steps; {told}.\n", flush=True)
        print(f"{'kill':>4} {'job':>4}  {'phase':11}{'step':>4}  {'killed':7} what came of it", flush=True)
        number = 0
        while len(kills) < arguments.kills:
            number += 1
            limit = arguments.kills - len(kills)
            disturbed = disturb(folder / f"job-{number}", base, number, calm, chance, len(kills), limit)
            with disturbed as (job, done):
                kills += done
                faults += [f"job {number}: {kill.came_of_it}" for kill in done if not kill.goes_on]
                found = [f"job {number}: {fault}" for fault in judge(job, calm)]
                faults += found
                print(f"{'':9}  job {number} {job.status()}, {len(found) or 'no'} violations", flush=True)
    return conclude(kills, faults)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="in all")
    parser.add_argument("--seed", type=int, default=0, help="of the moments and of who is killed")
    parser.add_argument("--base", default="", help="a base model's folder; a tiny random one where none is given")
    return parser.parse_args()


def rows() -> list[dict[str, Any]]:
    """Sixty short conversations."""
    chance = random.Random(0)
    words = ["red", "green", "blue", "tin", "box", "lamp", "road", "cold", "warm", "small"]
    texts = [" ".join(chance.choices(words, k=3)) + f" {number}" for number in range(60)]
    return [
        {"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": text.split()[1]}]}
        for text in texts
    ]


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


def undisturbed(folder: Path, base: str) -> Calm:
    """Let a job come to its end, and note when each phase began and what it has made."""
    calm, job = Calm(), Job(folder, base)

    def has_ended() -> bool:
        phase = job.moment().phase
        calm.began_at.setdefault(phase, time.monotonic())
        return phase is Phase.ENDED

    is_ended = wait_for(has_ended, JOB_S)
    if not is_ended or job.status() != "succeeded" or job.moment().step != TOTAL_STEPS:
        raise SystemExit(f"The undisturbed job is {job.status()}: {messages(job)[-1:]}")
    calm.end = products(job)
    job.close()
    return calm


@contextmanager
def disturb(
    folder: Path, base: str, number: int, calm: Calm, chance: random.Random, before: int, limit: int
) -> Iterator[tuple[Job, list[Kill]]]:
    """A job that is killed in each phase, and has ended or has had the time for it."""
    job, kills = Job(folder, base), list[Kill]()
    try:
        for phase, share in plan(chance)[-limit:]:
            victim = chance.choice(list(Victim))
            wait_for(lambda: is_reached(job, phase, share), JOB_S)  # noqa: B023  (asked within the turn)
            if phase is not Phase.TRAINING:
                time.sleep(share * min(calm.lasts_s(phase), LONGEST_S[phase]))
            kill = strike(job, number, victim, chance)
            if kill is None:
                print(f"{'-':>4} {number:4}  {phase:11}      {victim:7} not done: the job had ended", flush=True)
                break
            kills.append(kill)
            told = f"{victim:7} {kill.came_of_it}"
            print(f"{before + len(kills):4} {number:4}  {kill.moment.phase:11}{kill.moment.step:4}  {told}", flush=True)
        wait_for(lambda: job.moment().phase is Phase.ENDED, JOB_S)
        job.server.wait_until_ready()
        yield job, kills
    finally:
        job.close()


def plan(chance: random.Random) -> list[tuple[Phase, float]]:
    """The phases in which a job is killed, and how far into each."""
    phases = [phase for phase in Phase if phase is not Phase.ENDED]
    return [(phase, share) for phase in phases for share in sorted(chance.random() for _ in range(KILLS_IN_PHASE))]


def is_reached(job: Job, phase: Phase, share: float) -> bool:
    """Whether the job is in the phase or beyond; in training, whether it has done that share of the steps."""
    order, moment = list(Phase), job.moment()
    if moment.phase is phase is Phase.TRAINING:
        return moment.step >= 1 + share * (TOTAL_STEPS - 2)
    return order.index(moment.phase) >= order.index(phase)


def strike(job: Job, number: int, victim: Victim, chance: random.Random) -> Kill | None:
    """Kill, start the server again where it is dead, and see the job go on; None where it has ended before."""
    found = list[int]()

    def is_there() -> bool:
        found[:] = [pid for pid in [job.worker()] if pid]
        return bool(found) or job.moment().phase is Phase.ENDED

    wait_for(is_there, STUCK_S)
    moment = job.moment()
    if moment.phase is Phase.ENDED or not found:
        return None
    if victim in (Victim.SERVER, Victim.BOTH):
        job.server.kill()
    if victim in (Victim.WORKER, Victim.BOTH):
        os.kill(found[0], signal.SIGKILL)
    killed_at = time.monotonic()
    if victim is not Victim.WORKER:
        time.sleep(chance.random())  # from at once to when the orphan is surely gone
        job.server.start()

    def goes_on() -> bool:
        begun = job.watch.begun[-1:]
        return (bool(begun) and begun != found and works_on(begun[0], job.id)) or job.moment().phase is Phase.ENDED

    is_back = wait_for(goes_on, STUCK_S)
    took = time.monotonic() - killed_at
    came = f"goes on after {took:.1f} s" if is_back else f"STUCK as {job.status()} for {STUCK_S:.0f} s"
    return Kill(number, victim, moment, is_back, came)


def judge(job: Job, calm: Calm) -> Iterator[str]:
    """What is not as it must be."""
    yield from sorted(job.watch.faults)
    if job.status() != "succeeded":
        yield f"it is {job.status()}: {messages(job)[-1:]}"
        return
    found = products(job)
    for name, wanted in calm.end.items():
        if found[name] != wanted:
            yield f"{name}: {difference(found[name], wanted)}"


def products(job: Job) -> dict[str, Any]:
    """All that a job has made, without the names that are new each time."""
    server, run = job.server, job.run_dir
    assert run is not None, "a job that has succeeded has a run"
    told = server.get(f"/fine_tuning/jobs/{job.id}")
    checkpoints = server.get(f"/fine_tuning/jobs/{job.id}/checkpoints")["data"]
    results = [file["id"] for file in server.get("/files?purpose=fine-tune-results")["data"]]
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
        "trained tokens": told["trained_tokens"],
        "is the result file the job's": told["result_files"] == results,
        "result files": [server.get_bytes(f"/files/{file_id}/content") for file_id in results],
        "files without a row": sorted({path.name for path in (job.runs / "serve" / "files").iterdir()} - stored),
        "checkpoints": [(each["step_number"], each["metrics"]) for each in checkpoints],
        "adapters of checkpoints": [
            sha256_of_file(folder / "adapter_model.safetensors")
            for folder in sorted((job_folder(job.runs / "serve", job.id) / "checkpoints").glob("step-*"))
        ],
        "models": len(server.get("/models")["data"]),
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
    return re.sub(r"[\d.,]+ (ms|s|min|GB)\b", r"* \1", text)


def difference(found: Any, wanted: Any) -> str:
    """The two, or what one list of events has and the other has not."""
    if not isinstance(found, list) or not all(isinstance(each, str) for each in [*found, *wanted]):
        return f"{str(found)[:300]} in place of {str(wanted)[:300]}"
    if sorted(found) == sorted(wanted):
        at = next(number for number, pair in enumerate(zip(found, wanted, strict=True)) if pair[0] != pair[1])
        return f"another order: {found[at]!r} stands where {wanted[at]!r} was"
    return f"too much: {surplus(found, wanted)}; missing: {surplus(wanted, found)}"


def surplus(some: list[str], others: list[str]) -> list[str]:
    return list((Counter(some) - Counter(others)).elements())


def conclude(kills: list[Kill], faults: list[str]) -> int:
    """Say how the kills were spread and what was wrong; returns the exit code."""
    print("\nphase        " + "".join(f"{victim:>8}" for victim in Victim))
    for phase in Phase:
        if phase is not Phase.ENDED:
            counts = [sum(kill.moment.phase is phase and kill.victim is victim for kill in kills) for victim in Victim]
            print(f"{phase:13}" + "".join(f"{count:8}" for count in counts))
    jobs = max(kill.job for kill in kills)
    print(f"\n{len(kills)} kills of {jobs} jobs; {len(faults)} violations.")
    for fault in faults:
        print(f"VIOLATION {fault}")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
